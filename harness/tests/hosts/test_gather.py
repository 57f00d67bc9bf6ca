"""The same work on many machines at once: what is raised, and when."""

from __future__ import annotations

import threading

import pytest

from harness.core.errors import CommandTimeout, DriverError
from harness.hosts.gather import complete, each, together


def fail() -> None:
    raise DriverError("sw1: no")


def test_each_raises_at_once_while_complete_waits_for_the_others() -> None:
    """A switch that was still being configured when a host failed was configured after its clean-up."""
    go, done = threading.Event(), []

    def work(name: str) -> None:
        if name == "h1":
            fail()
        go.wait(5)
        done.append(name)

    with pytest.raises(DriverError):
        each(["h1", "sw1"], work, timeout_s=5, what="work")
    assert done == []
    go.set()
    with pytest.raises(DriverError):
        complete(["h1", "sw1"], work, timeout_s=5, what="work")
    assert "sw1" in done


def test_what_is_done_together_has_ended_when_it_raises() -> None:
    done = []

    def slow() -> None:
        threading.Event().wait(0.1)
        done.append("switches")

    with pytest.raises(DriverError):
        together({"hosts": fail, "switches": slow}, timeout_s=5, what="preparing")
    assert done == ["switches"]


def test_what_never_ends_is_a_time_out() -> None:
    stuck = threading.Event()
    with pytest.raises(CommandTimeout, match="sw1: work was not done within 0.05 s"):
        complete(["sw1"], lambda _: stuck.wait(5), timeout_s=0.05, what="work")
    stuck.set()
