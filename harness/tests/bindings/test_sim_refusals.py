"""What only hosts can do: the simulator says so before it starts, and never sees the keys of hosts."""

from __future__ import annotations

import dataclasses
import json

import pytest

from harness.bindings.sim import SimFabric, find_simulator
from harness.bindings.sim.fabric import CAPABILITIES
from harness.core.capability import Capability
from harness.core.errors import ConfigError
from harness.core.events import HostDown
from harness.core.flow import Flow, Flows
from harness.core.load import Load
from harness.core.scenario import Scenario
from harness.core.topology import Topology
from harness.core.verbs import Reduce, VerbsOptions

PLAIN = Flow(name="f", src="h1:p0", dst="h2:p0", message_bytes=4096)
REDUCE = Reduce(
    group="g", ranks=2, src_rank=0, dst_rank=1, offset=0, op="sum", dtype="int32", buffer_bytes=4096
)


@pytest.fixture
def simulator():
    with SimFabric(Topology.load("dumbbell"), 1, find_simulator()) as simulator:
        yield simulator


def run(simulator, events=(), **changes):
    flow = dataclasses.replace(PLAIN, **changes)
    return simulator.run(Scenario(Flows([flow]), events=events, sample_every=0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verb": "write_imm"}, r"verb: flow 'f': the simulator does not model this \(value 'write_imm'\)"),
        ({"verb": "fetch_add", "message_bytes": 8}, r"verb: .*'fetch_add'"),
        ({"transport": "xrc"}, r"transport: .*'xrc'"),
        ({"verbs": VerbsOptions(ping_pong=True)}, r"verbs.ping_pong: .*True"),
        ({"verbs": VerbsOptions(fault="bad_rkey")}, r"verbs.fault: .*--fabric vmlab"),
        ({"verbs": VerbsOptions(recover="reset")}, r"verbs.recover: "),
        ({"verbs": VerbsOptions(engine="perftest")}, r"verbs.engine: "),
        ({"verbs": VerbsOptions(srq=True)}, r"verbs.srq: "),
        ({"load": Load(batch=32)}, r"load: .*does not model this"),
        ({"load": Load()}, r"load: .*does not model this"),
    ],
)
def test_what_the_model_lacks_is_refused(simulator, changes, message):
    with pytest.raises(ConfigError, match=message):
        run(simulator, **changes)


def test_a_host_cannot_lose_power(simulator):
    with pytest.raises(ConfigError, match=r"events\[0\]: .*lose power \(value 'h1'\)"):
        run(simulator, events=[HostDown(at="1us", host="h1")])


@pytest.mark.parametrize("check_payload", [True, False])
def test_checks_of_payload_hold_by_construction(simulator, check_payload):
    result = run(simulator, verbs=VerbsOptions(check_payload=check_payload))
    assert result.invalid_reasons == ()
    kept = json.loads((result.folder / "job.json").read_text())
    assert "verbs" not in kept["flows"][0]


def test_a_reduction_is_only_its_transfers(simulator):
    assert run(simulator, reduce=REDUCE).flow("f").bytes_delivered == 4096


def test_it_does_not_offer_what_it_refuses():
    only_hosts = {
        Capability.REAL_VERBS,
        Capability.WITNESS,
        Capability.SRQ,
        Capability.XRC,
        Capability.LOAD_OPTIONS,
        Capability.HOST_DOWN,
    }
    assert not only_hosts & CAPABILITIES
