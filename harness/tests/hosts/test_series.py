"""Goodput over time from what senders saw acknowledged."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest

from harness.core.errors import AgentFailed
from harness.hosts.clock import ClockMap, Reading
from harness.hosts.qp_series import Announced, QpSeries, announced, fetch, sample_ns, thinning
from harness.hosts.series import Known, progress_ms, write_series

MS_NS, MS_PS = 10**6, 10**9
CLOCK = ClockMap(Reading(10**15, 0, 0, 0))
T0 = 5 * 10**9


def samples(*pairs):
    """Instants in ms after the start, and bytes."""
    return Known(CLOCK, [[T0 + 10**15 + ms * MS_NS, count] for ms, count in pairs])


def by_qp(*rows, interval_ms=1, every=1):
    """Instants in ms after the start, and bytes of each QP."""
    times = np.array([T0 + 10**15 + int(row[0] * MS_NS) for row in rows], dtype=np.int64)
    done = np.array([row[1:] for row in rows], dtype=np.int64).reshape(len(rows), -1)
    return Known(CLOCK, [], QpSeries(times, done, interval_ms * MS_NS, every))


def goodput(folder, flows, end_ms=400, every_ms=100):
    found = write_series(folder, every_ms * MS_PS, end_ms * MS_PS, flows, T0)
    return found, np.load(folder / "goodput_bps.npy"), np.load(folder / "time_ps.npy")


@pytest.mark.parametrize(
    ("asked_ps", "told_ms"), [(0, 100), (10**7, 100), (10 * MS_PS, 10), (50 * MS_PS, 50), (10**12, 100)]
)
def test_agents_are_asked_no_oftener_than_they_can(asked_ps, told_ms):
    assert progress_ms(asked_ps) == told_ms


def test_bytes_become_bits_per_second_in_the_interval_they_came(tmp_path):
    found, values, times = goodput(tmp_path, {"f": samples((0, 0), (100, 1250), (200, 1250), (400, 6250))})
    assert values[:, 0] == pytest.approx([100_000, 0, 200_000, 200_000])
    assert list(times) == [100 * MS_PS, 200 * MS_PS, 300 * MS_PS, 400 * MS_PS]
    assert found["tables"]["goodput_bps"]["columns"] == ["f"]
    assert (found["samples"], found["every_ps"]) == (4, 100 * MS_PS)


def test_a_finer_interval_than_samples_is_not_pretended(tmp_path):
    found, values, _ = goodput(tmp_path, {"f": samples((0, 0), (400, 4000))}, every_ms=1)
    assert found["every_ps"] == 100 * MS_PS
    assert len(values) == 4


def test_a_flow_that_nobody_knows_is_not_a_number(tmp_path):
    _, values, _ = goodput(
        tmp_path, {"f": samples((0, 0), (400, 4000)), "lost": None, "mute": Known(CLOCK, [])}
    )
    assert np.isfinite(values[:, 0]).all()
    assert np.isnan(values[:, 1:]).all()


def test_without_any_samples_there_is_no_series(tmp_path):
    assert write_series(tmp_path, 100 * MS_PS, 400 * MS_PS, {"f": None}, T0) is None
    assert list(tmp_path.iterdir()) == []


def test_all_payload_is_in_the_series(tmp_path):
    _, values, _ = goodput(tmp_path, {"f": samples((37, 0), (101, 777), (333, 3000), (390, 10_000))})
    assert values.sum() * 0.1 / 8 == pytest.approx(10_000)


# --- by QP ----------------------------------------------------------------------------------------------------


def table(folder, name):
    return np.load(folder / f"{name}.npy")


def test_each_qp_has_its_column(tmp_path):
    flows = {"f": by_qp((0, 0, 0), (1, 125, 0), (2, 125, 250), (4, 375, 250))}
    found, values, times = goodput(tmp_path, flows, end_ms=4, every_ms=1)
    assert found["tables"]["qp_goodput_bps"]["columns"] == ["f[0]", "f[1]"]
    apart = table(tmp_path, "qp_goodput_bps")
    assert apart[:, 0] == pytest.approx([1e6, 0, 1e6, 1e6])
    assert apart[:, 1] == pytest.approx([0, 2e6, 0, 0])
    assert apart.sum(axis=1) == pytest.approx(values[:, 0])
    assert list(times) == [MS_PS, 2 * MS_PS, 3 * MS_PS, 4 * MS_PS]
    assert "thinned" not in found


def test_an_interval_below_that_of_the_samples_is_not_pretended(tmp_path):
    flows = {"f": by_qp((0, 0), (8, 1000), interval_ms=2, every=2)}
    found, *_ = goodput(tmp_path, flows, end_ms=8, every_ms=1)
    assert (found["every_ps"], found["samples"], found["thinned"]) == (4 * MS_PS, 2, 2)


def test_flows_of_both_engines_share_the_coarser_interval(tmp_path):
    flows = {"g": samples((0, 0), (400, 4000)), "f": by_qp((0, 0), (400, 8000)), "lost": None}
    found, values, _ = goodput(tmp_path, flows, every_ms=1)
    assert found["every_ps"] == 100 * MS_PS
    assert found["tables"]["goodput_bps"]["columns"] == ["g", "f", "lost"]
    assert found["tables"]["qp_goodput_bps"]["columns"] == ["f[0]"]
    assert values[0, :2] == pytest.approx([80_000, 160_000])
    assert np.isnan(values[:, 2]).all()


def test_a_series_without_rows_is_none(tmp_path):
    empty = Known(CLOCK, [], QpSeries(np.zeros(0, np.int64), np.zeros((0, 4), np.int64), MS_NS))
    assert write_series(tmp_path, MS_PS, 4 * MS_PS, {"f": empty}, T0) is None


def test_instants_are_those_of_the_controller(tmp_path):
    """The host's clock gains 1 %, so what it takes for 101 ms are 100."""
    drifting = ClockMap(Reading(10**15, 0, T0, 0), Reading(10**15 + 10**8, 0, T0 + 10**10, 0))
    times = np.array([T0 + 10**15, T0 + 10**15 + 101 * MS_NS], dtype=np.int64)
    known = Known(drifting, [], QpSeries(times, np.array([[0], [1000]]), MS_NS))
    found = write_series(tmp_path, 50 * MS_PS, 200 * MS_PS, {"f": known}, T0)
    assert table(tmp_path, "goodput_bps")[:, 0] == pytest.approx([80_000, 80_000, 0, 0], rel=1e-6)
    assert found["samples"] == 4


@pytest.mark.parametrize(("asked_ps", "told"), [(0, None), (1, 100_000), (MS_PS, 10**6), (10**12, 10**9)])
def test_generators_are_asked_no_oftener_than_they_can(asked_ps, told):
    assert sample_ns(asked_ps) == told


def test_what_a_source_says_of_its_series_is_checked():
    good = {"file": "f.npy", "time_file": "t.npy", "interval_ns": 7, "rows": 3, "qps": 2}
    assert announced("h1", "f", None) is None
    assert announced("h1", "f", good) == Announced("h1", "f.npy", "t.npy", 7, 3, 2)
    for key, value in (
        ("rows", -1),
        ("qps", 0),
        ("file", ""),
        ("interval_ns", 0),
        ("rows", True),
        ("rows", "3"),
    ):
        with pytest.raises(AgentFailed, match="h1: what it says of the series of f is nothing known"):
            announced("h1", "f", {**good, key: value})
    for bad in (7, [], {}):
        with pytest.raises(AgentFailed):
            announced("h1", "f", bad)


def test_long_series_are_thinned(caplog):
    def of(rows):
        return Announced("h1", "f.npy", "t.npy", 1, rows, 1024)

    assert thinning({}) == thinning({"f": of(8192)}) == 1
    assert thinning({"f": of(8193)}) == 2
    assert thinning({"f": of(8192), "g": of(16_384)}) == 3
    assert "every 3. sample is kept" in caplog.text


class Client:
    """An agent that holds a table of 10 rows of 2 QPs; `cut` rows are missing from each answer."""

    def __init__(self, cut=0):
        self.asked, self.cut = [], cut

    def request(self, op, *, timeout_s, file, time_file, first, rows, every):
        self.asked.append((first, rows, every))
        chosen = range(first, min(10, first + rows * every), every)[: rows - self.cut]
        return {
            "time": packed([1000 + row for row in chosen]),
            "bytes": packed([cell for row in chosen for cell in (10 * row, 20 * row)]),
        }


def packed(numbers):
    return base64.b64encode(zlib.compress(np.array(numbers, dtype="<i8").tobytes())).decode()


WANTED = Announced("h1", "f.npy", "t.npy", 5, 10, 2)


@pytest.mark.parametrize("every", [1, 2, 3, 4, 100])
@pytest.mark.parametrize("chunk", [16, 48, 4 << 20])
def test_a_series_comes_in_parts_and_its_last_row_always(monkeypatch, every, chunk):
    monkeypatch.setattr("harness.hosts.qp_series.CHUNK_BYTES", chunk)
    client = Client()
    found = fetch(client, WANTED, every)
    rows = sorted({*range(0, 10, every), 9})
    assert list(found.mono_ns) == [1000 + row for row in rows]
    assert found.done.tolist() == [[10 * row, 20 * row] for row in rows]
    assert found.spacing_ns == 5 * every
    assert all(count * 16 <= chunk for _, count, _ in client.asked)


def test_parts_that_are_short_or_garbled_are_errors():
    with pytest.raises(AgentFailed, match=r"h1: 9 instants and 18 samples of f.npy, asked were 10 rows of 2"):
        fetch(Client(cut=1), WANTED, 1)
    garbled = Client()
    garbled.request = lambda *_, **__: {"time": "?", "bytes": None}
    with pytest.raises(AgentFailed, match="h1: a part of a series that cannot be read"):
        fetch(garbled, WANTED, 1)
