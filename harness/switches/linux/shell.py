"""One round trip to a switch: a shell script as stdin, its answers told apart by labels.

Each command has a label; what it prints stands in the output under that label. The first command that fails ends
the script, and the error names it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.core.errors import CommandFailed, UnexpectedOutput, shown
from harness.transport.remote import Remote

TIMEOUT_S = 30.0
"""A script of some hundred commands takes a second or two on a guest without hardware acceleration."""

FAILED = 90
"""Exit code of a script one of whose commands failed; sh itself uses 1, 2 and from 126 on."""

_PRELUDE = f"""set -u
PATH=$PATH:/usr/sbin:/sbin
label() {{ printf '\\n=== %s\\n' "$1"; printf '=== %s\\n' "$1" >&2; }}
failed() {{ exit {FAILED}; }}
"""
_LABEL = re.compile(r"^=== (.*)$", re.MULTILINE)


class Script:
    """Commands in order. `sudo` is not used: the user of the switch's connection must be allowed to do this."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, *argv: str) -> Script:
        """Append a command; it must succeed."""
        return self.text(shlex.join(argv))

    def text(self, command: str, label: str | None = None) -> Script:
        """Append a command written for the shell; it must succeed. Its label is the command unless given."""
        self._lines.append(f"label {shlex.quote(label or command)}\n{command} || failed")
        return self

    def nft(self, rules: str, label: str) -> Script:
        """Append a change of the packet filter, which takes effect as a whole or not at all."""
        self._lines.append(f"label {shlex.quote(label)}\nnft -f - <<'RULES' || failed\n{rules}\nRULES")
        return self

    def tc(self, commands: Sequence[Sequence[str]]) -> Script:
        """Append several `tc` commands as one program run; they are known to need no quoting."""
        lines = "\n".join(" ".join(argv[1:]) for argv in commands)
        first = " ".join(commands[0])
        self._lines.append(f"label {shlex.quote(first)}\ntc -batch - <<'LINES' || failed\n{lines}\nLINES")
        return self

    def __str__(self) -> str:
        return _PRELUDE + "\n".join(self._lines) + "\n"


class Answers:
    """What a script printed, by label."""

    def __init__(self, host: str, texts: Mapping[str, str]) -> None:
        self._host = host
        self._texts = texts

    def text(self, label: str) -> str:
        """Return what a command printed; raise UnexpectedOutput when it is not there."""
        if label not in self._texts:
            raise UnexpectedOutput(f"{self._host}: nothing was printed for {label!r}")
        return self._texts[label]

    def json(self, label: str) -> list[dict[str, Any]]:
        """Return the list of objects that a command printed.

        tc and ip print nothing at all for an empty list. Raises UnexpectedOutput naming switch and command.
        """
        text = self.text(label).strip() or "[]"
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise UnexpectedOutput(
                f"{self._host}: {label!r} printed no JSON ({error}): {shown(text)}"
            ) from None
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise UnexpectedOutput(f"{self._host}: {label!r} printed no list of objects: {shown(text)}")
        return found

    def lines(self, label: str) -> list[str]:
        """Return the lines that a command printed, without empty ones."""
        return [line for line in self.text(label).splitlines() if line.strip()]


def run(remote: Remote, script: Script, *, timeout_s: float = TIMEOUT_S) -> Answers:
    """Run a script; raise CommandFailed naming the command that failed and what it said."""
    done = remote.run(["sh", "-s"], stdin=str(script).encode(), timeout_s=timeout_s, check=False)
    if done.exit_code:
        label, said = _last(done.stderr)
        raise CommandFailed(f"{shown(label)} failed", host=remote.host, exit_code=done.exit_code, detail=said)
    return Answers(remote.host, dict(_split(done.stdout)))


def _split(text: str) -> Iterator[tuple[str, str]]:
    parts = _LABEL.split(text)
    yield from zip(parts[1::2], parts[2::2], strict=True)


def _last(stderr: str) -> tuple[str, str]:
    """Return the label of the last command and what it wrote to stderr."""
    parts = _LABEL.split(stderr)
    return (parts[-2], parts[-1].strip()) if len(parts) > 1 else ("sh -s", stderr.strip())
