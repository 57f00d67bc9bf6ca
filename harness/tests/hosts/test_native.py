"""The native generator: what fits a host, how it is brought there, and why not."""

from __future__ import annotations

import io
import os
import platform
import shutil
import stat
import struct
import sys
import tarfile
from pathlib import Path

import pytest

from harness.core.engine import Engine, engine_named
from harness.core.errors import ConfigError, ConnectionLost, EngineError
from harness.hosts import native
from harness.hosts.elf import Elf, read_elf
from harness.hosts.engines import check_engine, choose
from harness.hosts.native import Kit, Native, equip, pack, unfit
from harness.transport.local import LocalRemote

THIS = platform.machine()

SAYS = """#!{python}
import json, sys
print(json.dumps({{"event": "hello", "protocol": {protocol}, "program": "{program}", "version": "7",
                   "devices": {devices}}}))
"""

C_PROGRAM = """#include "common/words.h"
#include "op.h"
#include <infiniband/verbs.h>
#include <stdio.h>
#ifndef ROCE_LOAD_VERBS
#error no verbs
#endif
int main(void) {
  printf("{\\"event\\": \\"hello\\", \\"protocol\\": 1, \\"program\\": \\"roce-load\\", \\"version\\": \\"%s\\", "
         "\\"devices\\": [\\"verbs\\"], \\"ops\\": %zu}\\n", ROCE_VERSION, load_ops_count + (size_t)words());
  return 0;
}
"""
OP_H = """#include <stddef.h>
struct load_op { int x; };
extern const struct load_op *const load_ops[];
extern const size_t load_ops_count;
"""
OP_SEND = """#include "op.h"
extern const struct load_op load_op_send;
const struct load_op load_op_send = {1};
"""

has_headers = Path("/usr/include/infiniband/verbs.h").exists() and shutil.which("cc") is not None


def c_sources(main=C_PROGRAM):
    files = {
        "common/words.h": "int words(void);\n",
        "common/words.c": "int words(void);\nint words(void) { return 40; }\n",
        "load/op.h": OP_H,
        "load/op_send.c": OP_SEND,
        "load/op_pause.c": "int pause_frames(void);\nint pause_frames(void) { return 0; }\n",
        "load/main.c": main,
    }
    files["load/op_registry.c"] = native._registry(files)
    return pack({name: text.encode() for name, text in files.items()})


@pytest.fixture
def host(tmp_path, monkeypatch):
    """This machine, its cache in a folder of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    remote = LocalRemote("h1")
    yield remote
    remote.close()


@pytest.fixture
def fits(monkeypatch):
    """Programs of these tests are scripts: no ELF file says what they need."""
    monkeypatch.setattr(native, "read_elf", lambda data: Elf((THIS,), None, ()))


def says(protocol=1, program="roce-load", devices='["null", "verbs"]'):
    return SAYS.format(python=sys.executable, protocol=protocol, program=program, devices=devices).encode()


# --- what a program needs -------------------------------------------------------------------------------------


def test_this_machines_own_programs_are_read():
    found = read_elf(Path(sys.executable).resolve().read_bytes())
    assert THIS in found.machines
    assert found.glibc is not None
    assert any(name.startswith("libc.so") for name in found.libraries)
    assert unfit(found, THIS, (99, 0)) is None


def test_another_machine_or_an_older_library_does_not_fit():
    elf = Elf(("aarch64",), (2, 34), ())
    assert unfit(elf, "x86_64", (2, 40)) == "it is for aarch64, the host is x86_64"
    assert unfit(elf, "aarch64", (2, 31)) == "it needs glibc 2.34, the host has 2.31"
    assert unfit(elf, "aarch64", None) == "it needs glibc 2.34, the host has another C library"
    assert unfit(elf, "aarch64", (2, 34)) is None
    assert unfit(Elf(("aarch64",), None, ()), "aarch64", None) is None  # linked statically


def test_versions_are_compared_as_numbers():
    assert unfit(Elf((THIS,), (2, 4), ()), THIS, (2, 36)) is None
    assert unfit(Elf((THIS,), (2, 36), ()), THIS, (2, 4)) is not None


def test_a_program_for_another_machine_is_told_by_its_header():
    data = bytearray(Path(sys.executable).resolve().read_bytes())
    struct.pack_into("<H", data, 18, 0xB7)
    assert read_elf(bytes(data)).machines == ("aarch64",)
    struct.pack_into("<H", data, 18, 0x1234)
    assert read_elf(bytes(data)).machines == ("machine 0x1234",)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"#!/bin/sh\n" * 50, b"\x7fELF\x01\x01" + bytes(100)])
def test_what_is_no_program_is_refused(data):
    with pytest.raises(ConfigError, match="not a program for Linux"):
        read_elf(data)


def test_a_program_that_was_cut_is_refused():
    whole = Path(sys.executable).resolve().read_bytes()
    for length in (64, 1000, len(whole) // 2):
        with pytest.raises(ConfigError):
            read_elf(whole[:length])


# --- bringing it ----------------------------------------------------------------------------------------------


def test_a_program_that_fits_is_brought_and_proven(host, fits):
    found = equip(host, Kit(says(), None))
    assert found.why == "built here"
    assert found.hello["version"] == "7"
    assert Path(found.path).parent == Path(found.cache)
    assert stat.S_IMODE(Path(found.cache).stat().st_mode) == 0o700
    assert equip(host, Kit(says(), None)).path == found.path


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (says(protocol=2), "it speaks protocol 2 as roce-load, not 1 as roce-load"),
        (says(program="roce-sim"), "it speaks protocol 1 as roce-sim"),
        (says(devices='["null"]'), "it was built without libibverbs, its devices are ['null']"),
        (
            b"#!/bin/sh\necho 'no GLIBC_2.99' >&2; exit 1\n",
            "(exit code 1): no GLIBC_2.99",
        ),
        (b"#!/bin/sh\necho hello\n", "it does not run there (exit code 0): hello"),
        (b"#!/bin/sh\nkill -9 $$\n", "it does not run there (exit code -9): it says nothing"),
        (None, "there is none; `make setup` builds it"),
    ],
)
def test_a_program_that_does_not_serve_is_a_reason(host, fits, program, why):
    found = equip(host, Kit(program, None))
    assert found.path is None
    assert why in found.why
    assert "building it there: this installation has no sources of it" in found.why
    assert "\n" not in found.why


def test_a_program_that_hangs_is_given_up(host, fits, monkeypatch):
    monkeypatch.setattr(native, "PROOF_S", 0.3)
    found = equip(host, Kit(b"#!/bin/sh\nexec sleep 60\n", None))
    assert found.path is None
    assert "the program built here" in found.why


def test_a_program_for_another_machine_is_not_even_sent(host):
    data = bytearray(Path(sys.executable).resolve().read_bytes())
    struct.pack_into("<H", data, 18, 0xF3 if THIS != "riscv64" else 0xB7)
    found = equip(host, Kit(bytes(data), None))
    assert f"the host is {THIS}" in found.why
    assert not list(Path(os.environ["HOME"]).glob(".cache/roce-harness/*"))


def test_a_lost_connection_is_an_error(host, monkeypatch):
    def lost(*_, **__):
        raise ConnectionLost("is gone", host="h1")

    monkeypatch.setattr(host, "run", lost)
    with pytest.raises(ConnectionLost):
        equip(host, Kit(says(), None))


# --- building it there ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not has_headers, reason="needs cc and the headers of libibverbs")
class TestBuilding:
    def test_sources_are_built_on_the_host_and_kept(self, host):
        found = equip(host, Kit(None, c_sources(), "1.2.3"))
        assert found.path is not None, found.why
        assert found.why.startswith("built there with cc; the program built here: there is none")
        assert found.hello["version"] == "1.2.3"
        assert found.hello["ops"] == 41  # the registry has the one verb, and pause is none
        made = Path(found.path).stat().st_ino
        assert equip(host, Kit(None, c_sources(), "1.2.3")).path == found.path
        assert Path(found.path).stat().st_ino == made
        assert not list(Path(found.cache).glob(".build*"))

    def test_sources_that_do_not_compile_are_a_reason_with_the_compilers_words(self, host):
        found = equip(host, Kit(None, c_sources("int main(void) { return spam; }\n")))
        assert found.path is None
        assert "spam" in found.why
        cache = Path(os.environ["HOME"]) / ".cache/roce-harness"
        assert [path.name for path in cache.iterdir() if not path.name.startswith("roce-load.tar")] == []

    def test_a_build_that_hangs_is_given_up(self, host, monkeypatch):
        monkeypatch.setattr(native, "BUILD_S", 0.2)
        monkeypatch.setattr(native, "BUILD_SCRIPT", "sleep 60")
        assert equip(host, Kit(None, c_sources())).path is None


def test_without_compiler_or_headers_it_says_what_to_install(host, monkeypatch):
    kit = Kit(None, c_sources())
    facts = f"machine={THIS}\nlibc=glibc 2.99\nverbs=yes\n"
    monkeypatch.setattr(native, "LOOK_SCRIPT", f"printf '{facts}'")
    assert "no C compiler there; install gcc" in equip(host, kit).why
    monkeypatch.setattr(native, "LOOK_SCRIPT", f"printf '{facts}compiler=cc\n'")
    assert "install libibverbs-dev" in equip(host, kit).why
    monkeypatch.setattr(native, "LOOK_SCRIPT", f"echo machine={THIS}")
    assert equip(host, kit).why == "there is no libibverbs.so.1; install libibverbs1"
    monkeypatch.setattr(native, "LOOK_SCRIPT", "exit 3")
    assert equip(host, kit).why == "the host does not say what it is"


def test_the_same_sources_are_the_same_bytes():
    one, two = pack({"b/x.c": b"1", "a/y.h": b"2"}), pack({"a/y.h": b"2", "b/x.c": b"1"})
    assert one == two
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        assert archive.getnames() == ["a/y.h", "b/x.c"]
        assert {entry.mtime for entry in archive} == {0}


# --- which engine ---------------------------------------------------------------------------------------------

THERE, NOT_THERE = Native("/c/roce-load", "built here"), Native(None, "no compiler")


def job(**changes):
    plain = {"name": "f", "src": "h1:p0", "dst": "h2:p0", "transport": "rc"}
    other = {"name": "g", "src": "h3:p0", "dst": "h2:p0", "transport": "rc"}
    return {"flows": [{**plain, **changes}, other]}


def engines(job, natives=None, wanted=Engine.AUTO):
    hosts = ("h1", "h2", "h3")
    return {
        host: (choice.name, choice.why)
        for host, choice in choose(job, hosts, natives or dict.fromkeys(hosts, THERE), wanted).items()
    }


def test_auto_takes_the_native_generator_wherever_it_is():
    found = engines(job(), {"h1": THERE, "h2": NOT_THERE, "h3": THERE})
    assert found == {"h1": ("native", None), "h2": ("pyverbs", "no compiler"), "h3": ("native", None)}


def test_pyverbs_never_takes_it():
    assert set(engines(job(), wanted=Engine.PYVERBS).values()) == {("pyverbs", None)}


@pytest.mark.parametrize("wanted", [Engine.AUTO, Engine.NATIVE])
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"transport": "xrc"}, "flow f: transport xrc"),
        ({"reduce": {"group": "g"}}, "flow f: reductions"),
        ({"verbs": {"engine": "perftest"}}, "flow f: engine perftest"),
    ],
)
def test_flows_that_it_lacks_take_their_hosts_to_pyverbs_by_name(changes, why, wanted):
    found = engines(job(**changes), wanted=wanted)
    assert found == {"h1": ("pyverbs", why), "h2": ("pyverbs", why), "h3": ("native", None)}


def test_many_such_flows_are_counted():
    flows = [{**job(transport="xrc")["flows"][0], "name": f"f{number}"} for number in range(7)]
    flows.append({**flows[0], "name": "w", "transport": "rc", "reduce": {}})
    assert engines({"flows": flows})["h1"][1] == "flow f0 and 6 more: transport xrc, flow w: reductions"


def test_options_of_the_native_generator_are_never_left_out():
    with pytest.raises(ConfigError, match="load: flow 'f' needs the native generator on h2: no compiler"):
        engines(job(load={"batch": 4}), {"h1": THERE, "h2": NOT_THERE, "h3": THERE})
    assert engines(job(load={"batch": 4}), {"h1": THERE, "h2": THERE, "h3": NOT_THERE})["h1"][0] == "native"
    with pytest.raises(ConfigError, match="reductions"):
        engines({"flows": [*job(load={"batch": 4})["flows"], job(reduce={})["flows"][0]]})


def test_native_is_refused_with_the_hosts_that_lack_it():
    with pytest.raises(EngineError, match="no native generator on h2: no compiler; --engine auto"):
        check_engine(Engine.NATIVE, {"h1": THERE, "h2": NOT_THERE})
    check_engine(Engine.AUTO, {"h1": NOT_THERE})
    check_engine(Engine.NATIVE, {"h1": THERE})


def test_the_environment_names_the_engine(monkeypatch):
    monkeypatch.delenv("ROCE_ENGINE", raising=False)
    assert engine_named(None) is Engine.AUTO
    monkeypatch.setenv("ROCE_ENGINE", "native")
    assert engine_named(None) is Engine.NATIVE
    assert engine_named("pyverbs") is Engine.PYVERBS
    monkeypatch.setenv("ROCE_ENGINE", "perftest")
    with pytest.raises(ConfigError, match="ROCE_ENGINE: no such engine .*there are: auto, pyverbs, native"):
        engine_named(None)
    with pytest.raises(ConfigError, match="--engine: no such engine"):
        engine_named("fast")
