from __future__ import annotations

import json

import pytest

from harness.bindings.vmlab import accel
from harness.bindings.vmlab.accel import choose_accel
from harness.bindings.vmlab.image import Image
from harness.bindings.vmlab.machine import Accel


@pytest.fixture
def image(tmp_path, monkeypatch):
    monkeypatch.setattr(accel, "qemu_version", lambda: "QEMU")
    monkeypatch.delenv("ROCE_LAB_ACCEL", raising=False)
    return Image(tmp_path / "image")


def probes(monkeypatch, *answers: str) -> list[str]:
    left = list(answers)
    monkeypatch.setattr(accel, "_why_not_kvm", lambda image: left.pop(0))
    return left


def test_kvm_is_used_when_a_guest_boots_with_it(layout, image, monkeypatch):
    probes(monkeypatch, "")
    assert choose_accel(layout, image, lambda line: None) is Accel.KVM


def test_without_kvm_it_says_why_and_goes_on(layout, image, monkeypatch):
    probes(monkeypatch, "a probe ended with exit code -6")
    said: list[str] = []
    assert choose_accel(layout, image, said.append) is Accel.TCG
    assert said == ["KVM cannot be used (a probe ended with exit code -6); guests are emulated (TCG)"]


def test_the_answer_is_kept_until_the_next_boot(layout, image, monkeypatch):
    left = probes(monkeypatch, "broken", "")
    assert choose_accel(layout, image, lambda line: None) is Accel.TCG
    assert choose_accel(layout, image, pytest.fail) is Accel.TCG
    assert left == [""]
    monkeypatch.setattr(accel, "boot_id", lambda: "the next boot")
    assert choose_accel(layout, image, lambda line: None) is Accel.KVM


@pytest.mark.parametrize("text", ["", "{}", "[]", json.dumps({"key": None, "accel": "warp"})])
def test_a_broken_note_is_probed_again(layout, image, monkeypatch, text):
    probes(monkeypatch, "")
    (layout.folder() / "accel.json").write_text(text)
    assert choose_accel(layout, image, lambda line: None) is Accel.KVM


def test_the_environment_decides(layout, image, monkeypatch):
    monkeypatch.setenv("ROCE_LAB_ACCEL", "tcg")
    assert choose_accel(layout, image, pytest.fail) is Accel.TCG


def test_a_missing_device_is_told_without_a_boot(image, monkeypatch, tmp_path):
    monkeypatch.setattr(accel, "KVM_DEVICE", tmp_path / "kvm")
    assert accel._why_not_kvm(image) == f"there is no {tmp_path}/kvm"


def test_a_probe_is_judged_by_what_the_guest_says(image, monkeypatch, tmp_path):
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(accel, "KVM_DEVICE", device)
    qemu = tmp_path / "qemu"
    monkeypatch.setattr(accel, "find_program", lambda name: str(qemu))
    for script, verdict in {
        "echo 'roce: kernel runs'": "",
        "echo 'cannot set MSR' >&2; exit 1": "a probe ended with exit code 1: cannot set MSR",
        "exit 0": "a probe ended with exit code 0: no message",
        "sleep 5": "a probe did not boot within 0 s",
    }.items():
        monkeypatch.setattr(accel, "PROBE_TIMEOUT_S", 0.3 if "sleep" in script else 5.0)
        qemu.write_text(f"#!/bin/sh\n{script}\n")
        qemu.chmod(0o755)
        assert accel._why_not_kvm(image) == verdict
