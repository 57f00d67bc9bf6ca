"""What every switch driver must keep to; drivers are found by name, so a new one is covered without being told."""

from __future__ import annotations

import inspect

import pytest

from harness.core.errors import ConfigError, HarnessError
from harness.switches import SwitchDriver, load, names
from harness.tests.switches.bench import Recording, topology
from harness.transport.remote import Completed

MEMBERS = {name for name in vars(SwitchDriver) if not name.startswith("_")}


@pytest.fixture(params=names())
def driver_class(request):
    return load(request.param)


def test_it_is_a_driver_of_its_own_name(driver_class):
    assert {name for name in MEMBERS if hasattr(driver_class, name)} == MEMBERS
    assert load(driver_class.name) is driver_class
    assert all(subject and sentence for subject, sentence in driver_class.deviations.items())


def test_its_methods_take_what_the_protocol_says(driver_class):
    for name in MEMBERS:
        asked = getattr(SwitchDriver, name)
        if inspect.isfunction(asked):
            given = inspect.signature(getattr(driver_class, name)).parameters
            assert list(given) == list(inspect.signature(asked).parameters), name


def test_it_is_made_of_a_remote_a_node_ports_and_a_topology(driver_class):
    wanted = ["remote", "node", "ports", "topology"]
    assert list(inspect.signature(driver_class).parameters) == wanted


@pytest.mark.parametrize(
    "answer", [Completed(127, "", "sh: not found"), Completed(0, "", ""), Completed(0, "login:", "")]
)
def test_a_machine_that_is_no_such_switch_is_named(driver_class, answer):
    with pytest.raises(HarnessError, match="sw1"):
        driver_class(Recording(answer), "sw1", {"e1": "e1", "e2": "e2"}, topology())


def test_an_unknown_system_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"'sonic'.*linux"):
        load("sonic")
