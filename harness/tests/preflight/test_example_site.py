"""The example of a site: it loads, fits the topology it names, and leaves no key unexplained."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from harness.core.site import RdmaPort, Site, SiteDefaults, SiteHost, SiteSwitch
from harness.core.topology import Topology

FOLDER = Path(__file__).resolve().parents[3] / "topologies" / "sites"
EXAMPLE = FOLDER / "example.yaml"


def test_the_example_fits_the_topology_that_it_names() -> None:
    site = Site.load(EXAMPLE)
    site.check(Topology.load(site.topology))


@pytest.mark.parametrize("kind", [Site, SiteDefaults, SiteHost, SiteSwitch, RdmaPort])
def test_every_key_of_a_site_is_in_the_example(kind: type) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    names = [field.name for field in dataclasses.fields(kind)]
    assert [name for name in names if f"{name}:" not in text] == []


def test_every_line_with_a_value_of_its_own_is_explained() -> None:
    values = [
        line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if ": " in line.partition("#")[0]
    ]
    repeated = ("address:", "device:", "topology:", "3: 26", "max_start_skew:", "e1:", "e2:", "user:")
    bare = [line for line in values if "#" not in line and not line.strip().startswith(repeated)]
    assert bare == []


def test_defaults_of_the_example_are_those_of_the_model() -> None:
    site = Site.load(EXAMPLE)
    assert site.python("h1") == SiteDefaults().python
    assert site.max_start_skew == dataclasses.replace(site, dscp={}).max_start_skew
    port = site.hosts["h1"].ports["p0"]
    assert (port.port, port.roce, port.family, port.gid) == (1, "v2", "ipv4", None)


def test_real_sites_stay_out_of_the_repository() -> None:
    ignored = [FOLDER / "rack7.yaml", EXAMPLE]
    done = subprocess.run(
        ["git", "check-ignore", *map(str, ignored)], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    if done.returncode == 128:
        pytest.skip("needs a git repository")
    assert done.stdout.split() == [str(FOLDER / "rack7.yaml")]
