"""pyverbs, imported when it is first needed: a host without it still says hello and lists what sysfs shows."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import os
import re
from pathlib import Path
from typing import Any

from .errors import AgentError

_CLASSES = {
    "device": ("Context",),
    "pd": ("PD",),
    "mr": ("MR",),
    "cq": ("CQ", "CompChannel"),
    "qp": ("QP", "QPAttr", "QPCap", "QPInitAttr", "QPInitAttrEx"),
    "srq": ("SRQ", "SrqAttr", "SrqInitAttr", "SrqInitAttrEx"),
    "xrcd": ("XRCD", "XRCDInitAttr"),
    "wr": ("SGE", "SendWR", "RecvWR"),
    "addr": ("GID", "GlobalRoute", "AHAttr", "AH"),
}


class Verbs:
    """The classes of pyverbs as attributes: `verbs.QP`, `verbs.MR` and so on."""

    def __init__(self, classes: dict[str, Any]) -> None:
        self.__dict__.update(classes)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"pyverbs class {name!r} is not listed in the agent")


@functools.cache
def try_load() -> tuple[Verbs | None, str | None]:
    """Return pyverbs, or None and one line on why it cannot be used.

    Starting a program must not move registered pages away from the device: libibverbs is asked to see to that.
    """
    os.environ.setdefault("RDMAV_FORK_SAFE", "1")  # ibv_fork_init(3); does nothing from Linux 5.12 on
    try:
        found = {
            name: getattr(importlib.import_module(f"pyverbs.{module}"), name)
            for module, names in _CLASSES.items()
            for name in names
        }
    except (ImportError, AttributeError) as error:
        return None, " ".join(str(error).split())
    return Verbs(found), None


def load() -> Verbs:
    """Return pyverbs; raise AgentError no_pyverbs with the reason and what to install."""
    verbs, reason = try_load()
    if verbs is None:
        raise AgentError("no_pyverbs", f"pyverbs cannot be used: {reason}; install python3-pyverbs")
    return verbs


@functools.cache
def version() -> str | None:
    """Return the version of pyverbs, or of the libibverbs beside it; None when nothing tells."""
    if try_load()[0] is None:
        return None
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("pyverbs")
    return _library_version(Path("/proc/self/maps"))


def _library_version(maps: Path) -> str | None:
    """Return the version in the file name of the libibverbs that is mapped: libibverbs.so.1.14.56.1 is 56.1."""
    with contextlib.suppress(OSError):
        found = re.search(r"libibverbs\.so\.1\.\d+\.([0-9.]+)$", maps.read_text("utf-8"), re.MULTILINE)
        return found.group(1) if found else None
    return None
