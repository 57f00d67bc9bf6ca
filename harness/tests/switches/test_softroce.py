"""Linux's switch and Soft-RoCE against each other: what rxe does and counts when chosen packets are lost.

These are the measurements of docs/drivers.md as tests. A message of 64 KiB is 16 packets of 4096 bytes.
"""

from __future__ import annotations

import dataclasses

import pytest

from harness import Ecn, Impair, KiB, LinkDown, LinkUp, Nic, Qos, Scenario
from harness.core.counters import Counter
from harness.core.topology import Topology
from harness.core.units import MS, S
from harness.hosts.fabric import HostFabric
from harness.patterns.pair import Pair
from harness.switches import load
from harness.transport.ssh import connect

pytestmark = pytest.mark.lab

MESSAGE = 64 * KiB
LAST = 15
TIMER = 17
"""4.096 us * 2^17 = 0.54 s: far above what an emulated guest takes to answer."""


@pytest.fixture(scope="module")
def soft(lab):
    site = dataclasses.replace(lab.site, max_start_skew=60 * S)
    with HostFabric("softroce", Topology.load("softroce-2"), site, seed=1) as soft:
        yield soft


class Run:
    """One scenario with its raw rxe counters, as differences: `at("h1", "rcvd_seq_err")`."""

    def __init__(self, soft, *events, size=MESSAGE, qos=None, **flow):
        nic = Nic(mtu=4096, ack_timeout=TIMER, retry_count=6)
        scenario = Scenario(
            Pair(size, "h1", "h2", **flow), qos=qos or Qos(nic=nic), events=events, may_fail=["*"]
        )
        self.result = soft.run(scenario)
        self.flow = self.result.raw["flows"][0]
        self.ports = self.result.raw["ports"]
        evidence = self.result.raw["hosts"]["evidence"]
        self.before, self.after = evidence["before"]["hosts"], evidence["after"]["hosts"]

    def at(self, host, name, group="hw_counters"):
        port = f"{host}:p0"
        return self.after[port][group][name] - self.before[port][group][name]

    def arrived_whole(self):
        verified = self.flow["payload_verified_bytes"], self.flow["payload_mismatched_bytes"]
        return self.flow["status"] == "done" and verified == (self.flow["bytes_acked"], 0)


def impair(action, *packets, **keys):
    return Impair(0, "pair-0", action, packets=packets, **keys)


def test_a_packet_lost_in_the_middle_costs_exactly_one_nak(soft):
    run = Run(soft, impair("drop", 5))
    assert run.arrived_whole()
    assert run.ports["sw1:e2"]["drops"] == {"egress_limit": 0, "injected": 1, "link_down": 0, "wred": 0}
    assert run.ports["h2:p0"]["nic"]["out_of_sequence"] == 1
    assert (run.at("h1", "rcvd_seq_err"), run.at("h1", "completer_retry_err")) == (1, 1)


def test_a_nak_that_acknowledges_nothing_new_is_missing_in_rcvd_seq_err(soft):
    """So that counter is no count of NAKs, and going back less it is no count of timeouts."""
    run = Run(soft, impair("drop", 0))
    assert run.arrived_whole()
    assert run.ports["h2:p0"]["nic"]["out_of_sequence"] == 1
    assert run.flow["fct_ps"] < 4.096e6 * 2**TIMER, "the timer did not run out"
    assert (run.at("h1", "rcvd_seq_err"), run.at("h1", "completer_retry_err")) == (0, 1)


def test_a_lost_tail_is_found_by_the_timer_and_the_message_sent_again(soft):
    run = Run(soft, impair("drop", LAST))
    assert run.arrived_whole()
    assert run.flow["fct_ps"] >= 4.096e6 * 2**TIMER
    assert run.ports["h2:p0"]["nic"]["out_of_sequence"] == 0
    assert (run.at("h1", "rcvd_seq_err"), run.at("h1", "completer_retry_err")) == (0, 1)
    assert run.ports["h2:p0"]["nic"]["duplicate_request"] == LAST


def test_a_packet_lost_twice_costs_a_nak_and_a_timeout(soft):
    run = Run(soft, impair("drop", 5), impair("drop", 5, iteration=2))
    assert run.arrived_whole()
    assert run.ports["sw1:e2"]["drops"]["injected"] == 2
    assert run.flow["fct_ps"] >= 4.096e6 * 2**TIMER
    assert run.ports["h2:p0"]["nic"]["out_of_sequence"] == 1
    assert run.at("h1", "completer_retry_err") == 2


def test_a_corrupt_packet_is_dropped_without_a_count(soft):
    run = Run(soft, impair("corrupt", 5))
    assert run.arrived_whole()
    assert run.ports["sw1:e2"]["injected"]["corrupt"] == 1
    assert run.ports["h2:p0"]["nic"]["out_of_sequence"] == 1
    sent = run.at("h1", "sent_pkts")
    assert run.at("h2", "rcvd_pkts") == sent - 1
    assert run.at("h2", "rx_packets", "netdev") >= sent
    assert Counter.ICRC_ERRORS.key not in run.ports["h2:p0"]["nic"]


def test_a_lost_read_response_is_found_by_the_timer_alone(soft):
    run = Run(soft, impair("drop", 5), verb="read")
    assert run.arrived_whole()
    assert run.ports["sw1:e1"]["drops"]["injected"] == 1
    assert run.flow["fct_ps"] >= 4.096e6 * 2**TIMER
    assert (run.at("h1", "completer_retry_err"), run.ports["h2:p0"]["nic"]["duplicate_request"]) == (1, 1)


def test_a_duplicate_is_counted_and_does_no_harm(soft):
    run = Run(soft, impair("duplicate", 5))
    assert run.arrived_whole()
    assert run.ports["sw1:e2"]["injected"]["duplicate"] == 1
    assert run.ports["h2:p0"]["nic"]["duplicate_request"] == 1
    assert run.at("h1", "completer_retry_err") == 0


def test_a_packet_that_comes_late_costs_one_nak(soft):
    run = Run(soft, impair("delay", 5, delay=50 * MS))
    assert run.arrived_whole()
    assert run.ports["sw1:e2"]["injected"]["delay"] == 1
    assert run.ports["h2:p0"]["nic"]["out_of_sequence"] == 1


@pytest.mark.parametrize("retries", [1, 3])
def test_a_silent_path_ends_the_queue_pair_after_its_retries(soft, retries):
    qos = Qos(nic=Nic(mtu=4096, ack_timeout=14, retry_count=retries))
    run = Run(soft, Impair(0, "pair-0", "drop", fraction=1.0), size=1024, qos=qos)
    assert (run.flow["status"], run.flow["error"]) == ("failed", "RETRY_EXC_ERR")
    assert run.ports["sw1:e2"]["drops"]["injected"] == retries + 1
    assert run.ports["h1:p0"]["nic"]["retry_exhausted"] == 1
    assert run.at("h1", "completer_retry_err") == retries


CE_COUNTER = """table inet witness {
  chain arrived { type filter hook input priority 0; udp dport 4791 ip ecn ce counter; }
}"""


@pytest.fixture
def marked_at_h2(lab):
    """Count CE-marked RoCE packets where they arrive, by means that know nothing of the switch."""
    remote = connect(lab.site.access("h2"), "h2")
    remote.run(["nft", "-f", "-"], stdin=CE_COUNTER.encode())
    yield lambda: int(
        remote.run(["nft", "list", "table", "inet", "witness"]).stdout.split("packets ")[1].split()[0]
    )
    remote.run(["nft", "delete", "table", "inet", "witness"])
    remote.close()


def test_marks_of_the_queue_are_counted_and_rxe_ignores_them(soft, marked_at_h2):
    """RED marks what overtakes 40 Mb/s; nothing of it is dropped, and as many marks arrive as were counted."""
    qos = Qos(ecn=Ecn(kmin=10_000, kmax=20_000, pmax=1.0), nic=Nic(mtu=4096, ack_timeout=TIMER))
    run = Run(soft, size=1024 * KiB, qos=qos)
    assert run.arrived_whole()
    marks = run.ports["sw1:e2"]["ecn_marked"]
    assert marks[3] > 100
    assert sum(marks) == marks[3] == marked_at_h2()
    assert run.ports["sw1:e2"]["drops"]["wred"] == 0


def test_marks_on_order_arrive_and_are_none_of_the_queue(soft, marked_at_h2):
    run = Run(soft, impair("mark", 1, 3, 5))
    assert run.arrived_whole()
    assert run.ports["sw1:e2"]["injected"]["mark"] == 3 == marked_at_h2()
    assert run.ports["sw1:e2"]["ecn_marked"] == [0] * 8


def test_a_receiver_that_is_not_ready_says_so_as_often_as_it_is_heard(soft):
    qos = Qos(nic=Nic(mtu=4096, ack_timeout=TIMER, rnr_timer=20, rnr_retry=7))
    run = Run(soft, size=1024, qos=qos, verb="send", messages=3, recv_depth=1, recv_repost=100 * MS)
    assert run.arrived_whole()
    naks = run.ports["h2:p0"]["nic"]["rnr_nak_sent"]
    assert naks == run.ports["h1:p0"]["nic"]["rnr_nak_received"] >= 2


def test_packets_are_sent_at_the_rate_of_the_link(soft):
    run = Run(soft, size=2048 * KiB)
    wire_bits = 8 * (run.ports["sw1:e2"]["tx_bytes"] + 24 * run.ports["sw1:e2"]["tx_packets"])
    assert run.arrived_whole()
    assert wire_bits / (run.flow["fct_ps"] / 1e12) <= 40e6 * 1.02


def test_a_flow_survives_a_link_that_flaps(soft):
    """8 MiB take 1.8 s; an event takes up to a second to act on a busy emulated guest."""
    flap = (LinkDown(200 * MS, "h2:p0"), LinkUp(500 * MS, "h2:p0"))
    run = Run(soft, *flap, size=8192 * KiB)
    assert run.arrived_whole()
    assert run.result.raw["hosts"]["events"][0]["done_ps"] < run.flow["fct_ps"], "the link was down in time"
    assert run.ports["sw1:e2"]["drops"]["link_down"] > 0
    assert sum(run.ports["sw1:e2"]["drops"].values()) == run.ports["sw1:e2"]["drops"]["link_down"]


def test_nothing_is_left_on_the_switch(soft, lab):
    Run(soft, impair("drop", 5), LinkDown(0, "sw1:e1"), LinkUp(100 * MS, "sw1:e1"))
    remote = connect(lab.site.access("sw1"), "sw1")
    try:
        driver = load("linux")(remote, "sw1", lab.site.switches["sw1"].ports, soft.topology)
        assert driver.leftovers() == []
    finally:
        remote.close()
