"""What a program of Linux needs of the machine that is to run it, read from its ELF file."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from harness.core.errors import ConfigError

Version = tuple[int, ...]

MACHINES = {
    0x03: ("i386", "i486", "i586", "i686"),
    0x15: ("ppc64le", "ppc64"),
    0x16: ("s390x",),
    0x28: ("armv6l", "armv7l", "armv8l"),
    0x3E: ("x86_64",),
    0xB7: ("aarch64",),
    0xF3: ("riscv64",),
}
"""e_machine (System V ABI, Linux elf-em.h) → what `uname -m` says there."""

_CLASS_64, _LITTLE = 2, 1
_STRTAB, _DYNAMIC, _VERNEED = 3, 6, 0x6FFFFFFE
"""Section types (System V ABI, chapter 4; LSB core, symbol versioning)."""

_DT_NEEDED = 1


@dataclass(frozen=True, slots=True)
class Elf:
    """A program: the machines it is for, the youngest glibc it needs (None: no glibc), its shared libraries."""

    machines: tuple[str, ...]
    glibc: Version | None
    libraries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Section:
    kind: int
    offset: int
    size: int
    link: int
    info: int


def read_elf(data: bytes) -> Elf:
    """Return what a program needs; raise ConfigError for what is no 64-bit ELF file with section headers."""
    try:
        order, machine, sections = _sections(data)
        versions = tuple(_versions(data, order, sections))
        libraries = tuple(_libraries(data, order, sections))
    except (struct.error, IndexError, ValueError):
        raise ConfigError("not a program for Linux: no whole 64-bit ELF file") from None
    known = MACHINES.get(machine, (f"machine {machine:#x}",))
    return Elf(known, max(versions, default=None), libraries)


def _sections(data: bytes) -> tuple[str, int, list[_Section]]:
    """Return byte order, machine and section headers."""
    if data[:4] != b"\x7fELF" or data[4] != _CLASS_64:
        raise ValueError("no ELF")
    order = "<" if data[5] == _LITTLE else ">"
    (machine,) = struct.unpack_from(f"{order}H", data, 18)
    (start,) = struct.unpack_from(f"{order}Q", data, 40)
    size, count = struct.unpack_from(f"{order}HH", data, 58)
    found = []
    for index in range(count):
        _, kind, _, _, offset, length, link, info = struct.unpack_from(
            f"{order}IIQQQQII", data, start + index * size
        )
        found.append(_Section(kind, offset, length, link, info))
    return order, machine, found


def _versions(data: bytes, order: str, sections: list[_Section]) -> Iterator[Version]:
    """Yield the versions of glibc that symbols of the program are bound to."""
    for section in (each for each in sections if each.kind == _VERNEED):
        names = sections[section.link]
        place = section.offset
        for _ in range(section.info):
            _, entries, _, first, onward = struct.unpack_from(f"{order}HHIII", data, place)
            entry = place + first
            for _ in range(entries):
                _, _, _, name, further = struct.unpack_from(f"{order}IHHII", data, entry)
                found = re.fullmatch(r"GLIBC_(\d+(?:\.\d+)+)", _text(data, names, name))
                if found:
                    yield tuple(int(part) for part in found.group(1).split("."))
                entry += further
            place += onward


def _libraries(data: bytes, order: str, sections: list[_Section]) -> Iterator[str]:
    for section in (each for each in sections if each.kind == _DYNAMIC):
        for place in range(section.offset, section.offset + section.size, 16):
            tag, value = struct.unpack_from(f"{order}QQ", data, place)
            if tag == _DT_NEEDED:
                yield _text(data, sections[section.link], value)


def _text(data: bytes, names: _Section, offset: int) -> str:
    if names.kind != _STRTAB:
        raise ValueError("no table of texts")
    start = names.offset + offset
    return data[start : data.index(b"\0", start)].decode("ascii", "replace")
