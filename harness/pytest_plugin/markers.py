"""What a suite says about a test beside its body, checked when it is collected or before it runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from harness.core.capability import Capability
from harness.core.errors import HarnessError, TopologyNotOffered
from harness.pytest_plugin.options import POOL, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from harness.core.fabric import Fabric

_LAB_MARKERS = ("plan", "needs", "negative_control")
_LAB_FIXTURES = ("fabric", "expect")
_ONE_TEXT = (
    ("topology", "'star-9'"),
    ("negative_control", "'PFC switched off'"),
    ("deviation", "'status_of_long_send'"),
)
# As in the catalogue of test cases: letters of the family, a number, perhaps a letter (PFC-07, ECN-03b).
_PLAN_ID = re.compile(r"[A-Z][A-Z0-9]*-\d+[a-z]?")


def is_lab_test(item: pytest.Item) -> bool:
    """Tell a test that judges a fabric from an ordinary unit test, which this plugin leaves alone."""
    uses = any(name in getattr(item, "fixturenames", ()) for name in _LAB_FIXTURES)
    return uses or any(item.get_closest_marker(name) for name in _LAB_MARKERS)


def topology_of(item: pytest.Item) -> str:
    """Topology of the test: its closest marker, else the option."""
    marker = item.get_closest_marker("topology")
    return item.config.stash[SETTINGS].topology if marker is None else str(marker.args[0])


def plan_ids_of(item: pytest.Item) -> tuple[str, ...]:
    """Plan IDs of the test, its module and class, each once, the outermost marker first."""
    markers = reversed(list(item.iter_markers("plan")))
    return tuple(dict.fromkeys(plan_id for marker in markers for plan_id in marker.args))


def control_of(item: pytest.Item) -> str | None:
    """What a negative control breaks on purpose; None for an ordinary test."""
    marker = item.get_closest_marker("negative_control")
    return None if marker is None else str(marker.args[0])


def catches_of(item: pytest.Item) -> tuple[tuple[str, str], ...]:
    """Pairs of a defect and the measurement by which the test sees it, the uppermost marker first."""
    return tuple((marker.args[0], marker.args[1]) for marker in item.iter_markers("catches"))


def deviation_of(item: pytest.Item, known: Mapping[str, str]) -> str | None:
    """What the drivers of the fabric know of a deviation that the test names; None when they know of none."""
    subjects = (marker.args[0] for marker in item.iter_markers("deviation"))
    return next((known[subject] for subject in subjects if subject in known), None)


def fabric_of(item: pytest.Item) -> Fabric:
    """Reserve (once) the fabric that this test runs on."""
    return item.config.stash[POOL].get(topology_of(item), item.nodeid)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse markers that would silently do nothing, all mistakes in one usage error; keep what --cases asks for."""
    mistakes = [f"{item.nodeid}: {mistake}" for item in items for mistake in _mistakes(item)]
    if mistakes:
        raise pytest.UsageError(*mistakes)
    kept = list(_chosen(items, config.getoption("--cases"), set(config.stash[SETTINGS].defects)))
    if len(kept) < len(items):
        chosen = set(kept)
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = kept


def _chosen(items: list[pytest.Item], cases: str, defects: set[str]) -> Generator[pytest.Item]:
    """Cases to run: those that say they catch an active defect; with "first" also the first one of each test."""
    seen: set[str] = set()
    for item in items:
        test = item.nodeid.partition("[")[0]
        first = test not in seen
        seen.add(test)
        catching = defects.intersection(name for name, _ in catches_of(item))
        if cases == "all" or catching or (cases == "first" and first):
            yield item


def _mistakes(item: pytest.Item) -> Generator[str]:
    for marker in item.iter_markers("plan"):
        wrong = [plan_id for plan_id in marker.args if not _is_plan_id(plan_id)]
        if wrong or not marker.args:
            yield f"plan{marker.args!r}: give IDs such as 'PFC-07'"
    for marker in item.iter_markers("needs"):
        if not marker.args or not all(isinstance(need, Capability) for need in marker.args):
            yield f"needs{marker.args!r}: give members of Capability: {', '.join(c.name for c in Capability)}"
    for marker in item.iter_markers("catches"):
        if len(marker.args) != 2 or not all(isinstance(text, str) and text.strip() for text in marker.args):
            yield f"catches{marker.args!r}: give a defect and a measurement: 'marking_off', 'packets marked'"
    for name, example in _ONE_TEXT:
        for marker in item.iter_markers(name):
            if len(marker.args) != 1 or not isinstance(marker.args[0], str) or not marker.args[0].strip():
                yield f"{name}{marker.args!r}: give one text such as {example}"


def _is_plan_id(value: object) -> bool:
    return isinstance(value, str) and _PLAN_ID.fullmatch(value) is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Skip a test whose fabric lacks what it needs, naming that, before any fixture is set up."""
    if item.get_closest_marker("skip") is None and (lacks := _lacks(item)):
        fabric = item.config.stash[SETTINGS].fabric
        # As a marker, so that pytest reports the place of the test and not of this line.
        item.add_marker(pytest.mark.skip(reason=f"fabric {fabric!r} does not offer {lacks}"))
    return (yield)


def _lacks(item: pytest.Item) -> str:
    """Names of what the test needs and its fabric does not have: capabilities, or the shape."""
    needed = {need for marker in item.iter_markers("needs") for need in marker.args}
    if not needed and "fabric" not in getattr(item, "fixturenames", ()):
        return ""
    try:
        return _named(needed - fabric_of(item).capabilities)
    except TopologyNotOffered:
        return ", ".join(filter(None, (_lacks_anyway(item, needed), f"TOPOLOGY {topology_of(item)}")))


def _lacks_anyway(item: pytest.Item, needed: set[Capability]) -> str:
    """What the lab would lack even if it had the shape: that of the fabric that tests without a topology use."""
    settings = item.config.stash[SETTINGS]
    try:
        offered = item.config.stash[POOL].get(settings.topology, item.nodeid).capabilities
    except HarnessError:  # a test that can run there reports it
        return ""
    return _named(needed - offered)


def _named(capabilities: set[Capability]) -> str:
    return ", ".join(sorted(need.name for need in capabilities))
