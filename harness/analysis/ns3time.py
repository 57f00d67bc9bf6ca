"""Time as ns-3 counts it: a double of seconds, cut to 64 fractional bits, then to steps of the resolution.

Source: the Time class of ns-3.18 (seconds are held as a 64.64 fixed-point number and multiplied by the steps
in a second; the fraction is dropped, not rounded). Its MicroSeconds() takes an integer, so that a fractional
number of microseconds loses its fraction before anything else.
"""

from __future__ import annotations

import math

PS_PER_S = 10**12
FRACTION_BITS = 64


def steps(value: float, unit_ps: int, resolution_ps: int) -> int:
    """Whole steps of `resolution_ps` in `value` units of `unit_ps` picoseconds, as ns-3 converts a double.

    Raises ValueError for a negative or not finite value: simulated time starts at 0.
    """
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"a simulated time is a finite number from 0, not {value}")
    whole = math.floor(value)
    fraction = int((value - whole) * 2.0**FRACTION_BITS)
    fixed = (whole << FRACTION_BITS) + fraction
    return fixed * unit_ps // resolution_ps >> FRACTION_BITS


def seconds_ps(seconds: float, resolution_ps: int = 1) -> int:
    """Picoseconds of Seconds(`seconds`) at a resolution: 0.001000148 s is 1000147999 ps at 1 ps."""
    return steps(seconds, PS_PER_S, resolution_ps) * resolution_ps


def micro_seconds_ps(microseconds: float) -> int:
    """Picoseconds of MicroSeconds(`microseconds`), whose argument is an unsigned integer: 1.9 counts as 1."""
    if not math.isfinite(microseconds) or microseconds < 0:
        raise ValueError(f"a timer is a finite number of microseconds from 0, not {microseconds}")
    return int(microseconds) * 10**6


def transmission_ps(wire_bytes: int, rate_bps: int, resolution_ps: int = 1) -> int:
    """Serialisation time in ps of `wire_bytes`: 1048 bytes at 100 Gb/s take 83839 ps, or 83000 at 1 ns."""
    return seconds_ps(float(wire_bytes) * 8 / rate_bps, resolution_ps)
