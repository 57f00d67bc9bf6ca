# ruff: noqa: INP001 - a script beside the C code, not a package
"""Write a corpus of valid and nearly valid requests for the fuzzer of roce-load.

Usage: python make_load_corpus.py FOLDER [--count N] [--seed N]

They cover every operation and every key of an end (docs/agent.md, docs/generator.md). The same arguments give the
same files; every second file is damaged in one place.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

JsonObject = dict[str, Any]

VERBS = ("write", "write_imm", "read", "send", "send_imm", "atomic", "fetch_add", "compare_swap")
FAULTS = (None, "bad_rkey", "bad_address", "no_remote_write", "long_send", "bad_lkey", "no_receiver")


def flow(random_: random.Random) -> JsonObject:
    """Return a flow with every key it can have."""
    verb = random_.choice(VERBS)
    atomic = verb in {"atomic", "fetch_add", "compare_swap"}
    return {
        "name": random_.choice(("f", "flow 1", "ü")), "src": "h1:p0", "dst": "h2:p0", "verb": verb,
        "transport": random_.choice(("rc", "uc", "ud", "xrc") if verb.startswith("send") else ("rc", "uc")),
        "message_bytes": 8 if atomic else random_.choice((1, 64, 4096, 1 << 20, 1 << 31)),
        "messages": random_.choice((0, 1, 1000, 1 << 40)), "qps": random_.choice((1, 2, 16384)),
        "start_ps": 0, "after": random_.choice(([], ["f"])), "after_delay_ps": 5, "rate_bps": 10**9,
        "window_bytes": 0, "max_outstanding": 16, "message_interval_ps": 0,
        "arrivals": random_.choice(("fixed", "poisson")), "flow_label": None,
        "udp_sport": random_.choice((None, 50000)), "recv_depth": 0, "recv_repost_ps": 0, "reduce": None,
        "verbs": {"check_payload": True, "ping_pong": False, "fault": random_.choice(FAULTS),
                  "recover": random_.choice((None, "reset", "rebuild")), "engine": "pyverbs", "srq": False},
        "load": {"batch": 32, "signal_every": random_.choice((None, 1, 100)), "inline_bytes": 0,
                 "sges": random_.choice((1, 16)), "post": random_.choice(("auto", "wr", "legacy")),
                 "cq_moderation": {"count": 16, "period_us": 10}, "poll": "busy", "integrity": False,
                 "sizes": random_.choice((None, [[64, 1], [4096, 2.5]])), "burst": {"on_ps": 10**6, "off_ps": 10**6},
                 "start_jitter_ps": 1000, "pacing": "software", "threads": "flow"},
    }  # fmt: skip


def end(random_: random.Random, role: str) -> JsonObject:
    """Return an end of a flow."""
    return {
        "id": f"f/{role}", "role": role, "device": "null0", "port": 1, "tos": 106, "sl": 3, "first_psn": None,
        "gid": {"index": None, "roce": "v2", "family": random_.choice((None, "ipv4"))}, "notify": False,
        "flow": flow(random_),
    }  # fmt: skip


def peer(random_: random.Random) -> JsonObject:
    """Return what one end is told of a QP of the other."""
    return {
        "qpn": random_.randrange(1 << 24), "psn": 7, "mtu": 1024, "rkey": 1, "addr": 1 << 40, "bytes": 4096,
        "gid": "0000:0000:0000:0000:0000:ffff:0a00:0001", "slots": 4, "stride": 64, "period": 65521,
    }  # fmt: skip


def request(random_: random.Random) -> JsonObject:
    """Return a request of any kind."""
    peers = [peer(random_) for _ in range(2)]
    said = {"posted": [1, 1], "completed": [1, 0]}
    kinds: tuple[JsonObject, ...] = (
        {"op": "prepare", "run": "r", "qos": {"mtu_bytes": 1024, "retry_count": 7}, "memory_bytes": 1 << 20,
         "duration_ns": None, "series": "folder", "sample_ns": 10**6,
         "ends": [end(random_, "src"), end(random_, "dst")]},
        {"op": "connect", "ends": {"f/src": peers, "f/dst": peers}},
        {"op": "stop", "drain_ns": 0},
        {"op": "verify", "ends": {"f/dst": said, "f/src": said}},
        {"op": "recover", "ends": ["f/src", "f/dst"]},
        {"op": "clock"}, {"op": "teardown"}, {"op": "quit"},
    )  # fmt: skip
    return {"id": random_.randrange(1000), **random_.choice(kinds)}


def damaged(text: str, random_: random.Random) -> str:
    """Return a text with one place changed."""
    at = random_.randrange(len(text))
    return text[:at] + random_.choice(("", "\x00", "-1", "null", "[", '"', "1e999", "{}")) + text[at + 1 :]


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random_ = random.Random(arguments.seed)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for index in range(arguments.count):
        text = json.dumps(request(random_))
        if index % 2:
            text = damaged(text, random_)
        (arguments.folder / f"{index:04}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
