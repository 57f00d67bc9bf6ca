from __future__ import annotations

import stat

from harness.bindings.vmlab.initramfs import Entry, cpio


def parsed(archive: bytes) -> list[tuple[str, int, bytes]]:
    """Read newc as the kernel does: 13 fields of eight hex digits, names and data padded to four bytes."""
    found, at = [], 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_size]
        assert name.endswith(b"\0")
        at += (110 + name_size + 3) & ~3
        data = archive[at : at + size]
        at += (size + 3) & ~3
        if name == b"TRAILER!!!\0":
            assert at == len(archive)
            return found
        found.append((name[:-1].decode(), mode, data))


def test_what_goes_in_comes_out():
    entries = [
        Entry("bin"),
        Entry("bin/sh", b"#!", 0o755),
        Entry("odd", b"12345", 0o600),
        Entry("empty", b"", 0o644),
    ]
    files = parsed(cpio(entries))
    assert [name for name, _, _ in files] == ["bin", "bin/sh", "odd", "empty"]
    assert [data for _, _, data in files] == [b"", b"#!", b"12345", b""]
    assert stat.S_ISDIR(files[0][1])
    assert files[2][1] == stat.S_IFREG | 0o600


def test_the_same_input_gives_the_same_bytes():
    entries = [Entry("a", b"x"), Entry("b", b"y")]
    assert cpio(entries) == cpio(entries)
