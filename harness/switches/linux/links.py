"""Taking the link of a port down and up, and counting what that loses.

The device is set down, so that a real neighbour loses its carrier. A bridge then counts nothing: so our rules first
take over the packets from and to the port. What waits in its queue is thrown away by the kernel, uncounted; how
much that was follows from the queue's own figures before and after.
"""

from __future__ import annotations

from harness.core.errors import UnexpectedOutput
from harness.switches.linux.faults import TABLE
from harness.switches.linux.ports import SwitchPort
from harness.switches.linux.queues import ROOT
from harness.switches.linux.shell import Answers, Script
from harness.switches.linux.state import SETTLE_S

BEFORE, AFTER = "tc -s -j qdisc show (before)", "tc -s -j qdisc show (after)"


def down(port: SwitchPort) -> Script:
    """Return what takes a port down; nothing passes it from the second command on."""
    queue = f"tc -s -j qdisc show dev {port.netdev}"
    script = Script().text(_learned(port), f"bridge fdb show brport {port.netdev}")
    claim = f"echo 'add element bridge {TABLE} downed {{ \"{port.netdev}\" }}'"
    behind = f'if [ -n "$macs" ]; then echo "add element bridge {TABLE} behind_{port.key} {{ $macs }}"; fi'
    script.text(f"{{ {claim}; {behind}; }} | nft -f -", f"nft add element downed {port.netdev}")
    script.text(queue, BEFORE)
    script.add("ip", "link", "set", "dev", port.netdev, "down")
    return script.text(queue, AFTER)


def _learned(port: SwitchPort) -> str:
    """Note the addresses that were learned behind the port.

    The bridge forgets them when the port goes down and would flood what is sent to them.
    """
    return (
        f"macs=$(bridge fdb show brport {port.netdev} | while read -r mac rest; do "
        "case \"$rest\" in *permanent*|*self*) ;; *) echo \"$mac\";; esac; done | sort -u | tr '\\n' ',')"
    )


def purged(answers: Answers, port: SwitchPort, host: str) -> int:
    """Return how many packets waited when the port went down: had left or waited, and have not left since."""
    before, after = (_root(answers, label, port, host) for label in (BEFORE, AFTER))
    return max(before["packets"] + before["qlen"] - after["packets"], 0) if before["qlen"] else 0


def _root(answers: Answers, label: str, port: SwitchPort, host: str) -> dict[str, int]:
    for each in answers.json(label):
        if each.get("handle") == ROOT and each.get("dev", port.netdev) == port.netdev:
            return {key: int(each[key]) for key in ("packets", "qlen")}
    raise UnexpectedOutput(f"{host}: {label!r} shows no queue {ROOT} at {port.netdev} ({port.place})")


def up(port: SwitchPort) -> Script:
    """Return what sets a port up.

    Packets that its device held meanwhile were sent to a dead link: our rules still take those.
    """
    element = f'bridge {TABLE} downed {{ "{port.netdev}" }}'
    script = Script().add("ip", "link", "set", "dev", port.netdev, "up")
    script.add("sleep", str(SETTLE_S))
    # An element that is added first can be deleted in any case.
    pass_again = (
        f"add element {element}\ndelete element {element}\nflush set bridge {TABLE} behind_{port.key}"
    )
    return script.nft(pass_again, f"nft delete element downed {port.netdev}")
