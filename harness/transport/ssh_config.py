"""Where a host is and how to enter it: what the site says, then `~/.ssh/config`, then OpenSSH's defaults.

Honoured: Host, Match, Include, HostName, Port, User, IdentityFile, IdentitiesOnly, IdentityAgent, ProxyJump (chains
too), ConnectTimeout, UserKnownHostsFile, GlobalKnownHostsFile, HostKeyAlias. Refused, because ignoring it would lead
elsewhere: ProxyCommand. Not honoured, and said so when it matters: StrictHostKeyChecking other than yes.
"""

from __future__ import annotations

import getpass
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from paramiko import SSHConfig
from paramiko.ssh_exception import ConfigParseError, SSHException

from harness.core.errors import ConfigError
from harness.core.site import Access

SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
DEFAULT_IDENTITIES = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
DEFAULT_USER_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
DEFAULT_GLOBAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")

MAX_JUMPS = 8
"""A longer chain of jump hosts is a loop in the configuration."""

MAX_INCLUDES = 16
"""OpenSSH's limit for nested Include."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One machine to connect to; equal endpoints are the same connection."""

    address: str
    port: int
    user: str
    identities: tuple[Path, ...]
    known_hosts: tuple[Path, ...]
    key_name: str
    identities_required: bool = False
    """Named by the site or the configuration, so a file that is absent is an error, not a default to skip."""
    identities_only: bool = False
    agent: str | None = None
    """Socket of the SSH agent; None: `$SSH_AUTH_SOCK`; "none": no agent."""
    connect_timeout_s: float | None = None
    lenient: str = ""
    """A StrictHostKeyChecking of the configuration that is not honoured, as it stands there."""
    via: Endpoint | None = None
    """The jump host before this one."""

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.user}@{host}" + ("" if self.port == 22 else f":{self.port}")


def resolve(access: Access, host: str) -> Endpoint:
    """Return where a host is; raise ConfigError for a configuration that is wrong or cannot be honoured."""
    config = _config(access.ssh_config)
    alias = access.address or host
    options = _lookup(config, alias)
    via = _via(config, options, alias, (alias,))
    return _endpoint(options, access, via)


def _endpoint(options: Mapping[str, object], access: Access, via: Endpoint | None) -> Endpoint:
    address = str(options["hostname"])
    configured = [Path(str(path)).expanduser() for path in _list(options, "identityfile")]
    defaults = [Path(path).expanduser() for path in DEFAULT_IDENTITIES]
    identities = [access.identity.expanduser()] if access.identity else configured
    return Endpoint(
        address=address,
        port=access.port or _number(options, "port", 22),
        user=access.user or str(options.get("user") or getpass.getuser()),
        identities=tuple(identities or defaults),
        identities_required=bool(identities),
        identities_only=access.identity is not None or options.get("identitiesonly") == "yes",
        agent=_agent(options),
        known_hosts=_known_hosts(options, access.known_hosts),
        key_name=str(options.get("hostkeyalias") or address),
        connect_timeout_s=_number(options, "connecttimeout", 0) or None,
        lenient=_lenient(options),
        via=via,
    )


def _agent(options: Mapping[str, object]) -> str | None:
    """Return the socket that IdentityAgent names, "none", or None for the environment's."""
    named = str(options.get("identityagent", "SSH_AUTH_SOCK"))
    return None if named == "SSH_AUTH_SOCK" else named if named == "none" else str(Path(named).expanduser())


def _known_hosts(options: Mapping[str, object], site: Path | None) -> tuple[Path, ...]:
    if site is not None:
        return (site.expanduser(),)
    user = str(options.get("userknownhostsfile") or " ".join(DEFAULT_USER_KNOWN_HOSTS)).split()
    system = str(options.get("globalknownhostsfile") or " ".join(DEFAULT_GLOBAL_KNOWN_HOSTS)).split()
    return tuple(Path(path).expanduser() for path in user + system if path != "none")


def _lenient(options: Mapping[str, object]) -> str:
    value = str(options.get("stricthostkeychecking", "ask"))
    return "" if value in {"ask", "yes"} else f"StrictHostKeyChecking {value}"


def _list(options: Mapping[str, object], key: str) -> list[object]:
    value = options.get(key)
    return value if isinstance(value, list) else []


def _number(options: Mapping[str, object], key: str, default: int) -> int:
    text = str(options.get(key, default))
    if not text.isdigit():
        raise ConfigError("the SSH configuration has no whole number here", key=key, value=text)
    return int(text)


# --- jump hosts --------------------------------------------------------------------------------------------


def _via(
    config: SSHConfig, options: Mapping[str, object], alias: str, seen: tuple[str, ...]
) -> Endpoint | None:
    """Return the last jump host before `alias`, which knows the one before it."""
    command = options.get("proxycommand")
    if command and "proxyjump" not in options:
        hint = "write ProxyJump; no other program is started to reach a host"
        raise ConfigError(f"ProxyCommand of {alias!r} is not supported", value=command, hint=hint)
    text = str(options.get("proxyjump") or "none")
    if text == "none":
        return None
    via: Endpoint | None = None
    for number, jump in enumerate(text.split(",")):
        via = _jump(config, jump.strip(), via, first=number == 0, seen=seen)
    return via


def _jump(
    config: SSHConfig, jump: str, via: Endpoint | None, *, first: bool, seen: tuple[str, ...]
) -> Endpoint:
    """Return one jump host of a chain; only the first may have a jump host of its own in the configuration."""
    user, name, port = _parsed_jump(jump)
    if name in seen or len(seen) > MAX_JUMPS:
        hint = f"give Host {name} a 'ProxyJump none', as OpenSSH wants it too"
        raise ConfigError("ProxyJump leads back to itself", value=" via ".join((*seen, name)), hint=hint)
    options = _lookup(config, name)
    if first:
        via = _via(config, options, name, (*seen, name))
    return _endpoint(options, Access(user=user, port=port), via)


def _parsed_jump(jump: str) -> tuple[str | None, str, int | None]:
    """Split `[user@]host[:port]` or `ssh://…`; a literal IPv6 address stands in brackets."""
    text = jump.removeprefix("ssh://").rstrip("/")
    match = re.fullmatch(
        r"(?:(?P<user>[^@]+)@)?(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:@\[\]]+))(?::(?P<port>\d+))?", text
    )
    if match is None:
        raise ConfigError("not a jump host", key="ProxyJump", value=jump, hint="write [user@]host[:port]")
    port = match["port"]
    return match["user"], match["v6"] or match["name"], int(port) if port else None


# --- files -------------------------------------------------------------------------------------------------

_configs: dict[tuple[tuple[Path, int], ...], SSHConfig] = {}
_reading = threading.Lock()


def _lookup(config: SSHConfig, alias: str) -> Mapping[str, object]:
    try:
        return config.lookup(alias)
    except (SSHException, ImportError) as error:
        raise ConfigError(f"the SSH configuration cannot be applied to {alias!r}: {error}") from error


def _config(explicit: Path | None) -> SSHConfig:
    """Return the parsed configuration: one file when the site names it, else the user's and then the system's."""
    if explicit is not None and not explicit.expanduser().exists():
        raise ConfigError("there is no such SSH configuration", key="ssh_config", value=str(explicit))
    wanted = [explicit.expanduser()] if explicit else [Path("~/.ssh/config").expanduser(), SYSTEM_CONFIG]
    files = [path for path in wanted if path.exists()]
    key = tuple((path, path.stat().st_mtime_ns) for path in files)
    with _reading:
        if key not in _configs:
            # "Host *" between the files: options at the top of the second are not part of the first's last block.
            text = "\nHost *\n".join(_expanded(path, "", 0) for path in files)
            _configs[key] = _parse(text, files)
        return _configs[key]


def _parse(text: str, files: list[Path]) -> SSHConfig:
    try:
        return SSHConfig.from_text(text)
    except ConfigParseError as error:
        raise ConfigError(f"cannot parse: {error}", file=files[0] if files else None) from error


def _expanded(path: Path, block: str, depth: int) -> str:
    """Return a configuration with the files it includes written out, which paramiko does not do."""
    if depth > MAX_INCLUDES:
        raise ConfigError("Include leads back to itself", file=path)
    lines: list[str] = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        words = line.replace("=", " ", 1).split()
        keyword = words[0].lower() if words else ""
        if keyword == "include":
            lines += _included(path, number, words[1:], block, depth)
            continue
        if keyword in {"host", "match"}:
            block = line.strip()
        lines.append(line)
    return "\n".join(lines)


def _included(path: Path, number: int, patterns: list[str], block: str, depth: int) -> list[str]:
    """Return the lines of all files that an Include names, and the block it stands in opened again behind them."""
    folder = Path("/etc/ssh") if path.is_relative_to("/etc/ssh") else Path("~/.ssh").expanduser()
    lines: list[str] = []
    for pattern in patterns:
        for name in _matching(folder, pattern.strip('"')):
            text = _expanded(name, block, depth + 1)
            own_blocks = re.search(r"^\s*(host|match)\b", text, re.IGNORECASE | re.MULTILINE)
            if own_blocks and block and block.lower().split() not in (["host", "*"], ["match", "all"]):
                hint = "put the Include at the top of the file"
                raise ConfigError(f"Include of blocks inside {block!r}", file=path, line=number, hint=hint)
            lines += text.splitlines()
    return [*lines, block or "Host *"]


def _matching(folder: Path, pattern: str) -> list[Path]:
    """Return the files that a pattern of Include takes; one that is not absolute starts in `folder`."""
    full = folder / Path(pattern).expanduser()
    return sorted(Path(full.anchor).glob(str(full.relative_to(full.anchor))))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the SSH configuration: {error}", file=path) from error
