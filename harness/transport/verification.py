"""Is it the host we know? The verdict on a host key, and the command line that accepts one."""

from __future__ import annotations

from shlex import quote

from paramiko import PKey

from harness.core.errors import HostKeyRejected
from harness.transport.host_keys import KnownKey, fingerprint
from harness.transport.ssh_config import Endpoint


def check_host_key(key: PKey, known: list[KnownKey], endpoint: Endpoint, host: str) -> None:
    """Raise HostKeyRejected unless the key is known."""
    blob = key.asbytes()
    same = [entry for entry in known if entry.blob == blob]
    if any(entry.revoked for entry in same):
        raise HostKeyRejected(f"{_shown(key, endpoint)} is revoked in {same[0].file}", host=host)
    if same:
        return
    rivals = [
        entry for entry in known if entry.kind == key.get_name() and not (entry.revoked or entry.borrowed)
    ]
    text = _changed(key, rivals, endpoint) if rivals else _unknown(key, known, endpoint)
    if endpoint.lenient:
        text = f"{endpoint.lenient} of the SSH configuration is not honoured, host keys are always checked: {text}"
    raise HostKeyRejected(text, host=host)


def _shown(key: PKey, endpoint: Endpoint) -> str:
    return f"the host key of {_written(endpoint)}, {key.get_name()} {fingerprint(key.asbytes())},"


def _written(endpoint: Endpoint) -> str:
    """Return the name of the endpoint as known_hosts has it."""
    return endpoint.key_name if endpoint.port == 22 else f"[{endpoint.key_name}]:{endpoint.port}"


def _unknown(key: PKey, known: list[KnownKey], endpoint: Endpoint) -> str:
    files = ", ".join(map(str, endpoint.known_hosts)) or "any file (UserKnownHostsFile none)"
    others = f", where it is known by {', '.join(map(str, known))};" if known else ";"
    return (
        f"{_shown(key, endpoint)} is unknown: it is not in {files}{others} compare the fingerprint with one from a "
        f"source you trust, then accept it by: {_scan(key, endpoint)}"
    )


def _changed(key: PKey, rivals: list[KnownKey], endpoint: Endpoint) -> str:
    forget = f"ssh-keygen -f {quote(str(rivals[0].file))} -R '{_written(endpoint)}'"
    return (
        f"{_shown(key, endpoint)} has changed: known is {rivals[0]}. Either the machine was installed anew, or "
        f"somebody sits in between. If you know why, accept it by: {forget} && {_scan(key, endpoint)}"
    )


def _scan(key: PKey, endpoint: Endpoint) -> str:
    """Return the command line that accepts the host key of an endpoint."""
    kind = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}.get(key.get_name(), "ecdsa")
    port = "" if endpoint.port == 22 else f" -p {endpoint.port}"
    scan = f"ssh-keyscan{port} -t {kind} {endpoint.address}"
    if endpoint.via is not None:
        scan = f"ssh -p {endpoint.via.port} {endpoint.via.user}@{endpoint.via.address} {scan}"
    if endpoint.key_name != endpoint.address:
        scan += f" | sed 's/^[^ ]*/{_written(endpoint)}/'"
    file = next((path for path in endpoint.known_hosts if str(path) != "/dev/null"), None)
    return f"{scan} >> {quote(str(file)) if file else 'a file that known_hosts of the site names'}"
