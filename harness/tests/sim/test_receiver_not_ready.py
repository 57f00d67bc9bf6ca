"""RNR NAK: counted receives, waits by timer code, the retries; and the unreliable transports.

Source: InfiniBand Architecture Specification vol. 1, 9.7.5.2.8 and table 45 (timer codes).
"""

from __future__ import annotations

import pytest

from harness.analysis.transport import rnr_timer_ps
from harness.tests.sim.jobs import MS, US, Json, flow, flow_of, nic_of, run, star

SEND_WIRE, ACK_WIRE = 1024 + 82, 86
ONE_WAY = 2 * SEND_WIRE * 80 + 2 * US
BACK = 2 * ACK_WIRE * 80 + 2 * US


def sends(count: int, depth: int, **keys: object) -> Json:
    nic = {
        key: keys.pop(key)
        for key in ("rnr_timer", "rnr_retry", "loss_recovery", "retry_count")
        if key in keys
    }
    duration = keys.pop("duration_ps", 10_000 * MS)
    one = flow("f", "h0", "h1", 1024, verb="send", messages=count, recv_depth=depth, **keys)
    return star(2, [one], nic=nic, duration_ps=duration)


@pytest.mark.parametrize("code", [1, 5, 12, 14])
def test_a_missing_receive_waits_what_the_timer_code_says(code: int) -> None:
    """Depth 1, reposted 1 us after each: every further message is refused once and comes again after the wait."""
    timer = rnr_timer_ps(code)
    result = run(sends(2, 1, recv_repost_ps=US, rnr_timer=code))
    counts = flow_of(result, "f")
    assert counts["status"] == "done"
    assert counts["rnr_naks_sent"] == counts["rnr_naks_received"] == 1
    refused = ONE_WAY + SEND_WIRE * 80  # arrival of the second, right behind the first
    # its RNR NAK leaves behind the first message's ACK, long gone; then the wait and a fresh round trip
    assert counts["fct_ps"] == refused + BACK + timer + ONE_WAY + BACK


def test_thirty_two_sends_for_sixteen_receives() -> None:
    """Sixteen go through, the seventeenth is refused once; by then the first sixteen are posted again."""
    result = run(sends(32, 16, recv_repost_ps=100 * US, rnr_timer=12))
    counts = flow_of(result, "f")
    assert counts["status"] == "done"
    assert counts["messages_completed"] == 32
    assert counts["rnr_naks_sent"] == nic_of(result, "h1")["rnr_nak_sent"] == 1
    assert nic_of(result, "h0")["rnr_nak_received"] == 1
    assert counts["naks_sent"] == counts["timeouts"] == 0


@pytest.mark.parametrize("retries", [0, 1, 6])
def test_retries_run_out_after_as_many_waits(retries: int) -> None:
    """Never reposted: rnr_retry + 1 RNR NAKs with a wait between each two, then RNR_RETRY_EXC_ERR."""
    timer = rnr_timer_ps(5)
    result = run(sends(17, 16, rnr_timer=5, rnr_retry=retries))
    counts = flow_of(result, "f")
    assert (counts["status"], counts["error"]) == ("failed", "RNR_RETRY_EXC_ERR")
    assert counts["rnr_naks_received"] == retries + 1
    assert nic_of(result, "h0")["rnr_retry_exhausted"] == 1
    assert counts["messages_completed"] == 16
    first_refusal = ONE_WAY + 16 * SEND_WIRE * 80 + BACK
    assert result["end_ps"] == first_refusal + retries * (timer + ONE_WAY + BACK)


def test_seven_retries_for_ever() -> None:
    result = run(sends(17, 16, rnr_timer=1, rnr_retry=7, duration_ps=10 * MS))
    counts = flow_of(result, "f")
    assert counts["status"] == "unfinished"
    assert counts["rnr_naks_sent"] > 500
    assert counts["error"] is None


def test_depth_zero_is_never_short() -> None:
    assert flow_of(run(sends(100, 0)), "f")["rnr_naks_sent"] == 0


def test_writes_need_no_receive() -> None:
    work = star(2, [flow("f", "h0", "h1", 1024, messages=50)])
    assert flow_of(run(work), "f")["rnr_naks_sent"] == 0


@pytest.mark.parametrize("recovery", ["go_back_n", "selective_repeat"])
def test_refusals_and_losses_together(recovery: str) -> None:
    """Each receive is consumed once whatever is repeated: all messages arrive, each once, none without a receive."""
    work = sends(200, 4, recv_repost_ps=20 * US, rnr_timer=1, loss_recovery=recovery)
    work["flows"][0]["message_bytes"] = 3000
    work["events"] = [{"at_ps": 0, "kind": "impair", "flow": "f", "action": "drop", "fraction": 0.02}]
    counts = flow_of(run(work), "f")
    assert counts["status"] == "done"
    assert counts["bytes_delivered"] == 200 * 3000
    assert counts["rnr_naks_sent"] > 0
    # 4 receives are good for 4 messages each 20 us: 200 messages cannot be faster than 49 reposts of 4
    assert counts["fct_ps"] > 49 * 20 * US


# ---- unreliable transports ----


def test_uc_drops_the_message_with_a_gap() -> None:
    events = [{"at_ps": 0, "kind": "impair", "flow": "f", "action": "drop", "packets": [5, 17, 18]}]
    one = flow("f", "h0", "h1", 4096, transport="uc", messages=10)
    result = run(star(2, [one], events=events))
    counts = flow_of(result, "f")
    assert counts["status"] == "done"
    assert counts["packets_sent"] == 40
    assert counts["packets_dropped"] == 3
    assert counts["packets_retransmitted"] == 0
    assert counts["latency"]["count"] == 8  # messages 1 and 4 have gaps
    assert result["ports"]["h1:p0"]["tx_packets"] == 0  # nothing is acknowledged


def test_a_uc_duplicate_is_delivered_once() -> None:
    events = [{"at_ps": 0, "kind": "impair", "flow": "f", "action": "duplicate", "packets": [5, 7]}]
    one = flow("f", "h0", "h1", 4096, transport="uc", messages=10)
    counts = flow_of(run(star(2, [one], events=events)), "f")
    assert counts["bytes_delivered"] == 40960
    assert counts["packets_duplicate"] == 2
    assert counts["latency"]["count"] == 10


def test_ud_messages_are_packets_of_their_own() -> None:
    events = [{"at_ps": 0, "kind": "impair", "flow": "f", "action": "drop", "packets": [3]}]
    one = flow("f", "h0", "h1", 500, verb="send", transport="ud", messages=20)
    counts = flow_of(run(star(2, [one], events=events)), "f")
    assert counts["status"] == "done"
    assert counts["bytes_delivered"] == 19 * 500
    assert counts["latency"]["count"] == 19


def test_a_late_ud_packet_still_counts() -> None:
    """UD knows no order: a packet held back is a message like any other."""
    events = [
        {"at_ps": 0, "kind": "impair", "flow": "f", "action": "delay", "packets": [3], "delay_ps": 10 * US}
    ]
    one = flow("f", "h0", "h1", 500, verb="send", transport="ud", messages=20)
    counts = flow_of(run(star(2, [one], events=events)), "f")
    assert counts["bytes_delivered"] == 20 * 500
    assert counts["latency"]["count"] == 20


@pytest.mark.parametrize(
    ("verb", "transport"), [("write", "rc"), ("send", "rc"), ("read", "rc"), ("write", "uc"), ("send", "uc")]
)
@pytest.mark.parametrize("mtu", [256, 1024, 4096])
def test_payload_accounting(verb: str, transport: str, mtu: int) -> None:
    size, messages, qps = 10_001, 7, 3
    one = flow("f", "h0", "h1", size, verb=verb, transport=transport, messages=messages, qps=qps)
    result = run(star(2, [one], nic={"mtu_bytes": mtu}))
    counts = flow_of(result, "f")
    total, packets = size * messages * qps, -(-size // mtu) * messages * qps
    assert counts["bytes_sent"] == counts["bytes_delivered"] == counts["bytes_acked"] == total
    assert counts["packets_sent"] == counts["packets_delivered"] == packets
    assert counts["messages_completed"] == messages * qps
    assert counts["packets_in_flight"] == counts["packets_dropped"] == 0
    assert [qp["bytes_delivered"] for qp in counts["qps"]] == [size * messages] * qps
    assert result["stats"]["data_packets"] == packets
