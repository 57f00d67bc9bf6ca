"""What a loss costs: go-back-N repeats a round trip of packets for each, selective repeat one."""

from __future__ import annotations

import pytest

from harness import (
    Capability,
    Counter,
    Impair,
    Nic,
    Qos,
    Scenario,
    approx,
    at_least,
    at_most,
    equals,
    within,
)
from harness.analysis.completion import goodput_ratio
from harness.analysis.injection import injected_drops
from harness.analysis.transport import Wire, go_back_n_goodput, in_flight_packets
from harness.patterns.pair import Pair

pytestmark = [
    pytest.mark.topology("dumbbell"),
    pytest.mark.needs(Capability.PACKET_DROP, Capability.HOST_COUNTERS, Capability.LOSS_RECOVERY_CHOICE),
]

# 4000 packets of 4096 B; every 100th, 200th or 400th is lost, and none twice.
FLOW = Pair(4000 * 4096)
PACKETS = 4000
RATE = 100e9
PACKET_PS = Wire().data(4096) * 8 / RATE * 1e12
# Two links of 1 us each way, a packet stored once more by the switch, and a NAK sent twice: 4.35 us after the packet.
ROUND_TRIP_PS = 4_000_000 + PACKET_PS + 2 * Wire().ack() * 8 / RATE * 1e12
# From the start of the lost packet to the NAK: itself, the next one that tells of it, a round trip. The packet that
# has begun by then is finished: up to one more.
WINDOW = 2 + in_flight_packets(RATE, ROUND_TRIP_PS, Wire().data(4096))
FORMULA = (
    "1 / (1 + p W): each loss repeats a round trip of packets; a packet is begun before the NAK stops it"
)
ONCE = "1 / (1 + p): each lost packet goes once more, and the line is never idle"


def hosts(recovery):
    """Hosts that recover in this way, with a timer that nothing should need."""
    return Qos(nic=Nic(mtu=4096, loss_recovery=recovery, ack_timeout=10))


def losing(every):
    """Every so-many-th packet is lost, the first time."""
    return [Impair(0, "pair-0", "drop", packets=tuple(range(every // 2, PACKETS, every)))]


@pytest.mark.plan("RTX-12")
@pytest.mark.parametrize("every", [100, 200, 400])
def test_go_back_n_pays_a_window_for_each_loss(fabric, expect, every):
    """The goodput of go-back-N with loss p over that without is 1 / (1 + p W)."""
    clean = fabric.run(Scenario(FLOW, qos=hosts("go_back_n"))).flow("pair-0")
    lossy = fabric.run(Scenario(FLOW, qos=hosts("go_back_n"), events=losing(every)))

    ratio = goodput_ratio(lossy.flow("pair-0"), clean)
    formula = within(
        go_back_n_goodput(1 / every, WINDOW + 1), go_back_n_goodput(1 / every, WINDOW), source=FORMULA
    )
    expect(
        "packets dropped", injected_drops(lossy), equals(PACKETS // every, source="as many as were ordered")
    )
    expect("goodput over lossless", ratio, formula)
    expect(
        "timeouts", lossy.counters[Counter.LOCAL_ACK_TIMEOUT], equals(0, source="every gap is told by a NAK")
    )


@pytest.mark.plan("RTX-12")
@pytest.mark.parametrize("every", [100, 200, 400])
def test_selective_repeat_pays_a_packet_for_each_loss(fabric, expect, every):
    """The goodput of selective repeat with loss p over that without is 1 / (1 + p)."""
    clean = fabric.run(Scenario(FLOW, qos=hosts("selective_repeat"))).flow("pair-0")
    lossy = fabric.run(Scenario(FLOW, qos=hosts("selective_repeat"), events=losing(every)))

    ratio = goodput_ratio(lossy.flow("pair-0"), clean)
    again = equals(PACKETS // every, source="the lost ones")
    expect(
        "packets dropped", injected_drops(lossy), equals(PACKETS // every, source="as many as were ordered")
    )
    expect("packets sent again", lossy.counters[Counter.RETRANSMITTED], again)
    expect("goodput over lossless", ratio, approx(1 / (1 + 1 / every), rel=0.002, source=ONCE))
    expect(
        "timeouts", lossy.counters[Counter.LOCAL_ACK_TIMEOUT], equals(0, source="every gap is told by a NAK")
    )


@pytest.mark.plan("RTX-12")
@pytest.mark.parametrize("every", [100, 400])
def test_selective_repeat_outdoes_go_back_n(fabric, expect, every):
    """The same packets lost under both: selective repeat is faster by (1 + p W) / (1 + p)."""
    back = fabric.run(Scenario(FLOW, qos=hosts("go_back_n"), events=losing(every)))
    selective = fabric.run(Scenario(FLOW, qos=hosts("selective_repeat"), events=losing(every)))

    gain = goodput_ratio(selective.flow("pair-0"), back.flow("pair-0"))
    least = 1 / go_back_n_goodput(1 / every, WINDOW) / (1 + 1 / every)
    expect(
        "packets dropped by both", injected_drops(back), equals(injected_drops(selective), source="the order")
    )
    expect("selective repeat over go-back-N", gain, at_least(least, margin=0.0, source=FORMULA))


@pytest.mark.plan("RTX-02")
@pytest.mark.parametrize("lost", [100, 1000, 3000])
@pytest.mark.parametrize(
    ("recovery", "packets"),
    [("go_back_n", WINDOW + 1), ("selective_repeat", 1)],
    ids=["go-back-n", "selective"],
)
def test_a_repair_takes_the_time_of_what_is_repeated(fabric, expect, lost, recovery, packets):
    """One lost packet delays completion by a round trip and what is sent in it, or by one packet: no more."""
    drop = Impair(0, "pair-0", "drop", packets=(lost,))
    clean = fabric.run(Scenario(FLOW, qos=hosts(recovery))).flow("pair-0")
    lossy = fabric.run(Scenario(FLOW, qos=hosts(recovery), events=[drop]))

    delay = (lossy.flow("pair-0").fct_ps - clean.fct_ps) / 1e6
    physics = within(
        (packets - 1) * PACKET_PS / 1e6,
        packets * PACKET_PS / 1e6 + 0.001,
        source="round trip of the NAK and the packets repeated, at line rate (Lumina latency_measure)",
    )
    expect("packets dropped", injected_drops(lossy), equals(1, source="as many as were ordered"))
    expect("time to repair", delay, physics, "us")


@pytest.mark.plan("RTX-12")
@pytest.mark.negative_control("go-back-N where selective repeat is claimed")
def test_a_window_for_each_loss_is_noticed(fabric, expect):
    """Going back costs more than the lost packets."""
    clean = fabric.run(Scenario(FLOW, qos=hosts("go_back_n"))).flow("pair-0")
    lossy = fabric.run(Scenario(FLOW, qos=hosts("go_back_n"), events=losing(100)))

    ratio = goodput_ratio(lossy.flow("pair-0"), clean)
    again = equals(PACKETS // 100, source="the lost ones")
    expect("packets sent again", lossy.counters[Counter.RETRANSMITTED], again)
    expect("goodput over lossless", ratio, approx(1 / (1 + 1 / 100), rel=0.002, source=ONCE))


@pytest.mark.plan("RTX-12")
@pytest.mark.negative_control("half of the losses that are claimed")
def test_fewer_losses_are_noticed(fabric, expect):
    """Goodput tells one loss in 200 from one in 100, for both ways to recover."""
    clean = fabric.run(Scenario(FLOW, qos=hosts("go_back_n"))).flow("pair-0")
    back = fabric.run(Scenario(FLOW, qos=hosts("go_back_n"), events=losing(200)))
    selective = fabric.run(Scenario(FLOW, qos=hosts("selective_repeat"), events=losing(200)))

    ratio = goodput_ratio(back.flow("pair-0"), clean)
    formula = within(
        go_back_n_goodput(1 / 100, WINDOW + 1), go_back_n_goodput(1 / 100, WINDOW), source=FORMULA
    )
    least = 1 / go_back_n_goodput(1 / 100, WINDOW) / (1 + 1 / 100)
    expect("goodput over lossless", ratio, formula)
    gain = goodput_ratio(selective.flow("pair-0"), back.flow("pair-0"))
    expect("selective repeat over go-back-N", gain, at_least(least, margin=0.0, source=FORMULA))


@pytest.mark.plan("RTX-02")
@pytest.mark.negative_control("the last packet lost, which only the timer finds")
def test_a_repair_by_the_timer_is_noticed(fabric, expect):
    """A repair that waits for the timer takes longer than a round trip."""
    drop = Impair(0, "pair-0", "drop", packets=(PACKETS - 1,))
    clean = fabric.run(Scenario(FLOW, qos=hosts("go_back_n"))).flow("pair-0")
    lossy = fabric.run(Scenario(FLOW, qos=hosts("go_back_n"), events=[drop]))

    delay = (lossy.flow("pair-0").fct_ps - clean.fct_ps) / 1e6
    repair = at_most(
        WINDOW * PACKET_PS / 1e6, margin=0.0, source="round trip of the NAK and the packets repeated"
    )
    expect("time to repair", delay, repair, "us")
