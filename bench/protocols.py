"""The protocol settings a benchmark runs under: the reference model's, and RoCEv2 on the wire.

DCQCN and PFC are on in all of them, with marking from 400 kB to 1600 kB at 20 % on 100 Gb/s, as in the
published runs.
"""

from __future__ import annotations

from dataclasses import dataclass

MARKING = {
    "priorities": [3],
    "mark_at": "dequeue",
    "wred_drop": False,
    "profiles": [{"rate_bps": 0, "kmin_bytes": 400_000, "kmax_bytes": 1_600_000, "pmax": 0.2}],
}
BUFFER_BYTES = 32 * 1024 * 1024  # 32 MiB a switch, as in the reference runs


@dataclass(frozen=True, slots=True)
class Protocol:
    """One column of the benchmark: the ``wire``, ``nic`` and ``switch`` parts of a job."""

    name: str
    title: str
    wire: dict[str, object]
    nic: dict[str, object]
    switch: dict[str, object]


def reference() -> Protocol:
    """1000-byte payload, 48 bytes of overhead, CE echoed in a per-packet ACK: what ns-3 HPCC runs."""
    return Protocol(
        name="reference",
        title="1000 B payload, reference wire sizes",
        wire={
            "model": "fixed",
            "data_overhead_bytes": 48,
            "ack_bytes": 60,
            "cnp_bytes": 60,
            "pfc_bytes": 43,
            "gap_bytes": 0,
        },
        nic={
            "mtu_bytes": 1000,
            "ack": {"every": 1, "priority": None, "strict": True},
            "cnp": {"mode": "ack_echo"},
            "cc": {"algorithm": "ns3"},
            "pfc": {"priorities": [3], "mode": "until_resume"},
            "scheduler": {"kind": "hpcc"},
        },
        switch={
            "buffer": {"model": "hpcc", "bytes": BUFFER_BYTES},
            "ecn": MARKING,
            "pfc": {"priorities": [3], "mode": "until_resume"},
            "scheduler": {"kind": "hpcc"},
            "ecmp": {"mode": "hpcc"},
        },
    )


def rocev2(mtu_bytes: int) -> Protocol:
    """IPv4 RoCEv2 frames with CNP packets, the mlx5 reaction point and 802.1Qbb quanta."""
    return Protocol(
        name=f"rocev2-{mtu_bytes}",
        title=f"RoCEv2 wire, MTU {mtu_bytes}",
        wire={"model": "rocev2"},
        nic={
            "mtu_bytes": mtu_bytes,
            "cnp": {"mode": "cnp"},
            "cc": {"algorithm": "mlx5"},
            "pfc": {"priorities": [3]},
        },
        switch={
            "buffer": {"model": "dynamic", "bytes": BUFFER_BYTES},
            "ecn": MARKING,
            "pfc": {"priorities": [3]},
        },
    )


def all_protocols() -> list[Protocol]:
    """Every protocol of the benchmark, the comparable one first."""
    return [reference(), rocev2(1024), rocev2(4096)]
