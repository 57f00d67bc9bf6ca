"""Prove who we are, by keys alone."""

from __future__ import annotations

from paramiko import SSHException
from paramiko.ssh_exception import AuthenticationException, BadAuthenticationType

from harness.core.errors import AuthenticationFailed, HostUnreachable
from harness.transport.connection import Connection
from harness.transport.identities import Keyring
from harness.transport.ssh_config import Endpoint

NO_PASSWORDS = "passwords are not supported: use a key or an agent"


def authenticate(connection: Connection, endpoint: Endpoint, host: str) -> None:
    """Offer keys until one is taken; raise AuthenticationFailed with all that were refused."""
    refused: list[str] = []
    offered = ""
    with Keyring(endpoint) as keyring:
        for identity in keyring.identities():
            try:
                missing = connection.auth_publickey(endpoint.user, identity.key)
            except BadAuthenticationType as error:
                offered = ", ".join(error.allowed_types)
                break
            except (AuthenticationException, SSHException, EOFError, OSError) as error:
                refused.append(str(identity))
                _check_answering(connection, error, endpoint, host, refused)
                continue
            if not missing:
                return
            raise AuthenticationFailed(
                f"{endpoint}: the host wants {' or '.join(missing)} besides a key; {NO_PASSWORDS}", host=host
            )
        raise AuthenticationFailed(_why_refused(endpoint, refused, keyring.problems, offered), host=host)


def _check_answering(
    connection: Connection, error: BaseException, endpoint: Endpoint, host: str, refused: list[str]
) -> None:
    """Raise unless the host refused a key and waits for another."""
    if connection.is_active():
        if "timeout" in str(error).lower():
            waited = f"within {connection.auth_timeout:g} s"
            raise HostUnreachable(f"{endpoint}: no answer to {refused[-1]} {waited}", host=host) from None
        return
    if connection.farewell:  # "Too many authentication failures"
        text = f"{endpoint}: {connection.why_lost()}, after {_listed(refused)}"
        raise AuthenticationFailed(text, host=host) from None
    raise HostUnreachable(f"{endpoint}: {connection.why_lost()} during authentication", host=host) from None


def _why_refused(endpoint: Endpoint, refused: list[str], problems: list[str], offered: str) -> str:
    if offered:
        return f"{endpoint}: the host accepts only {offered}; {NO_PASSWORDS}"
    if refused:
        text = f"{endpoint}: the host refused {_listed(refused)}"
    else:
        text = f"{endpoint}: no key to offer; tried {', '.join(map(str, endpoint.identities))} and the agent"
    return "; ".join([text, *problems, NO_PASSWORDS])


def _listed(refused: list[str]) -> str:
    return ", ".join(refused)
