from __future__ import annotations

from typing import Any

from harness.core.evidence import is_missing
from harness.core.result import RunResult
from harness.pytest_plugin.host_facts import DRIVERS, facts_of, figures_of, not_offered, notes_of
from harness.pytest_plugin.run_record import tool_of

PORT = {
    "device": "rxe0",
    "driver": "rxe",
    "firmware": "",
    "gid": {"index": 1, "why": "index 1 of rxe0 port 1: RoCE v2 ipv4 198.18.1.1"},
}
AGENT = {
    "kernel": "6.12.57",
    "pyverbs": "56.0",
    "python": "3.13.5",
    "cpu_s": 0.5,
    "wall_s": 2.0,
    "ports": {"h1:p0": PORT},
}


def result(**hosts: Any) -> RunResult:
    raw: dict[str, Any] = {"format": 1, "simulated": False, "executor": {"name": "hosts", "version": "0.3"}}
    return RunResult({}, {**raw, "hosts": hosts})


def test_facts_name_devices_gid_and_software_of_each_host() -> None:
    facts = facts_of(result(agents={"h1": AGENT, "h2": {"kernel": "6.1"}}))
    assert facts[DRIVERS] == "rxe"
    assert facts["host h1"] == (
        "rxe0 (rxe), GID index 1 of rxe0 port 1: RoCE v2 ipv4 198.18.1.1; "
        "Linux 6.12.57, pyverbs 56.0, Python 3.13.5"
    )
    assert facts["host h2"] == "Linux 6.1"


def test_the_executor_and_the_hosts_are_among_the_tools() -> None:
    tools = tool_of(result(agents={"h1": AGENT}))
    assert tools["hosts"] == "0.3"
    assert "rxe0" in tools["host h1"]


def test_figures_tell_skew_and_the_busiest_agent() -> None:
    idle = {**AGENT, "cpu_s": 0.1}
    found = {
        figure.name: figure.value
        for figure in figures_of(result(start_skew_ps=3 * 10**9, agents={"h1": idle, "h2": AGENT}))
    }
    assert found == {"start skew": 3.0, "processor time of the busiest agent": 25.0}


def test_a_skew_that_nobody_knows_is_no_zero() -> None:
    (skew,) = figures_of(result(start_skew_ps=None))
    assert is_missing(skew.value)


def test_a_simulated_run_has_no_hosts_to_tell_of() -> None:
    simulated = RunResult({}, {"format": 1, "simulated": True})
    assert (facts_of(simulated), figures_of(simulated), not_offered(simulated)) == ({}, (), frozenset())


NATIVE = {
    **AGENT, "engine": "native", "engine_why": None, "generator": {"version": "0.1.0", "how": "built here"},
    "threads": [{"name": "port 1"}, {"name": "port 2"}], "host_limited": False, "limited_why": None,
}  # fmt: skip


def test_notes_say_who_made_the_traffic() -> None:
    own = {**AGENT, "engine": "pyverbs", "engine_why": "flow f: reductions"}
    agents = {"h1": NATIVE, "h2": NATIVE, "h3": own, "h4": {**own, "engine_why": None}, "h5": AGENT}
    assert notes_of(result(agents=agents)) == (
        "Traffic of h1, h2: native, roce-load 0.1.0, 2 threads.",
        "Traffic of h3: pyverbs, as flow f: reductions.",
        "Traffic of h4: pyverbs.",
    )


def test_notes_say_who_was_held_back() -> None:
    held = {
        **NATIVE,
        "host_limited": True,
        "limited_why": "thread port 1 waited for a processor 31 % of the time",
    }
    run = result(
        agents={"h1": held, "h2": {**held, "limited_why": None, "note": "no device pacing"}, "h3": NATIVE}
    )
    assert run.bottlenecks == (
        "the generator of h1 was the bottleneck: thread port 1 waited for a processor 31 % of the time",
        "the generator of h2 was the bottleneck: it does not say why",
    )
    assert notes_of(run)[-2:] == (
        "The generator of h2 was the bottleneck: it does not say why.",
        "Generator of h2: no device pacing.",
    )


def test_a_simulated_run_has_no_notes() -> None:
    simulated = RunResult({}, {"format": 1, "simulated": True})
    assert notes_of(simulated) == simulated.bottlenecks == ()


def test_the_busiest_thread_counts_where_a_generator_has_threads() -> None:
    busy = {**NATIVE, "cpu_s": 9.0, "wall_s": 1.0, "threads": [{"cpu_share": 0.25}, {"cpu_share": 0.5}, {}]}
    (_, share) = figures_of(result(start_skew_ps=0, agents={"h1": busy}))
    assert share.value == 50.0
