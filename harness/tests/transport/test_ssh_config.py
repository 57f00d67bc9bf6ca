"""What the SSH configuration says, and what of it is honoured."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path

import pytest

from harness.core.errors import ConfigError
from harness.core.site import Access
from harness.transport import ssh_config
from harness.transport.ssh_config import Endpoint, resolve


@pytest.fixture(autouse=True)
def no_system_configuration(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(ssh_config, "SYSTEM_CONFIG", tmp_path / "system")


def write(home: Path, text: str, name: str = "config") -> Path:
    path = home / ".ssh" / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text, encoding="utf-8")
    return path


def chain(endpoint: Endpoint) -> list[str]:
    """The way to an endpoint, first jump host first."""
    before = chain(endpoint.via) if endpoint.via else []
    return [*before, str(endpoint)]


def test_without_any_configuration(home) -> None:
    endpoint = resolve(Access(address="192.0.2.7"), "h1")

    assert str(endpoint) == f"{getpass.getuser()}@192.0.2.7"
    assert endpoint.identities[0] == home / ".ssh/id_ed25519"
    assert endpoint.known_hosts[0] == home / ".ssh/known_hosts"
    assert not endpoint.identities_required
    assert endpoint.via is None


def test_without_an_address_the_name_is_looked_up(home) -> None:
    write(home, "Host h1\n  HostName 192.0.2.9\n")

    assert resolve(Access(), "h1").address == "192.0.2.9"


def test_options_of_the_configuration(home) -> None:
    write(
        home,
        """
        Host h?
          HostName %h.example.net
          Port 2222
          User admin
          IdentityFile ~/.ssh/lab key
          IdentityFile ~/.ssh/other
          IdentitiesOnly yes
          IdentityAgent ~/agent
          ConnectTimeout 3
          UserKnownHostsFile ~/a ~/b
          GlobalKnownHostsFile none
          HostKeyAlias lab
          StrictHostKeyChecking accept-new
        """,
    )

    endpoint = resolve(Access(address="h1"), "x")

    assert endpoint == Endpoint(
        address="h1.example.net",
        port=2222,
        user="admin",
        identities=(home / ".ssh/lab key", home / ".ssh/other"),
        identities_required=True,
        identities_only=True,
        agent=str(home / "agent"),
        connect_timeout_s=3,
        known_hosts=(home / "a", home / "b"),
        key_name="lab",
        lenient="StrictHostKeyChecking accept-new",
    )


def test_the_site_comes_before_the_configuration(home) -> None:
    write(home, "Host *\n  Port 1\n  User a\n  IdentityFile /a\n  UserKnownHostsFile /a\n")
    access = Access(address="h1", port=2, user="b", identity=Path("~/b"), known_hosts=Path("~/known"))

    endpoint = resolve(access, "x")

    assert (endpoint.port, endpoint.user) == (2, "b")
    assert endpoint.identities == (home / "b",)
    assert endpoint.known_hosts == (home / "known",)
    assert endpoint.identities_only


def test_the_system_configuration_comes_last(home, tmp_path) -> None:
    write(home, "Host h1\n  Port 22\n")
    (tmp_path / "system").write_text("Port 99\nUser system\nHost nobody\n  User nobody\n")

    endpoint = resolve(Access(address="h1"), "h1")

    assert (endpoint.port, endpoint.user) == (22, "system")


def test_a_configuration_that_the_site_names_is_the_only_one(home) -> None:
    write(home, "Host *\n  User wrong\n")
    named = write(home, "Host *\n  Port 44\n", "named")

    endpoint = resolve(Access(address="h1", ssh_config=named), "h1")

    assert (endpoint.port, endpoint.user) == (44, getpass.getuser())


def test_a_change_of_the_configuration_is_seen(home) -> None:
    path = write(home, "Host *\n  Port 1\n")
    assert resolve(Access(address="h1"), "h1").port == 1
    path.write_text("Host *\n  Port 2\n")
    os.utime(path, (1, 1))
    assert resolve(Access(address="h1"), "h1").port == 2


# --- jump hosts --------------------------------------------------------------------------------------------------


def test_a_chain_of_jump_hosts(home) -> None:
    write(
        home,
        """
        Host a
          HostName 192.0.2.1
          User anna
        Host far
          ProxyJump a,bob@192.0.2.2:2022,ssh://[2001:db8::1]:7
          User zoe
        """,
    )

    me = getpass.getuser()
    assert chain(resolve(Access(address="far"), "h1")) == [
        "anna@192.0.2.1",
        "bob@192.0.2.2:2022",
        f"{me}@[2001:db8::1]:7",
        "zoe@far",
    ]


def test_a_jump_host_with_a_jump_host_of_its_own(home) -> None:
    write(home, "Host far\n  ProxyJump b\nHost b\n  ProxyJump a\nHost *\n  User u\n")

    assert chain(resolve(Access(address="far"), "h1")) == ["u@a", "u@b", "u@far"]


def test_no_jump_host_where_the_configuration_says_none(home) -> None:
    write(home, "Host h1 gate\n  ProxyJump none\nHost *\n  ProxyJump gate\n")

    assert resolve(Access(address="h1"), "h1").via is None
    assert resolve(Access(address="h2"), "h2").via is not None


def test_jump_hosts_do_not_inherit_what_the_site_says_of_the_host(home) -> None:
    write(home, "Host far\n  ProxyJump gate\n")
    access = Access(address="far", port=5, user="x", identity=Path("/key"), known_hosts=Path("/known"))

    gate = resolve(access, "h1").via

    assert gate is not None
    assert (gate.port, gate.user) == (22, getpass.getuser())
    assert gate.known_hosts[0] == home / ".ssh/known_hosts"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n", "leads back to itself"),
        ("Host *\n  ProxyJump gate\n", "leads back to itself"),
        ("Host a\n  ProxyJump b:c:d\n", r"\[user@\]host\[:port\]"),
        ("Host a\n  ProxyCommand nc %h %p\n", "ProxyCommand of 'a' is not supported"),
        ("Host a\n  Port many\n", "port"),
        ("Host a\n  Include config\n", "Include"),
        ("Host\n", "."),
    ],
)
def test_what_cannot_be_honoured_is_an_error(home, text, message) -> None:
    write(home, text)

    with pytest.raises(ConfigError, match=message):
        resolve(Access(address="a"), "h1")


def test_a_configuration_that_is_not_there(home) -> None:
    with pytest.raises(ConfigError, match="no such SSH configuration"):
        resolve(Access(address="a", ssh_config=home / "none"), "h1")


# --- include -------------------------------------------------------------------------------------------------------


def test_included_files(home) -> None:
    write(home, "Include conf.d/*.conf\nHost *\n  User last\n")
    write(home, "Host h1\n  Port 11\n  User first\n", "conf.d/a.conf")
    write(home, "Host h2\n  Port 22\n", "conf.d/b.conf")

    assert (resolve(Access(), "h1").port, resolve(Access(), "h1").user) == (11, "first")
    assert resolve(Access(), "h2").user == "last"


def test_a_block_goes_on_behind_an_include(home) -> None:
    write(home, "Host h1\n  Include more\n  Port 7\n")
    write(home, "User included\n", "more")

    assert (resolve(Access(), "h1").port, resolve(Access(), "h1").user) == (7, "included")
    assert (resolve(Access(), "h2").port, resolve(Access(), "h2").user) == (22, getpass.getuser())


def test_blocks_that_are_included_into_a_block_are_refused(home) -> None:
    write(home, "Host h1\n  Include more\n")
    write(home, "Host h2\n  User x\n", "more")

    with pytest.raises(ConfigError, match=r"config:2: .*top of the file"):
        resolve(Access(), "h1")


# --- the same as OpenSSH -------------------------------------------------------------------------------------------

CONFIG = """
Include included
Host alpha beta
  HostName %h.lab.example
  User alice
Match host *.lab.example user alice
  Port 2200
Host !gamma *
  ConnectTimeout 5
  ProxyJump gate
Host gate
  Port 2300
"""


@pytest.mark.parametrize("alias", ["alpha", "beta", "gamma", "delta"])
def test_openssh_reads_it_the_same_way(home, alias) -> None:
    path = write(home, CONFIG)
    write(home, "Host delta\n  Port 77\nHost gate\n  ProxyJump none\n", "included")
    endpoint = resolve(Access(address=alias, ssh_config=path), alias)

    command = ["ssh", "-G", "-F", str(path), alias]
    # ssh takes its home from the user database, so the file that is included is named there in full.
    path.write_text(CONFIG.replace("included", str(home / ".ssh/included")))
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    theirs = dict(line.split(" ", 1) for line in printed.splitlines() if " " in line)

    assert endpoint.address == theirs["hostname"]
    assert endpoint.port == int(theirs["port"])
    assert endpoint.user == theirs["user"]
    assert str(int(endpoint.connect_timeout_s or 0)) == theirs["connecttimeout"].replace("none", "0")
    assert (endpoint.via is not None) == (theirs.get("proxyjump", "none") != "none")
