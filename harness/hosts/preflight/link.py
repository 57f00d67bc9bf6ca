"""Stage `link`: ports are up, carry the MTU that runs ask for, have the GID that the site asks for, and are alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.core.errors import AgentFailed, ConfigError
from harness.hosts.devices import Endpoint, endpoint, find_port
from harness.hosts.preflight.examination import Examination, Patient, bare
from harness.hosts.preflight.groups import groups, listed

DOWN = "see `rdma link` and `ip link` there, the cable and the switch port"
GID = (
    "give the interface an address of that family (`ip addr`), or change roce, family or gid in the site file"
)
MTU = (
    "`ip link set {netdev} mtu 4200` (1500 gives an RDMA MTU of 1024, 4200 one of 4096), on switch ports too; "
    "--mtu says what runs will ask for"
)
SAME_MTU = "set the same MTU on the interfaces of all hosts and on the switch ports; peers with different ones refuse"
BY_CONTENT = (
    "none of the harness (GIDs are chosen by content); name the index per host for tools that take a number"
)
NAMES = (
    "nothing for the harness; tools that name interfaces need the same names (udev or systemd .link files)"
)
SLOW = "see FEC, autonegotiation and the cable; the topology says what the link should do"


def look(exam: Examination) -> None:
    """Judge every port by itself, then all of them together."""
    for patient in exam.standing:
        _look_at(exam, patient)
    _compare_mtus(exam)
    _compare(
        exam,
        _by_port(exam, lambda end: f"GID index {end.gid.get('index')}"),
        "different GID indices",
        BY_CONTENT,
    )
    _compare(exam, _by_port(exam, lambda end: str(end.netdev)), "interfaces have different names", NAMES)
    _compare(exam, _by_port(exam, lambda end: end.device_name), "RDMA devices have different names", NAMES)
    for patient in exam.standing:
        exam.good(patient.host, ", ".join(_words(end) for end in exam.ports_of(patient.host)))


def _look_at(exam: Examination, patient: Patient) -> None:
    for name, wanted in exam.site.hosts[patient.host].ports.items():
        full = f"{patient.host}:{name}"
        device, port = find_port(full, wanted, patient.devices)
        if "ACTIVE" not in str(port.get("state")).upper():
            value = f"state {port.get('state')}, link {port.get('phys_state')}"
            what = f"{device['device']} port {port['port']} is down"
            exam.fail(patient.host, what, value=value, advice=DOWN, where=full)
            continue
        try:
            end = endpoint(full, wanted, patient.devices)
        except (AgentFailed, ConfigError) as error:
            exam.fail(patient.host, bare(str(error), patient.host), advice=GID, where=full)
            continue
        exam.endpoints[full] = end
        exam.facts.setdefault("link", {})[full] = end.as_result()
        _look_at_mtu(exam, end)
        _look_at_speed(exam, end)


def _look_at_mtu(exam: Examination, end: Endpoint) -> None:
    needed, has = exam.options.mtu_bytes, end.active_mtu
    if has is None:
        why = str(end.device.get("open_error") or "the device does not say")
        exam.warn(end.host, "RDMA MTU not known", value=why, advice="see `ibv_devinfo` there", where=end.name)
    elif has < needed:
        advice = MTU.format(netdev=end.netdev or "the interface")
        exam.fail(end.host, "RDMA MTU too small", value=f"{has} of {needed}", advice=advice, where=end.name)


def _look_at_speed(exam: Examination, end: Endpoint) -> None:
    has, wanted = end.port.get("speed_gbps"), exam.topology.line_rate_bps(end.name) / 1e9
    if isinstance(has, int | float) and has < wanted:
        exam.warn(
            end.host,
            "link slower than in the topology",
            value=f"{has:g} of {wanted:g} Gb/s",
            advice=SLOW,
            where=end.name,
        )


def _compare_mtus(exam: Examination) -> None:
    """Peers must agree: those with another MTU than most fail; of two equal camps, that of the smaller MTU."""
    mtus = {end.name: end.active_mtu for end in exam.endpoints.values() if _counts(exam, end)}
    found = groups({name: mtu for name, mtu in mtus.items() if mtu is not None})
    if len(found) < 2:
        return
    most = max(found, key=lambda mtu: (len(found[mtu]), mtu))
    for mtu, ports in found.items():
        if mtu != most:
            hosts = dict.fromkeys(port.partition(":")[0] for port in ports)
            exam.fail(
                hosts,
                "another RDMA MTU than most",
                value=listed(found),
                advice=SAME_MTU,
                where=", ".join(ports),
            )


def _counts(exam: Examination, end: Endpoint) -> bool:
    return exam.stands(end.host)


def _by_port(exam: Examination, of: Callable[[Endpoint], str]) -> dict[str, dict[str, str]]:
    """Return a property of the ports of hosts that stand: by the port's name in the topology, then by host."""
    found: dict[str, dict[str, str]] = {}
    for end in exam.endpoints.values():
        if _counts(exam, end):
            found.setdefault(end.name.partition(":")[2], {})[end.host] = of(end)
    return found


def _compare(exam: Examination, found: Mapping[str, Mapping[str, str]], what: str, advice: str) -> None:
    for port, values in found.items():
        camps = groups(values)
        if len(camps) > 1:
            odd = [host for value in list(camps)[1:] for host in camps[value]]
            exam.warn(odd, f"{what} at port {port}", value=listed(camps), advice=advice)


def _words(end: Endpoint) -> str:
    return f"MTU {end.active_mtu or '?'}, GID {end.gid.get('index')}"
