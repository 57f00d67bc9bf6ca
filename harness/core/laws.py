"""What must have moved when something else did: laws that tell a counter that stands still from a quiet one.

A counter that is frozen reads as a plausible 0. Nothing in it says so; only another witness of the same events does.
Each law names the readings that it compares, and where: the two ends of a link, a port, a host and its flows, a
switch, the whole run. Those of the simulator are exact, for its readings are all of the same instant and nothing else
is on the wire. On hosts there is other traffic and counters are read one after the other, so a law there only speaks
when the witness moved clearly and the other not at all.

A law is silent where a reading is absent (other checks tell of that) and where the scenario explains the difference.

Laws are about evidence, not about devices: what a device that misbehaves can do breaks none, it FAILs. `NO_WITNESS`
lists readings that may stand still unnoticed. `status`, `error` and the numbers of QPs are words, not counters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.core.facts import (
    DATA_RECEIVER,
    DATA_SENDER,
    PRIORITIES,
    RECEIVER,
    SENDER,
    Facts,
    FlowFacts,
)
from harness.core.series import Array

CLEARLY = 10
"""Events that a witness on hosts must have seen: fewer may lie between two readings of counters."""

CLEAR_PAYLOAD = 1_000_000
"""Bytes of payload that no port of a host carries unseen: a thousand packets of 1 kB."""

SERIES_TOLERANCE = 0.01
"""Part by which the sum of a series may differ from its counter: samples are taken at whole intervals."""

CUMULATIVE = ("ecn_marked", "cnp_sent")
"""Series that only grow."""

NO_WITNESS: dict[str, str] = {
    "headroom_max_bytes": "a sender that stops by itself when paused leaves headroom empty; only many pauses tell",
    "series.cc_rate_bps": "a rate may recover between samples; only many cuts and increases tell",
    "series.cc_alpha": "alpha stays at its highest while notifications come steadily",
    "series.goodput_bps": "a steady rate reads the same; what follows the last sample may be as much as a sample",
    "series.ecn_marked": "marks may come after the last sample, as many as packets in a sample's time",
    "series.queue_bytes": "a queue may stand still at any depth while as much comes as goes",
}
"""Readings that can stand still where nothing else tells it, and why; everywhere else they are held against laws."""

Broken = Iterator[str]


@dataclass(frozen=True, slots=True)
class Law:
    """One law: `readings` are the keys it compares, `says` the sentence, `broken` yields every place that breaks it.

    `exact` laws hold for simulated fabrics only.
    """

    readings: frozenset[str]
    exact: bool
    says: str
    broken: Callable[[Facts], Broken]


_LAWS: list[Law] = []


def law(
    *readings: str, exact: bool = True
) -> Callable[[Callable[[Facts], Broken]], Callable[[Facts], Broken]]:
    """Put a function into the table; its docstring is the sentence."""

    def keep(function: Callable[[Facts], Broken]) -> Callable[[Facts], Broken]:
        says = " ".join((function.__doc__ or "").split())
        _LAWS.append(Law(frozenset(readings), exact, says, function))
        return function

    return keep


def broken_laws(facts: Facts, touching: AbstractSet[str] = frozenset()) -> Iterator[tuple[Law, list[str]]]:
    """Return laws that this run breaks, each with the places; with `touching` only those that read one of these."""
    for each in LAWS:
        if each.exact and not facts.simulated:
            continue
        if touching and not touching & each.readings:
            continue
        places = list(each.broken(facts))
        if places:
            yield each, places


# ---- ports and links ----


@law("tx_packets", "tx_bytes", "rx_packets", "rx_bytes")
def totals_are_sums_of_priorities(facts: Facts) -> Broken:
    """A total is the sum of its priorities."""
    for port in facts.ports:
        for key in ("tx_packets", "tx_bytes", "rx_packets", "rx_bytes"):
            total, lanes = facts.count(port, key), facts.lanes(port, f"{key}_prio")
            if total is not None and lanes is not None and total != sum(lanes):
                yield f"{key} of {port} is {total}, its priorities have {sum(lanes)}"


@law("tx_packets", "tx_bytes", "rx_packets", "rx_bytes")
def packets_have_bytes(facts: Facts) -> Broken:
    """Packets have bytes, and bytes come in packets."""
    for port in facts.ports:
        for way in ("tx", "rx"):
            packets, size = facts.lanes(port, f"{way}_packets_prio"), facts.lanes(port, f"{way}_bytes_prio")
            for priority, (count, octets) in enumerate(zip(packets or (), size or (), strict=False)):
                if (count > 0) != (octets > 0):
                    yield f"{way}_packets of {port}, priority {priority}, is {count} with {way}_bytes {octets}"


@law("tx_packets", "rx_packets", "drops")
def links_keep_packets(facts: Facts) -> Broken:
    """What one end of a link sent and the other did not receive was dropped or is on its way."""
    on_its_way = facts.in_flight
    if on_its_way is None:
        return
    for port, peer in facts.links:
        sent, received = facts.count(port, "tx_packets"), facts.count(peer, "rx_packets")
        lost, lost_there = facts.drops(port), facts.drops(peer)
        if sent is None or received is None or lost is None or lost_there is None:
            continue
        if sent - received > lost + lost_there + on_its_way:
            yield f"rx_packets of {peer} is {received}, tx_packets of {port} is {sent}"


@law("tx_packets", "tx_bytes", "rx_packets", "rx_bytes")
def nothing_comes_from_nowhere(facts: Facts) -> Broken:
    """One end of a link receives no more than the other sent."""
    if facts.has_impairment("duplicate"):
        return
    for port, peer in facts.links:
        for unit in ("packets", "bytes"):
            sent, received = facts.count(port, f"tx_{unit}"), facts.count(peer, f"rx_{unit}")
            if sent is not None and received is not None and received > sent:
                yield f"tx_{unit} of {port} is {sent}, rx_{unit} of {peer} is {received}"


@law("tx_bytes", "rx_bytes", "flow.bytes_sent", "flow.bytes_delivered")
def payload_crosses_ports_of_hosts(facts: Facts) -> Broken:
    """A host's port sends and receives at least the payload of its flows."""
    for port in facts.host_ports:
        sent = facts.flow_sum("bytes_sent", DATA_SENDER, port)
        received = facts.flow_sum("bytes_delivered", DATA_RECEIVER, port)
        for key, payload in (("tx_bytes", sent), ("rx_bytes", received)):
            counted = facts.count(port, key)
            if counted is not None and payload is not None and counted < payload:
                yield f"{key} of {port} is {counted}, its flows have {payload} of payload"


@law("tx_bytes", "tx_packets", "rx_bytes", "rx_packets", "flow.bytes_delivered", exact=False)
def ports_with_flows_are_not_silent(facts: Facts) -> Broken:
    """A port that flows crossed has seen traffic: counters that all stand at 0 are a stale reading."""
    for port in facts.host_ports:
        for way, role in (("tx", DATA_SENDER), ("rx", DATA_RECEIVER)):
            payload = facts.flow_sum("bytes_delivered", role, port) or 0
            counted = [facts.count(port, f"{way}_{unit}") for unit in ("bytes", "packets")]
            known = [count for count in counted if count is not None]
            if payload >= CLEAR_PAYLOAD and known and not any(known):
                yield f"{way}_bytes and {way}_packets of {port} stand at 0, its flows delivered {payload} bytes"


@law("drops")
def drops_are_accounted(facts: Facts) -> Broken:
    """The drops of all ports are those of the account of all packets."""
    known = [facts.drops(port) for port in facts.ports]
    account = facts.account("packets_dropped")
    counted = sum(count for count in known if count is not None)
    if account is not None and None not in known and counted != account:
        yield f"drops of all ports are {counted}, the account of packets has {account}"


@law("drops", "flow.packets_dropped", exact=False)
def lost_packets_are_drops(facts: Facts) -> Broken:
    """Packets that flows lost were dropped somewhere."""
    lost = sum(flow.count("packets_dropped") or 0 for flow in facts.flows)
    known = [facts.drops(port) for port in facts.ports]
    if known and None not in known and not any(known) and lost >= CLEARLY:
        yield f"drops of all ports stand at 0, packets_dropped of flows is {lost}"


@law("wred_dropped", "drops")
def wred_drops_are_drops(facts: Facts) -> Broken:
    """What WRED dropped by priority is what the port dropped for it."""
    for port in facts.ports:
        lanes, dropped = facts.lanes(port, "wred_dropped"), facts.dropped_for(port, "wred")
        if lanes is not None and dropped is not None and sum(lanes) != dropped:
            yield f"drops_wred of {port} is {sum(lanes)} by priority, {dropped} by reason"


@law("queue_max_bytes", "tx_packets")
def what_a_switch_sent_was_queued(facts: Facts) -> Broken:
    """A switch's queue that sent packets held one."""
    for port in facts.switch_ports:
        peaks, sent = facts.lanes(port, "queue_max_bytes"), facts.lanes(port, "tx_packets_prio")
        for priority, (peak, count) in enumerate(zip(peaks or (), sent or (), strict=False)):
            if count > 0 and peak == 0:
                yield f"queue_max of {port}, priority {priority}, is 0, it sent {count} packets"


@law("ingress_max_bytes", "rx_packets", "drops")
def what_a_switch_took_in_was_held(facts: Facts) -> Broken:
    """A switch's priority that took in packets held one, unless they were dropped."""
    for port in facts.switch_ports:
        peaks, came = facts.lanes(port, "ingress_max_bytes"), facts.lanes(port, "rx_packets_prio")
        dropped = facts.drops(port)
        for priority, (peak, count) in enumerate(zip(peaks or (), came or (), strict=False)):
            if peak == 0 and dropped is not None and count > dropped + facts.sum_of_egress_drops:
                yield f"ingress_max of {port}, priority {priority}, is 0, it took in {count} packets"


@law("ingress_max_bytes", "headroom_max_bytes")
def headroom_is_part_of_ingress(facts: Facts) -> Broken:
    """Headroom in use is part of what an ingress port holds."""
    for port, priority, peak, part in facts.pairs(facts.ports, "ingress_max_bytes", "headroom_max_bytes"):
        if peak < part:
            yield f"ingress_max of {port}, priority {priority}, is {peak}, headroom_max is {part}"


@law("ingress_max_bytes", "headroom_max_bytes")
def what_is_held_lies_somewhere(facts: Facts) -> Broken:
    """What an ingress port holds lies in its reserve, in the shared buffer or in its headroom."""
    for port, priority, peak, part in facts.pairs(
        facts.switch_ports, "ingress_max_bytes", "headroom_max_bytes"
    ):
        elsewhere = facts.reserve_and_shared_peak(port.partition(":")[0])
        if elsewhere is not None and peak > elsewhere + part:
            yield (
                f"headroom_max of {port}, priority {priority}, is {part}, "
                f"it held {peak} and {elsewhere} fit in reserve and shared buffer"
            )


@law("headroom_max_bytes", "drops")
def overrun_headroom_was_used(facts: Facts) -> Broken:
    """A port that dropped for want of headroom had it in use."""
    for port in facts.switch_ports:
        if facts.buffer_of(port.partition(":")[0], "headroom_bytes") == 0:
            continue
        dropped, peaks = facts.dropped_for(port, "headroom"), facts.lanes(port, "headroom_max_bytes")
        if dropped and peaks is not None and not any(peaks):
            yield f"headroom_max of {port} is 0, it dropped {dropped} packets for want of headroom"


@law("headroom_max_bytes", "tx_pause")
def pauses_come_too_late_for_some(facts: Facts) -> Broken:
    """A switch that sent pauses again and again took in what was on its way to it, into headroom."""
    for port, priority, frames, peak in facts.pairs(facts.switch_ports, "tx_pause", "headroom_max_bytes"):
        switch = port.partition(":")[0]
        if frames >= CLEARLY and peak == 0 and facts.buffer_of(switch, "headroom_bytes") != 0:
            yield f"headroom_max of {port}, priority {priority}, is 0, tx_pause is {frames}"


# ---- pause ----


@law("tx_pause", "rx_pause", "tx_resume", "rx_resume")
def both_ends_see_pauses(facts: Facts) -> Broken:
    """Pause frames that one end of a sound link sent arrive at the other, but for one on its way."""
    for port, peer in facts.links:
        for kind in ("pause", "resume"):
            sent, received = facts.lanes(port, f"tx_{kind}"), facts.lanes(peer, f"rx_{kind}")
            for priority, (there, here) in enumerate(zip(sent or (), received or (), strict=False)):
                if here > there:
                    yield f"tx_{kind} of {port}, priority {priority}, is {there}, rx_{kind} of {peer} is {here}"
                elif here == 0 and there > 1 and not facts.is_troubled(port):
                    yield f"rx_{kind} of {peer}, priority {priority}, is 0, tx_{kind} of {port} is {there}"


@law("tx_pause", "rx_pause", exact=False)
def pauses_come_from_the_other_end(facts: Facts) -> Broken:
    """A port that was paused often has a peer that sent pauses, and the other way round."""
    for port, peer in facts.links:
        sent, received = facts.lane_sum(port, "tx_pause"), facts.lane_sum(peer, "rx_pause")
        if sent is None or received is None or facts.is_troubled(port):
            continue
        if sent == 0 and received >= CLEARLY:
            yield f"tx_pause of {port} stands at 0, rx_pause of {peer} is {received}"
        if received == 0 and sent >= CLEARLY:
            yield f"rx_pause of {peer} stands at 0, tx_pause of {port} is {sent}"


@law("pause_transitions", "rx_pause", exact=False)
def a_stop_has_a_pause_frame(facts: Facts) -> Broken:
    """A port stops only when a pause frame came in, of whatever priority."""
    for port in facts.ports:
        stops, frames = facts.lane_sum(port, "pause_transitions"), facts.lane_sum(port, "rx_pause")
        if stops and frames == 0:
            yield f"rx_pause of {port} is 0, pause_transitions is {stops}"


@law("pause_transitions", "rx_pause_duration_ps")
def a_stop_takes_time(facts: Facts) -> Broken:
    """A priority that stopped stood still for some time, and none stands still without having stopped."""
    for port, priority, stops, time_ps in facts.pairs(
        facts.ports, "pause_transitions", "rx_pause_duration_ps"
    ):
        if (stops > 0) != (time_ps > 0):
            yield (
                f"pause_rx_duration of {port}, priority {priority}, is {time_ps}, "
                f"pause_transitions is {stops}"
            )


@law("tx_pause", "tx_pause_duration_ps")
def holding_a_peer_takes_pause_frames(facts: Facts) -> Broken:
    """A port that held its peer sent it pause frames, and a switch that sent some held it."""
    for port, priority, frames, time_ps in facts.pairs(facts.ports, "tx_pause", "tx_pause_duration_ps"):
        held = time_ps > 0
        if held and frames == 0:
            yield f"tx_pause of {port}, priority {priority}, is 0, pause_tx_duration is {time_ps}"
        if frames > 0 and not held and not facts.is_host(port):
            yield f"pause_tx_duration of {port}, priority {priority}, is 0, tx_pause is {frames}"


@law("series.pause_fraction", "rx_pause_duration_ps")
def paused_samples_add_up_to_the_time(facts: Facts) -> Broken:
    """The parts of all intervals that a priority stood still add up to its time."""
    for column, summed in facts.sums_over_time("pause_fraction"):
        port, _, priority = column.rpartition("/")
        lanes = facts.lanes(port, "rx_pause_duration_ps")
        if lanes is None:
            continue
        counted = lanes[int(priority)]
        if abs(summed - counted) > SERIES_TOLERANCE * counted + facts.sample_ps:
            yield f"pause_rx_duration of {port}, priority {priority}, is {counted}, its samples have {summed:.0f}"


@law("watchdog_detected", "drops")
def the_watchdog_drops_in_storms(facts: Facts) -> Broken:
    """The watchdog drops only where it detected a storm."""
    for port in facts.switch_ports:
        dropped, found = facts.dropped_for(port, "watchdog"), facts.lane_sum(port, "watchdog_detected")
        if dropped and found == 0:
            yield f"watchdog_detected of {port} is 0, it dropped {dropped} packets"


@law("watchdog_detected", "watchdog_restored", exact=False)
def what_ended_had_begun(facts: Facts) -> Broken:
    """A storm that ended was detected."""
    for port, priority, begun, ended in facts.pairs(facts.ports, "watchdog_detected", "watchdog_restored"):
        if ended > begun:
            yield f"watchdog_detected of {port}, priority {priority}, is {begun}, watchdog_restored is {ended}"


@law("watchdog_detected", "watchdog_restored")
def storms_end_or_last(facts: Facts) -> Broken:
    """A storm that was detected has ended, or its queue is in the storm state at the end."""
    for port in facts.switch_ports:
        begun, ended = facts.lanes(port, "watchdog_detected"), facts.lanes(port, "watchdog_restored")
        stormed = facts.lanes(port, "watchdog_stormed")
        if begun is None or ended is None or stormed is None:
            continue
        for priority in range(PRIORITIES):
            if begun[priority] != ended[priority] + stormed[priority]:
                state = "stormed" if stormed[priority] else "operational"
                yield (
                    f"watchdog_detected of {port}, priority {priority}, is {begun[priority]} and watchdog_restored "
                    f"{ended[priority]}, the queue is {state}"
                )


# ---- congestion ----


@law("ecn_marked", "flow.ecn_marked", "drops")
def marks_arrive(facts: Facts) -> Broken:
    """Marks that receivers saw were made by switches; what was marked and not seen was dropped or is on its way."""
    if facts.has_impairment("mark", "duplicate"):
        return
    made = facts.sum_of_ports(facts.switch_ports, "ecn_marked")
    seen = facts.sum_of_flows("ecn_marked")
    slack_of = (facts.account("packets_dropped"), facts.in_flight)
    if made is None or seen is None or None in slack_of:
        return
    slack = sum(part for part in slack_of if part is not None)
    # every switch on the way may mark a packet again
    if not seen <= made <= (seen + slack) * facts.count_of_switches:
        yield f"ecn_marked of all switches is {made}, ecn_marked of flows is {seen}"


@law("ecn_marked", "nic.ecn_marked_rx", exact=False)
def marks_are_seen_at_both_ends(facts: Facts) -> Broken:
    """Marks that hosts received were made by switches, and switches that marked are noticed by hosts."""
    made = facts.sum_of_ports(facts.switch_ports, "ecn_marked")
    seen = facts.sum_of_nics("ecn_marked_rx")
    if made is None or seen is None or facts.has_impairment("mark"):
        return
    if made == 0 and seen >= CLEARLY:
        yield f"ecn_marked of all switches stands at 0, ecn_marked_rx of hosts is {seen}"
    if seen == 0 and made >= CLEARLY and not facts.sum_of_drops:
        yield f"ecn_marked_rx of all hosts stands at 0, ecn_marked of switches is {made}"


@law("nic.cnp_handled", "nic.cnp_ignored", "nic.cnp_received")
def notifications_are_handled_or_ignored(facts: Facts) -> Broken:
    """A notification that came is handled or ignored."""
    for port in facts.host_ports:
        handled, ignored = facts.nic(port, "cnp_handled"), facts.nic(port, "cnp_ignored")
        received = facts.nic(port, "cnp_received")
        if handled is None or ignored is None or received is None:
            continue
        if handled + ignored != received:
            yield f"cnp_handled of {port} is {handled} and cnp_ignored {ignored}, cnp_received is {received}"


@law("nic.cnp_sent", "nic.cnp_received", exact=False)
def notifications_have_a_sender(facts: Facts) -> Broken:
    """Notifications that arrived were sent, and what was sent arrives."""
    yield from _both_move(facts, "cnp_sent", "cnp_received")


@law("nic.rnr_nak_sent", "nic.rnr_nak_received", exact=False)
def rnr_naks_have_a_sender(facts: Facts) -> Broken:
    """Receiver-not-ready NAKs that arrived were sent, and what was sent arrives."""
    yield from _both_move(facts, "rnr_nak_sent", "rnr_nak_received")


def _both_move(facts: Facts, sent_key: str, received_key: str) -> Broken:
    """What is counted where it was sent is counted where it arrived, unless something was dropped."""
    sent, received = facts.sum_of_nics(sent_key), facts.sum_of_nics(received_key)
    if sent is None or received is None:
        return
    if sent == 0 and received >= CLEARLY:
        yield f"{sent_key} of all hosts stands at 0, {received_key} is {received}"
    if received == 0 and sent >= CLEARLY and not facts.sum_of_drops:
        yield f"{received_key} of all hosts stands at 0, {sent_key} is {sent}"


@law("flow.rate_cuts", "flow.cnp_received")
def rates_are_cut_for_notifications(facts: Facts) -> Broken:
    """A flow cuts its rate only for notifications, at most once for each."""
    for flow in facts.flows:
        cuts, told = flow.count("rate_cuts"), flow.count("cnp_received")
        if cuts is not None and told is not None and cuts > told:
            yield f"cnp_received of flow {flow.name} is {told}, rate_cuts is {cuts}"


@law("flow.rate_cuts", "series.cc_rate_bps")
def cuts_are_seen_in_the_rate(facts: Facts) -> Broken:
    """A rate that fell between samples was cut; one that nothing paces, cut and raised often, has moved."""
    for column, samples in facts.columns("cc_rate_bps"):
        flow = facts.flow(column)
        if flow is None or flow.asked.get("qps", 1) != 1:  # of several QPs one may end, and the sum falls
            continue
        cuts, raised = flow.count("rate_cuts"), flow.count("rate_increases")
        if cuts == 0 and facts.is_steady and facts.falls(samples[samples > 0]):
            yield f"rate_cuts of flow {column} is 0, cc_rate_bps fell"
        often = cuts is not None and raised is not None and min(cuts, raised) >= CLEARLY
        if often and not flow.asked.get("rate_bps") and facts.changes(samples) == 0:
            yield f"cc_rate_bps of flow {column} stands still, rate_cuts is {cuts} and rate_increases {raised}"


# ---- flows and NICs ----

_SAME: tuple[tuple[str, str, str], ...] = (
    ("ecn_marked_rx", "ecn_marked", DATA_RECEIVER),
    ("cnp_sent", "cnp_sent", DATA_RECEIVER),
    ("cnp_received", "cnp_received", DATA_SENDER),
    ("packet_seq_err", "naks_received", SENDER),
    ("local_ack_timeout", "timeouts", SENDER),
    ("rnr_nak_sent", "rnr_naks_sent", RECEIVER),
    ("rnr_nak_received", "rnr_naks_received", SENDER),
    ("retransmitted_packets", "packets_retransmitted", DATA_SENDER),
)
"""Counter of a NIC, the same by flow, and whose NIC it is."""


@law(*(f"nic.{key}" for key, _, _ in _SAME), *(f"flow.{key}" for _, key, _ in _SAME))
def a_nic_counts_what_its_flows_do(facts: Facts) -> Broken:
    """A counter of a NIC is the sum over its flows."""
    for port in facts.host_ports:
        for key, flow_key, role in _SAME if not facts.has_responses(port) else ():
            counted, summed = facts.nic(port, key), facts.flow_sum(flow_key, role, port)
            if counted is not None and summed is not None and counted != summed:
                yield f"{key} of {port} is {counted}, {flow_key} of its flows is {summed}"


@law(*(f"nic.{key}" for key, _, _ in _SAME), *(f"flow.{key}" for _, key, _ in _SAME))
def all_nics_count_what_all_flows_do(facts: Facts) -> Broken:
    """A counter of all NICs is the sum over all flows, whichever end counts it."""
    for key, flow_key, _ in _SAME:
        counted, summed = facts.sum_of_nics(key), facts.sum_of_flows(flow_key)
        if counted is not None and summed is not None and counted != summed:
            yield f"{key} of all hosts is {counted}, {flow_key} of all flows is {summed}"


@law("nic.out_of_sequence", "nic.implied_nak_seq_err", "flow.packets_out_of_order")
def gaps_are_noticed(facts: Facts) -> Broken:
    """A NIC has gaps when its flows have packets out of order: of requests, or of responses it waits for."""
    for port in facts.host_ports:
        for key, wanted, role in (
            ("out_of_sequence", False, RECEIVER),
            ("implied_nak_seq_err", True, SENDER),
        ):
            counted = facts.nic(port, key)
            summed = facts.flow_sum("packets_out_of_order", role, port, responses=wanted)
            if counted is None or summed is None:
                continue
            # a receiver that was not ready refuses what follows, too, and has told why
            is_told = not wanted and bool(facts.nic(port, "rnr_nak_sent"))
            if (counted > 0 and summed == 0) or (counted == 0 and summed > 0 and not is_told):
                yield f"{key} of {port} is {counted}, packets_out_of_order of its flows is {summed}"


@law("nic.duplicate_request", "flow.packets_duplicate", "flow.packets_retransmitted")
def repeated_requests_are_noticed(facts: Facts) -> Broken:
    """A NIC takes packets of writes and sends twice as often as its flows say, and responds again when asked again."""
    for port in facts.host_ports:
        counted = facts.nic(port, "duplicate_request")
        twice = facts.flow_sum("packets_duplicate", RECEIVER, port, responses=False)
        again = facts.flow_sum("packets_retransmitted", RECEIVER, port, responses=True)
        if counted is None or twice is None or again is None:
            continue
        # with selective repeat a packet beyond a gap may come twice, and is no request that was answered
        if facts.repeats_selectively:
            differs = counted == 0 and twice >= CLEARLY
        else:
            differs = counted < twice or (again == 0 and counted != twice)
        if differs:
            yield f"duplicate_request of {port} is {counted}, packets_duplicate of its flows is {twice}"
        elif again > 0 and counted == 0:
            yield f"duplicate_request of {port} is 0, its flows responded {again} packets again"


@law("nic.retransmitted_packets", "nic.packet_seq_err", "nic.local_ack_timeout", "nic.rnr_nak_received",
     "nic.implied_nak_seq_err", "nic.duplicate_request")  # fmt: skip
def sending_again_has_a_cause(facts: Facts) -> Broken:
    """Packets are sent again for a NAK, a timeout, an answer that implies a loss, or a request that came again."""
    causes = (
        "packet_seq_err",
        "local_ack_timeout",
        "rnr_nak_received",
        "implied_nak_seq_err",
        "duplicate_request",
    )
    for port in facts.host_ports:
        again = facts.nic(port, "retransmitted_packets")
        known = [facts.nic(port, cause) for cause in causes]
        if again and None not in known and not any(known):
            yield f"retransmitted_packets of {port} is {again}, there is no NAK, timeout or repeated request"


@law("flow.naks_sent", "flow.naks_received", "flow.rnr_naks_sent", "flow.rnr_naks_received")
def naks_have_a_sender(facts: Facts) -> Broken:
    """A flow's sender receives no more NAKs than its receiver sent."""
    for flow in facts.flows:
        for kind in ("naks", "rnr_naks"):
            sent, received = flow.count(f"{kind}_sent"), flow.count(f"{kind}_received")
            if sent is not None and received is not None and received > sent:
                yield f"{kind}_sent of flow {flow.name} is {sent}, {kind}_received is {received}"


@law("nic.packet_seq_err", "nic.out_of_sequence", exact=False)
def naks_have_a_gap(facts: Facts) -> Broken:
    """NAKs that senders received were sent for a gap."""
    naks, gaps = facts.sum_of_nics("packet_seq_err"), facts.sum_of_nics("out_of_sequence")
    if naks is not None and gaps == 0 and naks >= CLEARLY:
        yield f"out_of_sequence of all hosts stands at 0, packet_seq_err is {naks}"


@law("nic.retry_exhausted", "nic.rnr_retry_exhausted")
def giving_up_is_counted(facts: Facts) -> Broken:
    """A NIC counts a QP that gave up when one of its flows failed so, and only then."""
    for port in facts.host_ports:
        for key, error in (
            ("retry_exhausted", "RETRY_EXC_ERR"),
            ("rnr_retry_exhausted", "RNR_RETRY_EXC_ERR"),
        ):
            counted = facts.nic(port, key)
            failed = [flow.name for flow in facts.flows if flow.src == port and flow.error == error]
            if counted is not None and (counted > 0) != bool(failed):
                yield f"{key} of {port} is {counted}, {len(failed)} of its flows failed with {error}"


@law("nic.icrc_errors", "drops")
def damaged_packets_are_dropped(facts: Facts) -> Broken:
    """A packet whose check fails at its receiver is dropped there, and counted as both."""
    for port in facts.host_ports:
        damaged, dropped = facts.nic(port, "icrc_errors"), facts.dropped_for(port, "injected")
        if damaged is None or dropped is None:
            continue
        sends_impaired = facts.drops_on_order_at(port)
        if damaged > dropped or (damaged < dropped and not sends_impaired):
            yield f"icrc_errors of {port} is {damaged}, drops_injected is {dropped}"


@law("nic.rx_discards", "drops")
def discards_are_drops(facts: Facts) -> Broken:
    """What a NIC discards for want of buffer it drops."""
    for port in facts.host_ports:
        gone, dropped = facts.nic(port, "rx_discards"), facts.dropped_for(port, "rx_buffer")
        if gone is not None and dropped is not None and gone != dropped:
            yield f"rx_discards of {port} is {gone}, drops_rx_buffer is {dropped}"


@law("nic.acks_sent", "nic.acks_received", "flow.bytes_acked")
def acknowledged_data_has_acknowledgements(facts: Facts) -> Broken:
    """Data that was acknowledged has an acknowledgement that its receiver sent and its sender received."""
    for flow in facts.flows:
        if flow.is_response or not flow.is_reliable or not flow.count("bytes_acked"):
            continue
        for key, role in (("acks_sent", RECEIVER), ("acks_received", SENDER)):
            port = flow.end(role)
            if port in facts.ports and facts.nic(port, key) == 0:
                yield f"{key} of {port} is 0, bytes_acked of flow {flow.name} is {flow.count('bytes_acked')}"


# ---- flows in themselves ----


@law("flow.packets_sent", "flow.packets_delivered", "flow.packets_dropped", "flow.packets_in_flight")
def flows_keep_packets(facts: Facts) -> Broken:
    """A flow's packets are delivered, dropped or on their way."""
    if facts.has_impairment("duplicate"):
        return
    keys = ("packets_sent", "packets_delivered", "packets_dropped", "packets_in_flight")
    for flow in facts.flows:
        sent, delivered, dropped, moving = (flow.count(key) for key in keys)
        if sent is None or delivered is None or dropped is None or moving is None:
            continue
        if sent != delivered + dropped + moving:
            yield (
                f"packets_sent of flow {flow.name} is {sent}, "
                f"{delivered} were delivered, {dropped} dropped and {moving} are on their way"
            )


@law(
    "flow.packets_sent",
    "flow.bytes_sent",
    "flow.packets_delivered",
    "flow.bytes_delivered",
    "flow.latency.count",
)
def flows_have_packets_and_bytes(facts: Facts) -> Broken:
    """A flow's packets carry its bytes."""
    for flow in facts.flows:
        sent, size = flow.count("packets_sent"), flow.count("bytes_sent")
        if sent is not None and size is not None and (sent > 0) != (size > 0):
            yield f"packets_sent of flow {flow.name} is {sent}, bytes_sent is {size}"
        arrived, payload = flow.count("packets_delivered"), flow.count("bytes_delivered")
        if payload and arrived == 0:
            yield f"packets_delivered of flow {flow.name} is 0, bytes_delivered is {payload}"
        out_of_turn = [flow.count(key) for key in ("packets_out_of_order", "packets_duplicate")]
        in_turn = None if arrived is None else arrived - sum(count or 0 for count in out_of_turn)
        if (
            flow.is_reliable
            and payload == 0
            and None not in out_of_turn
            and in_turn is not None
            and in_turn > 0
        ):
            yield f"bytes_delivered of flow {flow.name} is 0, {in_turn} packets were delivered in turn"
        messages, length = flow.latency("count"), flow.count("message_bytes")
        if (
            messages is not None
            and length is not None
            and payload is not None
            and payload < messages * length
        ):
            yield f"bytes_delivered of flow {flow.name} is {payload}, {messages:g} messages of {length} bytes arrived"


@law(
    "flow.bytes_sent",
    "flow.bytes_delivered",
    "flow.bytes_acked",
    "flow.messages_completed",
    "flow.message_bytes",
)
def whole_messages_add_up(facts: Facts) -> Broken:
    """A flow that is done has sent all of its messages; on a reliable service they arrived and were acknowledged."""
    for flow in facts.flows:
        completed, size = flow.count("messages_completed"), flow.count("message_bytes")
        if completed is None or size is None:
            continue
        least = completed * size
        keys = ("bytes_sent", "bytes_acked", *(("bytes_delivered",) if flow.is_reliable else ()))
        for key in keys:
            value = flow.count(key)
            if value is not None and (value < least or (flow.is_done and value != least)):
                yield f"{key} of flow {flow.name} is {value}, its {completed} messages have {least} bytes"


@law("flow.bytes_delivered", "flow.messages_completed", exact=False)
def what_is_done_was_carried(facts: Facts) -> Broken:
    """A reliable flow that is done has messages and bytes."""
    for flow in facts.flows:
        completed, payload = flow.count("messages_completed"), flow.count("bytes_delivered")
        if not flow.is_done or not flow.is_reliable:
            continue
        if completed == 0 and payload:
            yield f"messages_completed of flow {flow.name} is 0, bytes_delivered is {payload}"
        if payload == 0 and completed:
            yield f"bytes_delivered of flow {flow.name} is 0, messages_completed is {completed}"


@law("flow.bytes_delivered")
def queue_pairs_add_up(facts: Facts) -> Broken:
    """A flow delivers what its QPs deliver."""
    for flow in facts.flows:
        payload, parts = flow.count("bytes_delivered"), flow.of_qps("bytes_delivered")
        if payload is not None and parts and payload != sum(parts):
            yield f"bytes_delivered of flow {flow.name} is {payload}, its QPs have {sum(parts)}"


@law("flow.fct_ps", "flow.start_ps", "flow.end_ps", "end_ps")
def times_agree(facts: Facts) -> Broken:
    """A flow takes from the first start to the last end of its QPs, within the run."""
    for flow in facts.flows:
        start, end, fct = flow.count("start_ps"), flow.count("end_ps"), flow.count("fct_ps")
        starts = flow.of_qps("start_ps")
        if start is not None and (start < flow.asked_start_ps or (starts and start != min(starts))):
            yield f"start_ps of flow {flow.name} is {start}, its QPs started at {min(starts, default=0)}"
        if start is not None and end is not None and fct is not None and fct != end - start:
            yield f"fct_ps of flow {flow.name} is {fct}, start_ps is {start} and end_ps {end}"
        if end is not None and facts.end_ps is not None and end > facts.end_ps:
            yield f"end_ps of the run is {facts.end_ps}, flow {flow.name} ended at {end}"


@law("flow.end_ps", "flow.fct_ps", "flow.start_ps")
def what_is_done_has_an_end(facts: Facts) -> Broken:
    """A flow that is done says when it began and ended."""
    for flow in facts.flows:
        for key in ("start_ps", "end_ps", "fct_ps"):
            if flow.is_done and flow.count(key) is None:
                yield f"{key} of flow {flow.name} is not known, it is done"


@law("end_ps", "flow.start_ps", "flow.bytes_delivered", exact=False)
def runs_take_time(facts: Facts) -> Broken:
    """A run in which something arrived took time, and flows of it a part of that."""
    if facts.end_ps is None:
        return
    for flow in facts.flows:
        start = flow.count("start_ps")
        if flow.count("bytes_delivered") and (facts.end_ps == 0 or (start or 0) > facts.end_ps):
            yield f"end_ps of the run is {facts.end_ps}, flow {flow.name} started at {start} and delivered"
            return


_ORDER = ("min_ps", "p50_ps", "p90_ps", "p99_ps", "p999_ps", "max_ps")


@law(*(f"flow.latency.{key}" for key in (*_ORDER, "mean_ps", "count")), exact=False)
def latencies_are_in_order(facts: Facts) -> Broken:
    """Latencies are above zero, a higher percentile is not below a lower one, and the mean lies between."""
    for flow in facts.flows:
        known = [(key, value) for key in _ORDER if (value := flow.latency(key)) is not None]
        for (low, less), (high, more) in pairwise(known):
            if less > more:
                yield f"{high} of flow {flow.name} is {more}, {low} is {less}"
        mean, count = flow.latency("mean_ps"), flow.latency("count")
        if known and (known[0][1] <= 0 or count == 0):
            yield f"latency of flow {flow.name} has {known[0][0]} {known[0][1]} and count {count}"
        if mean is not None and known and not known[0][1] <= mean <= known[-1][1]:
            yield f"mean_ps of flow {flow.name} is {mean}, between {known[0][1]} and {known[-1][1]}"


@law("flow.latency.count", "flow.messages_completed")
def each_message_has_a_latency(facts: Facts) -> Broken:
    """A latency is kept of each message that was completed; one of an unreliable service may not arrive."""
    for flow in facts.flows:
        count, completed = flow.latency("count") or 0, flow.count("messages_completed")
        if completed is not None and (count > completed or (flow.is_reliable and count != completed)):
            yield f"messages_completed of flow {flow.name} is {completed}, latency has {count:g}"


# ---- series ----


@law("series.ecn_marked", "series.cnp_sent", "series.queue_bytes", "series.shared_bytes", "series.goodput_bps",
     "series.cc_rate_bps", "series.cc_alpha", "series.pause_fraction", exact=False)  # fmt: skip
def samples_are_not_negative(facts: Facts) -> Broken:
    """No sample is below zero, and what adds up over a run does not fall."""
    for name in facts.series_names:
        for column in facts.negative_columns(name):
            yield f"series {name} of {column} is negative: it wrapped or was reset"
        for column in facts.falling_columns(name) if name in CUMULATIVE else ():
            yield f"series {name} of {column} falls: it wrapped or was reset"


@law("series.ecn_marked", "ecn_marked")
def marked_samples_end_at_the_counter(facts: Facts) -> Broken:
    """Marks of a port by its samples are no more than by its counter, but for those after the last one."""
    for column, samples in facts.columns("ecn_marked"):
        counted = facts.lane_sum(column, "ecn_marked")
        if counted is not None:
            yield from _ends_at(facts, "ecn_marked", column, float(samples[-1]), counted)


@law("series.cnp_sent", "nic.cnp_sent")
def notification_samples_end_at_the_counter(facts: Facts) -> Broken:
    """Notifications of a port by its samples are no more than by its counter, but for those after the last one."""
    for column, samples in facts.columns("cnp_sent"):
        counted = facts.nic(column, "cnp_sent")
        if counted is not None:
            yield from _ends_at(facts, "cnp_sent", column, float(samples[-1]), counted)


def _ends_at(facts: Facts, name: str, column: str, last: float, counted: int) -> Broken:
    """After the last sample at most one packet per time of the smallest frame can follow."""
    if last > counted:
        yield f"{name} of {column} is {counted}, its samples end at {last:.0f}"
    elif counted - last > facts.frames_after_last_sample(column):
        yield f"samples of {name} of {column} end at {last:.0f}, the counter at {counted}"


@law("series.queue_bytes", "queue_max_bytes")
def sampled_queues_are_below_their_peak(facts: Facts) -> Broken:
    """No sample of a queue is above its peak, and one that takes several samples to drain is seen in them."""
    for column, samples in facts.columns("queue_bytes"):
        port, _, priority = column.rpartition("/")
        peaks = facts.lanes(port, "queue_max_bytes")
        if peaks is None:
            continue
        peak, seen = peaks[int(priority)], float(samples.max())
        if seen > peak:
            yield f"queue_max of {port}, priority {priority}, is {peak}, its samples reach {seen:.0f}"
        elif seen < peak and facts.changes(samples) == 0 and facts.drains_slowly(port, peak):
            yield f"samples of queue_bytes of {column} stand at {seen:.0f}, queue_max is {peak}"


@law("series.shared_bytes")
def sampled_buffers_are_below_their_peak(facts: Facts) -> Broken:
    """No sample of a buffer is above its peak, and one that takes several samples to drain is seen in them."""
    for column, samples in facts.columns("shared_bytes"):
        peak, seen = facts.shared_peak(column), float(samples.max())
        if peak is None:
            continue
        if seen > peak:
            yield f"shared_max of {column} is {peak}, its samples reach {seen:.0f}"
        elif seen < peak and facts.changes(samples) == 0 and facts.drains_slowly(column, peak):
            yield f"samples of shared_bytes of {column} stand at {seen:.0f}, shared_max is {peak}"


@law("series.shared_bytes", "series.queue_bytes")
def buffers_and_queues_move_together(facts: Facts) -> Broken:
    """A buffer does not stand still while queues hold more than fits outside of it, nor queues while it does."""
    for column, samples in facts.columns("shared_bytes"):
        queued, outside = facts.queued(column), facts.outside_shared(column)
        if queued is None or outside is None:
            continue
        difference = float(np.abs(queued - samples).max())
        if difference > outside and facts.changes(samples) == 0:
            yield f"samples of shared_bytes of {column} stand still, its queues differ by {difference:.0f}"
        elif difference > outside and facts.changes(queued) == 0:
            yield f"samples of queue_bytes of {column} stand still, its buffer differs by {difference:.0f}"


@law("series.goodput_bps", "flow.bytes_delivered")
def goodput_samples_add_up_to_the_payload(facts: Facts) -> Broken:
    """The goodput of a flow over all intervals is its payload, but for what came after the last sample."""
    late: dict[str, float] = defaultdict(float)
    for column, bits in facts.sums_over_time("goodput_bps"):
        flow = facts.flow(column)
        payload = None if flow is None else flow.count("bytes_delivered")
        if flow is None or payload is None:
            continue
        summed = bits / 8e12
        late[flow.end(DATA_RECEIVER)] += payload - summed
        rest = facts.fastest_bps * facts.sample_ps / 8e12
        if payload - summed > SERIES_TOLERANCE * payload + rest or summed - payload > facts.surplus_bytes:
            yield f"bytes_delivered of flow {column} is {payload}, its samples of goodput have {summed:.0f}"
    for port, missing in late.items():
        most = facts.bytes_after_last_sample(port)
        if most is not None and missing > most:
            yield f"samples of goodput of flows to {port} lack {missing:.0f} bytes, {most:.0f} may follow the last one"


@law("series.qp_goodput_bps", "series.goodput_bps", exact=False)
def queue_pairs_add_up_to_their_flow(facts: Facts) -> Broken:
    """At each sample the goodput of a flow is that of all its queue pairs."""
    sums: dict[str, Array] = {}
    for column, samples in facts.columns("qp_goodput_bps"):
        flow = column.rpartition("[")[0]
        sums[flow] = samples.astype(float) + sums.get(flow, 0.0)
    for flow, samples in facts.columns("goodput_bps"):
        if flow in sums and not np.allclose(sums[flow], samples, rtol=SERIES_TOLERANCE, atol=1.0):
            yield f"samples of goodput of flow {flow} differ from those of its queue pairs together"


LAWS: tuple[Law, ...] = tuple(_LAWS)
"""All laws."""

__all__ = ["LAWS", "FlowFacts", "Law", "broken_laws"]
