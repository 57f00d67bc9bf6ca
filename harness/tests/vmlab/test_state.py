from __future__ import annotations

import json

import pytest

from harness.bindings.vmlab.process import Process
from harness.bindings.vmlab.state import (
    STATE_FILE,
    GuestState,
    LabState,
    forget_state,
    labs,
    read_state,
    write_state,
)


def state(name: str = "mine", owner: Process | None = None) -> LabState:
    guests = {"h1": GuestState(20001, Process(7, 8, "boot")), "h2": GuestState(20002)}
    return LabState(name, {"name": "softroce-2"}, "image", "build", "tcg", owner, guests)


def test_what_is_written_is_read(layout):
    for owner in (None, Process.current()):
        write_state(layout.run("mine"), state(owner=owner))
        assert read_state(layout.run("mine")) == state(owner=owner)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": 999}', '{"version": 1, "guests": 3}'])
def test_a_file_that_a_crash_left_is_no_state(layout, text):
    (layout.run("mine") / STATE_FILE).write_text(text)
    assert read_state(layout.run("mine")) is None


def test_a_key_that_is_missing_makes_no_state(layout):
    data = json.loads(state().to_json())
    del data["image"]
    assert LabState.from_json(json.dumps(data)) is None


def test_labs_are_those_with_a_state(layout):
    for name in ("b", "a", "gone"):
        write_state(layout.run(name), state(name))
    layout.run("never-up")
    forget_state(layout.run("gone"))
    forget_state(layout.run("gone"))
    assert [lab.name for lab in labs(layout)] == ["a", "b"]
