"""Stage `device`: the RDMA devices of the site are there, alike, and sit where they should on PCIe and NUMA."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from harness.hosts.devices import Said, find_port
from harness.hosts.preflight.examination import Examination, Patient
from harness.hosts.preflight.groups import ODD_ONES, groups, listed

ANSWER_S = 30.0
NO_DEVICE = "see `rdma link` there, load the driver, and check device and netdev in the site file"
PCIE = "reseat the card or move it to a slot with enough lanes; see `lspci -vv` (LnkSta) and the BIOS"
FAR = 'let `python` in the site file be a script that runs it on CPUs {cpus}: exec taskset -c {cpus} python3 "$@"'
UPDATE = "bring all hosts to one version before comparing them"


def look(exam: Examination) -> None:
    """Ask every agent for its devices; compare driver and firmware between hosts."""
    exam.on_all(
        lambda patient: _find(exam, patient),
        timeout_s=ANSWER_S,
        what="asking for devices",
        advise=lambda error: (str(error), NO_DEVICE),
    )
    used = {patient.host: _devices(exam, patient) for patient in exam.standing}
    for host, devices in used.items():
        for device in devices:
            _look_at_pcie(exam, host, device)
            _look_at_numa(exam, exam.patients[host], device)
        exam.good(host, ", ".join(_words(device) for device in devices))
    _compare(exam, used)


def _find(exam: Examination, patient: Patient) -> None:
    assert patient.client is not None  # noqa: S101 - it stands
    patient.devices = tuple(patient.client.request("devices", timeout_s=ANSWER_S)["devices"])
    exam.facts.setdefault("device", {})[patient.host] = list(patient.devices)
    _devices(exam, patient)


def _devices(exam: Examination, patient: Patient) -> list[Said]:
    """Return the devices that the site uses on a host, each once; raise AgentFailed when one is not there."""
    used: dict[str, Said] = {}
    for name, wanted in exam.site.hosts[patient.host].ports.items():
        device, _ = find_port(f"{patient.host}:{name}", wanted, patient.devices)
        used[str(device["device"])] = device
    return list(used.values())


def _words(device: Said) -> str:
    firmware = device.get("firmware")
    return f"{device['device']} ({device.get('driver')}{f' {firmware}' if firmware else ''})"


def _compare(exam: Examination, used: Mapping[str, Sequence[Said]]) -> None:
    for key, what in (
        ("driver", "different drivers"),
        ("firmware", "different firmware"),
        ("part_id", "different NICs"),
    ):
        _compare_key(exam, used, what, lambda device, key=key: str(device.get(key)))  # type: ignore[misc]


def _compare_key(
    exam: Examination, used: Mapping[str, Sequence[Said]], what: str, of: Callable[[Said], str]
) -> None:
    found = groups(
        {host: ", ".join(sorted({of(device) for device in devices})) for host, devices in used.items()}
    )
    if len(found) > 1:
        odd = [host for value in list(found)[1:] for host in found[value]]
        exam.warn(odd, f"{what} than {ODD_ONES}", value=listed(found), advice=UPDATE)


# --- PCIe ------------------------------------------------------------------------------------------------


def _look_at_pcie(exam: Examination, host: str, device: Said) -> None:
    """Warn of a link below what card and slot can; drivers of virtual functions say `Unknown`."""
    pcie = device.get("pcie") or {}
    for now, most, what in (("speed", "max_speed", "slower"), ("width", "max_width", "narrower")):
        is_now, could_be = _number(pcie.get(now)), _number(pcie.get(most))
        if is_now is not None and could_be is not None and is_now < could_be:
            value = f"{pcie[now]} of {pcie[most]}, {device['device']} at {pcie.get('address')}"
            exam.warn(host, f"PCIe link {what} than it could be", value=value, advice=PCIE)


def _number(text: object) -> float | None:
    """Return the number in front of `32.0 GT/s PCIe` or `16`; None for `Unknown` and for 0 or 255 lanes."""
    found = re.match(r"\d+(\.\d+)?", str(text))
    value = float(found.group()) if found else 0.0
    return value if 0 < value < 255 else None


# --- NUMA ------------------------------------------------------------------------------------------------


def _look_at_numa(exam: Examination, patient: Patient, device: Said) -> None:
    """Warn when Python may run on CPUs that are far from the device."""
    expected, node = exam.site.hosts[patient.host].numa_node, device.get("numa_node")
    if expected is not None and node is not None and node != expected:
        value = f"{device['device']} is at NUMA node {node}, numa_node says {expected}"
        exam.warn(
            patient.host,
            "the device is not where the site says",
            value=value,
            advice="correct numa_node or the slot",
        )
    near = _cpus((patient.python.get("nodes") or {}).get(str(node)))
    allowed = patient.python.get("cpus")
    if not near or not allowed or set(allowed) <= near:
        return
    what = (
        "Python may run far from the device"
        if set(allowed) & near
        else "Python only runs far from the device"
    )
    cpus = patient.python["nodes"][str(node)]
    value = f"{device['device']} is at NUMA node {node}, CPUs {cpus}; Python may use {ranges(allowed)}"
    exam.warn(patient.host, what, value=value, advice=FAR.format(cpus=cpus))


def _cpus(listing: str | None) -> set[int]:
    """Return the CPUs of a list as the kernel writes it: `0-3,8`."""
    found: set[int] = set()
    for part in (listing or "").split(","):
        first, _, last = part.partition("-")
        if first.strip().isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return found


def ranges(numbers: Sequence[int]) -> str:
    """Return numbers as the kernel writes lists of CPUs: `0-3,8`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)
