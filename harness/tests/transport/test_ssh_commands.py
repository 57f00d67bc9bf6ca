"""Commands over a real sshd."""

from __future__ import annotations


def test_a_command_runs(remote) -> None:
    done = remote.run(["sh", "-c", "echo out; echo err >&2; pwd; env | grep LC_ALL"])

    assert done.exit_code == 0
    assert done.stdout.startswith("out\n")
    assert "LC_ALL=C\n" in done.stdout
    assert done.stderr == "err\n"
