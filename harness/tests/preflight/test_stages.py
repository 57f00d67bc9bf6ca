"""What a preflight finds on hosts that are each wrong in one way: who is named, where, and who goes on."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.core.errors import (
    AuthenticationFailed,
    CommandFailed,
    ConfigError,
    HostKeyRejected,
    HostUnreachable,
)
from harness.core.site import RdmaPort
from harness.core.topology import Topology
from harness.hosts.preflight import STAGES, Problem, Report, State, preflight
from harness.tests.preflight.conftest import Rack
from harness.transport.remote import Completed

MakeRack = Callable[[int], Rack]
OK, WARNING, FAILED, SKIPPED = State.OK, State.WARNING, State.FAILED, State.SKIPPED

DEVICE = {
    "device": "rxe0", "driver": "fake_ib", "firmware": "28.39.1002", "node_guid": "0:1", "part_id": "0x1021",
    "pcie": None, "numa_node": None, "caps": {"xrc": True, "srq": True, "atomics": True},
    "ports": [{
        "port": 1, "state": "ACTIVE", "phys_state": "LINK_UP", "max_mtu": 4096, "active_mtu": 4096,
        "link_layer": "Ethernet", "speed_gbps": 1.0, "netdev": "p0", "netdev_mtu": 4200,
        "gids": [{"index": 1, "gid": "::ffff:198.18.0.1", "type": "RoCE v2", "family": "ipv4", "netdev": "p0"}],
    }],
}  # fmt: skip


def device(**changes: Any) -> dict[str, Any]:
    """A device; keys of its port are changed by `port`, of its GID by `gid`."""
    made = copy.deepcopy(DEVICE)
    port: dict[str, Any] = made["ports"][0]  # type: ignore[index]
    port["gids"][0].update(changes.pop("gid", {}))
    port.update(changes.pop("port", {}))
    return {**made, **changes}


def only(report: Report, stage: str) -> Problem:
    """Return the one problem of a report, which is of this stage."""
    assert [problem.stage for problem in report.problems] == [stage], [each.line for each in report.problems]
    return report.problems[0]


def test_fit_hosts_pass_every_stage_and_nothing_is_left_running(rack: MakeRack) -> None:
    three = rack(3)
    report = three.examine()
    assert report.healthy
    assert report.problems == ()
    for host in report.hosts:
        states = {stage: report.cell(host, stage).state for stage in report.stages}
        assert states.pop("switch") is SKIPPED
        assert set(states.values()) == {OK}
    assert report.cell("h1", "mesh").note == "4/4"
    assert report.cell("h1", "bandwidth").note == "800 Mb/s of 1 Gb/s"
    assert three.running() == []
    assert [line.partition(":")[0] for line in three.progress if "round" not in line] == [
        stage.name for stage in STAGES
    ]
    json.dumps(report.as_json(), allow_nan=False)


def test_a_site_that_does_not_fit_its_topology_is_refused_before_anything(rack: MakeRack) -> None:
    with pytest.raises(ConfigError, match="hosts that the site lacks"):
        preflight(rack(2).site(), Topology.load("star-9"), dial=lambda _: pytest.fail("dialled"))


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (HostUnreachable("no answer within 5 s", host="h2"), "address and port"),
        (AuthenticationFailed("refused the key", host="h2"), "identity"),
        (HostKeyRejected("the key has changed", host="h2"), "accept the key"),
    ],
)
def test_a_host_that_cannot_be_reached_stops_there_and_the_others_go_on(
    rack: MakeRack, error: Any, advice: str
) -> None:
    three = rack(3)
    three.refused["h2"] = error
    report = three.examine()
    problem = only(report, "ssh")
    assert (problem.state, problem.where, problem.what) == (FAILED, "h2", error.message)
    assert advice in problem.advice
    assert [report.cell("h2", stage).state for stage in ("ssh", "python", "mesh")] == [
        FAILED,
        SKIPPED,
        SKIPPED,
    ]
    assert report.cell("h1", "mesh").note == "2/2"
    assert not report.healthy


def test_when_nobody_answers_the_rest_is_left_out(rack: MakeRack) -> None:
    two = rack(2)
    two.refused = {host: HostUnreachable("no route", host=host) for host in ("h1", "h2")}
    report = two.examine()
    assert only(report, "ssh").where == "h1, h2"
    assert two.progress == ["ssh: connecting (2 hosts)"]


# --- python ------------------------------------------------------------------------------------------------------


def says(**facts: Any) -> Completed:
    known = {"version": [3, 12, 1], "path": "/usr/bin/python3", "cpus": [0, 1], "nodes": {}}
    return Completed(0, json.dumps({**known, **facts}), "")


@pytest.mark.parametrize(
    ("python", "what"),
    [
        (says(version=[3, 8, 17]), "python3 is Python 3.8.17, the agent needs 3.9 or newer"),
        (Completed(0, "bash-5.2$ ", ""), "printed 'bash-5.2$', which no Python does"),
        (CommandFailed("'python3 -c' failed", host="h2", exit_code=127, detail="not found"), "not found"),
    ],
)
def test_a_python_that_will_not_do_is_told(rack: MakeRack, python: Any, what: str) -> None:
    two = rack(2)
    two.pythons["h2"] = python
    problem = only(two.examine(), "python")
    assert (problem.where, problem.state) == ("h2", FAILED)
    assert what in problem.what
    assert "site file (python" in problem.advice


def test_a_python_without_pyverbs_is_told_with_what_python_said(rack: MakeRack) -> None:
    two = rack(2)
    two.behaviours["h2"]["hello"] = {"pyverbs": None, "pyverbs_error": "No module named 'pyverbs'"}
    problem = only(two.examine(), "python")
    assert (problem.where, problem.what) == ("h2", "no pyverbs")
    assert "No module named 'pyverbs'" in problem.value
    assert "python3-pyverbs" in problem.advice
    assert two.running() == []


def test_an_agent_that_dies_at_once_is_told_with_its_last_words(rack: MakeRack) -> None:
    two = rack(2)
    two.behaviours["h2"]["die_at_start"] = 1
    problem = only(two.examine(), "python")
    assert "cannot import name 'spam'" in problem.what


# --- device ------------------------------------------------------------------------------------------------------


def test_a_device_that_is_not_there_is_told_with_those_that_are(rack: MakeRack) -> None:
    two = rack(2)
    two.behaviours["h2"]["devices"] = [device(device="mlx5_1")]
    problem = only(two.examine(), "device")
    assert (problem.where, problem.state) == ("h2", FAILED)
    assert "no RDMA device rxe0" in problem.what
    assert "mlx5_1" in problem.what


@pytest.mark.parametrize(
    ("changes", "what", "value"),
    [
        ({"firmware": "28.37.1014"}, "different firmware", "28.39.1002 on h1, h3; 28.37.1014 on h2"),
        ({"driver": "mlx5_core"}, "different drivers", "fake_ib on h1, h3; mlx5_core on h2"),
        ({"part_id": "0x101d"}, "different NICs", "0x1021 on h1, h3; 0x101d on h2"),
    ],
)
def test_devices_that_differ_are_a_warning(rack: MakeRack, changes: Any, what: str, value: str) -> None:
    three = rack(3)
    for host in three.behaviours:
        three.behaviours[host]["devices"] = [device(**(changes if host == "h2" else {}))]
    report = three.examine()
    problem = only(report, "device")
    assert (problem.state, problem.where) == (WARNING, "h2")
    assert what in problem.what
    assert problem.value == value
    assert report.healthy
    assert report.cell("h2", "mesh").state is OK


PCIE = {
    "address": "0000:c1:00.0", "speed": "32.0 GT/s PCIe", "width": "16",
    "max_speed": "32.0 GT/s PCIe", "max_width": "16",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, None),
        ({"speed": "16.0 GT/s PCIe"}, "slower than it could be (16.0 GT/s PCIe of 32.0 GT/s PCIe"),
        ({"width": "8"}, "narrower than it could be (8 of 16"),
        ({"speed": "Unknown", "width": "0"}, None),  # virtual functions
        ({"max_width": "255"}, None),
    ],
)
def test_a_pcie_link_below_its_maximum_is_a_warning(rack: MakeRack, changes: Any, found: str | None) -> None:
    two = rack(2)
    for host in ("h1", "h2"):
        two.behaviours[host]["devices"] = [device(pcie={**PCIE, **(changes if host == "h2" else {})})]
    report = two.examine()
    if found is None:
        assert report.problems == ()
    else:
        assert found in only(report, "device").line
        assert only(report, "device").where == "h2"


@pytest.mark.parametrize(
    ("cpus", "found"),
    [
        ([8, 9, 10, 11], None),
        (
            list(range(16)),
            "Python may run far from the device (rxe0 is at NUMA node 1, CPUs 8-11; Python may use 0-15)",
        ),
        (
            [0, 1, 2, 5],
            "Python only runs far from the device (rxe0 is at NUMA node 1, CPUs 8-11; Python may use 0-2,5)",
        ),
    ],
)
def test_python_far_from_the_device_is_a_warning(rack: MakeRack, cpus: list[int], found: str | None) -> None:
    two = rack(2)
    nodes = {"0": "0-7", "1": "8-11"}
    for host in ("h1", "h2"):
        two.behaviours[host]["devices"] = [device(numa_node=1)]
        two.pythons[host] = says(cpus=cpus if host == "h2" else [8], nodes=nodes)
    report = two.examine()
    if found is None:
        assert report.problems == ()
    else:
        assert found in only(report, "device").line
        assert "taskset -c 8-11" in only(report, "device").advice


def test_a_device_at_another_numa_node_than_the_site_says_is_a_warning(rack: MakeRack) -> None:
    two = rack(2)
    two.behaviours["h2"]["devices"] = [device(numa_node=1)]
    two.behaviours["h1"]["devices"] = [device()]
    two.hosts["h2"] = replace(two.hosts["h2"], numa_node=0)
    assert "rxe0 is at NUMA node 1, numa_node says 0" in only(two.examine(), "device").value


# --- link --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"port": {"state": "DOWN", "phys_state": "DISABLED"}},
            "h2:p0: rxe0 port 1 is down (state DOWN, link DISABLED)",
        ),
        ({"gid": {"family": "ipv6"}}, "has no RoCE v2 IPv4 GID for h2:p0"),
        ({"gid": {"type": "IB/RoCE v1"}}, "has no RoCE v2 IPv4 GID for h2:p0"),
        ({"port": {"active_mtu": 1024}}, "h2:p0: RDMA MTU too small (1024 of 2048)"),
    ],
)
def test_a_port_that_cannot_serve_stops_its_host(rack: MakeRack, changes: Any, line: str) -> None:
    three = rack(3)
    for host in three.behaviours:
        three.behaviours[host]["devices"] = [device(**(changes if host == "h2" else {}))]
    report = three.examine(mtu_bytes=2048)
    assert line in only(report, "link").line
    assert not report.healthy
    assert report.cell("h2", "clock").state is SKIPPED
    assert report.cell("h1", "mesh").note == "2/2"


@pytest.mark.parametrize(
    ("mtus", "failing"),
    [
        ({"h1": 4096, "h2": 4096, "h3": 1024}, "h3:p0"),
        ({"h1": 1024, "h2": 4096, "h3": 1024}, "h2:p0"),
        ({"h1": 1024, "h2": 4096}, "h1:p0"),  # of two camps the smaller MTU is the odd one
    ],
)
def test_hosts_with_another_mtu_than_most_fail(rack: MakeRack, mtus: dict[str, int], failing: str) -> None:
    some = rack(len(mtus))
    for host, mtu in mtus.items():
        some.behaviours[host]["devices"] = [device(port={"active_mtu": mtu})]
    problem = only(some.examine(), "link")
    assert (problem.state, problem.where) == (FAILED, failing)
    assert "1024 on" in problem.value
    assert "4096 on" in problem.value


@pytest.mark.parametrize(
    ("changes", "what", "value"),
    [
        (
            {"gid": {"index": 3}},
            "different GID indices at port p0",
            "GID index 1 on h1, h3; GID index 3 on h2",
        ),
        (
            {"port": {"netdev": "ens1"}, "gid": {"netdev": "ens1"}},
            "interfaces have different names",
            "p0 on h1, h3; ens1 on h2",
        ),
        ({"port": {"speed_gbps": 0.1}}, "link slower than in the topology", "0.1 of 1 Gb/s"),
        ({"port": {"active_mtu": None}}, "RDMA MTU not known", ""),
    ],
)
def test_what_differs_but_serves_is_a_warning(rack: MakeRack, changes: Any, what: str, value: str) -> None:
    three = rack(3)
    for host in three.behaviours:
        three.behaviours[host]["devices"] = [device(**copy.deepcopy(changes if host == "h2" else {}))]
    report = three.examine()
    problem = only(report, "link")
    assert problem.state is WARNING
    assert problem.where.startswith("h2")
    assert what in problem.what
    assert value in problem.value
    assert report.cell("h2", "mesh").state is OK


def test_the_same_port_of_several_hosts_is_found_by_its_netdev(rack: MakeRack) -> None:
    two = rack(2)
    two.hosts["h2"] = replace(two.hosts["h2"], ports={"p0": RdmaPort(netdev="p0")})
    assert two.examine().problems == ()


# --- clock -------------------------------------------------------------------------------------------------------


def test_monotonic_clocks_of_hosts_that_booted_at_other_times_are_fine(rack: MakeRack) -> None:
    two = rack(2)
    two.behaviours["h2"]["offset_ns"] = 10**15
    assert two.examine().problems == ()


def test_wall_clocks_that_are_off_are_a_warning(rack: MakeRack, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns
    monkeypatch.setattr(
        time, "time_ns", lambda: now() + 3 * 10**9
    )  # of this process; those of the hosts are right
    problem = only(rack(2).examine(), "clock")
    assert (problem.state, problem.where) == (WARNING, "h1, h2")
    assert problem.value == "by -3.0 s"


def test_an_uncertain_clock_is_a_warning(rack: MakeRack) -> None:
    two = rack(2)
    two.behaviours["h2"]["late_s"] = {"clock": 0.02}
    report = preflight(replace(two.site(), max_start_skew=10**10 // 2), two.topology, dial=two.dial)
    clock = [problem for problem in report.problems if problem.stage == "clock" and problem.where == "h2"]
    assert [(problem.state, problem.what) for problem in clock] == [
        (WARNING, "its clock is not known well enough")
    ]


# --- mesh --------------------------------------------------------------------------------------------------------


def break_pair(rack: Rack, src: str, dst: str, *kinds: str) -> None:
    way = f"{src}:p0>{dst}:p0"
    for kind in kinds:
        error = {"status": "failed", "error": "RETRY_EXC_ERR"} if kind != "ud" else {}
        rack.result(src, f"{way}/{kind}/src", **error)
        rack.result(dst, f"{way}/{kind}/dst", payload_verified_bytes=0)


ALL = ("rc", "full", "ud")


def test_a_host_that_nobody_reaches_is_named_and_the_others_are_not_blamed(rack: MakeRack) -> None:
    four = rack(4)
    for other in ("h1", "h2", "h4"):
        break_pair(four, other, "h3", *ALL)
        break_pair(four, "h3", other, *ALL)
    report = four.examine()
    problem = only(report, "mesh")
    assert (problem.where, problem.what) == ("h3", "fails 6 of 6 pairs")
    assert "RETRY_EXC_ERR" in problem.value
    assert report.cell("h3", "bandwidth").state is SKIPPED
    assert report.cell("h1", "mesh").state is OK
    assert report.cell("h1", "bandwidth").state is OK


@pytest.mark.parametrize(
    ("kinds", "what"),
    [
        (ALL, "nothing arrives"),
        (("full",), "8 bytes arrive, packets of 4096 do not"),
        (("ud",), "UD does not get through, RC does"),
        (("rc", "full"), "RC does not get through, UD does"),
    ],
)
def test_a_pair_that_nobody_explains_is_told_with_what_fails(
    rack: MakeRack, kinds: tuple[str, ...], what: str
) -> None:
    two = rack(2)
    break_pair(two, "h1", "h2", *kinds)
    problem = only(two.examine(), "mesh")
    assert (problem.where, problem.what) == ("h1:p0 to h2:p0", what)
    assert "198.18.0.1 to ::ffff:198.18.0.2" in problem.value


def test_wrong_bytes_are_told_as_such(rack: MakeRack) -> None:
    two = rack(2)
    two.result("h2", "h1:p0>h2:p0/rc/dst", payload_mismatched_bytes=3, payload_verified_bytes=5)
    problem = only(two.examine(), "mesh")
    assert (problem.what, problem.value) == ("payload arrives changed", "3 wrong bytes of 8")


def test_payload_that_was_not_checked_is_no_pass(rack: MakeRack) -> None:
    two = rack(2)
    two.result("h2", "h1:p0>h2:p0/ud/dst", payload_verified_bytes=None)
    assert "its payload was not checked" in only(two.examine(), "mesh").value


def test_an_agent_that_refuses_fails_its_pairs_with_its_words(rack: MakeRack) -> None:
    three = rack(3)
    error = {"kind": "no_resources", "message": "rxe0: no queue pair 1: EAGAIN", "detail": None}
    three.behaviours["h2"]["errors"] = {"prepare": error}
    problem = only(three.examine(), "mesh")
    assert problem.where == "h2"
    assert "EAGAIN" in problem.value


def test_an_agent_that_is_killed_in_the_mesh_fails_its_host(rack: MakeRack) -> None:
    three = rack(3)
    three.behaviours["h2"]["die_on"] = "connect"
    report = three.examine()
    assert report.cell("h2", "mesh").state is FAILED
    assert report.cell("h1", "mesh").state is OK
    assert any("SIGKILL" in problem.line for problem in report.problems)
    assert three.running() == []


# --- bandwidth ---------------------------------------------------------------------------------------------------


def test_a_slow_host_is_named_and_its_neighbours_are_not(rack: MakeRack) -> None:
    four = rack(4)
    four.slow("h3", 100_000_000)
    report = four.examine()
    problem = only(report, "bandwidth")
    assert (problem.where, problem.what) == ("h3", "far slower than its neighbours")
    assert "100 Mb/s of 1 Gb/s" in problem.value
    assert not report.healthy


def test_everything_far_below_line_rate_is_one_warning(rack: MakeRack) -> None:
    three = rack(3)
    for host in ("h1", "h2", "h3"):
        three.slow(host, 200_000_000)
    problem = only(three.examine(), "bandwidth")
    assert (problem.state, problem.where) == (WARNING, "h1, h2, h3")
    assert "200 Mb/s of 1 Gb/s, 50% of a CPU" in problem.value


def test_nothing_acknowledged_is_no_rate(rack: MakeRack) -> None:
    two = rack(2)
    two.result("h1", "h1:p0>h2:p0/bandwidth/src", bytes_acked=0)
    assert "no 1 MiB message was acknowledged" in only(two.examine(), "bandwidth").line


@pytest.mark.parametrize(
    ("count", "option", "measured"), [(2, None, True), (2, False, False), (9, None, False), (9, True, True)]
)
def test_bandwidth_is_measured_on_small_sites_or_when_asked(
    rack: MakeRack, count: int, option: bool | None, measured: bool
) -> None:
    report = rack(count).examine(bandwidth=option)
    assert ("bandwidth" in report.facts) is measured
    assert report.healthy
