"""Quality of service as a lab engineer says it: what is lossless, what is marked, who slows down.

Each class becomes keys of the `nic` and `switch` blocks of a job (docs/job-format.md); a field has the name
of its key without the unit, for its type carries that. What is left out keeps the job's default: no PFC, no
marking, no DCQCN, MTU 1024, CNPs in priority 6, priorities 6 and 7 strict.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator, model_validator

from harness.core.blocks import ALGORITHMS, Alpha, Count, Flag, Json, Positive, check_thresholds
from harness.core.errors import ConfigError, suggestion
from harness.core.units import (
    GBPS,
    Bps,
    ByteCount,
    Bytes,
    Duration,
    Fraction,
    Picoseconds,
    Priorities,
    Priority,
    Rate,
)
from harness.core.validation import model

KMIN_PER_GBPS, KMAX_PER_GBPS = 4_000, 16_000
"""Bytes of threshold per Gb/s: 400 KB and 1600 KB at 100 Gb/s, the scaling of the HPCC ns-3 set-up."""

PAPER_CNP_INTERVAL = 50_000_000
"""50 µs in ps: least time between CNPs of a flow in the DCQCN paper (SIGCOMM 2015, section 3.1)."""


@model
class Watchdog:
    """Detection and breaking of pause storms by switches."""

    detect: Duration = 200_000_000_000
    restore: Duration = 200_000_000_000
    poll: Duration = 100_000_000_000
    action: Literal["drop", "forward"] = "drop"


@model
class Pfc:
    """Priority flow control on switches and NICs.

    `mode` "quanta" lets a pause expire and refreshes it; "until_resume" holds it until a resume.
    """

    priorities: Priorities
    mode: Literal["quanta", "until_resume"] = "quanta"
    quanta: Annotated[int, Field(ge=1, le=65535, strict=True)] = 65535
    watchdog: Watchdog | None = None


@model
class EcnProfile:
    """Marking thresholds of ports of one rate."""

    rate: Rate
    kmin: Bytes
    kmax: Bytes
    pmax: Fraction = 0.2

    @model_validator(mode="after")
    def _ordered(self) -> EcnProfile:
        check_thresholds(self.kmin, self.kmax)
        return self


@model
class Ecn:
    """Marking on switches: none up to `kmin`, probability `pmax` at `kmax`, everything above.

    Thresholds that are given serve every port. Without them each port has 4 KB and 16 KB per Gb/s of its
    rate: 400 KB and 1600 KB at 100 Gb/s. `profiles` sets them per port rate. `wred_drop` drops what is not
    ECN-capable instead.
    """

    kmin: Bytes | None = None
    kmax: Bytes | None = None
    pmax: Fraction = 0.2
    priorities: Priorities = frozenset({3})
    mark_at: Literal["dequeue", "enqueue"] = "dequeue"
    wred_drop: Flag = False
    profiles: tuple[EcnProfile, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Ecn:
        if (self.kmin is None) != (self.kmax is None):
            raise ConfigError("kmin and kmax are given together", key="kmax" if self.kmax is None else "kmin")
        if self.kmin is not None and self.kmax is not None:
            check_thresholds(self.kmin, self.kmax)
        if self.profiles and self.kmin is not None:
            raise ConfigError("either kmin and kmax or profiles", key="profiles")
        return self

    def to_switch(self, rates_bps: Iterable[int]) -> Json:
        """Return the `ecn` block, with a profile for each port rate of the topology when thresholds scale."""
        return {
            "priorities": sorted(self.priorities),
            "mark_at": self.mark_at,
            "wred_drop": self.wred_drop,
            "profiles": self._profiles(rates_bps),
        }

    def _profiles(self, rates_bps: Iterable[int]) -> list[Json]:
        if self.profiles:
            return [_profile(each.rate, each.kmin, each.kmax, each.pmax) for each in self.profiles]
        if self.kmin is not None and self.kmax is not None:
            return [_profile(0, self.kmin, self.kmax, self.pmax)]
        scaled = [self._scaled(rate, rate) for rate in sorted(set(rates_bps))]
        return [self._scaled(0, 100 * GBPS), *scaled]

    def _scaled(self, rate_bps: int, like_bps: int) -> Json:
        return _profile(
            rate_bps, KMIN_PER_GBPS * like_bps // GBPS, KMAX_PER_GBPS * like_bps // GBPS, self.pmax
        )


def _profile(rate_bps: int, kmin: int, kmax: int, pmax: float) -> Json:
    return {"rate_bps": rate_bps, "kmin_bytes": kmin, "kmax_bytes": kmax, "pmax": pmax}


PRESETS = {"paper": "dcqcn", "mlx5": "mlx5", "ns3": "ns3"}
"""Preset → algorithm of the job."""


@model
class Dcqcn:
    """Reaction to notifications, by preset.

    Every parameter may be changed under its name in docs/job-format.md.

    `paper` is the machine of the SIGCOMM 2015 paper and spaces CNPs 50 µs apart, `mlx5` the fixed-point one
    of mlx5 firmware (4 µs), `ns3` that of the HPCC ns-3 model, where marks return in acknowledgements;
    `Qos.cnp` overrides.
    """

    preset: Literal["paper", "mlx5", "ns3"] = "paper"
    g: Fraction | None = field(default=None, kw_only=True)
    alpha_timer_ps: Picoseconds | None = field(default=None, kw_only=True)
    rate_timer_ps: Picoseconds | None = field(default=None, kw_only=True)
    byte_counter_bytes: ByteCount | None = field(default=None, kw_only=True)
    fast_recovery: Count | None = field(default=None, kw_only=True)
    rate_ai_bps: Bps | None = field(default=None, kw_only=True)
    rate_hai_bps: Bps | None = field(default=None, kw_only=True)
    min_rate_bps: Bps | None = field(default=None, kw_only=True)
    cut_interval_ps: Picoseconds | None = field(default=None, kw_only=True)
    clamp_target: Flag | None = field(default=None, kw_only=True)
    rate_on_first_cnp: Fraction | None = field(default=None, kw_only=True)
    pace: Flag | None = field(default=None, kw_only=True)
    variable_window: Flag | None = field(default=None, kw_only=True)
    dce_tcp_g: Count | None = field(default=None, kw_only=True)
    dce_tcp_rtt_us: Positive | None = field(default=None, kw_only=True)
    initial_alpha_value: Count | None = field(default=None, kw_only=True)
    rpg_gd: Count | None = field(default=None, kw_only=True)
    rpg_min_dec_fac: Count | None = field(default=None, kw_only=True)
    rate_reduce_monitor_period_us: Count | None = field(default=None, kw_only=True)
    rate_to_set_on_first_cnp_mbps: Count | None = field(default=None, kw_only=True)
    rpg_time_reset_us: Positive | None = field(default=None, kw_only=True)
    rpg_byte_reset: Count | None = field(default=None, kw_only=True)
    rpg_threshold: Count | None = field(default=None, kw_only=True)
    rpg_ai_rate_mbps: Count | None = field(default=None, kw_only=True)
    rpg_hai_rate_mbps: Count | None = field(default=None, kw_only=True)
    rpg_max_rate_mbps: Count | None = field(default=None, kw_only=True)
    rpg_min_rate_mbps: Count | None = field(default=None, kw_only=True)
    clamp_tgt_rate: Flag | None = field(default=None, kw_only=True)
    clamp_tgt_rate_after_time_inc: Flag | None = field(default=None, kw_only=True)

    @model_validator(mode="after")
    def _of_this_preset(self) -> Dcqcn:
        known = set(ALGORITHMS[PRESETS[self.preset]].model_fields) - {"algorithm"}
        for key in self._overrides():
            if key not in known:
                raise ConfigError(
                    f"preset {self.preset!r} has no {key!r}",
                    key=key,
                    hint=suggestion(key, sorted(known), "it has"),
                )
        return self

    def _overrides(self) -> Json:
        names = [each.name for each in dataclasses.fields(self) if each.name != "preset"]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def to_nic(self) -> Json:
        """Return the `cc` block and, where the preset implies another, the `cnp` block."""
        cc = {"algorithm": PRESETS[self.preset], **self._overrides()}
        implied: dict[str, Json] = {"paper": {"interval_ps": PAPER_CNP_INTERVAL}, "ns3": {"mode": "ack_echo"}}
        return {"cc": cc, **({"cnp": implied[self.preset]} if self.preset in implied else {})}


@model
class Cnp:
    """When a receiver notifies: mode, least interval and what it is kept for.

    `priority` is that of the CNP itself.
    """

    mode: Literal["cnp", "ack_echo", "none"] = "cnp"
    interval: Duration = 4_000_000
    scope: Literal["qp", "ip_pair", "port"] = "qp"
    priority: Priority = 6


def _weights(value: object) -> tuple[int, ...]:
    """Accept a list of eight or {priority: weight}; priorities that are not named have weight 1."""
    if isinstance(value, Mapping):
        for priority in value:
            if type(priority) is not int or not 0 <= priority <= 7:
                raise ConfigError("there is no such priority", value=priority, hint="priorities are 0 to 7")
        value = tuple(value.get(priority, 1) for priority in range(8))
    if not isinstance(value, list | tuple) or len(value) != 8:
        raise ConfigError("not eight weights", value=value, hint="write {3: 60, 0: 40} or a list of eight")
    for weight in value:
        if type(weight) is not int or not 0 < weight < 2**31:
            raise ConfigError("a weight is a whole number above zero", value=weight)
    return tuple(value)


@model
class Ets:
    """Sharing between priorities, on switches and NICs: strict ones first, the rest by weight (DWRR)."""

    weights: Annotated[
        Sequence[int] | Mapping[int, int], PlainValidator(_weights, json_schema_input_type=list[int])
    ] = (1,) * 8
    strict: Priorities = frozenset({6, 7})
    kind: Literal["ets", "hpcc"] = "ets"


@model
class Buffer:
    """Shared packet buffer of switches; `size` None keeps that of each switch in the topology."""

    size: Bytes | None = None
    alpha: Alpha = 0.125
    lossy_alpha: Alpha = 1.0
    egress_alpha: Alpha = 4.0
    reserve: Bytes = 4096
    headroom: Bytes | None = None
    xon_offset: Bytes = 3072
    model: Literal["dynamic", "hpcc"] = "dynamic"
    nic_rate: Rate | None = None

    def to_switch(self) -> Json:
        """Return the `buffer` block, without the size when that is the topology's."""
        block: Json = {
            "model": self.model,
            "alpha": self.alpha,
            "lossy_alpha": self.lossy_alpha,
            "egress_alpha": self.egress_alpha,
            "reserve_bytes": self.reserve,
            "headroom_bytes": self.headroom,
            "xon_offset_bytes": self.xon_offset,
            "nic_rate_bps": self.nic_rate,
        }
        return block if self.size is None else {**block, "bytes": self.size}


@model
class Ack:
    """One acknowledgement per `every` packets.

    `priority` None is that of the flow; `strict` goes before all data.
    """

    every: Positive = 1
    priority: Priority | None = None
    strict: Flag = False


@model
class Ecmp:
    """How switches spread flows over equal paths."""

    mode: Literal["5tuple", "dqpn", "spray", "hpcc"] = "5tuple"
    seed: Annotated[int, Field(ge=0, strict=True)] | None = None


@model
class Nic:
    """Transport of the hosts. `ack_timeout` is the exponent t of 4.096 µs · 2^t; `rnr_retry` 7 is for ever.

    `rx_*` describe a receiver that takes in data slowly: `rx_drain` 0 is as fast as the link.
    """

    mtu: Annotated[Bytes, Field(ge=64, le=9000)] = 1024
    loss_recovery: Literal["go_back_n", "selective_repeat", "go_back_0"] = "go_back_n"
    ack_timeout: Annotated[int, Field(ge=0, le=31, strict=True)] = 14
    retry_count: Annotated[int, Field(ge=0, le=7, strict=True)] = 7
    rnr_timer: Annotated[int, Field(ge=0, le=31, strict=True)] = 12
    rnr_retry: Annotated[int, Field(ge=0, le=7, strict=True)] = 7
    nak_interval: Duration = 0
    max_rd_atomic: Annotated[int, Field(ge=1, le=65535, strict=True)] = 16
    rx_buffer: Bytes = 0
    rx_drain: Rate = 0
    rx_xoff: Bytes = 0
    rx_xon: Bytes = 0

    def to_nic(self) -> Json:
        """Return the keys of the `nic` block."""
        same = ("loss_recovery", "retry_count", "rnr_timer", "rnr_retry", "max_rd_atomic")
        return {
            **{name: getattr(self, name) for name in same},
            "mtu_bytes": self.mtu,
            "ack_timeout_exponent": self.ack_timeout,
            "nak_interval_ps": self.nak_interval,
            "rx": {
                "buffer_bytes": self.rx_buffer,
                "drain_bps": self.rx_drain,
                "xoff_bytes": self.rx_xoff,
                "xon_bytes": self.rx_xon,
            },
        }


def _dscp_map(value: object) -> dict[int, int] | None:
    """Accept {DSCP: priority}, with the code points that differ from the default; JSON has text for keys."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ConfigError("not a mapping of DSCP to priority", value=value, hint="write {26: 3, 46: 5}")
    read = {int(key) if _is_number(key) else key: priority for key, priority in value.items()}
    for dscp, priority in read.items():
        if type(dscp) is not int or not 0 <= dscp <= 63:
            raise ConfigError("there is no such DSCP", value=dscp, hint="code points are 0 to 63")
        if type(priority) is not int or not 0 <= priority <= 7:
            raise ConfigError("there is no such priority", value=priority, hint="priorities are 0 to 7")
    return dict(sorted(read.items()))


def _is_number(key: object) -> bool:
    return isinstance(key, str) and key.isdecimal()


@model
class Qos:
    """Everything set on NICs and switches for a run; None leaves the job's default.

    `dscp_map` says into which priority switches sort a DSCP; code points that it does not name go by their
    upper three bits (RFC 2474, section 4.2.2).
    """

    pfc: Pfc | None = None
    ecn: Ecn | None = None
    dcqcn: Dcqcn | None = None
    cnp: Cnp | None = None
    ets: Ets | None = None
    buffer: Buffer | None = None
    ack: Ack | None = None
    nic: Nic | None = None
    ecmp: Ecmp | None = None
    dscp_map: Annotated[
        Mapping[int, int] | None,
        PlainValidator(_dscp_map, json_schema_input_type=dict[int, int] | None),
        PlainSerializer(lambda given: given, return_type=dict[Any, int] | None),
    ] = None

    def to_nic(self) -> Json:
        """Return the keys of the job's `nic` block that this sets."""
        block: Json = {} if self.nic is None else self.nic.to_nic()
        if self.dcqcn is not None:
            block.update(self.dcqcn.to_nic())
        if self.cnp is not None:
            cnp = self.cnp
            block["cnp"] = {
                "mode": cnp.mode, "interval_ps": cnp.interval, "scope": cnp.scope, "priority": cnp.priority
            }  # fmt: skip
        if self.ack is not None:
            block["ack"] = {"every": self.ack.every, "priority": self.ack.priority, "strict": self.ack.strict}
        if self.pfc is not None:
            block["pfc"] = _pfc(self.pfc)
        if self.ets is not None:
            block["scheduler"] = _scheduler(self.ets)
        return block

    def to_switch(self, rates_bps: Iterable[int] = ()) -> Json:
        """Return the keys of the job's `switch` block that this sets.

        `rates_bps` are the port rates of the topology.
        """
        block: Json = {}
        if self.ecn is not None:
            block["ecn"] = self.ecn.to_switch(rates_bps)
        if self.pfc is not None:
            block["pfc"] = {**_pfc(self.pfc), "watchdog": _watchdog(self.pfc.watchdog)}
        if self.ets is not None:
            block["scheduler"] = _scheduler(self.ets)
        if self.buffer is not None:
            block["buffer"] = self.buffer.to_switch()
        if self.ecmp is not None:
            block["ecmp"] = {"mode": self.ecmp.mode, "seed": self.ecmp.seed}
        if self.dscp_map is not None:
            block["dscp_map"] = [self.dscp_map.get(dscp, dscp >> 3) for dscp in range(64)]
        return block


def _pfc(pfc: Pfc) -> Json:
    return {"priorities": sorted(pfc.priorities), "mode": pfc.mode, "quanta": pfc.quanta}


def _watchdog(watchdog: Watchdog | None) -> Json | None:
    if watchdog is None:
        return None
    return {
        "detect_ps": watchdog.detect,
        "restore_ps": watchdog.restore,
        "poll_ps": watchdog.poll,
        "action": watchdog.action,
    }


def _scheduler(ets: Ets) -> Json:
    return {"kind": ets.kind, "weights": list(ets.weights), "strict": sorted(ets.strict)}
