from __future__ import annotations

import pytest

from harness.core.errors import ConfigError
from harness.core.site import DEFAULT_DSCP, RdmaPort, Site
from harness.core.topology import Topology

TEXT = """\
topology: {name}
defaults: {{user: lab, port: 2222, python: /opt/python}}
hosts:
{hosts}
switches:
  sw1: {{os: linux, address: 192.0.2.1, user: root, ports: {{{ports}}}}}
dscp: {{4: 32}}
"""


def site_of(tmp_path, text):
    path = tmp_path / "site.yaml"
    path.write_text(text)
    return Site.load(path)


@pytest.fixture
def star():
    return Topology.load("star-9")


@pytest.fixture
def text(star):
    hosts = "\n".join(f"  {host}: {{ports: {{p0: {{device: mlx5_0}}}}}}" for host in star.hosts)
    ports = ", ".join(f"{port}: swp{index}" for index, port in enumerate(star.ports("sw1")))
    return TEXT.format(name="star-9", hosts=hosts, ports=ports)


def test_defaults_reach_every_machine_that_does_not_say_otherwise(tmp_path, star, text):
    site = site_of(tmp_path, text)
    site.check(star)
    assert (site.access("h3").address, site.access("h3").user, site.access("h3").port) == ("h3", "lab", 2222)
    assert (site.access("sw1").address, site.access("sw1").user) == ("192.0.2.1", "root")
    assert site.python("h1") == "/opt/python"


def test_priorities_have_the_dscp_of_the_site_else_the_usual_one(tmp_path, text):
    site = site_of(tmp_path, text)
    assert site.dscp_of(4) == 32
    assert [site.dscp_of(priority) for priority in (0, 3, 6)] == [0, 26, 48]
    assert all(dscp >> 3 == priority for priority, dscp in DEFAULT_DSCP.items())


def test_switches_may_be_left_out_but_hosts_may_not(tmp_path, star, text):
    without_switch = text.partition("switches:")[0]
    site_of(tmp_path, without_switch).check(star)
    without_host = text.replace("  h2: {ports: {p0: {device: mlx5_0}}}\n", "")
    with pytest.raises(ConfigError, match=r"hosts: topology 'star-9' has hosts that the site lacks.*h2"):
        site_of(tmp_path, without_host).check(star)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("h2: {ports", "h22: {ports", "hosts.h22: topology 'star-9' has no such host; did you mean"),
        ("h2: {ports: {p0", "h2: {ports: {p9", "hosts.h2.ports: no such entry for port 'p0'"),
        ("sw1: {os", "spine1: {os", "switches.spine1: topology 'star-9' has no such switch"),
        ("e1: swp0", "e1: swp0, x9: swp99", "switches.sw1.ports.x9: the topology has no such port"),
    ],
)
def test_a_site_that_does_not_fit_its_topology_is_told_where(tmp_path, star, text, old, new, message):
    with pytest.raises(ConfigError) as caught:
        site_of(tmp_path, text.replace(old, new)).check(star)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("device: mlx5_0", "devise: mlx5_0", "did you mean 'device'"),
        ("{device: mlx5_0}", "{port: 1}", "which RDMA device?"),
        ("user: lab", "password: secret", "unknown key 'password'"),
        ("port: 2222", "port: 70000", "port"),
        ("dscp: {4: 32}", "dscp: {4: 64}", "dscp"),
        ("dscp: {4: 32}", "max_start_skew: 5", "unit"),
    ],
)
def test_what_is_wrong_in_a_site_file_is_told_with_its_place(tmp_path, text, old, new, message):
    with pytest.raises(ConfigError) as caught:
        site_of(tmp_path, text.replace(old, new, 1))
    assert message in str(caught.value)
    assert "site.yaml:" in str(caught.value)


def test_a_node_that_the_site_lacks_is_told(tmp_path, text):
    with pytest.raises(ConfigError, match="the site has no node 'h77'"):
        site_of(tmp_path, text).access("h77")


def test_a_port_is_known_by_device_or_netdev():
    assert RdmaPort(netdev="ens1f0").device is None
    with pytest.raises(ConfigError, match="which RDMA device"):
        RdmaPort(port=2)


def test_the_schema_names_every_key():
    properties = Site.json_schema()["properties"]
    assert {"topology", "hosts", "switches", "defaults", "dscp", "max_start_skew"} == set(properties)
