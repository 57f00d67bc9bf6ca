"""A program that speaks the agent's protocol and moves no data; it can misbehave in every way we know.

Started as `python fake_agent.py '{"host": "h1", …}'`. Keys of the behaviour:

hello        keys that replace those of the hello line; null: say nothing at all
first_line   text to print instead of hello
die_at_start exit code to end with, at once
errors       op → error object to answer with
die_on       op at which it kills itself by SIGKILL
late_s       op → seconds to wait before the answer
mute_on      op from which on it says nothing more, whatever happens
garbage_on   op at which it prints something that is no JSON
die_after_s  seconds after the start of traffic until it kills itself
hang_after_s seconds after the start of traffic until it stops itself (SIGSTOP)
finish_at_once, never_start, never_finish, ignore_eof, late_start_ns, offset_ns, wall_jump_ns
rate_bps     payload bits per second of each flow (default 1 Gb/s)
results      END_ID → keys that replace those of its result
devices      list that replaces what it has
address      last byte of its address
log          file to which each op is appended
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

BEHAVIOUR = json.loads(sys.argv[1])
LOCK = threading.Lock()
STATE = {"mute": False, "ends": {}, "stop": threading.Event(), "jumped": 0, "again": set()}
OFFSET = BEHAVIOUR.get("offset_ns", 0)


def mono():
    return time.monotonic_ns() + OFFSET


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def say(line):
    with LOCK:
        if not STATE["mute"]:
            sys.stdout.write(f"{line if isinstance(line, str) else json.dumps(line)}\n")
            sys.stdout.flush()


def hello():
    if BEHAVIOUR.get("die_at_start") is not None:
        os.write(2, b"cannot import name 'spam'\n")
        os._exit(BEHAVIOUR["die_at_start"])
    if "first_line" in BEHAVIOUR:
        say(BEHAVIOUR["first_line"])
        return
    line = {
        "event": "hello", "protocol": 1, "version": "fake", "python": "3.11", "pyverbs": "56.0",
        "pyverbs_error": None, "numpy": False, "kernel": "6.12.0", "hostname": "x", "pid": os.getpid(),
        "cpus": 2, "perftest": False, "gil": True,
    }  # fmt: skip
    changes = BEHAVIOUR.get("hello", {})
    if changes is not None:
        say({**line, **changes})


def default_devices():
    number = BEHAVIOUR.get("address", 1)
    gids = [
        {"index": 0, "gid": "fe80::1", "type": "RoCE v2", "family": "link_local", "netdev": "p0"},
        {"index": 1, "gid": f"::ffff:198.18.0.{number}", "type": "RoCE v2", "family": "ipv4", "netdev": "p0"},
    ]
    port = {
        "port": 1, "state": "ACTIVE", "phys_state": "LINK_UP", "max_mtu": 4096, "active_mtu": 4096,
        "link_layer": "Ethernet", "speed_gbps": None, "netdev": "p0", "netdev_mtu": 4200, "gids": gids,
    }  # fmt: skip
    return [{
        "device": "rxe0", "driver": "fake_ib", "firmware": None, "node_guid": "0:1", "pcie": None,
        "numa_node": None, "caps": {"xrc": True, "srq": True, "atomics": True}, "ports": [port],
    }]  # fmt: skip


def reading():
    count = STATE.setdefault("count", 0)
    STATE["count"] += 100
    return {
        "hw_counters": None, "counters": None, "device_hw_counters": None, "ethtool": None,
        "rdma_statistic": None, "dcb_pfc": None, "carrier_changes": 0, "errors": {},
        "netdev": dict.fromkeys(("tx_packets", "rx_packets", "tx_bytes", "rx_bytes", "rx_dropped"), count),
    }  # fmt: skip


def qps_of(end, first):
    address = BEHAVIOUR.get("address", 1)
    return [
        {
            "qpn": first + i, "psn": 7, "gid": f"::ffff:198.18.0.{address}", "gid_index": 1, "rkey": 1, "addr": 4096,
            "bytes": end["flow"]["message_bytes"], "mtu": 1024, "slots": 1, "stride": 0, "period": 1, "srqn": None,
            "address": None, "tcp_port": None,
        }
        for i in range(end["flow"]["qps"])
    ]  # fmt: skip


def answer(op, request):
    if op == "clock":
        return {"mono_ns": mono(), "real_ns": time.time_ns() + STATE["jumped"]}
    if op == "devices":
        return {"devices": BEHAVIOUR.get("devices") or default_devices()}
    if op == "counters":
        return {"ports": [reading() for _ in request["ports"]], "mono_ns": mono()}
    if op == "prepare":
        STATE["ends"] = {end["id"]: end for end in request["ends"]}
        return {
            "run": request["run"],
            "ends": {i: qps_of(end, 100) for i, end in STATE["ends"].items()},
            "gids": {},
        }
    if op == "connect":
        routes = {
            i: [{"src_qpn": 100, "dst_qpn": q["qpn"], "first_psn": 7, "udp_sport": None} for q in qps]
            for i, qps in request["ends"].items()
        }
        return {"ends": {i: {"took_ns": 1} for i in request["ends"]}, "routes": routes}
    if op in ("start", "resume"):
        STATE["stop"].clear()
        ends = request.get("ends") or list(STATE["ends"])
        threading.Thread(target=traffic, args=(request, ends, op == "resume"), daemon=True).start()
        return {"now_mono_ns": mono()}
    if op == "stop":
        STATE["stop"].set()
        return {}
    if op == "verify":
        return {"ends": {i: result(i, 0, 0, True) for i in request["ends"]}}
    if op == "recover":
        return {"ends": {i: qps_of(STATE["ends"][i], 500) for i in request["ends"]}, "took_ns": {}}
    if op == "reduce_check":
        return {"groups": BEHAVIOUR.get("groups", {})}
    if op == "teardown":
        STATE["stop"].set()
        return {"closed": len(STATE["ends"]), "errors": []}
    if op == "quit":
        return {}
    raise KeyError(op)


def result(ident, start, end, checked, again=False):
    flow = STATE["ends"][ident]["flow"]
    whole = flow["message_bytes"] * flow["messages"] * flow["qps"]
    if ident.endswith("/src"):
        found = {
            "role": "src", "status": "done", "error": None, "vendor_err": None, "start_mono_ns": start,
            "end_mono_ns": end, "messages_posted": flow["messages"], "messages_completed": flow["messages"],
            "bytes_sent": whole, "bytes_acked": whole, "posted": [flow["messages"]], "completed": [flow["messages"]],
            "latencies": None, "samples": [[start, 0], [end, whole]], "cpu_s": 0.1, "rate_bps": 0,
            "rate_reached": None, "bytes_delivered": None, "payload_verified_bytes": None,
            "payload_mismatched_bytes": None, "first_mismatch": None, "told_ns": None,
            "recovery_ns": 5000 if again else None,
            "recovery_local_ns": 3000 if again else None, "perftest": None,
            "qps": [{"index": 0, "qpn": 100, "remote_qpn": 100, "start_mono_ns": start, "end_mono_ns": end,
                     "status": "done", "error": None, "vendor_err": None, "messages_completed": flow["messages"]}],
        }  # fmt: skip
    else:
        found = {
            "role": "dst", "status": "passive", "error": None, "bytes_delivered": None, "recv_completions": 0,
            "end_mono_ns": None, "payload_verified_bytes": whole if checked else None,
            "payload_mismatched_bytes": 0 if checked else None, "first_mismatch": None, "immediates_wrong": None,
            "perftest": None,
        }  # fmt: skip
    changes = BEHAVIOUR.get("results", {}).get(ident, {})
    return found if again else {**found, **changes}


def traffic(request, idents, again):
    if BEHAVIOUR.get("never_start"):
        return
    wait_until(request["at_mono_ns"] + BEHAVIOUR.get("late_start_ns", 0))
    started = mono()
    say({"event": "started", "mono_ns": started, "asked_mono_ns": request["at_mono_ns"]})
    STATE["jumped"] = BEHAVIOUR.get("wall_jump_ns", 0)
    if BEHAVIOUR.get("die_after_s") is not None:
        threading.Timer(BEHAVIOUR["die_after_s"], die).start()
    if BEHAVIOUR.get("hang_after_s") is not None:
        threading.Timer(BEHAVIOUR["hang_after_s"], os.kill, (os.getpid(), signal.SIGSTOP)).start()
    took_ns = 0 if BEHAVIOUR.get("finish_at_once") else move(request, idents, started)
    ends = {i: result(i, started, started + took_ns, False, again) for i in idents}
    say(
        {
            "event": "finished",
            "mono_ns": mono(),
            "why": "done",
            "ends": ends,
            "usage": {"cpu_s": 0.1, "wall_s": 1.0},
        }
    )


def move(request, idents, started):
    """Pretend to send at the rate, telling progress; return how long it took in ns."""
    sources = [STATE["ends"][i] for i in idents if i.endswith("/src")]
    whole = {
        e["flow"]["name"]: e["flow"]["message_bytes"] * e["flow"]["messages"] * e["flow"]["qps"]
        for e in sources
    }
    rate = BEHAVIOUR.get("rate_bps", 10**9)
    need_ns = max([size * 8 * 10**9 // rate for size in whole.values()], default=0)
    if request["until"] == "duration":
        need_ns = request["duration_ns"]
    end = started + need_ns
    passive_waits = BEHAVIOUR.get("never_finish")
    while mono() < end or passive_waits:
        done = min(1.0, (mono() - started) / max(1, need_ns))
        say({"event": "progress", "mono_ns": mono(), "flows": {n: int(s * done) for n, s in whole.items()}})
        if STATE["stop"].wait(min(0.1, max(0.0, (end - mono()) / 1e9) if not passive_waits else 0.1)):
            break
    if BEHAVIOUR.get("never_finish"):
        if "say_end" in BEHAVIOUR:
            for i in idents:
                say({"event": "end", "id": i, "status": "done", "error": None, "mono_ns": mono()})
        if BEHAVIOUR["never_finish"] != "until_stop":
            threading.Event().wait()
    return need_ns


def wait_until(instant):
    threading.Event().wait(max(0, instant - mono()) / 1e9)


def serve(request):
    op = request["op"]
    if BEHAVIOUR.get("log"):
        with Path(BEHAVIOUR["log"]).open("a") as file:
            file.write(f"{BEHAVIOUR['host']} {op}\n")
    if BEHAVIOUR.get("die_on") == op:
        die()
    if BEHAVIOUR.get("mute_on") == op:
        with LOCK:
            STATE["mute"] = True
    if BEHAVIOUR.get("garbage_on") == op:
        say("Segmentation fault (core dumped)")
    if op in BEHAVIOUR.get("late_s", {}):
        threading.Event().wait(BEHAVIOUR["late_s"][op])
    if op in BEHAVIOUR.get("errors", {}):
        return {"id": request["id"], "ok": False, "error": BEHAVIOUR["errors"][op]}
    return {"id": request["id"], "ok": True, **answer(op, request)}


def main():
    hello()
    for line in sys.stdin:
        say(serve(json.loads(line)))
    if BEHAVIOUR.get("ignore_eof"):
        threading.Event().wait()


main()
