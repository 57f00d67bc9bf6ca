from __future__ import annotations

import ctypes

import pytest

from harness.hosts.agent import memory, payload
from harness.hosts.agent.errors import AgentError
from harness.hosts.agent.memory import PAGE, Memory


@pytest.fixture
def mapped():
    made = []

    def make(*args):
        made.append(Memory(*args))
        return made[-1]

    yield make
    for item in made:
        item.close()


def test_plain_memory_is_zero_and_writable(mapped):
    room = mapped(10_000)
    assert (room.folded, room.length % PAGE, room.window) == (False, 0, room.length)
    assert not any(room.view)
    room.view[9_999] = 7
    assert ctypes.string_at(room.address + 9_999, 1) == b"\x07"


def test_folded_memory_shows_one_window_again_and_again(mapped):
    room = mapped(1 << 30, 1 << 16)
    assert (room.folded, room.length, len(room.view)) == (True, 1 << 30, 1 << 16)
    ctypes.memset(room.address + (1 << 30) - 1, 9, 1)
    assert ctypes.string_at(room.address + (1 << 16) - 1, 1) == b"\x09"
    assert room.view[-1] == 9


def test_folded_memory_covers_all_that_was_asked_for(mapped):
    room = mapped(100_001, 1 << 16)
    assert room.length == 2 << 16
    ctypes.memset(room.address + 100_000, 1, 1)
    assert room.view[100_000 - (1 << 16)] == 1


def test_closing_twice_is_harmless():
    room = Memory(PAGE)
    room.close()
    room.close()
    assert room.address == 0


def test_too_much_is_refused_in_words():
    with pytest.raises(AgentError) as caught:
        Memory(1 << 60)
    assert caught.value.kind == "no_resources"


def test_available_memory_is_read(tmp_path):
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 5 kB\nMemAvailable:    2048 kB\n")
    assert memory.available_bytes(file) == 2048 * 1024
    assert memory.available_bytes(tmp_path / "none") == 256 << 20


@pytest.mark.parametrize("period", [payload.PERIOD, 1 << 16])
@pytest.mark.parametrize("length", [1, 17, payload.CHUNK, 3 * payload.CHUNK + 5])
def test_what_is_filled_is_verified_from_any_offset(mapped, period, length):
    room = mapped(length + period)
    payload.fill(room, period)
    verifier, check = payload.Verifier(period), payload.Check()
    start = payload.offset_of(3, 11, period)
    verifier.check(room.address + start, length, start, 3, 11, check)
    assert (check.verified_bytes, check.mismatched_bytes, check.first_mismatch) == (length, 0, None)


def test_each_wrong_byte_is_counted_and_the_first_is_named(mapped):
    length = 2 * payload.CHUNK
    room = mapped(length)
    payload.fill(room, payload.PERIOD)
    for place in (5, 6, payload.CHUNK + 1):
        room.view[place] ^= 0x80
    check = payload.Check()
    payload.Verifier().check(room.address, length, 0, 1, 2, check)
    assert (check.verified_bytes, check.mismatched_bytes) == (length - 3, 3)
    assert check.first_mismatch == {"qp": 1, "message": 2, "offset": 5}


def test_a_displaced_packet_is_noticed(mapped):
    room = mapped(1 << 20)
    payload.fill(room, payload.PERIOD)
    room.view[0:4096] = bytes(room.view[4096:8192])
    check = payload.Check()
    payload.Verifier().check(room.address, 1 << 20, 0, 0, 0, check)
    assert check.mismatched_bytes > 4000


def test_consecutive_messages_of_a_slot_differ():
    offsets = [payload.offset_of(0, k, payload.PERIOD) for k in range(payload.CYCLE)]
    assert len(set(offsets)) == payload.CYCLE
    assert payload.offset_of(1, 0, payload.PERIOD) != offsets[0]


def test_payload_is_the_same_everywhere():
    import hashlib

    digest = hashlib.sha256(payload.block(payload.PERIOD)).hexdigest()
    assert digest.startswith("c9569c8f899ac447")  # agents of other versions check with this block too
    assert payload.block(1 << 16)[: payload.PERIOD] == payload.block(payload.PERIOD)


@pytest.mark.parametrize(
    ("got", "expected", "found"),
    [(b"abc", b"abc", (0, -1)), (b"abc", b"abd", (1, 2)), (b"\0\0", b"\1\1", (2, 0))],
)
def test_differing(got, expected, found):
    assert payload.differing(got, expected) == found


@pytest.mark.parametrize(
    ("size", "real", "tail"), [(100, 100, (0, 100)), (50, 100, (0, 50)), (300, 100, (200, 100))]
)
def test_readable_tail(size, real, tail):
    assert payload.readable_tail(size, real) == tail
