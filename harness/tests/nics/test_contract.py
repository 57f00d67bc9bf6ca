"""What every NIC driver must keep to; drivers are found by name, so a new one is covered without being told."""

from __future__ import annotations

import copy

import pytest

from harness.core.blocks import NicBlock, complete, merge
from harness.core.capability import Capability
from harness.core.counters import Counter, Where
from harness.core.errors import ConfigError
from harness.core.evidence import Missing
from harness.core.port_counters import COUNTED, CounterTable
from harness.nics import NicDriver, load, names

TOP_LEVEL = {
    "tx_packets", "rx_packets", "tx_bytes", "rx_bytes",
    "tx_packets_prio", "rx_packets_prio", "tx_bytes_prio", "rx_bytes_prio",
    "tx_pause", "rx_pause", "tx_resume", "rx_resume", "tx_pause_duration_ps", "rx_pause_duration_ps",
    "pause_transitions", "nic", "drops",
}  # fmt: skip
"""Keys of a host port in docs/job-format.md that a device can fill in."""

NIC_KEYS = {
    "ecn_marked_rx", "cnp_sent", "cnp_received", "cnp_handled", "cnp_ignored", "out_of_sequence", "packet_seq_err",
    "implied_nak_seq_err", "local_ack_timeout", "duplicate_request", "rnr_nak_sent", "rnr_nak_received",
    "icrc_errors", "retransmitted_packets", "retry_exhausted", "rnr_retry_exhausted", "rx_discards", "acks_sent",
    "acks_received",
}  # fmt: skip
DROP_KEYS = {
    "ingress_limit", "headroom", "egress_limit", "wred", "link_down", "bit_error", "injected", "watchdog", "no_route",
    "rx_buffer",
}  # fmt: skip

KERNEL = "6.12.57+deb13-amd64"
GROUPS = ("hw_counters", "counters", "device_hw_counters", "netdev", "ethtool", "rdma_statistic")
EMPTY = {**dict.fromkeys((*GROUPS, "dcb_pfc")), "errors": dict.fromkeys(GROUPS, "absent")}


class Everything(dict):
    """A group of counters that has whatever it is asked for; each name gives another number."""

    def __init__(self, offset=0):
        self.offset, self.asked = offset, set()

    def get(self, name, default=None):
        self.asked.add(name)
        return self.offset + sum(map(ord, name)) % 1000


def full(offset=0):
    pfc = {"requests": [offset + p for p in range(8)], "indications": [offset + 10 + p for p in range(8)]}
    return {**{group: Everything(offset) for group in GROUPS}, "dcb_pfc": pfc, "errors": {}}


@pytest.fixture(params=names())
def driver_class(request):
    return load(request.param)


def table(port):
    return CounterTable({"h1:p0": port}, frozenset({"h1:p0"}))


def test_it_is_a_driver_of_its_own_name(driver_class):
    driver = driver_class(full(), KERNEL)
    assert isinstance(driver, NicDriver)
    assert load(driver.name) is driver_class
    assert all(isinstance(each, Capability) for each in driver.capabilities)
    assert all(subject and sentence for subject, sentence in driver.deviations.items())


def test_it_fills_in_known_keys_only(driver_class):
    port = driver_class(full(), KERNEL).counters(full(), full(7))
    assert set(port) <= TOP_LEVEL
    assert set(port["nic"]) <= NIC_KEYS
    assert set(port.get("drops", {})) <= DROP_KEYS


def test_it_offers_exactly_what_it_fills_in(driver_class):
    driver = driver_class(full(), KERNEL)
    found = table(driver.counters(full(), full(7)))
    of_hosts = {counter for counter in COUNTED if counter.where in (Where.ANY, Where.HOST)}
    filled = {counter for counter in of_hosts if not isinstance(found[counter], Missing)}
    assert filled == driver.offered
    assert filled, "a driver that fills in nothing"


def test_differences_are_those_of_the_device(driver_class):
    """Each counter of this device moved by 7, so each figure is 7 for every raw counter that it sums."""
    port = driver_class(full(), KERNEL).counters(full(), full(7))
    numbers = [*port["nic"].values(), *port.get("drops", {}).values()]
    numbers += [value for key in TOP_LEVEL - {"nic", "drops"} for value in _listed(port.get(key))]
    assert numbers
    assert all(number > 0 and number % 7 == 0 for number in numbers)


def _listed(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def test_what_the_device_lacks_is_not_offered(driver_class):
    driver = driver_class(EMPTY, KERNEL)
    assert driver.offered == frozenset()
    assert Capability.HOST_COUNTERS not in driver.capabilities
    assert driver.counters(EMPTY, EMPTY) == {"nic": {}}


@pytest.mark.parametrize("which", ["before", "after"])
def test_a_reading_that_failed_gives_no_numbers(driver_class, which):
    """A group that could be read once only: nothing of it is known, and nothing is 0."""
    readings = {"before": full(), "after": full(7)} | {which: EMPTY}
    port = driver_class(full(), KERNEL).counters(**readings)
    assert port == {"nic": {}}


def test_counters_that_went_back_give_no_numbers(driver_class):
    """A driver that was loaded again: all is unknown, unless a counter is narrow and may have wrapped."""
    port = driver_class(full(), KERNEL).counters(full(2**33), full(2**32 + 5))
    assert port == {"nic": {}}


def test_it_does_not_change_its_readings(driver_class):
    before, after = _plain(driver_class, 0), _plain(driver_class, 7)
    copies = copy.deepcopy((before, after))
    driver_class(before, KERNEL).counters(before, after)
    assert (before, after) == copies


def _plain(driver_class, offset):
    """A reading with just the counters that the driver asks for."""
    seen = full(offset)
    driver_class(seen, KERNEL)
    return seen | {group: {name: seen[group].get(name) for name in seen[group].asked} for group in GROUPS}


def test_an_ordinary_configuration_is_taken(driver_class):
    driver = driver_class(full(), KERNEL)
    offered, able = driver.offered, driver.capabilities
    driver.configure(None, "p0", complete(NicBlock()))
    driver.restore(None, "p0")
    driver.restore(None, "p0")
    assert (driver.offered, driver.capabilities) == (offered, able)


@pytest.mark.parametrize(
    ("capability", "change", "named"),
    [
        (Capability.PFC, {"pfc": {"priorities": [3]}}, "pfc.priorities"),
        (Capability.DCQCN, {"cc": {"algorithm": "dcqcn"}}, "cc.algorithm"),
        (Capability.LOSS_RECOVERY_CHOICE, {"loss_recovery": "selective_repeat"}, "loss_recovery"),
        (Capability.SLOW_RECEIVER, {"rx": {"drain_bps": 10**9}}, "rx.drain_bps"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(driver_class, capability, change, named):
    driver = driver_class(full(), KERNEL)
    if capability in driver.capabilities:
        pytest.skip(f"{driver.name} offers {capability}")
    with pytest.raises(ConfigError, match=named) as refused:
        driver.configure(None, "p0", merge(complete(NicBlock()), change))
    assert "p0" in str(refused.value)


def test_names_are_drivers():
    assert {"rxe", "mlx5", "generic"} <= set(names())
    assert not any(name.startswith("_") for name in names())


SPELLINGS = {
    "rxe": "rxe", "rdma_rxe": "rxe", "mlx5_core": "mlx5", "mlx5_ib": "mlx5", "bnxt_re": "generic", "None": "generic"
}  # fmt: skip


@pytest.mark.parametrize(("kernel_driver", "name"), SPELLINGS.items())
def test_drivers_are_found_by_what_the_kernel_calls_them(kernel_driver, name):
    assert load(kernel_driver).name == name


def test_every_counter_of_the_vocabulary_is_known_here():
    """A counter that is added to the vocabulary gets a place in a port, or this test says which has none."""
    placed = NIC_KEYS | {f"drops_{key}" for key in DROP_KEYS}
    of_nics = {counter.key for counter in Counter if counter.where is Where.HOST}
    of_drops = {counter.key for counter in Counter if counter.name.startswith("DROPS_")}
    assert of_nics | of_drops == placed
