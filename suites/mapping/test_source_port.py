"""Flow labels make UDP source ports, and source ports make paths."""

from __future__ import annotations

import pytest

from harness import Capability, Flow, Flows, KiB, Nic, Pfc, Qos, Scenario, equals
from harness.analysis.source_ports import ports_by_label
from harness.analysis.uplinks import used_uplinks

pytestmark = [
    pytest.mark.topology("leaf-spine-16"),
    pytest.mark.needs(Capability.SWITCH_COUNTERS, Capability.ECMP_CONFIG, Capability.PFC),
]

QOS = Qos(pfc=Pfc({3}), nic=Nic(mtu=4096))
FLOWS = 64
LABEL = "Linux, rdma_flow_label_to_udp_sport (annex A17 of the InfiniBand Architecture)"
FOUR = "four spines; by chance 64 flows leave one of them out once in 25 million times"
ONE = "one five tuple is one path"


def labelled(labels):
    """A flow from h1 to h16 for each flow label."""
    return Flows(
        [
            Flow(name=f"flow-{i}", src="h1:p0", dst="h16:p0", message_bytes=64 * KiB, flow_label=label)
            for i, label in enumerate(labels)
        ]
    )


@pytest.mark.plan("MAP-03")
@pytest.mark.catches("udp_sport_constant", "source ports as the labels say")
@pytest.mark.parametrize("step", [1, 0x4000, 0x1235], ids=["low bits", "high bits", "all bits"])
def test_a_flow_label_makes_the_source_port_and_the_path(fabric, expect, step):
    """64 labels that differ in low, high or all bits make the ports that Linux makes of them, and use all spines."""
    result = fabric.run(Scenario(labelled(range(0, FLOWS * step, step)), qos=QOS))

    expect("source ports as the labels say", ports_by_label(result), equals(FLOWS, source=LABEL))
    expect("uplinks used", used_uplinks(result, "leaf1"), equals(4, source=FOUR))


@pytest.mark.plan("MAP-03")
def test_one_label_is_one_path(fabric, expect):
    """64 flows with one label have one source port, one path, and every packet in order."""
    result = fabric.run(Scenario(labelled([0x12345] * FLOWS), qos=QOS))

    order = equals(0, source=ONE)
    expect("source ports as the labels say", ports_by_label(result), equals(FLOWS, source=LABEL))
    expect("uplinks used", used_uplinks(result, "leaf1"), equals(1, source=ONE))
    expect("packets out of order", result.flows.total("packets_out_of_order"), order)


@pytest.mark.plan("MAP-03")
@pytest.mark.negative_control("one label for all flows")
def test_labels_that_do_not_differ_are_noticed(fabric, expect):
    """Flows with one label do not use all spines."""
    result = fabric.run(Scenario(labelled([0x12345] * FLOWS), qos=QOS))

    expect("uplinks used", used_uplinks(result, "leaf1"), equals(4, source=FOUR))


@pytest.mark.plan("MAP-03")
@pytest.mark.negative_control("a label of its own for each flow")
def test_labels_that_differ_are_noticed(fabric, expect):
    """Flows with labels of their own do not take one path."""
    result = fabric.run(Scenario(labelled(range(FLOWS)), qos=QOS))

    expect("uplinks used", used_uplinks(result, "leaf1"), equals(1, source=ONE))
