from __future__ import annotations

from harness.analysis.source_ports import ports_by_label, udp_source_port
from harness.core.evidence import Missing
from harness.core.result import RunResult


def result(*flows):
    return RunResult(
        {"flows": [{"name": name, "flow_label": label} for name, label, _ in flows]},
        {
            "format": 1,
            "flows": [
                {"name": name, "qps": [{"udp_sport": port}] if port else [{}]} for name, _, port in flows
            ],
        },
    )


def test_the_upper_bits_of_a_label_are_folded_into_the_lower_ones():
    assert udp_source_port(0) == 0xC000
    assert udp_source_port(0x00001) == 0xC001
    assert udp_source_port(0x04000) == 0xC001
    assert udp_source_port(0xFFFFF) == 0xC000 | (0x3FFF ^ 0x3F)


def test_only_flows_with_a_label_are_counted():
    assert ports_by_label(result(("a", 1, 0xC001), ("b", 2, 0xC001), ("c", None, 0xC007))) == 1


def test_a_port_that_nobody_tells_is_missing():
    assert isinstance(ports_by_label(result(("a", 1, 0xC001), ("b", 2, None))), Missing)
