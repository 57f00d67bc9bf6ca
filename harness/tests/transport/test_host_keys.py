"""Files of known host keys, written by ssh-keygen and by hand."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from harness.core.errors import ConfigError
from harness.transport import host_keys
from harness.transport.host_keys import known_keys

from .conftest import keygen, public


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> str:
    return " ".join(public(keygen(tmp_path_factory.mktemp("keys") / "host")).split()[:2])


def lines(tmp_path: Path, *text: str) -> Path:
    path = tmp_path / "known_hosts"
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("names", "host", "port", "found"),
    [
        ("h1", "h1", 22, True),
        ("h1", "H1", 22, True),
        ("H1", "h1", 22, True),
        ("h1", "h2", 22, False),
        ("h0,h1,192.0.2.1", "192.0.2.1", 22, True),
        ("[h1]:2222", "h1", 2222, True),
        ("[h1]:2222", "h1", 22, False),
        ("[h1]:2222", "h1", 2223, False),
        ("h1", "h1", 2222, True),
        ("*.lab", "a.lab", 22, True),
        ("*.lab,!b.lab", "a.lab", 22, True),
        ("*.lab,!b.lab", "b.lab", 22, False),
        ("[*.lab]:2222", "a.lab", 2222, True),
        ("h?", "h1", 22, True),
        ("2001:db8::1", "2001:db8::1", 22, True),
    ],
)
def test_names(tmp_path, key, names, host, port, found) -> None:
    path = lines(tmp_path, "# comment", "", f"{names} {key} comment with blanks")

    assert [entry.line for entry in known_keys([path], host, port)] == ([3] if found else [])


@pytest.mark.parametrize("port", [22, 2222])
def test_names_that_ssh_keygen_hashed(tmp_path, key, port) -> None:
    name = "h1" if port == 22 else f"[h1]:{port}"
    path = lines(tmp_path, f"other {key}", f"{name} {key}")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    assert all(line.startswith("|1|") for line in path.read_text().splitlines())

    assert [entry.line for entry in known_keys([path], "h1", port)] == [2]
    assert known_keys([path], "h2", port) == []


def test_a_fingerprint_is_the_one_that_ssh_keygen_prints(tmp_path, key) -> None:
    path = lines(tmp_path, f"h1 {key}")
    printed = subprocess.run(["ssh-keygen", "-lf", str(path)], capture_output=True, text=True, check=True)

    assert known_keys([path], "h1", 22)[0].fingerprint == printed.stdout.split()[1]


def test_lines_that_say_nothing_of_a_key_are_skipped(tmp_path, key) -> None:
    path = lines(
        tmp_path,
        "h1",
        "h1 ssh-ed25519",
        "h1 ssh-ed25519 !!!",
        "|1|x h1 y",
        f"|1|x|y {key}",
        f"@cert-authority h1 {key}",
        f"@revoked h1 {key}",
    )

    assert [(entry.line, entry.revoked) for entry in known_keys([path], "h1", 22)] == [(7, True)]


def test_a_file_that_is_absent_knows_nobody(tmp_path) -> None:
    assert known_keys([tmp_path / "none"], "h1", 22) == []


def test_a_file_that_cannot_be_read_is_an_error(tmp_path) -> None:
    with pytest.raises(ConfigError, match="cannot read known host keys"):
        known_keys([tmp_path], "h1", 22)


def test_a_large_file_is_parsed_once_and_again_when_it_changes(tmp_path, key, monkeypatch) -> None:
    path = lines(tmp_path, *(f"h{number} {key}" for number in range(20_000)))
    parsed = []
    parse = host_keys.KnownHosts
    monkeypatch.setattr(host_keys, "KnownHosts", lambda *args: parsed.append(1) or parse(*args))

    started = time.monotonic()
    assert all(known_keys([path], f"h{number}", 22) for number in range(256))
    assert time.monotonic() - started < 2
    assert len(parsed) == 1

    path.write_text("")
    os.utime(path, (1, 1))
    assert known_keys([path], "h1", 22) == []
