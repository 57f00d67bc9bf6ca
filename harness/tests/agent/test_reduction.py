from __future__ import annotations

import array
import random

import pytest

from harness.hosts.agent import reduction

CODES = {"int32": "i", "float32": "f"}


@pytest.fixture(params=["numpy", "standard library"])
def arithmetic(request, monkeypatch):
    if request.param == "numpy":
        pytest.importorskip("numpy")
    else:
        monkeypatch.setattr(reduction, "numpy", None)


def added(dtype, left, right):
    target = bytearray(array.array(CODES[dtype], left).tobytes())
    chunk = array.array(CODES[dtype], right).tobytes()
    reduction.add(dtype, memoryview(target), memoryview(chunk))
    return list(array.array(CODES[dtype], bytes(target)))


def wrapped(value):
    return (value + 2**31) % 2**32 - 2**31


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize("count", [1, 2, 3, 1001])
def test_int32_wraps_around_as_in_c(count):
    rng = random.Random(count)
    left = [rng.choice([-(2**31), -1, 0, 2**31 - 1, rng.randrange(-(2**31), 2**31)]) for _ in range(count)]
    right = [rng.choice([-(2**31), -1, 1, 2**31 - 1, rng.randrange(-(2**31), 2**31)]) for _ in range(count)]
    assert added("int32", left, right) == [wrapped(a + b) for a, b in zip(left, right, strict=True)]


@pytest.mark.usefixtures("arithmetic")
def test_float32_rounds_once():
    rng = random.Random(7)
    numbers = array.array("f", [rng.uniform(-1, 1) * 10 ** rng.randrange(-20, 20) for _ in range(2000)])
    left, right = numbers[:1000], numbers[1000:]
    expected = list(array.array("f", [a + b for a, b in zip(left, right, strict=True)]))
    assert added("float32", left, right) == expected


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_elements_are_those_of_the_rule(dtype):
    got = array.array(CODES[dtype], reduction.elements(dtype, 3, 4 * 600))
    assert list(got) == [3 * (i % 251 + 1) for i in range(600)]


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_a_group_is_right_when_all_ranks_are_in_it(dtype):
    group = reduction.Group("g", 0, 3, dtype, 4 * 1000)
    assert group.check()["wrong"] == 1000
    for rank in (1, 2):
        group.take("sum", 0, memoryview(reduction.elements(dtype, rank + 1, 4 * 1000)))
    assert group.check() == {"expected_ok": True, "bytes": 4000, "wrong": 0, "first_wrong": None}
    group.take("copy", 40, memoryview(bytes(8)))
    assert group.check() == {"expected_ok": False, "bytes": 4000, "wrong": 2, "first_wrong": 10}
    group.close()
