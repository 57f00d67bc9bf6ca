from __future__ import annotations

from pathlib import Path

import pytest

from harness.bindings.vmlab.errors import LabError
from harness.bindings.vmlab.layout import LONGEST_SOCKET_NAME, MAX_SOCKET_PATH, Layout


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ROCE_LAB_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert Layout.find().root == tmp_path / ".cache" / "roce-lab"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Layout.find().root == tmp_path / "xdg" / "roce-lab"
    monkeypatch.setenv("ROCE_LAB_DIR", str(tmp_path / "own"))
    assert Layout.find().root == tmp_path / "own"


def test_folders_are_for_their_owner_alone(layout):
    assert layout.run("mine").stat().st_mode & 0o777 == 0o700
    assert layout.images.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["", "../evil", "a/b", ".hidden", "x" * 65, "a b"])
def test_a_name_that_is_no_folder_is_refused(layout, name):
    with pytest.raises(LabError, match="is no name for a lab"):
        layout.run(name)


def test_sockets_are_beside_the_lab_when_the_path_is_short(short_folder):
    layout = Layout(short_folder)
    assert layout.sockets(layout.run("a")) == layout.run("a")


def test_sockets_move_when_the_path_is_too_long(tmp_path, monkeypatch):
    layout = Layout(tmp_path / ("long" * 30))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp")
    first, second = layout.sockets(layout.run("a")), layout.sockets(layout.run("b"))
    try:
        assert first != second
        assert layout.sockets(layout.run("a")) == first
        assert len(str(first)) + LONGEST_SOCKET_NAME <= MAX_SOCKET_PATH
        assert first.stat().st_mode & 0o777 == 0o700
    finally:
        first.rmdir()
        second.rmdir()


def test_a_short_folder_that_others_can_write_is_refused(tmp_path, monkeypatch):
    layout = Layout(tmp_path / ("long" * 30))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp")
    folder = layout.sockets(layout.run("a"))
    try:
        folder.chmod(0o777)
        with pytest.raises(LabError, match="open to others"):
            layout.sockets(layout.run("a"))
    finally:
        folder.rmdir()


def test_a_short_folder_that_is_a_link_is_refused(tmp_path, monkeypatch):
    layout = Layout(tmp_path / ("long" * 30))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp")
    folder = layout.sockets(layout.run("a"))
    folder.rmdir()
    Path(folder).symlink_to(tmp_path)
    try:
        with pytest.raises(LabError, match="somebody else"):
            layout.sockets(layout.run("a"))
    finally:
        folder.unlink()
