"""Stage `ssh`: every node of the site answers, shows the host key that is known, and takes our key."""

from __future__ import annotations

from harness.core.errors import AuthenticationFailed, HarnessError, HostKeyRejected
from harness.hosts.preflight.examination import Examination, bare

UNREACHABLE = "check address and port in the site file, and that sshd runs there"
REFUSED = "check user and identity in the site file; `ssh-copy-id` brings a key there"
KEY = "accept the key only when it is known to be that machine's (see the message)"


def look(exam: Examination) -> None:
    """Connect to hosts and switches at once."""
    opened, errors = exam.dial([*exam.site.hosts, *exam.site.switches])
    for node, remote in opened.items():
        if node in exam.patients:
            exam.patients[node].remote = remote
        else:
            exam.switches[node] = remote
        exam.good(node)
    for node, error in errors.items():
        exam.fail(node, bare(str(error), node), advice=_advice(error))


def _advice(error: HarnessError) -> str:
    if isinstance(error, HostKeyRejected):
        return KEY
    return REFUSED if isinstance(error, AuthenticationFailed) else UNREACHABLE
