"""The options of a flow that only the native generator has."""

from __future__ import annotations

import json

import pytest

from harness.core.errors import ConfigError
from harness.core.flow import Flow, Flows, Verb
from harness.core.load import Burst, CqModeration, Load
from harness.core.scenario import Scenario
from harness.core.verbs import VerbsOptions
from harness.core.yamlio import Document
from harness.patterns.incast import Incast
from harness.patterns.pair import Pair


def flow(size=4096, **keys):
    return Flow(name="f", src="h1:p0", dst="h2:p0", message_bytes=size, **keys)


def test_a_job_has_the_options_only_when_they_are_given():
    assert "load" not in flow().to_job()
    told = json.loads(json.dumps(flow(load=Load()).to_job()))["load"]
    assert told == {
        "batch": 1, "signal_every": None, "inline_bytes": 0, "sges": 1, "post": "auto", "cq_moderation": None,
        "poll": "auto", "integrity": False, "sizes": None, "burst": None, "start_jitter_ps": 0,
        "pacing": "software", "threads": "port", "device_time": False, "relaxed_ordering": True,
    }  # fmt: skip


def test_every_option_reaches_the_job():
    load = Load(
        batch=32, signal_every=16, inline_bytes=64, sges=2, post="wr", cq_moderation=CqModeration(8, 4), poll="busy",
        sizes=((64, 0.5), (4096, 1)), burst=Burst("5us", "15us"), start_jitter_ps="1us", pacing="device",
        threads="flow", relaxed_ordering=False,
    )  # fmt: skip
    told = json.loads(json.dumps(flow(load=load).to_job()))["load"]
    assert told == {
        "batch": 32, "signal_every": 16, "inline_bytes": 64, "sges": 2, "post": "wr",
        "cq_moderation": {"count": 8, "period_us": 4}, "poll": "busy", "integrity": False,
        "sizes": [[64, 0.5], [4096, 1.0]], "burst": {"on_ps": 5_000_000, "off_ps": 15_000_000},
        "start_jitter_ps": 1_000_000, "pacing": "device", "threads": "flow", "device_time": False,
        "relaxed_ordering": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"batch": 0}, "batch"),
        ({"batch": 1025}, "batch"),
        ({"batch": True}, "batch"),
        ({"signal_every": 0}, "signal_every"),
        ({"inline_bytes": 1025}, "inline_bytes"),
        ({"sges": 17}, "sges"),
        ({"post": "fast"}, "post"),
        ({"poll": "never"}, "poll"),
        ({"integrity": 1}, "integrity"),
        ({"sizes": ()}, "sizes"),
        ({"sizes": ((0, 1),)}, "sizes"),
        ({"sizes": ((64, 0),)}, "sizes"),
        ({"sizes": ((64, float("nan")),)}, "sizes"),
        ({"sizes": ((64, 1),) * 33}, "sizes"),
        ({"start_jitter_ps": -1}, "start_jitter_ps"),
        ({"pacing": "none"}, "pacing"),
        ({"threads": 4}, "threads"),
        ({"bach": 4}, "batch"),
    ],
)
def test_values_out_of_range_are_refused_by_name(keys, place):
    with pytest.raises(ConfigError, match=place):
        Load(**keys)


@pytest.mark.parametrize(
    ("load", "keys", "message"),
    [
        (Load(integrity=True), {"size": 16}, r"load.integrity: .*above 16 bytes"),
        (Load(integrity=True), {"size": 8, "verb": Verb.FETCH_ADD}, "load.integrity"),
        (Load(integrity=True), {"verbs": VerbsOptions(ping_pong=True)}, "load.integrity"),
        (Load(integrity=True, sizes=((4096, 1),)), {}, "load.integrity"),
        (Load(sizes=((64, 1), (1024, 1))), {}, "load.sizes: .*largest is 1024, the flow's own size 4096"),
        (Load(sizes=((8, 1),)), {"size": 8, "verb": Verb.ATOMIC}, "load.sizes"),
        (Load(sges=4), {"size": 3}, "load.sges"),
        (Load(sges=2), {"size": 8, "verb": Verb.COMPARE_SWAP}, "load.sges"),
        (Load(inline_bytes=64), {"verb": Verb.READ}, "load.inline_bytes"),
    ],
)
def test_options_that_contradict_the_flow_are_refused(load, keys, message):
    with pytest.raises(ConfigError, match=message):
        flow(load=load, **keys)


def test_a_scenario_file_holds_them():
    load = Load(batch=8, burst=Burst("1us", "3us"), sizes=((64, 3), (1000, 1)))
    scenario = Scenario(Pair(1000, load=load))
    fields = scenario.to_fields()["traffic"][0]["load"]
    assert fields["batch"] == 8
    assert fields["burst"] == {"on_ps": 1_000_000, "off_ps": 3_000_000}
    again = Scenario.from_document(Document("a.yaml", scenario.to_fields()))
    assert again.patterns[0].load == load


def test_patterns_and_listed_flows_carry_them(tmp_path):
    listed = Flows([flow(load=Load(batch=4))])
    again = Flows.from_fields({"pattern": "flows", **listed.to_fields()}, None)
    assert again.items[0].load == Load(batch=4)
    assert Incast(2, 1000, load=Load(sges=2)).load == Load(sges=2)
