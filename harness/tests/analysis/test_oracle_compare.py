from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.analysis import oracle_compare, traces
from harness.analysis.oracle_compare import CC, FLOWS, PFC
from harness.core.errors import ConfigError

Writer = Callable[[str, str, list[str]], Path]

CC_HEADER = "t_ps,src,dst,sport,event,target_bps_after,rate_bps_after,alpha"
CC_EVENTS = [
    "10,0,8,10000,cnp,100,100,1.000000000",
    "10,1,8,10000,cnp,100,100,1.000000000",
    "20,0,8,10000,dec,100,50,0.998046875",
    "30,1,8,10000,dec,100,50,0.998046875",
]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    def write(name: str, header: str, lines: list[str]) -> Path:
        path = tmp_path / name
        text = "\n".join([header, *lines]) + "\n"
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text)
        return path

    return write


def test_equal_events_in_another_order_of_the_same_instant(write: Writer) -> None:
    ours = write("cc_events.csv", CC_HEADER, [CC_EVENTS[1], CC_EVENTS[0], *CC_EVENTS[2:]])
    reference = write("x_ccevents.csv.gz", CC_HEADER + ",extra", [line + ",0" for line in CC_EVENTS])

    found = oracle_compare.compare(CC, ours, reference)

    assert (found.reference, found.ours, found.differing, found.first) == (4, 4, 0, None)
    assert found.equal


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("20,0", "21,0"),
        (",50,0.998", ",51,0.998"),
        ("0.998046875", "0.998046876"),
        ("dec,100", "dec,101"),
        ("dec", "cnp"),
    ],
)
def test_every_column_counts(write: Writer, old: str, new: str) -> None:
    lines = [*CC_EVENTS[:2], CC_EVENTS[2].replace(old, new), CC_EVENTS[3]]
    ours, reference = write("a.csv", CC_HEADER, lines), write("b.csv", CC_HEADER, CC_EVENTS)

    found = oracle_compare.compare(CC, ours, reference)

    assert found.differing == 1
    assert not found.equal
    assert found.first is not None
    assert found.first.key == ("0", "8", "10000")
    assert found.first.index == 1


def test_a_lost_event_counts_once_at_its_end(write: Writer) -> None:
    ours, reference = write("a.csv", CC_HEADER, CC_EVENTS[:3]), write("b.csv", CC_HEADER, CC_EVENTS)

    found = oracle_compare.compare(CC, ours, reference)

    assert (found.ours, found.differing) == (3, 1)
    assert "ours nothing, reference 30 dec" in str(found.first)


def test_first_difference_is_the_earliest_in_time(write: Writer) -> None:
    lines = [
        CC_EVENTS[0].replace("cnp,100", "cnp,7"),
        CC_EVENTS[1],
        CC_EVENTS[2],
        CC_EVENTS[3].replace("30,", "5,"),
    ]
    ours, reference = write("a.csv", CC_HEADER, lines), write("b.csv", CC_HEADER, CC_EVENTS)

    found = oracle_compare.compare(CC, ours, reference)

    assert found.first is not None
    assert found.first.key[0] == "1"


def test_an_empty_reference_proves_nothing(write: Writer) -> None:
    ours = write("a.csv", CC_HEADER, [])

    assert not oracle_compare.compare(CC, ours, ours).equal


def test_pause_frames_ignore_the_priority_column(write: Writer) -> None:
    header = "t_ns,node,node_type,ifindex,type_1pause_0resume"
    ours = write("a.csv", header + ",priority", ["5,2,0,1,1,3", "9,2,0,1,0,3"])
    reference = write("b.csv", header, ["5,2,0,1,1", "9,2,0,1,1"])

    assert oracle_compare.compare(PFC, ours, reference).differing == 1


def test_unreadable_files_are_config_errors(write: Writer, tmp_path: Path) -> None:
    good = write("a.csv", CC_HEADER, CC_EVENTS)
    with pytest.raises(ConfigError, match=r"c\.csv:1: no column alpha; columns: t_ps"):
        oracle_compare.compare(CC, write("c.csv", CC_HEADER[:-6], []), good)
    with pytest.raises(ConfigError, match="cannot read the events"):
        oracle_compare.compare(CC, tmp_path / "none.csv", good)
    with pytest.raises(ConfigError, match="a line is not like the header"):
        oracle_compare.compare(CC, write("d.csv", CC_HEADER, ["1,2"]), good)
    (tmp_path / "e.csv.gz").write_bytes(gzip.compress(b"x" * 1000)[:20])
    with pytest.raises(ConfigError, match="cannot read the events"):
        oracle_compare.compare(CC, tmp_path / "e.csv.gz", good)


RESULT = {
    "flows": [
        {"name": "a", "src": "0:1", "dst": "8:1", "status": "done", "start_ps": 1000147999, "end_ps": 90, "fct_ps":
        842483437,
         "bytes_delivered": 10, "qps": [{"udp_sport": 10000}]},
        {"name": "b", "src": "1:1", "dst": "8:1", "status": "unfinished", "start_ps": 0, "end_ps": None, "fct_ps": None,
         "bytes_delivered": 3, "qps": [{"udp_sport": 10000}]},
        {"name": "c", "src": "2:1", "dst": "8:1", "status": "done", "start_ps": 1999, "end_ps": 80, "fct_ps": 999,
         "bytes_delivered": 7, "qps": [{"udp_sport": 10001}]},
    ]
}  # fmt: skip


SIZES = {"a": 10, "b": 20, "c": 7}
FLOWS_CSV = traces.flows_csv(RESULT, SIZES)


def test_flows_csv_is_in_completion_order() -> None:
    assert FLOWS_CSV.splitlines() == [
        "flow,src,dst,sport,size_bytes,start_ns,fct_ns,status,name",
        "2,2,8,10001,7,1,0,done,c",
        "0,0,8,10000,10,1000147,842483,done,a",
        "1,1,8,10000,20,0,,unfinished,b",
    ]


def test_a_reference_has_no_line_for_a_flow_that_did_not_complete(write: Writer, tmp_path: Path) -> None:
    (tmp_path / "flows.csv").write_text(FLOWS_CSV)
    lines = FLOWS_CSV.splitlines()
    (tmp_path / "reference.csv").write_text("\n".join(lines[:3]) + "\n")

    assert oracle_compare.compare(FLOWS, tmp_path / "flows.csv", tmp_path / "reference.csv").equal


def test_compare_run_takes_all_kinds_that_have_a_reference(write: Writer, tmp_path: Path) -> None:
    (tmp_path / "flows.csv").write_text(FLOWS_CSV)
    write("cc_events.csv", CC_HEADER, CC_EVENTS)
    write("case_ccevents.csv.gz", CC_HEADER, CC_EVENTS)
    (tmp_path / "case_fct.csv").write_text((tmp_path / "flows.csv").read_text())

    rows = oracle_compare.compare_run(tmp_path, tmp_path, "case")

    assert [(row.kind, row.equal) for row in rows] == [(FLOWS.name, True), (CC.name, True)]
    assert "case  flows  2          2     0" in oracle_compare.format_table(rows)
    with pytest.raises(ConfigError, match="no reference files"):
        oracle_compare.compare_run(tmp_path, tmp_path, "other")


def test_command_gives_the_table_and_the_verdict(
    write: Writer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flows.csv").write_text(FLOWS_CSV)
    (tmp_path / "case_fct.csv").write_text(FLOWS_CSV.replace("842483", "842484"))

    assert oracle_compare.main([str(tmp_path), str(tmp_path), "case"]) == 1
    assert "reference 0 8 10000 10 1000147 842484" in capsys.readouterr().out
