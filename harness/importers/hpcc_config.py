"""The configuration file of the HPCC ns-3 simulator: lines of KEY and value.

The defaults are those of the simulator's driver; keys without a usable default there are required here. Keys
that only name its trace and output files, or tune congestion controls other than DCQCN, are known and
ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from harness.core.errors import ConfigError, suggestion

IGNORED = frozenset({
    "DATA_RATE", "LINK_DELAY", "TRACE_FILE", "TRACE_OUTPUT_FILE", "FCT_OUTPUT_FILE", "PFC_OUTPUT_FILE",
    "ENABLE_TRACE", "QLEN_MON_FILE", "QLEN_MON_START", "QLEN_MON_END", "USE_DYNAMIC_PFC_THRESHOLD",
    "DCTCP_RATE_AI", "FAST_REACT", "U_TARGET", "MI_THRESH", "INT_MULTI", "MULTI_RATE", "SAMPLE_FEEDBACK",
    "PINT_LOG_BASE", "PINT_PROB",
})  # fmt: skip
"""Keys of the simulator that change nothing in a DCQCN run, or only what it prints."""
IGNORED_PREFIX = "ORC_"
"""Keys that an instrumented build reads; the simulator itself skips keys it does not know."""

_NOTE = re.compile(r"\{.*")  # the simulator's documented sample explains values in braces
_RATE = re.compile(r"([0-9.]+)(.*)")
_PREFIXES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}
_BINARY_PREFIXES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_BITS = {"bps": 1, "b/s": 1, "Bps": 8, "B/s": 8}
_RATE_UNITS: Mapping[str, int] = MappingProxyType({
    **{prefix + unit: scale * bits for prefix, scale in _PREFIXES.items() for unit, bits in _BITS.items()},
    **{f"{prefix}{unit}/s": scale * bits
       for prefix, scale in _BINARY_PREFIXES.items() for unit, bits in (("b", 1), ("B", 8))},
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class LinkDown:
    """LINK_DOWN: two microseconds-and-nodes numbers; nothing goes down when `after_us` is 0."""

    after_us: int = 0
    node_a: int = 0
    node_b: int = 0


@dataclass(frozen=True, slots=True)
class HpccConfig:
    """The configuration in the simulator's own units: microseconds, bit/s, kilobytes of 1000 bytes, MiB.

    `lines` says where each key was given, for messages.
    """

    path: Path
    lines: Mapping[str, int]
    ignored: tuple[str, ...]
    topology_file: str
    flow_file: str
    cc_mode: int = 1
    enable_qcn: bool = True
    payload_bytes: int = 1000
    pause_time: float = 5.0
    stop_s: float = 3.01
    alpha_us: float = 55.0
    decrease_us: float = 4.0
    increase_us: float = 0.0
    gain: float = 0.0
    fast_recovery: int = 5
    rate_ai_bps: int = 0
    rate_hai_bps: int = 0
    min_rate_bps: int = 100_000_000
    clamp_target: bool = False
    error_rate: float = 0.0
    chunk_bytes: int = 0
    ack_interval_bytes: int = 0
    back_to_zero: bool = False
    has_window: bool = True
    global_window: bool = True
    variable_window: bool = False
    rate_bound: bool = True
    ack_high_priority: bool = False
    link_down: LinkDown = LinkDown()
    buffer_mib: int = 16
    kmin_kb: Mapping[int, int] = field(default_factory=dict)
    kmax_kb: Mapping[int, int] = field(default_factory=dict)
    pmax: Mapping[int, float] = field(default_factory=dict)
    picoseconds: bool = False

    def error(self, key: str, message: str, *, value: object, hint: str | None = None) -> ConfigError:
        """Make the error for the line of `key`; a key that was not given has the line of nothing."""
        return ConfigError(message, file=self.path, line=self.lines.get(key), key=key, value=value, hint=hint)


def read_config(path: Path) -> HpccConfig:
    """Read a configuration file; raises ConfigError with file, line, key and value for anything unusable."""
    lines: dict[str, int] = {}
    values: dict[str, object] = {}
    ignored: list[str] = []
    for number, words in _word_lines(path):
        key, given = words[0], words[1:]
        if key in lines:
            raise ConfigError(f"given twice, first in line {lines[key]}", file=path, line=number, key=key)
        lines[key] = number
        if key in _KEYS:
            field, parse = _KEYS[key]
            values[field] = _parsed(parse, given, path, number, key)
        elif key in IGNORED or key.startswith(IGNORED_PREFIX):
            ignored.append(key)
        else:
            known = sorted([*_KEYS, *IGNORED])
            raise ConfigError(
                "unknown key", file=path, line=number, key=key, hint=suggestion(key, known, "keys")
            )
    _require(path, values, lines)
    # each value was parsed to the type of its field by the table above
    return HpccConfig(path=path, lines=lines, ignored=tuple(ignored), **values)  # type: ignore[arg-type]


def parse_rate(text: str) -> int:
    """Bits a second of text such as `100Gbps` or `20Mb/s` by the rules of ns-3; fractions are cut."""
    match = _RATE.fullmatch(text)
    if match is None or (match[2] and match[2] not in _RATE_UNITS):
        raise ValueError("not a rate such as 100Gbps or 20Mb/s")
    return int(float(match[1]) * _RATE_UNITS.get(match[2], 1))


def _word_lines(path: Path) -> list[tuple[int, list[str]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration: {error}", file=path) from error
    numbered = enumerate((_NOTE.sub("", line).split() for line in text.splitlines()), start=1)
    return [(number, words) for number, words in numbered if words and not words[0].startswith("#")]


def _parsed(
    parse: Callable[[list[str]], object], given: list[str], path: Path, line: int, key: str
) -> object:
    try:
        return parse(given)
    except ConfigError:
        raise
    except (ValueError, IndexError, OverflowError) as error:
        value = " ".join(given)
        raise ConfigError(str(error) or "not a number", file=path, line=line, key=key, value=value) from error


def _require(path: Path, values: Mapping[str, object], lines: Mapping[str, int]) -> None:
    required = ["TOPOLOGY_FILE", "FLOW_FILE", "L2_ACK_INTERVAL"]
    if values.get("cc_mode", 1) == 1:
        required += ["RP_TIMER", "EWMA_GAIN", "RATE_AI", "RATE_HAI"]
    missing = [key for key in required if key not in lines]
    if missing:
        hint = "the simulator has no usable default for it"
        raise ConfigError("missing key", file=path, key=missing[0], hint=hint)


def _one(given: list[str]) -> str:
    if len(given) != 1:
        raise ValueError(f"needs one value, not {len(given)}")
    return given[0]


def _whole(given: list[str]) -> int:
    text = _one(given)
    if not text.isdecimal() or int(text) >= 2**32:
        raise ValueError("not a whole number from 0 to 4294967295")
    return int(text)


def _number(given: list[str]) -> float:
    try:
        value = float(_one(given))
    except ValueError as error:
        raise ValueError("not a number") from error
    if not math.isfinite(value) or value < 0:
        raise ValueError("not a finite number from 0")
    return value


def _fraction(given: list[str]) -> float:
    value = _number(given)
    if value > 1:
        raise ValueError("not a fraction from 0 to 1")
    return value


def _gain(given: list[str]) -> float:
    value = _fraction(given)
    if value == 0:
        raise ValueError("a gain is above 0, or alpha never changes")
    return value


def _loss(given: list[str]) -> float:
    value = _fraction(given)
    if value == 1:
        raise ValueError("a packet error rate of 1 lets nothing through")
    return value


def _timer(given: list[str]) -> float:
    value = _number(given)
    if value < 1:
        raise ValueError(
            "the simulator cuts timers to whole microseconds; below 1 it never gets past this timer"
        )
    return value


def _flag(given: list[str]) -> bool:
    return _whole(given) != 0


def _rate(given: list[str]) -> int:
    return parse_rate(_one(given))


def _name(given: list[str]) -> str:
    return _one(given)


def _down(given: list[str]) -> LinkDown:
    if len(given) != 3:
        raise ValueError("needs a time in microseconds and two nodes")
    return LinkDown(*(_whole([text]) for text in given))


def _threshold_map(given: list[str]) -> Mapping[int, int]:
    return {rate: _whole([text]) for rate, text in _pairs(given)}


def _probability_map(given: list[str]) -> Mapping[int, float]:
    return {rate: _fraction([text]) for rate, text in _pairs(given)}


def _pairs(given: list[str]) -> list[tuple[int, str]]:
    count = _whole(given[:1])
    if len(given) != 1 + 2 * count:
        raise ValueError(f"says {count} pairs of link rate and value, but {len(given) - 1} numbers follow")
    return [(_whole_rate(given[1 + 2 * i]), given[2 + 2 * i]) for i in range(count)]


def _whole_rate(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**63:
        raise ValueError(f"not a link rate in bit/s: {text}")
    return int(text)


def _resolution(given: list[str]) -> bool:
    text = _one(given)
    if text not in {"ps", "ns"}:
        raise ValueError("the time resolution is ps or ns")
    return text == "ps"


_KEYS: Mapping[str, tuple[str, Callable[[list[str]], object]]] = MappingProxyType(
    {
        "TOPOLOGY_FILE": ("topology_file", _name),
        "FLOW_FILE": ("flow_file", _name),
        "CC_MODE": ("cc_mode", _whole),
        "ENABLE_QCN": ("enable_qcn", _flag),
        "PACKET_PAYLOAD_SIZE": ("payload_bytes", _whole),
        "PAUSE_TIME": ("pause_time", _number),
        "SIMULATOR_STOP_TIME": ("stop_s", _number),
        "ALPHA_RESUME_INTERVAL": ("alpha_us", _timer),
        "RATE_DECREASE_INTERVAL": ("decrease_us", _timer),
        "RP_TIMER": ("increase_us", _timer),
        "EWMA_GAIN": ("gain", _gain),
        "FAST_RECOVERY_TIMES": ("fast_recovery", _whole),
        "RATE_AI": ("rate_ai_bps", _rate),
        "RATE_HAI": ("rate_hai_bps", _rate),
        "MIN_RATE": ("min_rate_bps", _rate),
        "CLAMP_TARGET_RATE": ("clamp_target", _flag),
        "ERROR_RATE_PER_LINK": ("error_rate", _loss),
        "L2_CHUNK_SIZE": ("chunk_bytes", _whole),
        "L2_ACK_INTERVAL": ("ack_interval_bytes", _whole),
        "L2_BACK_TO_ZERO": ("back_to_zero", _flag),
        "HAS_WIN": ("has_window", _flag),
        "GLOBAL_T": ("global_window", _flag),
        "VAR_WIN": ("variable_window", _flag),
        "RATE_BOUND": ("rate_bound", _flag),
        "ACK_HIGH_PRIO": ("ack_high_priority", _flag),
        "LINK_DOWN": ("link_down", _down),
        "BUFFER_SIZE": ("buffer_mib", _whole),
        "KMIN_MAP": ("kmin_kb", _threshold_map),
        "KMAX_MAP": ("kmax_kb", _threshold_map),
        "PMAX_MAP": ("pmax", _probability_map),
        "ORC_RES": ("picoseconds", _resolution),
    }
)
