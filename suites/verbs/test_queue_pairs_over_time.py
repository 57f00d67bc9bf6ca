"""Queue pairs of a native generator, watched one by one: all move all the time, and none takes another's share."""

from __future__ import annotations

import pytest

from harness import MS, Capability, KiB, Load, Nic, Qos, Scenario, VerbsOptions, at_least, equals, within
from harness.analysis.fairness import jain, series_shares
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.LOAD_OPTIONS, Capability.RATE_SERIES)

PATIENT = Qos(nic=Nic(mtu=4096, ack_timeout=17))
UNCHECKED = VerbsOptions(check_payload=False)
SLOW = "400kbps"
EACH = "one column of the series for each queue pair"
FAIR = "queue pairs of one sender are served in turns; Jain's index of what each had sent (ours: 0.9)"
SHARED = "three equal senders without congestion control, whose queues overflow in turns (ours: 0.8)"
USED = "a link that three senders compete for stays in use, losses and their repetitions aside (ours: 0.6)"
SUM = "the columns of all queue pairs add up to the flow, but for samples at the ends (ours: 10 %)"


@pytest.mark.plan("VERB-04")
@pytest.mark.parametrize(("qps", "size", "batch"), [(16, 4 * KiB, 4), (1024, 512, 1)])
def test_every_queue_pair_moves(fabric, expect, qps, size, batch):
    """Sixteen, and a thousand, queue pairs of one sender each get their share of it, seen every 10 ms."""
    in_batches = Load(batch=batch)
    traffic = Pair(size, qps=qps, messages=0, max_outstanding=batch, verbs=UNCHECKED, load=in_batches)
    result = fabric.run(
        Scenario(traffic, qos=PATIENT, until="duration", duration=3000 * MS, sample_every=10 * MS)
    )

    flow, series = result.flow("pair-0"), result.series["qp_goodput_bps"]
    whole = result.series["goodput_bps"].mean("pair-0")
    expect("queue pairs", len(flow.qps), equals(qps, source="those that were asked for"))
    expect("columns", len(series.columns), equals(qps, source=EACH))
    expect("fairness between queue pairs", jain(series_shares(series)), at_least(0.9, source=FAIR))
    expect("sum over the flow", sum(series_shares(series)) / whole, within(0.9, 1.1, source=SUM))


@pytest.mark.plan("VERB-04")
@pytest.mark.negative_control("each queue pair starts at random within the whole run")
def test_queue_pairs_that_wait_are_noticed(fabric, expect):
    """Queue pairs that stand still for a part of the run have less than the others."""
    late = Load(batch=4, start_jitter_ps=3000 * MS)
    traffic = Pair(4 * KiB, qps=16, messages=0, max_outstanding=4, verbs=UNCHECKED, load=late)
    result = fabric.run(
        Scenario(traffic, qos=PATIENT, until="duration", duration=3000 * MS, sample_every=10 * MS)
    )

    shares = series_shares(result.series["qp_goodput_bps"])
    expect("fairness between queue pairs", jain(shares), at_least(0.9, source=FAIR))


@pytest.mark.plan("VERB-04")
def test_three_senders_share_one_receiver(fabric, expect):
    """Three hosts with four queue pairs each write to a fourth at once and share its link, as rates over time show."""
    traffic = Incast(3, 16 * KiB, qps=4, messages=0, max_outstanding=2, verbs=UNCHECKED, load=Load())
    result = fabric.run(
        Scenario(traffic, qos=PATIENT, until="duration", duration=4000 * MS, sample_every=10 * MS)
    )

    series, shares = result.series["qp_goodput_bps"], series_shares(result.series["goodput_bps"])
    expect("columns", len(series.columns), equals(12, source=EACH))
    expect("fairness between senders", jain(shares), at_least(0.8, source=SHARED))
    expect(
        "goodput of the receiver",
        sum(shares) / 1e9,
        at_least(0.6 * fabric.line_rate_gbps, source=USED),
        "Gb/s",
    )


@pytest.mark.plan("VERB-04")
@pytest.mark.negative_control("two of three senders are held to a hundredth of the link")
def test_a_sender_that_is_held_back_is_noticed(fabric, expect):
    """A sender that gets all the others leave makes shares unequal."""
    first, second, third, *_, last = fabric.topology.host_ports
    traffic = [
        Incast(
            [first],
            16 * KiB,
            receiver=last,
            qps=4,
            messages=0,
            max_outstanding=2,
            verbs=UNCHECKED,
            load=Load(),
        ),
        Incast([second, third], 16 * KiB, receiver=last, messages=0, verbs=UNCHECKED, rate=SLOW, load=Load()),
    ]
    result = fabric.run(
        Scenario(traffic, qos=PATIENT, until="duration", duration=4000 * MS, sample_every=10 * MS)
    )

    shares = series_shares(result.series["goodput_bps"])
    expect("fairness between senders", jain(shares), at_least(0.8, source=SHARED))
