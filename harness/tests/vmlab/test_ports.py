from __future__ import annotations

import socket

import pytest

from harness.bindings.vmlab import ports
from harness.bindings.vmlab.errors import LabError
from harness.bindings.vmlab.ports import FIRST, LAST, free_port, is_free


def test_a_port_in_use_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_ports_are_below_those_of_outgoing_connections():
    assert FIRST <= free_port() <= LAST < 32768


def test_taken_ports_are_left_out(monkeypatch):
    monkeypatch.setattr(ports, "FIRST", 21000)
    monkeypatch.setattr(ports, "LAST", 21003)
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    assert free_port({21000, 21001, 21003}) == 21002
    with pytest.raises(LabError, match="no free TCP port"):
        free_port({21000, 21001, 21002, 21003})
