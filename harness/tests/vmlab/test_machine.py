from __future__ import annotations

import pytest

from harness.bindings.vmlab import machine
from harness.bindings.vmlab.image import Image
from harness.bindings.vmlab.machine import (
    Accel,
    Backends,
    backend_options,
    machine_digest,
    machine_options,
    memory_options,
)
from harness.bindings.vmlab.plan import MAX_LINKS, plan


@pytest.fixture
def image(tmp_path):
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "build-id").write_text("b1\n")
    return Image(folder)


def backends(tmp_path, two_hosts, node: str) -> Backends:
    guest = plan(two_hosts).guests[node]
    return Backends(tmp_path, tmp_path, node, 20001, guest.nics)


def test_every_data_nic_has_one_back_end(tmp_path, two_hosts, image):
    front = machine_options(image, Accel.TCG)
    wanted = [f"netdev=data{slot}," for slot in range(1, MAX_LINKS + 1)]
    assert all(any(want in option for option in front) for want in wanted)
    for node in two_hosts.nodes:
        back = backend_options(backends(tmp_path, two_hosts, node))
        ids = [option.split("id=")[1].split(",")[0] for option in back if "id=data" in option]
        assert ids == [f"data{slot}" for slot in range(1, MAX_LINKS + 1)]


def test_the_two_ends_of_a_link_name_each_other(tmp_path, two_hosts):
    host = next(o for o in backend_options(backends(tmp_path, two_hosts, "h1")) if o.startswith("dgram"))
    switch = next(o for o in backend_options(backends(tmp_path, two_hosts, "sw1")) if o.startswith("dgram"))
    local, remote = f"{tmp_path}/h1.p0.link", f"{tmp_path}/sw1.e1.link"
    assert f"local.path={local}," in host
    assert host.endswith(f"remote.path={remote}")
    assert f"local.path={remote}," in switch
    assert switch.endswith(f"remote.path={local}")


def test_guests_are_reached_on_loopback_alone_and_reach_nothing(tmp_path, two_hosts):
    options = backend_options(backends(tmp_path, two_hosts, "h1"))
    (user,) = [option for option in options if option.startswith("user,")]
    assert "restrict=on" in user
    assert "hostfwd=tcp:127.0.0.1:20001-:22" in user


def test_a_snapshot_is_written_once_and_then_only_read():
    assert "share=on" in memory_options("m", shared=True)[1]
    assert "share=off" in memory_options("m", shared=False)[1]


def test_a_snapshot_depends_on_image_build_qemu_and_accelerator(image, monkeypatch):
    monkeypatch.setattr(machine, "qemu_version", lambda: "QEMU 7.2")
    first = machine_digest(image, Accel.TCG)
    assert machine_digest(image, Accel.TCG) == first
    digests = {first, machine_digest(image, Accel.KVM)}
    (image.folder / "build-id").write_text("b2\n")
    digests.add(machine_digest(image, Accel.TCG))
    monkeypatch.setattr(machine, "qemu_version", lambda: "QEMU 10.0")
    digests.add(machine_digest(image, Accel.TCG))
    monkeypatch.setattr(machine, "GUEST_MEMORY", 2**30)
    digests.add(machine_digest(image, Accel.TCG))
    assert len(digests) == 5
