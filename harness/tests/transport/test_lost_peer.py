"""A host that is powered off says nothing, not even RST: tried in a network of its own where packets can vanish."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Server

ROOT = Path(__file__).parents[3]

SCRIPT = """
import json, subprocess, sys, time
from harness.core.errors import TransportError
from harness.core.site import Access
from harness.transport.ssh import connect

folder, port, key, known = sys.argv[1:]
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
sshd = subprocess.Popen(["sshd_path", "-D", "-f", f"{folder}/config"])
rules = '''
table inet off {
  chain lost { type filter hook input priority 0; tcp dport PORT drop; tcp sport PORT drop; }
}
'''
try:
    remote = connect(Access(address="127.0.0.1", port=int(port), identity=key, known_hosts=known), "h1")
    talking, silent = remote.start(["cat"]), remote.start(["sleep", "60"])
    talking.write(b"x\\n")
    talking.readline(5)
    subprocess.run(["nft", "-f", "-"], input=rules.replace("PORT", port), text=True, check=True)
    started = time.monotonic()
    talking.write(b"never arrives\\n")
    silent.readline(30)
except TransportError as error:
    print(json.dumps([type(error).__name__, str(error), time.monotonic() - started, remote.alive]))
finally:
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    sshd.terminate()
    sshd.wait()
"""


def can_cut() -> bool:
    if any(shutil.which(tool) is None for tool in ("unshare", "nft", "ip")):
        return False
    trial = ["unshare", "-n", "nft", "add", "table", "inet", "off"]
    return subprocess.run(trial, check=False, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not can_cut(), reason="needs the right to make a network and nft rules")
def test_a_host_that_vanished_is_lost_within_ten_seconds(server: Server) -> None:
    server.process.kill()  # its files serve the one in the other network
    server.process.wait()
    sshd = server.process.args[0]
    command = ["unshare", "-n", sys.executable, "-c", SCRIPT.replace("sshd_path", sshd)]
    values = [str(server.folder), str(server.port), str(server.user_key), str(server.known_hosts)]

    done = subprocess.run(
        [*command, *values], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env=os.environ
    )

    assert done.returncode == 0, done.stderr
    kind, message, seconds, alive = json.loads(done.stdout)
    assert kind == "ConnectionLost"
    assert "h1: lost during 'sleep 60': n" in message  # nothing acknowledged, or no answer: who notices first
    assert 4 < seconds <= 10
    assert not alive
