"""The agent as an archive."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile

from harness.hosts.deploy import agent_archive, pack


def test_the_same_sources_give_the_same_bytes_in_any_order():
    one = pack({"a.py": b"1", "b.py": b"2"})
    assert one == pack({"b.py": b"2", "a.py": b"1"})
    assert one != pack({"a.py": b"1", "b.py": b"3"})


def test_it_holds_the_agent_and_nothing_else():
    names = zipfile.ZipFile(io.BytesIO(agent_archive())).namelist()
    assert names[0] == "__main__.py"
    assert "roce_agent/__init__.py" in names
    assert all(name.endswith(".py") for name in names)


def test_the_real_agent_runs_from_it_far_from_the_repository(tmp_path):
    place = tmp_path / "agent.pyz"
    place.write_bytes(agent_archive())
    lines = '{"id": 1, "op": "clock"}\n{"id": 2, "op": "nonsense"}\n'
    done = subprocess.run(
        [sys.executable, "-I", str(place)],
        check=True,
        input=lines,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=30,
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    hello = next(line for line in said if line.get("event") == "hello")
    assert hello["protocol"] == 1
    assert hello["version"] == hashlib.sha256(agent_archive()).hexdigest()[:16]
    by_id = {line["id"]: line for line in said if "id" in line}
    assert by_id[1]["mono_ns"] > 0
    assert by_id[2]["error"]["kind"] == "bad_request"
