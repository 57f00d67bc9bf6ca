"""A program that speaks the protocol as roce-load does and moves no data; it can misbehave in every way we know.

The variable BEHAVIOUR is a JSON object with the keys: die_on, exit_on, hang_on, mute_on, garbage_on (an op), words
(said on standard error at the start), refuse (op → error), die_after_s, stop_after_s (SIGSTOP), hello and usage (keys
that replace), log (file to which each request is appended), seconds (length of a run).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

BEHAVIOUR = json.loads(os.environ.get("BEHAVIOUR", "{}"))
LOCK = threading.Lock()
STATE = {"mute": False, "stop": threading.Event(), "ends": {}}
ROWS = 5
CHECKED = {"checked": 4, "lost": 1, "duplicated": 0, "corrupted": 0, "reordered": None}


def say(message):
    with LOCK:
        if not STATE["mute"]:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()


def die(number=signal.SIGKILL):
    os.kill(os.getpid(), number)


def npy(rows, columns):
    shape = f"({len(rows)}, {columns})" if columns else f"({len(rows)},)"
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    cells = [cell for row in rows for cell in (row if columns else [row])]
    body = b"".join(cell.to_bytes(8, "little", signed=True) for cell in cells)
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


def write_series(end, started):
    folder, flow = STATE["series"], end["flow"]
    if folder is None or end["role"] != "src":
        return None
    name = flow["name"].replace("/", "_")
    whole = flow["message_bytes"] * flow["messages"]
    rows = [[whole * row // (ROWS - 1)] * flow["qps"] for row in range(ROWS)]
    step = STATE["sample_ns"]
    Path(folder, f"{name}.npy").write_bytes(npy(rows, flow["qps"]))
    Path(folder, f"{name}.time.npy").write_bytes(npy([started + step * row for row in range(ROWS)], 0))
    return {
        "file": f"{name}.npy", "time_file": f"{name}.time.npy", "interval_ns": step, "rows": ROWS, "qps": flow["qps"],
    }  # fmt: skip


def result(end, started):
    flow = end["flow"]
    whole = flow["message_bytes"] * flow["messages"] * flow["qps"]
    if end["role"] == "dst":
        return {
            "role": "dst",
            "status": "passive",
            "error": None,
            "payload_verified_bytes": None,
            "integrity": CHECKED,
        }
    took = (ROWS - 1) * (STATE["sample_ns"] or 1000)
    return {
        "role": "src", "status": "done", "error": None, "vendor_err": None, "start_mono_ns": started,
        "end_mono_ns": started + took, "bytes_sent": whole, "bytes_acked": whole, "samples": [],
        "messages_completed": flow["messages"] * flow["qps"],
        "posted": [flow["messages"]] * flow["qps"], "completed": [flow["messages"]] * flow["qps"],
        "series": write_series(end, started), "qps": [], "integrity": None, "histogram": None,
        "idle_gaps": {"count": 2, "longest_ns": 7, "total_ns": 9},
        "interval_rate_bps": {"min": 1.5, "mean": 2.5, "max": 3.6},
    }  # fmt: skip


def run(request, names):
    wait = (request["at_mono_ns"] - time.monotonic_ns()) / 1e9
    STATE["stop"].wait(max(0.0, wait))
    started = time.monotonic_ns()
    say({"event": "started", "mono_ns": started, "asked_mono_ns": request["at_mono_ns"]})
    if "die_after_s" in BEHAVIOUR:
        threading.Timer(BEHAVIOUR["die_after_s"], die).start()
    if "stop_after_s" in BEHAVIOUR:
        threading.Timer(BEHAVIOUR["stop_after_s"], die, (signal.SIGSTOP,)).start()
    until = time.monotonic() + BEHAVIOUR.get("seconds", 0.2)
    while time.monotonic() < until and not STATE["stop"].wait(0.05):
        if not os.environ.get("QUIET"):
            say({"event": "progress", "mono_ns": time.monotonic_ns(), "flows": {}})
    ends = {name: result(STATE["ends"][name], started) for name in names}
    usage = {
        "cpu_s": 0.1,
        "wall_s": 0.2,
        "engine": "native",
        "threads": [],
        "host_limited": False,
        "why": None,
    }
    usage.update(BEHAVIOUR.get("usage", {}))
    say({"event": "finished", "mono_ns": time.monotonic_ns(), "why": "done", "ends": ends, "usage": usage})


def pairs(end):
    number = 100 + len(end["id"])
    place = {"gid": "::ffff:198.18.0.1", "gid_index": 1, "address": None, "mtu": 1024, "srqn": None}
    memory = {
        "psn": 7,
        "rkey": 1,
        "addr": 4096,
        "bytes": 4096,
        "slots": 1,
        "stride": 0,
        "period": 1,
        "tcp_port": None,
    }
    return [{"qpn": number + index, **place, **memory} for index in range(end["flow"]["qps"])]


def answer(op, request):
    if op == "prepare":
        STATE.update(series=request["series"], sample_ns=request["sample_ns"])
        STATE["ends"] = {end["id"]: end for end in request["ends"]}
        return {
            "run": request["run"],
            "ends": {name: pairs(end) for name, end in STATE["ends"].items()},
            "gids": {},
        }
    if op in {"start", "resume"}:
        STATE["stop"].clear()
        names = request.get("ends") or list(STATE["ends"])
        threading.Thread(target=run, args=(request, names), daemon=True).start()
        return {"now_mono_ns": time.monotonic_ns()}
    if op == "connect":
        routes = {
            name: [{"src_qpn": 100, "dst_qpn": qp["qpn"], "first_psn": 7, "udp_sport": None} for qp in peers]
            for name, peers in request["ends"].items()
        }
        return {"ends": {name: {"took_ns": 1} for name in request["ends"]}, "routes": routes}
    if op == "verify":
        return {
            "ends": {
                name: {"role": "dst", "status": "passive", "payload_verified_bytes": 9, "integrity": CHECKED}
                for name in request["ends"]
            }
        }
    if op == "recover":
        return {"ends": {name: pairs(STATE["ends"][name]) for name in request["ends"]}, "took_ns": {}}
    if op == "stop":
        STATE["stop"].set()
        return {}
    if op == "clock":
        return {"mono_ns": time.monotonic_ns(), "real_ns": time.time_ns()}
    if op == "teardown":
        return {"closed": len(STATE["ends"]), "errors": []}
    raise KeyError(op)


def serve(request):
    op = request["op"]
    if "log" in BEHAVIOUR:
        with Path(BEHAVIOUR["log"]).open("a") as file:
            file.write(json.dumps(request) + "\n")
    if BEHAVIOUR.get("die_on") == op:
        die()
    if BEHAVIOUR.get("exit_on") == op:
        os._exit(3)
    if BEHAVIOUR.get("hang_on") == op:
        threading.Event().wait()
    if BEHAVIOUR.get("mute_on") == op:
        STATE["mute"] = True
    if BEHAVIOUR.get("garbage_on") == op:
        os.write(1, b"Segmentation fault\n")
    if op in BEHAVIOUR.get("refuse", {}):
        return {"id": request["id"], "ok": False, "error": BEHAVIOUR["refuse"][op]}
    return {"id": request["id"], "ok": True, **answer(op, request)}


def main():
    hello = {
        "event": "hello", "protocol": 1, "program": "roce-load", "version": "7", "devices": ["null", "verbs"],
        **BEHAVIOUR.get("hello", {}),
    }  # fmt: skip
    if sys.argv[1:] == ["--capabilities"]:
        say(hello)
        return
    if "words" in BEHAVIOUR:
        os.write(2, BEHAVIOUR["words"].encode())
    say(hello)
    for line in sys.stdin:
        say(serve(json.loads(line)))


main()
