from __future__ import annotations

from xml.etree import ElementTree as ET

from harness.core.network import FlowEnds, LinkUse, NetworkRecord
from reports.network import drawing_view


def star(senders: int = 2, hosts: int = 3, **changes) -> NetworkRecord:
    links = tuple(
        LinkUse(f"h{i}:p0", f"sw1:e{i}", 10**11, 10**6, (0.5, 0.02), (0.4, 0.0), (0, 7 if i == hosts else 0))
        for i in range(1, hosts + 1)
    )
    flows = tuple(FlowEnds(f"f{i}", f"h{i}:p0", f"h{hosts}:p0", "done") for i in range(1, senders + 1))
    names = tuple(f"h{i}" for i in range(1, hosts + 1))
    return NetworkRecord(**{"hosts": names, "switches": ("sw1",), "links": links, "flows": flows, **changes})


def paths(network: NetworkRecord) -> dict[str, set[str]]:
    """Title of each drawn direction → its classes."""
    root = ET.fromstring(drawing_view(network).svg)
    return {
        group.find("title").text: set(group.find("path").get("class").split())
        for group in root.iter("g")
        if group.find("path") is not None
    }


def test_the_way_of_the_data_is_told_from_what_returns() -> None:
    drawn = {title.partition(":")[0]: classes for title, classes in paths(star()).items()}
    assert {way for way, classes in drawn.items() if "off" not in classes} == {
        "h1 to sw1",
        "h2 to sw1",
        "sw1 to h3",
    }


def test_load_pauses_and_drops_are_in_words_too() -> None:
    titles = paths(star())
    assert "h1 to sw1: 100Gbps 50 % busy; held by pauses 40 % of the time" in titles
    assert "sw1 to h3: 100Gbps 2.0 % busy; 7 frames dropped" in titles
    assert titles["h1 to sw1: 100Gbps 50 % busy; held by pauses 40 % of the time"] >= {"l2", "held"}


def test_what_is_not_known_is_never_shown_as_zero() -> None:
    view = drawing_view(star(links=(LinkUse("h1:p0", "sw1:e1", 10**11, load=(0.5, None)),), flows=()))
    assert view is not None
    assert (view.links[0].load, view.links[0].paused, view.links[0].dropped) == (
        "50.0\xa0%",
        "no data",
        "no data",
    )
    assert "load not known" in view.svg


def test_the_receiver_of_a_large_incast_stands_apart_from_its_senders() -> None:
    svg = drawing_view(star(senders=40, hosts=65)).svg
    names = [text.text for text in ET.fromstring(svg).iter("text") if text.get("class") == "name"]
    assert "h65" in names
    assert len(names) == 4  # senders, receiver, idle hosts, switch


def test_the_traffic_is_a_line_of_words() -> None:
    assert drawing_view(star()).traffic == "2 flows: h1 to h3, h2 to h3"
    assert drawing_view(star(senders=20, hosts=21)).traffic.endswith("h6 to h21 and 14 more")
    assert drawing_view(star(flows=())).traffic == "no flows"


def test_long_names_stay_different() -> None:
    long = "x" * 500
    links = (LinkUse(f"{long}1:p", "s:1", 1), LinkUse(f"{long}2:p", "s:2", 1))
    svg = drawing_view(NetworkRecord((f"{long}1", f"{long}2"), ("s",), links)).svg
    names = [text.text for text in ET.fromstring(svg).iter("text") if text.get("class") == "name"]
    assert len(names) == len(set(names)) == 3


def test_a_record_without_a_shape_has_no_drawing() -> None:
    assert drawing_view(None) is None
    assert drawing_view(NetworkRecord((), (), left_out="too many")) is None
    odd = NetworkRecord(("h1",), (), (LinkUse("h1:p0", "h1:p1", 1),), (FlowEnds("f", "nowhere:p", "h1:p0"),))
    assert drawing_view(odd) is not None
