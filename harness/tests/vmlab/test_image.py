from __future__ import annotations

import io
import lzma
import subprocess
import tarfile

import pytest

from harness.bindings.vmlab import content, image
from harness.bindings.vmlab.content import digest, guest_file
from harness.bindings.vmlab.errors import LabBusy, LabError
from harness.bindings.vmlab.image import Image, build, find_image, module_order, prune
from harness.bindings.vmlab.keys import make_keys
from harness.bindings.vmlab.state import LabState, write_state

DEPENDENCIES = """\
kernel/fs/overlay.ko.xz:
kernel/net/virtio-net.ko.xz: kernel/net/net_failover.ko.xz kernel/net/failover.ko.xz
kernel/net/net_failover.ko.xz: kernel/net/failover.ko.xz
kernel/net/failover.ko.xz:
"""


def test_modules_come_after_what_they_need():
    assert module_order(DEPENDENCIES, ("overlay", "virtio_net")) == [
        "kernel/fs/overlay.ko.xz",
        "kernel/net/failover.ko.xz",
        "kernel/net/net_failover.ko.xz",
        "kernel/net/virtio-net.ko.xz",
    ]


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(LabError, match="no module squashfs"):
        module_order(DEPENDENCIES, ("overlay", "squashfs"))


def test_the_digest_follows_packages_and_files(monkeypatch):
    before = digest()
    assert before == digest()
    monkeypatch.setattr(content, "PACKAGES", (*content.PACKAGES, "cowsay"))
    with_package = digest()
    monkeypatch.undo()
    monkeypatch.setattr(content, "guest_file", lambda name: guest_file(name) + b"#")
    assert len({before, with_package, digest()}) == 3


def test_guest_scripts_are_sound_shell():
    for name in ("boot", "control", "initramfs-init"):
        done = subprocess.run(["sh", "-n"], input=guest_file(name), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_keys_are_private_and_of_the_form_that_openssh_reads(tmp_path):
    keys = make_keys(tmp_path)
    assert keys.client_private.stat().st_mode & 0o777 == 0o600
    assert keys.host_private.read_bytes().startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    assert keys.client_public.read_text().startswith("ssh-ed25519 ")
    assert keys.client_public.read_text() != keys.host_public.read_text()


def debian(tar) -> None:
    """Write what mmdebstrap would: as little of it as our steps need."""
    modules = "usr/lib/modules/6.12"
    names = [f"kernel/{name}.ko.xz" for name in content.EARLY_MODULES]
    files = {
        "boot/vmlinuz-6.12": b"kernel",
        "usr/bin/busybox": b"busybox",
        f"{modules}/modules.dep": "".join(f"{name}:\n" for name in names).encode(),
        **{f"{modules}/{name}": lzma.compress(name.encode()) for name in names},
    }
    with tarfile.open(tar, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.fixture
def programs(monkeypatch):
    """Stand-ins for mmdebstrap and mksquashfs; gives what was packed."""
    packed: dict[str, bytes] = {}

    def squash(tar, target):
        target.write_bytes(b"squashfs")
        with tarfile.open(tar) as archive:
            packed.update({m.name: archive.extractfile(m).read() for m in archive.getmembers() if m.isfile()})
            packed["init"] = archive.getmember("./usr/sbin/init").linkname.encode()

    monkeypatch.setattr(image, "_mmdebstrap", debian)
    monkeypatch.setattr(image, "_squash", squash)
    monkeypatch.setattr(image, "check_build", lambda cache: None)
    return packed


def test_a_build_has_all_that_a_guest_boots_from(layout, programs):
    said: list[str] = []
    built = build(layout, said.append)
    assert built.kernel.read_bytes() == b"kernel"
    assert b"kernel/squashfs.ko.xz" in built.initramfs.read_bytes(), "modules are unpacked"
    assert programs["./etc/roce/authorized_keys"] == built.keys.client_public.read_bytes()
    assert programs["./etc/roce/host_ed25519"] == built.keys.host_private.read_bytes()
    assert programs["./etc/inittab"] == guest_file("inittab")
    assert programs["init"] == b"../bin/busybox"
    assert built.build_id
    assert built.size_bytes() > 0
    assert said[-1].startswith(f"image {digest()}")


def test_an_image_is_built_once(layout, programs):
    first = build(layout, lambda line: None)
    assert build(layout, pytest.fail).build_id == first.build_id
    again = build(layout, lambda line: None, again=True)
    assert again.folder == first.folder
    assert [path.name for path in layout.images.iterdir()] == [digest()]


def test_a_build_that_fails_leaves_nothing(layout, programs, monkeypatch):
    def fail(tar, target):
        raise LabError("no room")

    monkeypatch.setattr(image, "_squash", fail)
    with pytest.raises(LabError, match="no room"):
        build(layout, lambda line: None)
    assert find_image(layout) is None
    assert list(layout.images.iterdir()) == []


def test_the_image_of_a_running_lab_is_not_replaced(layout, programs):
    build(layout, lambda line: None)
    write_state(layout.run("mine"), LabState("mine", {}, digest(), "", "tcg", None))
    with pytest.raises(LabBusy, match="roce lab down --name mine"):
        build(layout, lambda line: None, again=True)


def test_old_images_go_unless_a_lab_runs_on_them(layout):
    for name in ("old", "used", "new", ".building-x"):
        (layout.images / name).mkdir()
    write_state(layout.run("mine"), LabState("mine", {}, "used", "", "tcg", None))
    prune(layout, Image(layout.images / "new"))
    assert sorted(path.name for path in layout.images.iterdir()) == ["new", "used"]


def test_a_failing_program_is_told_by_its_last_errors(tmp_path):
    with pytest.raises(LabError, match="it broke: E: two / E: three / E: four"):
        image._run(
            ["sh", "-c", "printf 'E: %s\\n' one two three four >&2; echo noise >&2; exit 3"], "it broke"
        )
