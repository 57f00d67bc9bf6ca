"""Choosing the GID of a queue pair by what it is; the same index means different addresses on different hosts."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from . import sysfs
from .errors import AgentError
from .flow import GidWish

_TYPES = {"v1": "IB/RoCE v1", "v2": "RoCE v2"}
_PREFERENCE = ("ipv4", "ipv6", "link_local")


_MOST = 2047
"""Entries asked for: what fits the 16-bit length of a uverbs attribute at 32 bytes each."""

_TYPE_NUMBERS = {0: "IB/RoCE v1", 1: "IB/RoCE v1", 2: "RoCE v2"}
"""Words of sysfs by enum ibv_gid_type; it has one word for the first two."""


def table(context: Any, port: int) -> list[dict[str, Any]]:
    """Return the GID table of a port of an opened device: one call, only entries in use."""
    found = []
    for entry in context.query_gid_table(_MOST):
        if entry.port_num == port:
            gid = entry.gid_str()
            facts = {
                "index": entry.gid_index,
                "gid": gid,
                "type": _TYPE_NUMBERS.get(entry.gid_type, "unknown"),
            }
            found.append({**facts, "family": sysfs.family(gid), "netdev": _name_of(entry.ndev_ifindex)})
    return sorted(found, key=lambda entry: int(entry["index"]))


def _name_of(index: int) -> str | None:
    with contextlib.suppress(OSError):
        return socket.if_indextoname(index)
    return None


def choose(table: list[dict[str, Any]], wish: GidWish, device: str, port: int) -> dict[str, Any]:
    """Return the entry of a GID table that fulfils a wish, with `why` in words.

    Raises:
        AgentError: no_gid; the message and `detail.gids` list what there is.
    """
    wanted = [entry for entry in table if _fulfils(entry, wish)]
    if not wanted:
        there = ", ".join(f"{entry['index']}: {in_words(entry)}" for entry in table) or "none"
        message = f"{device} port {port}: no GID with {_words_of(wish)}; there is {there}"
        raise AgentError("no_gid", message, {"device": device, "port": port, "gids": table})
    chosen = min(wanted, key=lambda entry: (_PREFERENCE.index(entry["family"]), entry["index"]))
    why = f"index {chosen['index']} of {device} port {port}: {in_words(chosen)}"
    return {**chosen, "why": f"{why} (asked: {_words_of(wish)})"}


def _fulfils(entry: dict[str, Any], wish: GidWish) -> bool:
    if wish.index is not None:
        return bool(entry["index"] == wish.index)
    return entry["type"] == _TYPES[wish.roce] and wish.family in {None, entry["family"]}


def _words_of(wish: GidWish) -> str:
    if wish.index is not None:
        return f"index {wish.index}"
    return f"{_TYPES[wish.roce]}, {wish.family or 'any family'}"


def in_words(entry: dict[str, Any]) -> str:
    """Return type, family, address and network device of an entry."""
    place = sysfs.address(entry["gid"])
    return f"{entry['type']} {entry['family']} {place} on {entry['netdev']}"
