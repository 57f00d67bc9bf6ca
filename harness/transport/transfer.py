"""Files on a host, whole or not at all: written beside their place under another name, then renamed."""

from __future__ import annotations

import hashlib
import posixpath
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from paramiko import SFTPClient, SSHException

from harness.core.errors import CommandFailed, ConfigError, ConnectionLost, NoProgress, TransportError
from harness.transport.conversation import last_lines

if TYPE_CHECKING:
    from harness.transport.ssh import SshRemote

UPLOAD_TIMEOUT_S = 600.0
"""For a whole upload through the shell; silence ends it much earlier."""

HASH_DIGITS = 16
"""Digits of SHA-256 in a deployed file's name: 64 bits."""

LOOK_SCRIPT = r"""
umask 077
for cache in "${HOME:-/nonexistent}/.cache/roce-harness" "/tmp/roce-harness-$(id -u)"; do
  [ -d "$cache" ] || mkdir -p -m 700 "$cache" 2>/dev/null
  [ -d "$cache" ] && [ ! -L "$cache" ] && [ -O "$cache" ] && [ -w "$cache" ] || continue
  if echo "$2  $cache/$1" | sha256sum -c >/dev/null 2>&1; then
    touch "$cache/$1"
    echo "there $cache/$1"
  else
    find "$cache" -type f \( -name '.*.part' -mmin +60 -o -mtime +30 \) -exec rm -f {} + 2>/dev/null
    echo "absent $cache/$1"
  fi
  exit 0
done
echo "neither ~/.cache/roce-harness nor /tmp/roce-harness-$(id -u) can be made and written" >&2
exit 1
"""
"""Says whether the file `$1` with SHA-256 `$2` is in the cache and where that is.

A cache that is a link or another user's is not trusted. What an upload left when it broke an hour ago, and what
nobody used for 30 days, goes.
"""

SHELL_SCRIPT = r"""
trap 'rm -f -- "$2"' EXIT
trap 'exit 1' HUP INT TERM PIPE
cat > "$2" && [ "$(wc -c < "$2")" -eq "$3" ] && chmod "$4" "$2" && mv -f -- "$2" "$1"
"""
"""Writes stdin, which is `$3` bytes long, to `$2` and renames that to `$1`."""


def upload(remote: SshRemote, data: bytes, path: str, mode: int) -> None:
    """Make the file `path` of a host; see `Remote.upload`."""
    if not path or "\0" in path:
        raise ConfigError("not a path", value=path)
    folder, name = posixpath.split(path)
    part = posixpath.join(folder, f".{name}.{secrets.token_hex(6)}.part")
    try:
        done = _by_sftp(remote, data, path, part, mode)
    except TimeoutError:
        raise NoProgress(f"nothing takes the upload of {path}", host=remote.host) from None
    if not done:
        _by_shell(remote, data, path, part, mode)


def deploy(remote: SshRemote, data: bytes, name: str, mode: int) -> str:
    """Make sure that a file is in the cache of a host; see `Remote.deploy`."""
    digest = hashlib.sha256(data).hexdigest()
    target = deployed_name(name, digest)
    answer = remote.run(["sh", "-c", LOOK_SCRIPT, "look", target, digest]).stdout.strip()
    state, _, path = answer.rpartition("\n")[2].partition(" ")
    if state not in {"there", "absent"} or not path:
        raise TransportError(f"unexpected answer about its cache: {answer[:200]!r}", host=remote.host)
    if state == "absent":
        upload(remote, data, path, mode)
    return path


def deployed_name(name: str, digest: str) -> str:
    """Return the name in the cache of a file with this SHA-256."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name):
        raise ConfigError("not a name for a deployed file", value=name, hint="letters, digits, . _ -")
    return f"{name}-{digest[:HASH_DIGITS]}"


def _by_sftp(remote: SshRemote, data: bytes, path: str, part: str, mode: int) -> bool:
    """Write by SFTP; False when that failed for a reason SFTP cannot tell, or is not offered by the host."""
    with _sftp(remote, path) as sftp:
        if sftp is None:
            return False
        try:
            _write(sftp, data, part, mode)
            sftp.posix_rename(part, path)
        except TimeoutError:
            raise
        except (OSError, EOFError, SSHException):
            _remove(sftp, part)
            _check_alive(remote, path)
            return False
        except BaseException:  # interrupted: nothing of it stays
            _remove(sftp, part)
            raise
    return True


def _write(sftp: SFTPClient, data: bytes, part: str, mode: int) -> None:
    with sftp.open(part, "wbx") as file:
        file.set_pipelined(pipelined=True)
        file.write(data)
        file.set_pipelined(pipelined=False)
        file.chmod(mode)
        size = file.stat().st_size
    if size != len(data):  # errors of pipelined writes are not raised
        raise OSError(f"{size} of {len(data)} B arrived")


@contextmanager
def _sftp(remote: SshRemote, path: str) -> Iterator[SFTPClient | None]:
    """Open SFTP on a channel of its own; None when the host has none."""
    channel = remote.channel(f"upload of {path}")
    try:
        try:
            channel.invoke_subsystem("sftp")
            client = SFTPClient(channel)
        except (OSError, EOFError, SSHException):
            _check_alive(remote, path)
            yield None
        else:
            yield client
    finally:
        channel.close()


def _remove(sftp: SFTPClient, part: str) -> None:
    with suppress(OSError, EOFError, SSHException):  # never made, or no connection to remove it by
        sftp.remove(part)


def _check_alive(remote: SshRemote, path: str) -> None:
    if not remote.alive:
        raise ConnectionLost(f"lost during the upload of {path}: {remote.why_lost()}", host=remote.host)


def _by_shell(remote: SshRemote, data: bytes, path: str, part: str, mode: int) -> None:
    """Write by a shell, which says what stands in the way where SFTP only says "Failure"."""
    folded = [path, part] if path.startswith("/") else [f"./{path}", f"./{part}"]
    argv = ["sh", "-c", SHELL_SCRIPT, "upload", *folded, str(len(data)), f"{mode:o}"]
    done = remote.run(argv, timeout_s=UPLOAD_TIMEOUT_S, stdin=data, check=False)
    if done.exit_code:
        raise refused(remote.host, path, done.exit_code, last_lines(done.stderr))


def refused(host: str, path: str, code: int, said: str) -> CommandFailed:
    """Return the error for a file that could not be made, with the reason that the system gave."""
    reasons = {
        "No space left on device": f"no space left on {host}:{path}",
        "Disk quota exceeded": f"disk quota exceeded on {host}:{path}",
    }
    message = next((text for mark, text in reasons.items() if mark in said), f"cannot write {host}:{path}")
    return CommandFailed(message, host=host, exit_code=code, detail=said)
