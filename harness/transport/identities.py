"""Keys to enter a host with: files and the SSH agent. Passwords are not supported, anywhere."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

from paramiko import Agent, PKey, SSHException
from paramiko.agent import AgentKey, AgentSSH
from paramiko.ssh_exception import PasswordRequiredException

from harness.transport.host_keys import fingerprint
from harness.transport.ssh_config import Endpoint

AGENT_TIMEOUT_S = 10.0
"""How long the SSH agent may take for an answer; one that asks its user to confirm each use takes longer."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A key that can sign, and where it came from."""

    key: PKey
    origin: str

    def __str__(self) -> str:
        return f"{self.origin} ({self.key.get_name()} {fingerprint(self.key.asbytes())})"


class Keyring:
    """The keys to try for one endpoint, in order; what could not be used is in `problems`.

    Files that the site or the configuration names come first, then the agent's keys unless only named ones may be
    used; a named file that is locked by a passphrase is used through the agent when that holds it.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._agent: Agent | None = None
        self.problems: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._agent is not None:
            self._agent.close()

    def identities(self) -> Iterator[Identity]:
        """Yield the keys to try; the agent is only asked when the files did not do."""
        tried: set[bytes] = set()
        for path in self._endpoint.identities:
            identity = self._from_file(path)
            if identity is not None and identity.key.asbytes() not in tried:
                tried.add(identity.key.asbytes())
                yield identity
        if not self._endpoint.identities_only:
            for key in self._agent_keys():
                if key.asbytes() not in tried:
                    yield Identity(key, f"agent key {key.comment!r}")

    def _from_file(self, path: Path) -> Identity | None:
        try:
            return Identity(load_key(path), str(path))
        except FileNotFoundError:
            if self._endpoint.identities_required:
                self.problems.append(f"{path} does not exist")
        except PasswordRequiredException:
            return self._unlocked(path)
        except (OSError, SSHException, ValueError) as error:
            self.problems.append(f"{path} is no usable private key: {error}")
        return None

    def _unlocked(self, path: Path) -> Identity | None:
        """Return the agent's copy of a key file that is locked by a passphrase."""
        public = path.with_name(path.name + ".pub")
        words = public.read_text(encoding="utf-8").split() if public.exists() else []
        for key in self._agent_keys():
            if len(words) > 1 and key.get_base64() == words[1]:
                return Identity(key, f"agent key {key.comment!r}")
        self.problems.append(f"{path} is locked by a passphrase (ssh-add {path})")
        return None

    def _agent_keys(self) -> tuple[AgentKey, ...]:
        if self._agent is None:
            with suppress(SSHException, OSError):  # no agent is no error: there may be files
                self._agent = _connect_agent(self._endpoint.agent)
        return self._agent.get_keys() if self._agent is not None else ()


def _connect_agent(named: str | None) -> Agent | None:
    """Return the agent behind a socket, None where there is none; raise OSError when it does not answer."""
    path = os.environ.get("SSH_AUTH_SOCK", "") if named is None else os.path.expandvars(named)
    if not path or path == "none":
        return None
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(AGENT_TIMEOUT_S)
    try:
        link.connect(path)
    except OSError:
        link.close()
        raise
    agent: Any = Agent.__new__(Agent)  # Agent() itself knows neither time-outs nor a socket by name
    AgentSSH.__init__(agent)
    agent._connect(link)  # noqa: SLF001 - the way AgentServerProxy does it
    return cast("Agent", agent)


_loaded: dict[Path, tuple[int, PKey]] = {}
_loading = threading.Lock()


def load_key(path: Path) -> PKey:
    """Return a private key with its certificate if one lies beside it; read once for all hosts.

    Raises OSError, PasswordRequiredException, SSHException or ValueError.
    """
    with _loading:
        changed = path.stat().st_mtime_ns
        if path not in _loaded or _loaded[path][0] != changed:
            _loaded[path] = (changed, _read_key(path))
        return _loaded[path][1]


def _read_key(path: Path) -> PKey:
    try:
        return PKey.from_path(path)
    except TypeError as error:  # what the library below says to an encrypted file without a passphrase
        raise PasswordRequiredException(str(error)) from error
