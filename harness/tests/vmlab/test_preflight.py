from __future__ import annotations

import shutil
from typing import NamedTuple

import pytest

from harness.bindings.vmlab import preflight
from harness.bindings.vmlab.errors import LabError
from harness.bindings.vmlab.preflight import available_memory, check_build, check_run


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def has_all(monkeypatch):
    monkeypatch.setattr(preflight, "find_program", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**12))
    monkeypatch.setattr(preflight, "available_memory", lambda: 2**36)


def test_a_machine_with_everything_passes(has_all, tmp_path):
    check_build(tmp_path / "not" / "there" / "yet")
    check_run(tmp_path, 5)


def test_every_missing_program_comes_with_its_package(has_all, monkeypatch, tmp_path):
    monkeypatch.setattr(preflight, "find_program", lambda name: None)
    with pytest.raises(LabError) as caught:
        check_build(tmp_path)
    said = str(caught.value)
    for program, package in {"qemu-system-x86_64": "qemu-system-x86", "mksquashfs": "squashfs-tools"}.items():
        assert f"{program} (Debian package {package})" in said
    assert "apt-get install mmdebstrap squashfs-tools qemu-system-x86" in said
    with pytest.raises(LabError, match=r"apt-get install qemu-system-x86$"):
        check_run(tmp_path, 1)


def test_too_little_memory_is_told_in_numbers(has_all, monkeypatch, tmp_path):
    monkeypatch.setattr(preflight, "available_memory", lambda: 2**30)
    check_run(tmp_path, 1)
    with pytest.raises(LabError, match=r"5 guests need 2\.8 GiB of memory and 1\.0 GiB are available"):
        check_run(tmp_path, 5)


def test_memory_that_nobody_tells_is_no_reason_to_refuse(has_all, monkeypatch, tmp_path):
    monkeypatch.setattr(preflight, "available_memory", lambda: None)
    check_run(tmp_path, 5)


def test_a_full_disk_is_told_with_the_way_out(has_all, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**8))
    with pytest.raises(LabError, match=r"0\.1 GB free and the lab needs 2\.0 GB; .*ROCE_LAB_DIR"):
        check_build(tmp_path)


def test_building_without_root_needs_user_namespaces(has_all, monkeypatch, tmp_path):
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 1000)
    check_build(tmp_path)
    monkeypatch.setattr(preflight, "find_program", lambda name: None if name == "newuidmap" else name)
    with pytest.raises(LabError, match="apt-get install uidmap"):
        check_build(tmp_path)


def test_this_machine_tells_its_memory():
    assert available_memory() > 2**20
