"""The native generator, roce-load, brought to a host: the program built here, one built there, or none and why.

A program is trusted when it has run on the host (`--capabilities`) and named verbs among its devices. Each step has
a time limit; one that fails is a reason in words, and the host does its traffic with pyverbs. Only a connection that
breaks is an error.
"""

from __future__ import annotations

import io
import json
import logging
import posixpath
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.core.errors import (
    CommandFailed,
    CommandTimeout,
    ConfigError,
    NoProgress,
    TransportError,
    one_line,
)
from harness.core.programs import find_program
from harness.hosts.client import PROTOCOL
from harness.hosts.elf import Elf, read_elf
from harness.transport.remote import Remote

log = logging.getLogger(__name__)

PROGRAM, VARIABLE = "roce-load", "ROCE_LOAD"
"""Name of the program, and of the variable that names another one."""

SOURCES = "roce-load.tar"
"""Name of the sources in the cache of a host; their hash is appended."""

SERIES_PREFIX = "roce-series-"
"""Start of the names of folders in the cache of a host that hold the series of a run."""

DEVICE = "verbs"
"""What a program must have among its devices; without libibverbs it is built with `null` alone."""

LOOK_S = 30.0
"""For a look at what a host is and has: some programs of a busy guest."""

PROOF_S = 30.0
"""For the program to say what it can do."""

BUILD_S = 300.0
"""For a compiler to build it: seconds on a server, minutes on a guest without hardware acceleration."""

EQUIP_S = LOOK_S + 2 * PROOF_S + BUILD_S + 600.0
"""For all of it; uploads end by themselves when nothing moves."""

LOOK_SCRIPT = r"""
echo "machine=$(uname -m)"
echo "libc=$(getconf GNU_LIBC_VERSION 2>/dev/null)"
for folder in /lib /lib64 /usr/lib /usr/lib64 /usr/local/lib /lib/*-linux-gnu* /usr/lib/*-linux-gnu*; do
  [ -e "$folder/libibverbs.so.1" ] && echo "verbs=yes" && break
done
for name in cc gcc clang; do
  command -v "$name" >/dev/null 2>&1 || continue
  echo "compiler=$name"
  printf '#include <infiniband/verbs.h>\n' | "$name" -E - >/dev/null 2>&1 && echo "headers=yes"
  break
done
"""
"""Says what a host is, one `key=value` a line."""

PROOF_SCRIPT = r"""
find "$(dirname -- "$1")" -maxdepth 1 -type d -name "$2*" -mmin +1440 -exec rm -rf {} + 2>/dev/null
exec "$1" --capabilities
"""
"""Runs the program `$1`; before that removes folders `$2…` beside it that killed runs left yesterday."""

BUILD_SCRIPT = r"""
cache=$(dirname -- "$1")
program="$cache/$2"
if [ -x "$program" ]; then touch "$program"; echo "$program"; exit 0; fi
umask 077
# mktemp puts its own letters in place of each X
work=$(mktemp -d "$cache/.build.XXXXXX") || exit 1
trap 'rm -rf -- "$work"' EXIT
trap 'exit 1' HUP INT TERM PIPE
tar -xf "$1" -C "$work" && cd "$work" || exit 1
"$3" -std=c11 -O3 -D_POSIX_C_SOURCE=200809L -D_GNU_SOURCE -DROCE_LOAD_VERBS "-DROCE_VERSION=\"$4\"" -I. -Iload \
  -o program common/*.c load/*.c -libverbs -lpthread -lm >&2 || exit 1
chmod 755 program && mv -f program "$program" && echo "$program"
"""
"""Builds the sources `$1` into a program `$2` beside them with the compiler `$3`, whole or not at all; says its path.

The flags are those of native/CMakeLists.txt that change what is built.
"""


@dataclass(frozen=True, slots=True)
class Native:
    """roce-load on a host. `path` None: it is not there, and `why` says why not; else `why` says how it got there."""

    path: str | None
    why: str
    hello: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cache(self) -> str:
        """The folder on the host that holds the program: it belongs to our user alone."""
        return posixpath.dirname(self.path or "")

    def series_folder(self, run: str, host: str) -> str:
        """The folder for the series of a run; the agent makes and removes it. Hosts may share their home directory."""
        return posixpath.join(self.cache, f"{SERIES_PREFIX}{run}-{host}")


@dataclass(frozen=True, slots=True)
class _Host:
    """What a host is and has; `glibc` None for another C library."""

    machine: str
    glibc: tuple[int, ...] | None
    has_verbs: bool
    compiler: str | None
    has_headers: bool


@dataclass(frozen=True, slots=True)
class Kit:
    """What can be brought to hosts: a program built here and the sources, each None when there is none."""

    program: bytes | None
    sources: bytes | None
    version: str = "0"


@cache
def our_kit() -> Kit:
    """Return what this installation has; raises ConfigError when ROCE_LOAD names no program."""
    path = find_program(PROGRAM, VARIABLE)
    return Kit(None if path is None else path.read_bytes(), pack_sources(), _version())


def equip(remote: Remote, kit: Kit) -> Native:
    """Bring the generator to a host.

    Raises ConnectionLost when the host cannot be commanded any more; everything else is a reason in words.
    """
    reasons: list[str] = []

    def tried(what: str, step: Callable[[], Native]) -> Native | None:
        try:
            native = step()
        except (CommandFailed, CommandTimeout, NoProgress, ConfigError) as error:
            words = error.message if isinstance(error, TransportError) else str(error)
            detail = f": {error.detail}" if isinstance(error, CommandFailed) and error.detail else ""
            reasons.append(one_line(f"{what}: {words}{detail}"))
            return None
        if native.path is None:
            reasons.append(f"{what}: {native.why}")
        return native

    host = _look(remote)
    if host is None:
        return Native(None, "the host does not say what it is")
    if not host.has_verbs:
        return Native(None, "there is no libibverbs.so.1; install libibverbs1")
    for what, step in (("the program built here", _bring), ("building it there", _build)):
        native = tried(what, partial(step, remote, host, kit))
        if native is not None and native.path is not None:
            return Native(native.path, "; ".join([native.why, *reasons]), native.hello)
    return Native(None, "; ".join(reasons))


def _look(remote: Remote) -> _Host | None:
    try:
        said = remote.run(["sh", "-c", LOOK_SCRIPT], timeout_s=LOOK_S, check=False).stdout
    except (CommandTimeout, NoProgress, CommandFailed):
        return None
    facts = dict(line.partition("=")[::2] for line in said.splitlines() if "=" in line)
    if not facts.get("machine"):
        return None
    library, _, number = facts.get("libc", "").partition(" ")
    parts = number.split(".")
    known = library == "glibc" and all(part.isdigit() for part in parts)
    return _Host(
        machine=facts["machine"],
        glibc=tuple(int(part) for part in parts) if known else None,
        has_verbs=facts.get("verbs") == "yes",
        compiler=facts.get("compiler") or None,
        has_headers=facts.get("headers") == "yes",
    )


def _bring(remote: Remote, host: _Host, kit: Kit) -> Native:
    """Send the program that was built here, when it can run there."""
    if kit.program is None:
        return Native(None, f"there is none; `make setup` builds it, {VARIABLE} names another")
    problem = unfit(read_elf(kit.program), host.machine, host.glibc)
    if problem is not None:
        return Native(None, problem)
    return _proven(remote, remote.deploy(kit.program, PROGRAM), "built here")


def unfit(elf: Elf, machine: str, glibc: tuple[int, ...] | None) -> str | None:
    """Return why a program cannot run on a machine of this kind, None when it may."""
    if machine not in elf.machines:
        return f"it is for {elf.machines[0]}, the host is {machine}"
    if elf.glibc is not None and (glibc is None or glibc < elf.glibc):
        has = "has another C library" if glibc is None else f"has {_dotted(glibc)}"
        return f"it needs glibc {_dotted(elf.glibc)}, the host {has}"
    return None


def _dotted(number: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in number)


def _build(remote: Remote, host: _Host, kit: Kit) -> Native:
    """Send the sources and build them there; a build of the same sources is taken as it is."""
    if kit.sources is None:
        return Native(None, "this installation has no sources of it")
    if host.compiler is None:
        return Native(None, "no C compiler there; install gcc")
    if not host.has_headers:
        return Native(None, "no infiniband/verbs.h there; install libibverbs-dev")
    sources = remote.deploy(kit.sources, SOURCES, mode=0o644)
    libc = _dotted(host.glibc) if host.glibc else "libc"
    name = f"{PROGRAM}-{host.machine}-{libc}-{posixpath.basename(sources).rpartition('-')[2]}"
    argv = ["sh", "-c", BUILD_SCRIPT, "build", sources, name, host.compiler, kit.version]
    said = remote.run(argv, timeout_s=BUILD_S).stdout.strip().splitlines()
    if not said:
        return Native(None, "the build does not say where the program is")
    return _proven(remote, said[-1], f"built there with {host.compiler}")


def _proven(remote: Remote, path: str, how: str) -> Native:
    """Let the program run once: what it says must fit."""
    argv = ["sh", "-c", PROOF_SCRIPT, "proof", path, SERIES_PREFIX]
    done = remote.run(argv, timeout_s=PROOF_S, check=False)
    said = _object(done.stdout)
    if done.exit_code or said is None:
        words = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()[-1]
        return Native(None, one_line(f"it does not run there (exit code {done.exit_code}): {words}"))
    if said.get("program") != PROGRAM or said.get("protocol") != PROTOCOL:
        return Native(
            None,
            f"it speaks protocol {said.get('protocol')} as {said.get('program')}, not {PROTOCOL} as {PROGRAM}",
        )
    devices = said.get("devices")
    if not isinstance(devices, list) or DEVICE not in devices:
        return Native(None, f"it was built without libibverbs, its devices are {devices}")
    return Native(path, how, said)


def _object(text: str) -> dict[str, Any] | None:
    lines = text.strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


# --- sources ---------------------------------------------------------------------------------------------


def pack_sources() -> bytes | None:
    """Return the sources as one archive, the same bytes for the same sources; None when they are not installed."""
    folder = _source_folder()
    if folder is None:
        return None
    files = {
        f"{part}/{path.name}": path.read_bytes()
        for part in ("common", "load")
        for path in sorted((folder / part).iterdir())
        if path.suffix in {".c", ".h"}
    }
    return pack({**files, "load/op_registry.c": _registry(files).encode()})


def _registry(files: Iterable[str]) -> str:
    """Return the list of verbs, as native/load_registry.cmake writes it: a host that builds needs no CMake."""
    paths = (posixpath.basename(name).removesuffix(".c") for name in files if name.endswith(".c"))
    verbs = sorted(name[3:] for name in paths if name.startswith("op_") and not name.startswith("op_pause"))
    externs = "".join(f"extern const struct load_op load_op_{verb};\n" for verb in verbs)
    entries = "".join(f"  &load_op_{verb},\n" for verb in verbs)
    return (
        f'#include "op.h"\n\n{externs}\nconst struct load_op *const load_ops[] = {{\n{entries}}};\n'
        f"const size_t load_ops_count = {len(verbs)};\n"
    )


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return an archive of files (name → content); owner, time and order leave no trace in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(files[name]), 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    return buffer.getvalue()


def _source_folder() -> Path | None:
    """The copy in the package, once installed; that of the source tree otherwise."""
    package = Path(str(resources.files("harness")))
    for folder in (package / "_native", package.parent / "native"):
        if (folder / "load" / "main.c").is_file() and (folder / "common").is_dir():
            return folder
    return None


def _version() -> str:
    try:
        return version("roce-validation-harness")
    except PackageNotFoundError:
        return "unknown"
