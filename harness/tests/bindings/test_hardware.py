"""The binding for real hosts, up to where machines are needed."""

from __future__ import annotations

import pytest

from harness.bindings import engine_option, hardware, sim, vmlab
from harness.core.capability import Capability
from harness.core.errors import ConfigError, HarnessError, TopologyNotOffered
from harness.core.topology import Topology

SITE = """
topology: {topology}
defaults: {{user: root}}
hosts:
  h1: {{address: 127.0.0.1, port: 1, ports: {{p0: {{device: mlx5_0}}}}}}
  h2: {{address: 127.0.0.1, port: 1, ports: {{p0: {{device: mlx5_0}}}}}}
"""


@pytest.fixture
def site(tmp_path):
    def write(topology="softroce-2", text=SITE):
        path = tmp_path / "site.yaml"
        path.write_text(text.format(topology=topology))
        return path

    return write


@pytest.fixture
def made(monkeypatch):
    """What HostFabric would be made of."""
    calls = []
    monkeypatch.setattr(hardware, "HostFabric", lambda *args, **options: calls.append((args, options)))
    return calls


TOPOLOGY = Topology.load("softroce-2")


def test_the_topology_is_that_of_the_site_by_default(site):
    assert hardware.default_topology(site("rack")) == "rack"


def test_without_a_site_it_says_how():
    with pytest.raises(
        ConfigError, match=r"--site: real hosts need a site file; .*--site FILE.*example.yaml"
    ):
        hardware.reserve(TOPOLOGY)


def test_a_site_of_another_topology_is_not_offered(site):
    with pytest.raises(
        TopologyNotOffered, match=r"site.yaml: topology: .*another topology \(value 'rack'\).*softroce-2"
    ):
        hardware.reserve(TOPOLOGY, site("rack"))


def test_a_site_that_does_not_fit_is_refused_before_anybody_is_dialled(site):
    path = site(text=SITE.replace("h2:", "h9:"))
    with pytest.raises(ConfigError, match="no such host"):
        hardware.reserve(TOPOLOGY, path)


@pytest.mark.parametrize(("said", "owned"), [(None, False), ("1", True), ("0", False), ("yes", False)])
def test_only_an_owner_may_disturb(site, made, monkeypatch, said, owned):
    if said is None:
        monkeypatch.delenv(hardware.MAY_DISTURB, raising=False)
    else:
        monkeypatch.setenv(hardware.MAY_DISTURB, said)
    hardware.reserve(TOPOLOGY, site(), 7)
    (args, options) = made[0]
    assert (args[0], args[3]) == ("hardware", 7)
    assert options["may_disturb"] is owned
    assert options["capabilities"] == {Capability.REAL_TIME}


def test_the_parameter_wins_over_the_environment(site, made, monkeypatch):
    monkeypatch.setenv(hardware.MAY_DISTURB, "1")
    hardware.reserve(TOPOLOGY, site(), may_disturb=False)
    assert made[0][1]["may_disturb"] is False


@pytest.mark.parametrize(
    ("given", "said", "engine"),
    [(None, None, "auto"), (None, "native", "native"), ("pyverbs", "native", "pyverbs")],
)
def test_the_engine_is_that_of_the_option_or_of_the_environment(site, made, monkeypatch, given, said, engine):
    monkeypatch.delenv("ROCE_ENGINE", raising=False)
    if said is not None:
        monkeypatch.setenv("ROCE_ENGINE", said)
    hardware.reserve(TOPOLOGY, site(), engine=given)
    assert made[0][1]["engine"] == engine


def test_a_simulated_fabric_has_no_engines():
    assert engine_option(sim, "sim", None) == {}
    assert engine_option(hardware, "hardware", "native") == {"engine": "native"}
    assert engine_option(vmlab, "vmlab", "auto") == {"engine": "auto"}
    with pytest.raises(ConfigError, match=r"--engine: fabric 'sim' has no engines .*--fabric vmlab"):
        engine_option(sim, "sim", "native")
    with pytest.raises(ConfigError, match="--engine: no such engine"):
        engine_option(hardware, "hardware", "perftest")


def test_a_host_that_nobody_answers_at_is_named(site, monkeypatch):
    monkeypatch.setattr("harness.transport.dialing.BACKOFF_S", (0.01,))
    with pytest.raises(HarnessError, match="^h[12]: "):
        hardware.reserve(TOPOLOGY, site())
