"""The generator's payload is the agent's: the same bytes at the same places, and wrong ones counted the same way."""

from __future__ import annotations

import ctypes
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.hosts.agent import payload

NATIVE = Path(__file__).parents[3] / "native"
LIMIT_S = 60
PERIODS = [4096, 1 << 15, payload.PERIOD, 1 << 16, 1 << 17, 1 << 20]

PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/payload.h"

static unsigned long number(char **argv, int i) { return strtoul(argv[i], NULL, 10); }

int main(int argc, char **argv)
{
  struct load_payload p;
  if (argc != 5)
    return 2;
  if (strcmp(argv[1], "offset") == 0)
    return printf("%u\n", load_offset_of((unsigned)number(argv, 2), number(argv, 3), (unsigned)number(argv, 4))) < 0;
  size_t length = number(argv, 3);
  unsigned char *memory = malloc(length);
  if (memory == NULL || !load_payload_init(&p, (unsigned)number(argv, 2)))
    return 1;
  if (strcmp(argv[1], "copy") == 0) {
    load_payload_copy(&p, memory, length, number(argv, 4));
    return fwrite(memory, 1, length, stdout) != length;
  }
  struct load_check c = {0};
  if (fread(memory, 1, length, stdin) != length)
    return 1;
  load_payload_check(&p, memory, length, number(argv, 4), 3, 9, &c);
  printf("%llu %llu %d %llu\n", (unsigned long long)c.verified_bytes, (unsigned long long)c.mismatched_bytes,
         c.has_first, (unsigned long long)c.first.offset);
  return 0;
}
"""

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """A function that gives what the C code wrote when it was called with some arguments."""
    folder = tmp_path_factory.mktemp("payload")
    (folder / "main.c").write_text(PROGRAM)
    sources = [str(folder / "main.c"), str(NATIVE / "load" / "payload.c")]
    command = ["cc", "-std=c11", "-O1", f"-I{NATIVE}", "-o", str(folder / "payload"), *sources]
    subprocess.run(command, check=True, timeout=LIMIT_S)

    def run(*arguments: object, given: bytes = b"") -> bytes:
        command = [str(folder / "payload"), *map(str, arguments)]
        return subprocess.run(
            command, check=True, timeout=LIMIT_S, input=given, stdout=subprocess.PIPE
        ).stdout

    return run


@pytest.mark.parametrize("period", PERIODS)
def test_the_block_is_the_same(native, period):
    assert native("copy", period, period, 0) == payload.block(period)


@pytest.mark.parametrize("period", PERIODS)
def test_payload_from_any_offset_is_the_same(native, period):
    verifier = payload.Verifier(period)
    length = 2 * period + payload.CHUNK
    for start in (1, period - 1, 5 * period + 77):
        memory = ctypes.create_string_buffer(length)
        verifier.copy(ctypes.addressof(memory), length, start)
        assert native("copy", period, length, start) == memory.raw


@pytest.mark.parametrize("seed", range(12))
def test_wrong_bytes_are_counted_the_same(native, seed):
    rng = random.Random(seed)
    period, length = rng.choice(PERIODS), rng.randrange(1, 3 * payload.CHUNK)
    start = rng.randrange(2 * period)
    memory = ctypes.create_string_buffer(length)
    address = ctypes.addressof(memory)
    verifier = payload.Verifier(period)
    verifier.copy(address, length, start)
    for _ in range(rng.choice((0, 1, 5, 2000))):
        at = rng.randrange(length)
        memory[at] = rng.randrange(256)

    check = payload.Check()
    verifier.check(address, length, start, 3, 9, check)

    verified, mismatched, found, offset = map(
        int, native("check", period, length, start, given=memory.raw).split()
    )
    assert (verified, mismatched) == (check.verified_bytes, check.mismatched_bytes)
    assert verified + mismatched == length
    first = {"qp": 3, "message": 9, "offset": offset} if found else None
    assert first == check.first_mismatch


def test_messages_begin_at_the_same_offsets(native):
    rng = random.Random(1)
    for _ in range(50):
        qp, message, period = rng.randrange(1 << 14), rng.randrange(1 << 40), rng.choice(PERIODS)
        assert int(native("offset", qp, message, period)) == payload.offset_of(qp, message, period)
