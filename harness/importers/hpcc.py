"""Configurations of the HPCC ns-3 simulator (SIGCOMM 2019, DCQCN mode) become scenarios.

The scenario selects that model's semantics: its clock, wire sizes, rate machine, shared buffer, schedulers
and routing (docs/oracles.md), so that a run can be held against its output event for event. What the model
can do and we cannot is one ConfigError that names the file, the line and the key.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analysis import ns3time, pfc
from harness.core.errors import ConfigError
from harness.core.flow import MAX_MESSAGE_BYTES
from harness.core.units import format_duration, format_rate
from harness.core.yamlio import dump_yaml
from harness.importers.hpcc_config import HpccConfig, read_config
from harness.importers.hpcc_files import HpccFlow, HpccLink, HpccTopology, read_flows, read_topology
from harness.importers.hpcc_window import global_window, pair_windows

Json = dict[str, Any]

DATA_OVERHEAD_BYTES = 48
"""Ethernet-sized header 14, IPv4 20, UDP 8, sequence number and priority group 6."""
ACK_BYTES, PFC_BYTES = 60, 43
NAK_INTERVAL_PS = 500_000_000
"""Least time between two NAKs for the same packet there."""
TARGET_PORT = 100
"""UDP target port that routing hashes; the model's own traffic generator writes no other."""
LINK_DOWN_BASE_PS = 2 * 10**12
"""LINK_DOWN counts its microseconds from second 2."""
DCQCN, NO_CONTROL = 1, 0
OTHER_CONTROLS = {3: "HPCC", 7: "TIMELY", 8: "DCTCP", 10: "HPCC-PINT"}
PAYLOADS = range(64, 9001)
COMMENT_WIDTH = 100
MAX_BUFFER_MIB = 4095
"""The model counts buffer bytes in 32 bits."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A scenario as plain data, keys as in a scenario file, and what the reader should know about it."""

    scenario: Json
    notes: tuple[str, ...]


def scenario_text(path: Path) -> str:
    """The scenario file for the configuration at `path`, with notes as comments; raises ConfigError."""
    imported = import_hpcc(path)
    origin = f"Imported from {path.name}, a configuration of the HPCC ns-3 simulator."
    lines = [line for note in (origin, *imported.notes) for line in textwrap.wrap(note, COMMENT_WIDTH)]
    return "".join(f"# {line}\n" for line in lines) + dump_yaml(imported.scenario)


def import_hpcc(path: Path) -> Imported:
    """Read a configuration with its topology and flow files; raises ConfigError for what is not supported."""
    config = read_config(path)
    _check_supported(config)
    resolution = 1 if config.picoseconds else ns3time.PS_PER_S // 10**9
    topology_path = _find(config, "TOPOLOGY_FILE", config.topology_file)
    topology = read_topology(topology_path, error_rate=config.error_rate, resolution_ps=resolution)
    flow_path = _find(config, "FLOW_FILE", config.flow_file)
    flows = read_flows(flow_path, topology, resolution_ps=resolution)
    _check_acknowledged(config, flows)
    if not flows:
        raise ConfigError("no flows", file=flow_path, hint="a scenario needs at least one")
    _check_buffer(config, topology)
    return Imported(
        _scenario(config, topology, flows, flow_path, resolution), _notes(config, topology, flows)
    )


def _scenario(
    config: HpccConfig, topology: HpccTopology, flows: tuple[HpccFlow, ...], flow_path: Path, resolution: int
) -> Json:
    groups = sorted({flow.priority for flow in flows})
    return {
        "name": config.path.stem,
        "topology": _topology(config, topology),
        "seed": 1,
        "until": "done",
        "duration": format_duration(ns3time.seconds_ps(config.stop_s, resolution)),
        "sample_every": 0,
        "time": {"model": "ns3", "resolution_ps": resolution},
        "wire": {
            "model": "fixed", "data_overhead_bytes": DATA_OVERHEAD_BYTES, "ack_bytes": ACK_BYTES,
            "cnp_bytes": ACK_BYTES, "pfc_bytes": PFC_BYTES, "gap_bytes": 0,
        },
        "nic": _nic(config, groups),
        "switch": _switch(config, topology, groups),
        "traffic": [{"pattern": "flows", "flows": _flows(config, topology, flows, flow_path)}],
        **_events(config, topology),
    }  # fmt: skip


def _nic(config: HpccConfig, groups: list[int]) -> Json:
    return {
        "mtu_bytes": config.payload_bytes,
        "loss_recovery": "go_back_n",
        "ack_timeout_exponent": 0,  # the model has no timeouts
        "nak_interval_ps": NAK_INTERVAL_PS,
        "ack": {"every": 1, "priority": None, "strict": config.ack_high_priority},
        "cnp": {"mode": "ack_echo" if config.enable_qcn else "none"},
        "cc": _rate_machine(config),
        "pfc": {
            "priorities": list(groups),
            "mode": "until_resume",
        },  # own lists: YAML makes shared ones anchors
        "scheduler": {"kind": "hpcc"},
    }


def _rate_machine(config: HpccConfig) -> Json:
    if config.cc_mode == NO_CONTROL:
        return {"algorithm": "none"}
    return {
        "algorithm": "ns3",
        "g": config.gain,
        "alpha_timer_ps": ns3time.micro_seconds_ps(config.alpha_us),
        "cut_interval_ps": ns3time.micro_seconds_ps(config.decrease_us),
        "rate_timer_ps": ns3time.micro_seconds_ps(config.increase_us),
        "fast_recovery": config.fast_recovery,
        "rate_ai_bps": config.rate_ai_bps,
        "rate_hai_bps": config.rate_hai_bps,
        "min_rate_bps": config.min_rate_bps,
        "clamp_target": config.clamp_target,
        "pace": config.rate_bound,
        "variable_window": config.variable_window,
    }


def _switch(config: HpccConfig, topology: HpccTopology, groups: list[int]) -> Json:
    return {
        "buffer": {"model": "hpcc", "bytes": config.buffer_mib * 2**20},
        "ecn": _marking(config, topology, groups) if config.enable_qcn else None,
        "pfc": {"priorities": list(groups), "mode": "until_resume"},
        "scheduler": {"kind": "hpcc"},
        "ecmp": {"mode": "hpcc"},
    }


def _marking(config: HpccConfig, topology: HpccTopology, groups: list[int]) -> Json | None:
    rates = sorted({link.rate_bps for link in topology.links if {link.a, link.b} & topology.switches})
    profiles = [_profile(config, rate) for rate in rates]
    return {"priorities": list(groups), "mark_at": "dequeue", "profiles": profiles} if profiles else None


def _profile(config: HpccConfig, rate: int) -> Json:
    maps: dict[str, Mapping[int, float]] = {
        "KMIN_MAP": config.kmin_kb, "KMAX_MAP": config.kmax_kb, "PMAX_MAP": config.pmax
    }  # fmt: skip
    for key, values in maps.items():
        if rate not in values:
            known = ", ".join(format_rate(each) for each in values) or "none"
            hint = f"rates given: {known}"
            raise config.error(
                key, "no value for the rate of a switch port", value=format_rate(rate), hint=hint
            )
    kmin, kmax = config.kmin_kb[rate] * 1000, config.kmax_kb[rate] * 1000
    if kmin > kmax:
        raise config.error(
            "KMIN_MAP", f"Kmin of {format_rate(rate)} is above Kmax", value=config.kmin_kb[rate]
        )
    return {"rate_bps": rate, "kmin_bytes": kmin, "kmax_bytes": kmax, "pmax": config.pmax[rate]}


def _topology(config: HpccConfig, topology: HpccTopology) -> Json:
    kinds = ("switch" if node in topology.switches else "host" for node in range(topology.nodes))
    ports = topology.ports()
    links = [
        {
            "endpoints": [f"{link.a}:{ports[link.a, link.b]}", f"{link.b}:{ports[link.b, link.a]}"],
            "rate": format_rate(link.rate_bps),
            "delay": format_duration(link.delay_ps),
            **_bit_errors(config, link),
        }
        for link in topology.links
    ]
    return {
        "name": topology.path.stem,
        "nodes": {str(node): {"kind": kind} for node, kind in enumerate(kinds)},
        "links": links,
    }


def _bit_errors(config: HpccConfig, link: HpccLink) -> Json:
    """The bit error rate at which a full data packet is lost as often as the model loses any packet."""
    if not link.error_rate:
        return {}
    bits = 8 * (config.payload_bytes + DATA_OVERHEAD_BYTES)
    return {"ber": -math.expm1(math.log1p(-link.error_rate) / bits)}


def _flows(
    config: HpccConfig, topology: HpccTopology, flows: tuple[HpccFlow, ...], flow_path: Path
) -> list[Json]:
    windows = _windows(config, topology, flows)
    made = []
    for index, flow in enumerate(flows):
        fields: Json = {"name": f"f{index}", "src": f"{flow.src}:1", "dst": f"{flow.dst}:1"}
        fields |= _messages(config, flow, flow_path)
        fields |= {"priority": flow.priority, "start_ps": flow.start_ps, "udp_sport": flow.sport}
        if windows:
            fields["window_bytes"] = windows[flow.src, flow.dst]
        made.append(fields)
    return made


def _messages(config: HpccConfig, flow: HpccFlow, flow_path: Path) -> Json:
    """Sizes above that of a message become equal messages of whole packets: the same on the wire."""
    if flow.size_bytes <= MAX_MESSAGE_BYTES:
        return {"message_bytes": flow.size_bytes}
    for count in range(2, 1000):
        size, rest = divmod(flow.size_bytes, count)
        if not rest and size <= MAX_MESSAGE_BYTES and size % config.payload_bytes == 0:
            return {"message_bytes": size, "messages": count}
    message = f"larger than a message ({MAX_MESSAGE_BYTES} bytes) and not several of whole packets"
    raise ConfigError(message, file=flow_path, line=flow.line, key="flow size", value=flow.size_bytes)


def _windows(
    config: HpccConfig, topology: HpccTopology, flows: tuple[HpccFlow, ...]
) -> dict[tuple[int, int], int]:
    if not config.has_window:
        return {}
    pairs = {(flow.src, flow.dst) for flow in flows}
    if config.global_window:
        return dict.fromkeys(pairs, global_window(topology, config.payload_bytes))
    by_receiver = {
        dst: pair_windows(topology, config.payload_bytes, dst) for dst in sorted({dst for _, dst in pairs})
    }
    return {(src, dst): by_receiver[dst][src] for src, dst in pairs}


def _events(config: HpccConfig, topology: HpccTopology) -> Json:
    down = config.link_down
    if not down.after_us:
        return {}
    port = topology.ports().get((down.node_a, down.node_b))
    if port is None:
        value = f"{down.node_a} {down.node_b}"
        raise config.error("LINK_DOWN", "there is no link between these nodes", value=value)
    at = format_duration(LINK_DOWN_BASE_PS + ns3time.micro_seconds_ps(down.after_us))
    return {"events": [{"at": at, "link_down": f"{down.node_a}:{port}"}]}


def _check_acknowledged(config: HpccConfig, flows: tuple[HpccFlow, ...]) -> None:
    """Refuse flows below the ACK interval: that model never acknowledges them, so they never complete."""
    least = min((flow.size_bytes for flow in flows), default=config.ack_interval_bytes)
    if least < config.ack_interval_bytes:
        hint = f"flows of {least} bytes are never acknowledged; supported: up to the smallest flow"
        value = config.ack_interval_bytes
        raise config.error("L2_ACK_INTERVAL", "above the size of a flow", value=value, hint=hint)


def _check_supported(config: HpccConfig) -> None:
    if config.cc_mode not in {NO_CONTROL, DCQCN}:
        what = OTHER_CONTROLS.get(config.cc_mode, "an unknown congestion control")
        hint = "supported: 1 (DCQCN), 0 (none)"
        raise config.error("CC_MODE", f"{what} is not supported", value=config.cc_mode, hint=hint)
    if config.back_to_zero:
        hint = "supported: 0 (go-back-N)"
        raise config.error(
            "L2_BACK_TO_ZERO", "going back to the chunk's start is not supported", value=1, hint=hint
        )
    if config.payload_bytes not in PAYLOADS:
        hint = f"supported: {PAYLOADS.start} to {PAYLOADS.stop - 1}"
        value = config.payload_bytes
        raise config.error("PACKET_PAYLOAD_SIZE", "this payload is not supported", value=value, hint=hint)
    if not 1 <= config.ack_interval_bytes <= config.payload_bytes:
        hint = f"supported: 1 to the payload ({config.payload_bytes}), which all mean an ACK for every packet"
        value = config.ack_interval_bytes
        raise config.error("L2_ACK_INTERVAL", "this ACK interval is not supported", value=value, hint=hint)
    if config.pause_time < 1:
        message = "below 1 the model's pauses are resumes"
        raise config.error("PAUSE_TIME", message, value=config.pause_time, hint="supported: 1 and more")
    if not 1 <= config.buffer_mib <= MAX_BUFFER_MIB:
        hint = f"supported: 1 to {MAX_BUFFER_MIB} MiB"
        raise config.error("BUFFER_SIZE", "this buffer is not supported", value=config.buffer_mib, hint=hint)


def _check_buffer(config: HpccConfig, topology: HpccTopology) -> None:
    """Refuse a buffer that headroom and reserves fill: the model's threshold would wrap around."""
    used = dict.fromkeys(topology.switches, 0)
    for link in topology.links:
        for node in {link.a, link.b} & topology.switches:
            used[node] += pfc.hpcc_headroom_bytes(link.rate_bps, link.delay_ps) + pfc.HPCC_RESERVE_BYTES
    for node, size in sorted(used.items()):
        if size >= config.buffer_mib * 2**20:
            message = f"headroom and reserves of switch {node} need {size} bytes, more than its buffer"
            raise config.error("BUFFER_SIZE", message, value=f"{config.buffer_mib} MiB")


def _find(config: HpccConfig, key: str, name: str) -> Path:
    """The file that the configuration names: beside it, from the current folder, or under its own name."""
    folder, given = config.path.parent, Path(name)
    own = config.path.with_suffix(given.suffix)
    for candidate in (folder / given, given, folder / given.name, own):
        if candidate.is_file() and candidate != config.path:
            return candidate
    hint = f"looked for {folder / given}, {given.absolute()}, {folder / given.name} and {own}"
    raise config.error(key, "there is no such file", value=name, hint=hint)


def _notes(config: HpccConfig, topology: HpccTopology, flows: tuple[HpccFlow, ...]) -> tuple[str, ...]:
    notes = []
    if config.ignored:
        notes.append(f"Keys without effect here: {', '.join(config.ignored)}.")
    if any(link.error_rate for link in topology.links):
        notes.append(
            "Packet error rates became the bit error rates that lose full data packets as often; "
            "ACKs, which the model loses as often as data, are lost more rarely here."
        )
    if len(topology.switches) > 1 and any(flow.dport != TARGET_PORT for flow in flows):
        notes.append(
            f"Target ports other than {TARGET_PORT} are hashed as {TARGET_PORT}: equal paths may differ."
        )
    return tuple(notes)
