"""The configuration blocks of a job, with the keys, defaults and ranges of docs/job-format.md.

A block given in a scenario or topology file holds only some keys; `given(block)` returns those. Keys name
their base unit, so a bare number is clear; text with a unit is welcome (`interval_ps: 4us`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from harness.core.errors import ConfigError, suggestion
from harness.core.units import Bps, ByteCount, Fraction, Picoseconds, Priority
from harness.core.validation import refuse_unknown_keys

Count = Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)]
Positive = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Alpha = Annotated[float, Field(gt=0, le=1024, allow_inf_nan=False)]
PriorityList = Annotated[list[Priority], Field(max_length=8)]
Weights = Annotated[list[Positive], Field(min_length=8, max_length=8)]
DscpMap = Annotated[list[Priority], Field(min_length=64, max_length=64)]

ONLY_WHEN_GIVEN = frozenset({"dscp_map"})
"""Keys that a job does not have when nobody sets them: what devices do by themselves."""


def check_thresholds(kmin: int, kmax: int) -> None:
    """Raise ConfigError unless 0 ≤ kmin ≤ kmax."""
    if kmin > kmax:
        raise ConfigError(
            f"kmin {kmin} bytes is above kmax {kmax} bytes", key="kmin", hint="kmin is at most kmax"
        )


class Block(BaseModel):
    """Base of all blocks: frozen, unknown keys refused with the closest match."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, data: object) -> object:
        if isinstance(data, dict):
            refuse_unknown_keys(data, cls.model_fields)
        return data


class TimeBlock(Block):
    """How serialisation times are rounded."""

    model: Literal["exact", "ns3"] = "exact"
    resolution_ps: Annotated[Picoseconds, Field(ge=1)] = 1


class Rocev2Wire(Block):
    """Frame sizes of RoCEv2, counted from its headers."""

    model: Literal["rocev2"] = "rocev2"
    ip_version: Literal[4, 6] = 4
    vlan: Flag = False
    gap_bytes: ByteCount = 20


class FixedWire(Block):
    """Frame sizes as given, whatever the operation."""

    model: Literal["fixed"]
    data_overhead_bytes: ByteCount = 48
    ack_bytes: ByteCount = 60
    cnp_bytes: ByteCount = 60
    pfc_bytes: ByteCount = 43
    gap_bytes: ByteCount = 0


class NoCc(Block):
    """Send at the flow's rate."""

    algorithm: Literal["none"] = "none"


class DcqcnCc(Block):
    """The reaction point of the DCQCN paper."""

    algorithm: Literal["dcqcn"]
    g: Fraction = 0.00390625
    alpha_timer_ps: Picoseconds = 55_000_000
    rate_timer_ps: Picoseconds = 55_000_000
    byte_counter_bytes: ByteCount = 10_000_000
    fast_recovery: Count = 5
    rate_ai_bps: Bps = 40_000_000
    rate_hai_bps: Bps = 400_000_000
    min_rate_bps: Bps = 10_000_000
    cut_interval_ps: Picoseconds = 0
    clamp_target: Flag = True


class Mlx5Cc(Block):
    """The fixed-point machine of mlx5 firmware."""

    algorithm: Literal["mlx5"]
    dce_tcp_g: Count = 1019
    dce_tcp_rtt_us: Positive = 1
    initial_alpha_value: Count = 1023
    rpg_gd: Count = 11
    rpg_min_dec_fac: Count = 50
    rate_reduce_monitor_period_us: Count = 4
    rate_to_set_on_first_cnp_mbps: Count = 0
    rpg_time_reset_us: Positive = 300
    rpg_byte_reset: Count = 32767
    rpg_threshold: Count = 1
    rpg_ai_rate_mbps: Count = 5
    rpg_hai_rate_mbps: Count = 50
    rpg_max_rate_mbps: Count = 0
    rpg_min_rate_mbps: Count = 1
    clamp_tgt_rate: Flag = False
    clamp_tgt_rate_after_time_inc: Flag = True


class Ns3Cc(Block):
    """The rate machine of the HPCC ns-3 model."""

    algorithm: Literal["ns3"]
    g: Fraction = 0.00390625
    alpha_timer_ps: Picoseconds = 1_000_000
    cut_interval_ps: Picoseconds = 4_000_000
    rate_timer_ps: Picoseconds = 300_000_000
    fast_recovery: Count = 1
    rate_ai_bps: Bps = 20_000_000
    rate_hai_bps: Bps = 200_000_000
    min_rate_bps: Bps = 100_000_000
    clamp_target: Flag = False
    rate_on_first_cnp: Fraction = 1.0
    pace: Flag = True
    variable_window: Flag = False


ALGORITHMS: dict[str, type[Block]] = {"none": NoCc, "dcqcn": DcqcnCc, "mlx5": Mlx5Cc, "ns3": Ns3Cc}
WIRES: dict[str, type[Block]] = {"rocev2": Rocev2Wire, "fixed": FixedWire}


def _choose(kinds: dict[str, type[Block]], key: str, default: str) -> PlainValidator:
    """Validate with the class that the block's `key` names; a block may leave the key out for the default."""

    def validate(value: object, info: ValidationInfo) -> Block:
        if isinstance(value, Block):
            return value
        if not isinstance(value, dict):
            raise ConfigError("expected a mapping (key: value)", value=value)
        kind = value.get(key, default)
        owners = [name for name, block in kinds.items() if value.keys() <= block.model_fields.keys()]
        if key not in value and owners and default not in owners:
            raise ConfigError(
                f"these keys need their {key}", key=key, hint=f"add {key}: {' or '.join(owners)}"
            )
        if kind not in kinds:
            raise ConfigError(
                f"unknown {key}", key=key, value=kind, hint=suggestion(kind, kinds, "there are")
            )
        return kinds[kind].model_validate({key: kind, **value}, context=info.context)

    return PlainValidator(validate)


def _any_of(kinds: dict[str, type[Block]]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [kind.model_json_schema() for kind in kinds.values()]})


Cc = Annotated[Block, _choose(ALGORITHMS, "algorithm", "none"), _any_of(ALGORITHMS)]
WireBlock = Annotated[Block, _choose(WIRES, "model", "rocev2"), _any_of(WIRES)]


class AckBlock(Block):
    """When acknowledgements are sent, and how they leave."""

    every: Positive = 1
    priority: Priority | None = None
    strict: Flag = False


class CnpBlock(Block):
    """The notification point."""

    mode: Literal["cnp", "ack_echo", "none"] = "cnp"
    interval_ps: Picoseconds = 4_000_000
    scope: Literal["qp", "ip_pair", "port"] = "qp"
    priority: Priority = 6


class NicPfcBlock(Block):
    """Priorities whose pause the NIC honours and, as a slow receiver, sends."""

    priorities: PriorityList = []
    mode: Literal["quanta", "until_resume"] = "quanta"
    quanta: Annotated[int, Field(ge=1, le=65535, strict=True)] = 65535


class WatchdogBlock(Block):
    """Detection and breaking of pause storms."""

    detect_ps: Picoseconds = 200_000_000_000
    restore_ps: Picoseconds = 200_000_000_000
    poll_ps: Picoseconds = 100_000_000_000
    action: Literal["drop", "forward"] = "drop"


class SwitchPfcBlock(NicPfcBlock):
    """Lossless priorities of a switch."""

    watchdog: WatchdogBlock | None = None


class SchedulerBlock(Block):
    """Sharing between priorities."""

    kind: Literal["ets", "hpcc"] = "ets"
    weights: Weights = [1, 1, 1, 1, 1, 1, 1, 1]
    strict: PriorityList = [6, 7]


class RxBlock(Block):
    """Receive path of a host."""

    buffer_bytes: ByteCount = 0
    drain_bps: Bps = 0
    xoff_bytes: ByteCount = 0
    xon_bytes: ByteCount = 0


class NicBlock(Block):
    """Everything about a NIC."""

    mtu_bytes: Annotated[ByteCount, Field(ge=64, le=9000)] = 1024
    loss_recovery: Literal["go_back_n", "selective_repeat", "go_back_0"] = "go_back_n"
    ack_timeout_exponent: Annotated[int, Field(ge=0, le=31, strict=True)] = 14
    retry_count: Annotated[int, Field(ge=0, le=7, strict=True)] = 7
    rnr_timer: Annotated[int, Field(ge=0, le=31, strict=True)] = 12
    rnr_retry: Annotated[int, Field(ge=0, le=7, strict=True)] = 7
    nak_interval_ps: Picoseconds = 0
    max_rd_atomic: Annotated[int, Field(ge=1, le=65535, strict=True)] = 16
    ack: AckBlock = AckBlock()
    cnp: CnpBlock = CnpBlock()
    cc: Cc = NoCc()
    pfc: NicPfcBlock = NicPfcBlock()
    scheduler: SchedulerBlock = SchedulerBlock()
    rx: RxBlock = RxBlock()


class BufferBlock(Block):
    """Shared packet buffer of a switch."""

    model: Literal["dynamic", "hpcc"] = "dynamic"
    bytes: Annotated[ByteCount, Field(ge=1)] = 32_000_000
    alpha: Alpha = 0.125
    lossy_alpha: Alpha = 1.0
    egress_alpha: Alpha = 4.0
    reserve_bytes: ByteCount = 4096
    headroom_bytes: ByteCount | None = None
    xon_offset_bytes: ByteCount = 3072
    nic_rate_bps: Bps | None = None


class EcnProfileBlock(Block):
    """Thresholds of ports of one rate; rate 0 serves all other rates."""

    rate_bps: Bps = 0
    kmin_bytes: ByteCount
    kmax_bytes: ByteCount
    pmax: Fraction

    @model_validator(mode="after")
    def _ordered(self) -> EcnProfileBlock:
        check_thresholds(self.kmin_bytes, self.kmax_bytes)
        return self


class EcnBlock(Block):
    """Marking of a switch."""

    priorities: PriorityList = [3]
    mark_at: Literal["dequeue", "enqueue"] = "dequeue"
    wred_drop: Flag = False
    profiles: Annotated[list[EcnProfileBlock], Field(min_length=1, max_length=64)] = [
        EcnProfileBlock(kmin_bytes=400_000, kmax_bytes=1_600_000, pmax=0.2)
    ]


class EcmpBlock(Block):
    """Spreading over equal paths."""

    mode: Literal["5tuple", "dqpn", "spray", "hpcc"] = "5tuple"
    seed: Annotated[int, Field(ge=0, strict=True)] | None = None


class SwitchBlock(Block):
    """Everything about a switch."""

    buffer: BufferBlock = BufferBlock()
    ecn: EcnBlock | None = None
    pfc: SwitchPfcBlock = SwitchPfcBlock()
    scheduler: SchedulerBlock = SchedulerBlock()
    ecmp: EcmpBlock = EcmpBlock()
    dscp_map: DscpMap | None = None


B = TypeVar("B", bound=Block)
Json = dict[str, Any]


def given(block: Block | None) -> Json:
    """Return only the keys that somebody wrote, nested ones too."""
    return {} if block is None else _plain(block, only_set=True)


def complete(block: Block) -> Json:
    """Return every key, defaults filled in."""
    return _plain(block, only_set=False)


def _plain(block: Block, *, only_set: bool) -> Json:
    """Dump by the class of each value.

    Pydantic would go by the declared class, which for a chosen block (cc, wire) is a base without keys.
    """
    names = [name for name in type(block).model_fields if not only_set or name in block.model_fields_set]
    values = {name: _plain_value(getattr(block, name), only_set) for name in names}
    absent = {name for name in ONLY_WHEN_GIVEN if values.get(name) is None}
    return {name: value for name, value in values.items() if name not in absent}


def _plain_value(value: object, only_set: bool) -> object:
    if isinstance(value, Block):
        return _plain(value, only_set=only_set)
    if isinstance(value, list):
        return [_plain_value(item, only_set) for item in value]
    return value


def merge(base: Json, change: Json) -> Json:
    """Return `base` with the keys of `change` put in; mappings merge, lists and all else are replaced.

    A mapping with another `algorithm` than the base replaces it, for their keys differ.
    """
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and _same_kind(old, value):
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged


def _same_kind(old: Json, new: Json) -> bool:
    return "algorithm" not in new or old.get("algorithm") == new["algorithm"]
