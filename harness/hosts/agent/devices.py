"""The `devices` request: what sysfs shows of every device, and what the device itself says when it is opened."""

from __future__ import annotations

from typing import Any

from . import gids, ibv, verbs
from .sysfs import Sysfs


def describe(sysfs: Sysfs) -> dict[str, Any]:
    """Return all devices; what needs pyverbs is null without it."""
    found = [sysfs.describe(name) for name in sysfs.devices()]
    library, _reason = verbs.try_load()
    for device in found:
        device["caps"] = None
        if library is None or not _ask(library, device):
            for port in device["ports"]:
                port["gids"] = sysfs.gids(device["device"], port["port"])
    return {"devices": found}


def _ask(library: verbs.Verbs, device: dict[str, Any]) -> bool:
    """Open a device for its capabilities, MTUs and GIDs; one that cannot be opened says why in `open_error`."""
    try:
        with library.Context(name=device["device"]) as context:
            device["caps"] = capabilities(context.query_device())
            for port in device["ports"]:
                attributes = context.query_port(port["port"])
                port["max_mtu"] = ibv.MTU_BYTES[attributes.max_mtu]
                port["active_mtu"] = ibv.MTU_BYTES[attributes.active_mtu]
                port["gids"] = gids.table(context, port["port"])
    except Exception as error:  # noqa: BLE001 - whatever pyverbs raises, the other devices are still listed
        device["open_error"] = " ".join(str(error).split())
        return False
    return True


def capabilities(attributes: Any) -> dict[str, Any]:
    """Return what a device can do, from its attributes."""
    return {
        "xrc": bool(attributes.device_cap_flags & ibv.DEVICE_XRC),
        "srq": attributes.max_srq > 0,
        "atomics": int(attributes.atomic_caps) != ibv.ATOMIC_NONE,
        "max_qp": attributes.max_qp,
        "max_qp_wr": attributes.max_qp_wr,
        "max_cq": attributes.max_cq,
        "max_cqe": attributes.max_cqe,
        "max_mr": attributes.max_mr,
        "max_mr_bytes": attributes.max_mr_size,
        "max_srq": attributes.max_srq,
        "max_srq_wr": attributes.max_srq_wr,
        "max_rd_atomic": attributes.max_qp_rd_atom,
        "max_init_rd_atomic": attributes.max_qp_init_rd_atom,
        "local_ca_ack_delay": attributes.local_ca_ack_delay,
    }
