"""``roce lab``: virtual machines with Soft-RoCE around a Linux switch, on this machine, without root."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.bindings.vmlab import RunningLab

DEFAULT_TOPOLOGY = "softroce-2"
LOG_LINES = 40

name_option = click.option(
    "--name", metavar="LAB", help="Which lab (default: the topology's name, or the only lab that is up)."
)


@click.group(
    epilog="""\b
Examples:
  roce lab up                          build what is missing, then start two hosts and a switch
  roce lab up softroce-4 --name mine   a second lab beside the first one
  roce lab status
  roce lab ssh h1 rdma link            run a command on a host
  roce lab down --all
Tests start a lab of their own when none is up, and use one that is:
  pytest suites --fabric vmlab --topology softroce-2
"""
)
def lab() -> None:
    """Virtual machines with Soft-RoCE, sshd and a Linux switch."""


@lab.command("build", epilog="Example: roce lab build --again")
@click.option("--again", is_flag=True, help="Build even when there is an image (new Debian packages).")
def build_image(again: bool) -> None:
    """Build the guests' image and snapshot; both are kept, and nothing is done when they are there."""
    from harness.bindings.vmlab.accel import choose_accel
    from harness.bindings.vmlab.image import build
    from harness.bindings.vmlab.layout import Layout
    from harness.bindings.vmlab.snapshot import make_snapshot

    layout, say = Layout.find(), _timed()
    image = build(layout, say, again=again)
    snapshot = make_snapshot(layout, image, choose_accel(layout, image, say), say)
    click.echo(f"image {image.folder}\nsnapshot {snapshot.folder}")


@lab.command(
    "up",
    epilog="""\b
Examples:
  roce lab up
  roce lab up softroce-4 --name mine
""",
)
@click.argument("topology", default=DEFAULT_TOPOLOGY, metavar="[TOPOLOGY]")
@name_option
def start(topology: str, name: str | None) -> None:
    """Start a lab and leave it running until ``roce lab down``; a lab that is up is repaired where needed."""
    from harness.bindings.vmlab import Lab
    from harness.core.topology import Topology

    running = Lab.up(Topology.load(topology), name=name, progress=_timed(), keep=True)
    click.echo(
        f"lab {running.name} is up: {', '.join(running.guests)}; roce lab ssh {next(iter(running.guests))}"
    )
    click.echo(f"ssh -F {running.folder / 'ssh_config'} NODE    (scp -F and sftp -F too)")


@lab.command("status", epilog="Example: roce lab status")
def status() -> None:
    """Show the labs that are up and their guests."""
    from rich.table import Table

    from harness.bindings.vmlab import Lab
    from harness.bindings.vmlab.layout import Layout
    from harness.bindings.vmlab.state import labs
    from harness.cli.console import stdout

    table = Table("lab", "node", "state", "ssh port", "pid", "ends", box=None, padding=(0, 2), pad_edge=False)
    for state in labs(Layout.find()):
        running = Lab.find(state.name)
        ends = "with roce lab down" if state.owner is None else f"with process {state.owner.pid}"
        for node, guest in running.guests.items():
            pid = state.guests[node].process
            row = (
                "running" if guest.running else "[red]off[/red]",
                str(guest.ssh_port),
                str(pid.pid) if pid else "",
            )
            table.add_row(state.name, node, *row, ends)
    if table.row_count:
        stdout().print(table)
    else:
        click.echo("no lab is up; start one: roce lab up")


@lab.command(
    "ssh",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="""\b
Examples:
  roce lab ssh h1
  roce lab ssh sw1 tc -s qdisc show dev e1
  roce lab ssh --name mine h1 -- dmesg
""",
)
@name_option
@click.argument("node")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(name: str | None, node: str, command: tuple[str, ...]) -> None:
    """Open a shell on NODE, or run a command there, with the OpenSSH client of this machine."""
    import os
    import shlex
    import shutil

    from harness.bindings.vmlab import LabError

    running = _the_lab(name)
    running.guest(node)
    if shutil.which("ssh") is None:
        raise LabError("there is no ssh here; install: apt-get install openssh-client")
    config = str(running.folder / "ssh_config")
    sys.stdout.flush()
    remote = [shlex.join(command)] if len(command) > 1 else list(command)
    argv = ["ssh", "-F", config, node, *(["--", *remote] if remote else [])]
    os.execvp("ssh", argv)  # noqa: S606, S607 - the user's own ssh takes the terminal over; no shell reads argv


@lab.command("logs", epilog="Example: roce lab logs h1 -n 100")
@name_option
@click.option("-n", "--lines", default=LOG_LINES, show_default=True, help="How many of the last lines.")
@click.argument("node")
def logs(name: str | None, lines: int, node: str) -> None:
    """Print the end of a guest's console, and what its QEMU said."""
    from harness.bindings.vmlab.launch import tail

    running = _the_lab(name)
    running.guest(node)
    backends = running.backends(node)
    for line in (*tail(backends.qemu_log, lines), *tail(backends.console, lines)):
        click.echo(line)


@lab.command(
    "down",
    epilog="""\b
Examples:
  roce lab down
  roce lab down --name mine
  roce lab down --all
""",
)
@name_option
@click.option("--all", "every", is_flag=True, help="All labs of this cache folder.")
@click.option("--force", is_flag=True, help="Also a lab that another process uses.")
def down(name: str | None, every: bool, force: bool) -> None:
    """Power the guests off: only those that the lab started."""
    from harness.bindings.vmlab.layout import Layout
    from harness.bindings.vmlab.state import labs
    from harness.bindings.vmlab.teardown import stop

    layout = Layout.find()
    names = [state.name for state in labs(layout)] if every else [name or _the_name(None)]
    for lab_name in names:
        ended = stop(layout, lab_name, force=force)
        click.echo(f"lab {lab_name} is down ({ended} guests ended)")
    if not names:
        click.echo("no lab is up")


def _the_lab(name: str | None) -> RunningLab:
    from harness.bindings.vmlab import Lab

    return Lab.find(_the_name(name))


def _the_name(name: str | None) -> str:
    """The lab that is meant: the one named, or the only one that is up."""
    from harness.bindings.vmlab import LabError
    from harness.bindings.vmlab.layout import Layout
    from harness.bindings.vmlab.state import labs

    if name is not None:
        return name
    up = [state.name for state in labs(Layout.find())]
    if len(up) == 1:
        return up[0]
    if DEFAULT_TOPOLOGY in up:
        return DEFAULT_TOPOLOGY
    raise LabError(f"which lab? up are {', '.join(up)}; say --name" if up else "no lab is up; roce lab up")


def _timed() -> Callable[[str], None]:
    """Progress lines on standard error, with the seconds since the start."""
    begin = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - begin:6.1f} s  {line}", file=sys.stderr, flush=True)

    return say
