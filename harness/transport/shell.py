"""What a remote shell is given to read: arguments quoted as data, and a mark to find the command again."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from harness.core.errors import ConfigError, shown

MARK = "ROCE_COMMAND"
"""Environment variable that every command and its children carry: how `kill` finds them."""

MAX_LINE_BYTES = 128 << 10
"""Linux runs no program with a longer single argument (MAX_ARG_STRLEN), and sshd hands the line over as one."""

KILL_SCRIPT = r"""
found() { grep -lzxF -- "$1" /proc/[0-9]*/environ 2>/dev/null | sed 's|^/proc/\([0-9]*\)/.*|\1|'; }
for again in 1 2 3 4 5; do
  pids=$(found "$1")
  [ -n "$pids" ] || exit 0
  kill -KILL $pids 2>/dev/null
done
"""
"""Kills all that carry the mark `$1`; repeats, as a process may fork between being found and being hit."""


def new_mark() -> str:
    """Return a value for `MARK` that no other command has."""
    return secrets.token_hex(8)


def check_arguments(argv: Sequence[str]) -> None:
    """Raise ConfigError for what no system call can take: no program, or a NUL byte."""
    if isinstance(argv, str) or not argv or not argv[0]:
        raise ConfigError("a command is a list: program, then arguments", value=argv)
    for argument in argv:
        if "\0" in argument:
            raise ConfigError("an argument cannot contain a NUL byte", value=argument)


def quote(argument: str) -> str:
    """Return the argument so that any POSIX shell reads it back unchanged."""
    return "'" + argument.replace("'", "'\\''") + "'"


def command_line(argv: Sequence[str], mark: str) -> str:
    """Return the line for the login shell, which replaces itself by the command.

    So the process that sshd watches is the command: its exit code and its signal arrive unchanged. Raises
    ConfigError when the command cannot be passed.
    """
    check_arguments(argv)
    line = f"export LC_ALL=C {MARK}={mark}; exec {' '.join(map(quote, argv))}"
    size = len(line.encode(errors="surrogateescape"))
    if size >= MAX_LINE_BYTES:
        limit = f"at most {MAX_LINE_BYTES} B fit; send data by stdin or upload()"
        raise ConfigError(f"a command of {size} B", value=shown(argv[0]), hint=limit)
    return line
