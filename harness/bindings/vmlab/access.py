"""How people and programs reach the guests: a Site for the harness, `ssh_config` and `known_hosts` for OpenSSH."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.bindings.vmlab.identity import rdma_device
from harness.bindings.vmlab.keys import Keys
from harness.bindings.vmlab.plan import GuestPlan, Plan
from harness.core.site import Access, RdmaPort, Site, SiteDefaults, SiteHost, SiteSwitch
from harness.core.units import MS

LOOPBACK = "127.0.0.1"

MAX_START_SKEW = 150 * MS
"""How far apart guests may start. Emulated guests share the computer's cores: measured 1 to 22 ms, most of it the
uncertainty of clocks read over busy SSH, and 56 to 123 ms after one was started anew or beside other programs; the
lab's flows take hundreds of milliseconds."""


def site_of(plan: Plan, ports: Mapping[str, int], keys: Keys, folder: Path) -> Site:
    """Return the site of a lab; `ports` are the loopback ports of the nodes' sshd."""
    defaults = SiteDefaults(user="root", identity=keys.client_private, known_hosts=folder / "known_hosts")
    guests = plan.guests.values()
    return Site(
        topology=plan.topology.name,
        hosts={g.node: _host(g, ports[g.node]) for g in guests if not g.is_switch},
        switches={g.node: _switch(g, ports[g.node]) for g in guests if g.is_switch},
        defaults=defaults,
        max_start_skew=MAX_START_SKEW,
    )


def _host(guest: GuestPlan, ssh_port: int) -> SiteHost:
    nics = {nic.port: RdmaPort(device=rdma_device(nic), netdev=nic.port) for nic in guest.nics}
    return SiteHost(ports=nics, address=LOOPBACK, port=ssh_port)


def _switch(guest: GuestPlan, ssh_port: int) -> SiteSwitch:
    return SiteSwitch(os="linux", ports={n.port: n.port for n in guest.nics}, address=LOOPBACK, port=ssh_port)


def ssh_files(site: Site, keys: Keys, folder: Path) -> None:
    """Write `known_hosts` and `ssh_config` (`ssh -F <folder>/ssh_config h1`) for the nodes of a site."""
    accesses = {node: site.access(node) for node in (*site.hosts, *site.switches)}
    key = " ".join(keys.host_public.read_text().split()[:2])
    known = "".join(f"[{access.address}]:{access.port} {key}\n" for access in accesses.values())
    (folder / "known_hosts").write_text(known)
    blocks = (_block(node, access, folder) for node, access in accesses.items())
    (folder / "ssh_config").write_text("\n".join(blocks))


def _block(node: str, access: Access, folder: Path) -> str:
    return (
        f"Host {node}\n  HostName {access.address}\n  Port {access.port}\n  User {access.user}\n"
        f'  IdentityFile "{access.identity}"\n  IdentitiesOnly yes\n'
        f'  UserKnownHostsFile "{folder / "known_hosts"}"\n  StrictHostKeyChecking yes\n  LogLevel ERROR\n'
    )
