"""Command line, marker list and the settings made from them."""

from __future__ import annotations

import argparse
import os
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.core.engine import ENGINE_VARIABLE
from harness.core.errors import ConfigError, SimError
from harness.core.site import MAY_DISTURB
from harness.core.topology import Topology
from harness.pytest_plugin.pool import FabricPool, check_defects, check_engine, default_topology
from harness.pytest_plugin.settings import DEFAULT_FABRIC, DEFAULT_SEED, DEFAULT_TOPOLOGY, Settings

if TYPE_CHECKING:
    from collections.abc import Generator

SETTINGS = pytest.StashKey[Settings]()
POOL = pytest.StashKey[FabricPool]()

_MARKERS = (
    "plan(*ids): cases of the test plan that this test implements, such as 'PFC-07'",
    "needs(*capabilities): skip, naming what is missing, unless the fabric offers all of these Capability members",
    "topology(name): run on this topology instead of the one of --topology",
    "deviation(subject): a FAIL is skipped where the drivers of the fabric know this deviation of their devices",
    "catches(defect, measurement): the test sees this defect of simulated devices, by a FAIL of this measurement",
    "negative_control(what): `what` is broken on purpose, and at least one measurement must FAIL",
)
_MAX_SEED = 2**63 - 1
# A name of our own, so that the value of pytest-html's option of the same spelling is never read.
_HTML = "fabric_report_html"
_NO_PAGE = "none"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the lab; `--help` lists them in a group of their own."""
    group = parser.getgroup("fabric validation")
    add = group.addoption
    add(
        "--fabric",
        default=DEFAULT_FABRIC,
        metavar="NAME",
        help="kind of fabric: a module of harness.bindings",
    )
    add(
        "--topology",
        default=None,
        metavar="NAME",
        help=f"topology of tests that name none (or a file; default: {DEFAULT_TOPOLOGY}, or that of the lab)",
    )
    add(
        "--defect",
        action="append",
        default=[],
        metavar="NAME",
        help="a defect of the simulated devices, to see which tests notice it (roce defects --list names them)",
    )
    add(
        "--cases",
        choices=("all", "first", "catching"),
        default="all",
        help="which cases of tests run: all; the first of each test and all that say they catch a defect of --defect; "
        "only the latter",
    )
    add("--site", default=None, metavar="SITE", help="where the nodes of the topology are (real labs)")
    add(
        "--engine",
        default=None,
        metavar="NAME",
        help="what makes the traffic of real hosts: auto (the native generator where a host has it), pyverbs, native "
        f"(default: ${ENGINE_VARIABLE}, else auto)",
    )
    add(
        "--i-own-this-fabric",
        action="store_true",
        help="allow what disturbs others on real fabrics: pause storms, link flaps, injected loss, QoS changes",
    )
    add(
        "--seed",
        default=DEFAULT_SEED,
        type=_seed,
        metavar="N",
        help="seeds every random draw (default %(default)s)",
    )
    add(
        "--record",
        default=None,
        metavar="DIR",
        help="folder of the record and report (default: runs/<date-time>)",
    )
    try:
        add(
            "--html",
            dest=_HTML,
            default=None,
            metavar="PATH",
            help="where the HTML page goes (default: report.html in --record); none: no page",
        )
    except ValueError:
        # pytest-html owns this option where it is installed; our page then stays beside the record.
        return


def _seed(text: str) -> int:
    if not re.fullmatch(r"\d{1,19}", text) or int(text) > _MAX_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed: give a whole number from 0 to 2^63-1")
    return int(text)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the markers and read the options; a wrong fabric or topology is a usage error, before anything runs."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    try:
        settings = _settings(config)
        check_defects(settings.fabric, settings.defects)
        check_engine(settings.fabric, settings.engine)
        if settings.topology != DEFAULT_TOPOLOGY:
            Topology.load(settings.topology)  # tests may all name their own, and the mistake would go unseen
    except (ConfigError, SimError) as error:
        raise pytest.UsageError(str(error)) from None
    if config.getoption("--i-own-this-fabric"):
        os.environ[MAY_DISTURB] = "1"  # workers of pytest-xdist inherit it
    _check_writable("--record", settings.folder)
    if settings.html is not None:
        _check_writable("--html", settings.html)
    config.stash[SETTINGS] = settings
    config.stash[POOL] = FabricPool(settings)


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Give the fabrics back in the process that reserved them, whatever else happens at the end."""
    try:
        return (yield)
    finally:
        session.config.stash[POOL].close()


def _check_writable(option: str, path: Path) -> None:
    """Find out before a run of hours that its record has no place; nothing is made yet."""
    existing = next(place for place in path.parents if place.exists())
    if not existing.is_dir():
        raise pytest.UsageError(f"{option}: cannot write there: {str(existing)!r} is not a folder")
    if not os.access(existing, os.W_OK):
        raise pytest.UsageError(f"{option}: cannot write there: no permission to write to {str(existing)!r}")


def _settings(config: pytest.Config) -> Settings:
    folder, latest = _folder(config)
    html, fabric = config.getoption(_HTML, None), config.getoption("--fabric")
    site = Path(config.invocation_params.dir, given) if (given := config.getoption("--site")) else None
    return Settings(
        fabric=fabric,
        topology=config.getoption("--topology") or default_topology(fabric, site),
        site=site,
        seed=config.getoption("--seed"),
        folder=folder,
        html=_page(config, html, folder),
        latest=latest,
        defects=tuple(config.getoption("--defect")),
        engine=config.getoption("--engine"),
    )


def _page(config: pytest.Config, given: str | None, folder: Path) -> Path | None:
    """The place of the page, None where none is wanted."""
    if given == _NO_PAGE:
        return None
    return Path(config.invocation_params.dir, given) if given else folder / "report.html"


def _folder(config: pytest.Config) -> tuple[Path, Path | None]:
    """The folder of a session's record and, for the default place, the link that names the latest one."""
    given = config.getoption("--record")
    if given is not None:
        return Path(config.invocation_params.dir, given), None
    runs = config.rootpath / "runs"
    stamp = datetime.now().astimezone().strftime("%Y-%m-%dT%H-%M-%S")
    names = (runs / (stamp if number == 1 else f"{stamp}-{number}") for number in range(1, 10_000))
    return next(path for path in names if not path.exists()), runs / "latest"
