from __future__ import annotations

from typing import Any

from harness.analysis.injection import injected_drops
from harness.core.evidence import is_missing
from harness.core.result import RunResult

NODES = [{"name": "h1", "kind": "host"}, {"name": "sw1", "kind": "switch"}]


def result(of_host: dict[str, int], of_switch: dict[str, int], **not_offered: list[str]) -> RunResult:
    ports: dict[str, Any] = {"h1:p0": {"drops": of_host}, "sw1:e1": {"drops": of_switch}}
    return RunResult({"nodes": NODES}, {"format": 1, "ports": ports, "not_offered": not_offered})


def test_drops_of_hosts_and_switches_add_up() -> None:
    assert injected_drops(result({"injected": 1}, {"injected": 2})) == 3


def test_devices_that_cannot_drop_on_order_are_left_out() -> None:
    assert injected_drops(result({}, {"injected": 2}, host=["drops_injected"])) == 2


def test_a_device_that_should_know_and_does_not_makes_it_missing() -> None:
    assert is_missing(injected_drops(result({}, {"injected": 2})))
    nobody = result({}, {}, host=["drops_injected"], switch=["drops_injected"])
    assert is_missing(injected_drops(nobody))
