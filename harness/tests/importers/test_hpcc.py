from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import ConfigError
from harness.core.events import LinkDown
from harness.core.scenario import Scenario
from harness.core.topology import Topology
from harness.core.yamlio import parse_yaml
from harness.importers.hpcc import import_hpcc, scenario_text
from harness.importers.hpcc_config import IGNORED, parse_rate, read_config

SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "oracles" / "configs"

CONFIG = {
    "ENABLE_QCN": "1",
    "PACKET_PAYLOAD_SIZE": "1000",
    "TOPOLOGY_FILE": "mix/net.topo",
    "FLOW_FILE": "mix/net.flow",
    "SIMULATOR_STOP_TIME": "4.00",
    "CC_MODE": "1",
    "ALPHA_RESUME_INTERVAL": "1",
    "RATE_DECREASE_INTERVAL": "4.7",
    "CLAMP_TARGET_RATE": "0",
    "RP_TIMER": "300",
    "EWMA_GAIN": "0.00390625",
    "FAST_RECOVERY_TIMES": "1",
    "RATE_AI": "20Mb/s",
    "RATE_HAI": "200Mb/s",
    "MIN_RATE": "100Mb/s",
    "ERROR_RATE_PER_LINK": "0.0000",
    "L2_ACK_INTERVAL": "1",
    "HAS_WIN": "0",
    "ACK_HIGH_PRIO": "1",
    "LINK_DOWN": "0 0 0",
    "KMAX_MAP": "2 100000000000 1600 400000000000 6400",
    "KMIN_MAP": "2 100000000000 400 400000000000 1600",
    "PMAX_MAP": "2 100000000000 0.2 400000000000 0.2",
    "BUFFER_SIZE": "32",
    "U_TARGET": "0.95",
    "ORC_RES": "ps",
}
# Two switches (4 and 5) with two hosts each and a fast link between them.
TOPOLOGY = """6 2 5
4 5
4 0 100Gbps 1us 0
4 1 100Gbps 1us 0
5 2 100Gbps 0.002ms 0
3 5 100Gbps 1us 0
4 5 400Gbps 1500ns 0
"""
FLOWS = """3
0 2 3 100 10000000 0.001000000
1 2 3 100 5000 0.001000037
0 2 3 100 5000 0.001000148
this line is not read
"""

Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def make(
        *, topology: str = TOPOLOGY, flows: str = FLOWS, drop: tuple[str, ...] = (), **changes: str
    ) -> Path:
        lines = [f"{key} {value}" for key, value in (CONFIG | changes).items() if key not in drop]
        (tmp_path / "mix").mkdir(exist_ok=True)
        (tmp_path / "mix" / "net.topo").write_text(topology)
        (tmp_path / "mix" / "net.flow").write_text(flows)
        path = tmp_path / "net.cfg"
        path.write_text("\n".join(lines) + "\n")
        return path

    return make


def imported(path: Path) -> dict[str, Any]:
    return import_hpcc(path).scenario


def flow_fields(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = imported(path)["traffic"][0]["flows"]
    return found


def test_scenario_selects_the_models_semantics(folder: Folder) -> None:
    scenario = imported(folder())

    assert scenario["time"] == {"model": "ns3", "resolution_ps": 1}
    assert scenario["wire"] == {
        "model": "fixed", "data_overhead_bytes": 48, "ack_bytes": 60, "cnp_bytes": 60,
        "pfc_bytes": 43, "gap_bytes": 0,
    }  # fmt: skip
    assert (scenario["until"], scenario["duration"]) == ("done", "4s")
    assert scenario["nic"] == {
        "mtu_bytes": 1000,
        "loss_recovery": "go_back_n",
        "ack_timeout_exponent": 0,
        "nak_interval_ps": 500_000_000,
        "ack": {"every": 1, "priority": None, "strict": True},
        "cnp": {"mode": "ack_echo"},
        "cc": {
            "algorithm": "ns3", "g": 1 / 256, "alpha_timer_ps": 1_000_000, "cut_interval_ps": 4_000_000,
            "rate_timer_ps": 300_000_000, "fast_recovery": 1, "rate_ai_bps": 20_000_000,
            "rate_hai_bps": 200_000_000,
            "min_rate_bps": 100_000_000, "clamp_target": False, "pace": True, "variable_window": False,
        },
        "pfc": {"priorities": [3], "mode": "until_resume"},
        "scheduler": {"kind": "hpcc"},
    }  # fmt: skip
    assert scenario["switch"]["buffer"] == {"model": "hpcc", "bytes": 32 * 1024 * 1024}
    assert scenario["switch"]["pfc"] == {"priorities": [3], "mode": "until_resume"}
    assert scenario["switch"]["ecmp"] == {"mode": "hpcc"}
    assert scenario["switch"]["ecn"] == {
        "priorities": [3],
        "mark_at": "dequeue",
        "profiles": [
            {"rate_bps": 100_000_000_000, "kmin_bytes": 400_000, "kmax_bytes": 1_600_000, "pmax": 0.2},
            {"rate_bps": 400_000_000_000, "kmin_bytes": 1_600_000, "kmax_bytes": 6_400_000, "pmax": 0.2},
        ],
    }


def test_topology_keeps_numbers_and_interface_order(folder: Folder) -> None:
    topology = imported(folder())["topology"]

    assert list(topology["nodes"]) == ["0", "1", "2", "3", "4", "5"]
    assert topology["nodes"]["3"] == {"kind": "host"}
    assert topology["nodes"]["4"] == {"kind": "switch"}
    assert [link["endpoints"] for link in topology["links"]] == [
        ["4:1", "0:1"], ["4:2", "1:1"], ["5:1", "2:1"], ["3:1", "5:2"], ["4:3", "5:3"],
    ]  # fmt: skip
    assert [link["delay"] for link in topology["links"]] == ["1us", "1us", "2us", "1us", "1.5us"]
    assert "ber" not in topology["links"][0]


def test_flows_keep_order_ports_and_exact_start_times(folder: Folder) -> None:
    flows = flow_fields(folder())

    assert [(flow["src"], flow["dst"], flow["udp_sport"]) for flow in flows] == [
        ("0:1", "2:1", 10000), ("1:1", "2:1", 10000), ("0:1", "2:1", 10001),
    ]  # fmt: skip
    assert [flow["start_ps"] for flow in flows] == [1_000_000_000, 1_000_037_000, 1_000_147_999]
    assert all("window_bytes" not in flow for flow in flows)


def test_native_resolution_cuts_to_nanoseconds(folder: Folder) -> None:
    path = folder(drop=("ORC_RES",), flows="1\n0 2 3 100 5000 0.001000148\n")

    assert imported(path)["time"]["resolution_ps"] == 1000
    assert flow_fields(path)[0]["start_ps"] == 1_000_147_000


def test_text_is_a_scenario_file(folder: Folder) -> None:
    path = folder(LINK_DOWN="100 4 5")
    text = scenario_text(path)

    scenario = Scenario.from_document(parse_yaml(text, "net.yaml"))

    assert "&" not in text
    assert text.startswith("# Imported from net.cfg")
    assert "U_TARGET" in text
    assert isinstance(scenario.topology, Topology)
    assert scenario.topology.ports("4") == ("1", "2", "3")
    flows = list(scenario.patterns[0].flows(scenario.topology, 1))
    assert [flow.start_ps for flow in flows] == [1_000_000_000, 1_000_037_000, 1_000_147_999]
    assert scenario.limit_ps == 4 * 10**12
    assert list(scenario.events) == [LinkDown(2_000_100_000_000, "4:3")]


def test_no_marking_and_no_control(folder: Folder) -> None:
    path = folder(
        ENABLE_QCN="0", CC_MODE="0", drop=("KMIN_MAP", "RP_TIMER", "EWMA_GAIN", "RATE_AI", "RATE_HAI")
    )
    scenario = imported(path)

    assert scenario["switch"]["ecn"] is None
    assert scenario["nic"]["cnp"] == {"mode": "none"}
    assert scenario["nic"]["cc"] == {"algorithm": "none"}


def test_options_of_the_sender(folder: Folder) -> None:
    nic = imported(folder(RATE_BOUND="0", VAR_WIN="1", CLAMP_TARGET_RATE="1", ACK_HIGH_PRIO="0"))["nic"]

    assert (nic["cc"]["pace"], nic["cc"]["variable_window"], nic["cc"]["clamp_target"]) == (False, True, True)
    assert nic["ack"]["strict"] is False


def test_windows_are_products_of_path_delay_and_rate(folder: Folder) -> None:
    # 0 to 2: 1000 + 1500 + 2000 ns each way, 80 + 20 + 80 ns of serialisation, 100 Gb/s.
    window = (2 * 4500 + 180) * 100 // 8
    # 0 to 1: 2000 ns each way, 160 ns.
    near = (2 * 2000 + 160) * 100 // 8
    flows = "2\n0 2 3 100 5000 0.001\n0 1 3 100 5000 0.001\n"

    assert [flow["window_bytes"] for flow in flow_fields(folder(HAS_WIN="1", flows=flows))] == [
        window,
        window,
    ]
    assert [flow["window_bytes"] for flow in flow_fields(folder(HAS_WIN="1", GLOBAL_T="0", flows=flows))] == [
        window,
        near,
    ]


def test_window_is_the_default(folder: Folder) -> None:
    assert "window_bytes" in flow_fields(folder(drop=("HAS_WIN",)))[0]


def test_several_priority_groups(folder: Folder) -> None:
    scenario = imported(folder(flows="2\n0 2 3 100 5000 0.001\n0 2 1 100 5000 0.001\n"))

    assert scenario["switch"]["ecn"]["priorities"] == scenario["nic"]["pfc"]["priorities"] == [1, 3]


def test_packet_loss_becomes_a_bit_error_rate_and_a_note(folder: Folder) -> None:
    path = folder(ERROR_RATE_PER_LINK="0.001", topology=TOPOLOGY.replace("1500ns 0", "1500ns 0.01"))
    result = import_hpcc(path)
    rates = [link["ber"] for link in result.scenario["topology"]["links"]]

    assert 1 - (1 - rates[0]) ** (8 * 1048) == pytest.approx(0.001)
    assert 1 - (1 - rates[4]) ** (8 * 1048) == pytest.approx(0.01)
    assert any("bit error rates" in note for note in result.notes)


def test_large_flows_become_equal_messages(folder: Folder) -> None:
    flow = flow_fields(folder(flows="1\n0 2 3 100 4000000000 0.001\n"))[0]

    assert (flow["message_bytes"], flow["messages"]) == (2_000_000_000, 2)


def test_a_note_about_other_target_ports(folder: Folder) -> None:
    assert not any("Target ports" in note for note in import_hpcc(folder()).notes)
    assert any(
        "Target ports" in note for note in import_hpcc(folder(flows=FLOWS.replace(" 100 ", " 99 "))).notes
    )


@pytest.mark.parametrize("name", ["mix/net", "net", "other/net", "x"])
def test_files_are_found_beside_the_configuration(folder: Folder, name: str) -> None:
    path = folder(TOPOLOGY_FILE=f"{name}.topo", FLOW_FILE=f"{name}.flow")
    for suffix in (".topo", ".flow"):
        (path.parent / "mix" / f"net{suffix}").rename(
            path.parent / ("mix" if name == "mix/net" else ".") / f"net{suffix}"
        )

    assert len(flow_fields(path)) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"CC_MODE": "3"},
            r"net\.cfg:6: CC_MODE: HPCC is not supported \(value 3\); supported: 1 \(DCQCN\), 0 \(none\)",
        ),
        ({"CC_MODE": "7"}, "TIMELY"),
        ({"CC_MODE": "8"}, "DCTCP"),
        ({"CC_MODE": "10"}, "HPCC-PINT"),
        ({"CC_MODE": "2"}, "unknown congestion control"),
        ({"CC_MODE": "one"}, r"net\.cfg:6: CC_MODE: not a whole number .*\(value 'one'\)"),
        ({"CC_MODE": "1 2"}, "needs one value, not 2"),
        ({"CC_MODE": ""}, "needs one value, not 0"),
        ({"CC_MOED": "1"}, r"CC_MOED: unknown key; did you mean 'CC_MODE'\?"),
        ({"L2_BACK_TO_ZERO": "1"}, "L2_BACK_TO_ZERO.*supported: 0"),
        ({"L2_ACK_INTERVAL": "0"}, "L2_ACK_INTERVAL.*value 0.*supported: 1 to the payload"),
        ({"L2_ACK_INTERVAL": "4000"}, "ACK interval is not supported"),
        ({"PACKET_PAYLOAD_SIZE": "9001"}, "supported: 64 to 9000"),
        ({"RP_TIMER": "0.5"}, "RP_TIMER: the simulator cuts timers to whole microseconds"),
        ({"RP_TIMER": "nan"}, "not a finite number"),
        ({"EWMA_GAIN": "1.5"}, "fraction from 0 to 1"),
        ({"RATE_AI": "20Mbit"}, "RATE_AI: not a rate such as"),
        ({"PAUSE_TIME": "0"}, "pauses are resumes"),
        ({"BUFFER_SIZE": "4096"}, "supported: 1 to 4095"),
        ({"KMIN_MAP": "2 100000000000 400"}, "says 2 pairs of link rate and value, but 2 numbers follow"),
        (
            {"KMIN_MAP": "1 100000000000 400"},
            r"KMIN_MAP: no value for the rate of a switch port \(value '400Gbps'\)",
        ),
        ({"KMIN_MAP": "2 100000000000 1601 400000000000 1"}, "Kmin of 100Gbps is above Kmax"),
        ({"PMAX_MAP": "2 100000000000 1.1 400000000000 1"}, "PMAX_MAP: not a fraction"),
        ({"LINK_DOWN": "100 0 1"}, "no link between these nodes"),
        ({"LINK_DOWN": "100"}, "a time in microseconds and two nodes"),
        ({"ORC_RES": "us"}, "ps or ns"),
        ({"FLOW_FILE": "none.flow"}, r"FLOW_FILE: there is no such file \(value 'none.flow'\); looked for"),
        ({"ERROR_RATE_PER_LINK": "1"}, "lets nothing through"),
        ({"SIMULATOR_STOP_TIME": "-1"}, "finite number from 0"),
    ],
)
def test_what_is_not_supported_is_one_clear_error(
    folder: Folder, change: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        import_hpcc(folder(**change))


@pytest.mark.parametrize("key", ["TOPOLOGY_FILE", "RP_TIMER", "EWMA_GAIN", "RATE_AI", "L2_ACK_INTERVAL"])
def test_keys_without_a_usable_default_are_required(folder: Folder, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: missing key"):
        import_hpcc(folder(drop=(key,)))


def test_a_key_given_twice_is_refused(folder: Folder) -> None:
    path = folder()
    path.write_text(path.read_text() + "CC_MODE 0\n")

    with pytest.raises(ConfigError, match=r"net\.cfg:27: CC_MODE: given twice, first in line 6"):
        import_hpcc(path)


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        ("", r"net\.topo:1: the file ends where number of nodes should be"),
        ("3 1 2\n2\n2 0 100Gbps 1us 0\n", r"net\.topo:3: the file ends where link end"),
        ("1000000000 1 2\n2\n", "at most 65536 are possible"),
        ("3 1 1000000000\n2\n", "at most 262144"),
        ("3 4 2\n2\n", "at most 3"),
        ("3 1 2\n3\n", r"switch: no such node; they are 0 to 2 \(value '3'\)"),
        ("3 1 2\n2\n2 0 100Gbps 1us 0\n2 3 100Gbps 1us 0\n", r"net\.topo:4: link end: no such node"),
        ("3 1 2\n2\n2 0 0Gbps 1us 0\n", "a link rate is above 0"),
        ("3 1 2\n2\n2 0 fast 1us 0\n", "link rate: not a rate"),
        ("3 1 2\n2\n2 0 100Gbps 1furlong 0\n", "link delay: not a time"),
        ("3 1 2\n2\n2 0 100Gbps 1us 2\n", "packet error rate"),
        ("3 1 2\n2\n2 0 100Gbps 1us nan\n", "packet error rate"),
        ("3 1 2\n2\n2 2 100Gbps 1us 0\n", "from a node to itself"),
        ("3 1 2\n2\n2 0 100Gbps 1us 0\n0 2 100Gbps 1us 0\n", "second link between the same nodes"),
        (
            "3 1 1\n2\n2 0 100Gbps 1us 0\n",
            r"host 1: only hosts with one link are supported \(value '0 links'\)",
        ),
        ("2 2 1\n0 1\n0 1 100Gbps 1us 0\n", "there is no host"),
    ],
)
def test_bad_topologies(folder: Folder, topology: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        import_hpcc(folder(topology=topology))


@pytest.mark.parametrize(
    ("flows", "message"),
    [
        ("", "number of flows"),
        ("0\n", "no flows"),
        ("2\n0 2 3 100 5000 0.001\n", r"net\.flow:2: the file ends where flow source"),
        ("1000000000\n", "at most 1000000"),
        ("1\n0 0 3 100 5000 0.001\n", "a flow from a host to itself"),
        ("1\n0 4 3 100 5000 0.001\n", "a switch sends and receives nothing"),
        ("1\n0 9 3 100 5000 0.001\n", "no such node"),
        ("1\n0 2 0 100 5000 0.001\n", "priority groups of flows are 1 to 7"),
        ("1\n0 2 8 100 5000 0.001\n", "priority groups"),
        ("1\n0 2 3 100 0 0.001\n", "1 to 4294967295 bytes"),
        ("1\n0 2 3 100 4294967295 0.001\n", "flow size: larger than a message"),
        ("1\n0 2 3 100 5000 nan\n", "start: a simulated time"),
        ("1\n0 2 3 100 5000 soon\n", "start:"),
        (
            "2\n0 2 3 100 5000 0.002\n0 2 3 100 5000 0.001\n",
            r"net\.flow:3: start: flows must be in order of start",
        ),
    ],
)
def test_bad_flows(folder: Folder, flows: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        import_hpcc(folder(flows=flows))


def test_a_buffer_that_headroom_fills_is_refused(folder: Folder) -> None:
    topology = TOPOLOGY.replace("1500ns", "1ms")

    with pytest.raises(ConfigError, match="BUFFER_SIZE: headroom and reserves of switch 4 need 150"):
        import_hpcc(folder(topology=topology))


def test_binary_and_missing_files_are_errors(tmp_path: Path) -> None:
    (tmp_path / "x.cfg").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read"):
        import_hpcc(tmp_path / "x.cfg")
    with pytest.raises(ConfigError, match="cannot read"):
        import_hpcc(tmp_path / "none.cfg")
    with pytest.raises(ConfigError, match="cannot read"):
        import_hpcc(tmp_path)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100Gbps", 10**11),
        ("20Mb/s", 20_000_000),
        ("2.5Gbps", 2_500_000_000),
        ("1GBps", 8 * 10**9),
        ("7", 7),
        ("1Kib/s", 1024),
    ],
)
def test_rates_of_ns3(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


def test_known_keys_are_either_read_or_ignored(folder: Folder) -> None:
    config = read_config(folder(**dict.fromkeys(sorted(IGNORED), "1")))

    assert set(config.ignored) == IGNORED


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the reference configurations are not here")
class TestSamples:
    @pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.cfg")), ids=lambda path: str(path.stem))
    def test_every_sample_imports(self, path: Path) -> None:
        scenario = Scenario.from_document(parse_yaml(scenario_text(path), path.name))
        announced = int(path.with_suffix(".flow").read_text().split()[0])

        assert isinstance(scenario.topology, Topology)
        assert len(list(scenario.patterns[0].flows(scenario.topology, 1))) == announced
