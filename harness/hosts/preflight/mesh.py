"""Stage `mesh`: every host sends a few bytes to every other over RC and UD, and a full packet; all is compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.errors import HarnessError
from harness.core.flow import Flow, Transport, Verb
from harness.hosts.gather import attempt
from harness.hosts.preflight.examination import Examination
from harness.hosts.preflight.pairing import Pair, culprits, rounds
from harness.hosts.preflight.probe import Length, Probe

LIMIT_S = 5.0
ROUND_S = 120.0
BYTES = 8
DATAGRAMS = 4

PATH = "check addresses, routes and VLAN of the data interfaces (`ping` there), and that nothing filters UDP port 4791"
PATH_MTU = "a link on the way carries less than the hosts: raise the MTU of the switch ports"
ONE_SERVICE = "the other transport gets through: look for a filter, an ACL, or a limit of the device"
CORRUPT = "bytes changed on the way, though CRCs were right: suspect the host's memory, PCIe or firmware"
LOST = "the agent's host: see its kernel log (`dmesg`)"
CULPRIT = "the others reach one another: look at this host's cable, switch port, address and GID"
NOBODY = "no host reaches another: look at the switch, its VLANs and MTU"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one direction between two ports; `trouble` is empty when all arrived intact."""

    src: str
    dst: str
    trouble: str = ""
    value: str = ""
    advice: str = ""

    @property
    def pair(self) -> Pair:
        """The hosts."""
        return self.src.partition(":")[0], self.dst.partition(":")[0]


def look(exam: Examination) -> None:
    """Go through all pairs of hosts that stand, in rounds in which nobody is in two pairs."""
    outcomes: list[Outcome] = []
    hosts = [patient.host for patient in exam.standing]
    for number, pairs in enumerate(plan := rounds(hosts), 1):
        wanted = {f"{a} and {b}": (a, b) for a, b in pairs if exam.stands(a) and exam.stands(b)}
        exam.say(f"mesh: round {number} of {len(plan)}, {len(wanted)} pairs")
        outcomes += _round(exam, wanted)
    exam.facts["mesh"] = [
        {
            "src": each.src,
            "dst": each.dst,
            "passed": not each.trouble,
            "trouble": each.trouble,
            "value": each.value,
        }
        for each in outcomes
    ]
    _judge(exam, outcomes)


def _round(exam: Examination, wanted: Mapping[str, Pair]) -> list[Outcome]:
    found, errors = attempt(wanted, lambda name: _meet(exam, wanted[name]), timeout_s=ROUND_S, what="meeting")
    outcomes = [outcome for met in found.values() for outcome in met]
    for name, error in errors.items():
        if not isinstance(error, HarnessError):
            raise error
        outcomes += [
            Outcome(src, dst, str(error), advice=PATH) for src, dst in _directions(exam, wanted[name])
        ]
    for host in {host for pair in wanted.values() for host in pair}:
        client = exam.patients[host].client
        if client is not None and client.lost is not None:
            exam.fail(host, "the agent was lost", value=str(client.lost), advice=LOST)
    return outcomes


def _directions(exam: Examination, pair: Pair) -> list[tuple[str, str]]:
    """Return the ports that meet, both ways: those of the same name, as on rails; without any, the first ones."""
    here, there = ([end.name for end in exam.ports_of(host)] for host in pair)
    rails = [(a, b) for a in here for b in there if a.partition(":")[2] == b.partition(":")[2]]
    meeting = rails or [(here[0], there[0])]
    return [each for a, b in meeting for each in ((a, b), (b, a))]


def _meet(exam: Examination, pair: Pair) -> list[Outcome]:
    directions = _directions(exam, pair)
    flows = [flow for src, dst in directions for flow in _flows(exam, src, dst)]
    results = Probe(exam, pair, flows, Length(LIMIT_S)).run()
    return [_outcome(exam, src, dst, results) for src, dst in directions]


def _flows(exam: Examination, src: str, dst: str) -> Iterator[Flow]:
    mtu = min(exam.endpoints[end].active_mtu or 1024 for end in (src, dst))
    way = f"{src}>{dst}"
    write, send = Verb.WRITE_IMM, Verb.SEND
    yield Flow(name=f"{way}/rc", src=src, dst=dst, message_bytes=BYTES, verb=write)
    yield Flow(name=f"{way}/full", src=src, dst=dst, message_bytes=mtu, verb=write)
    yield Flow(
        name=f"{way}/ud",
        src=src,
        dst=dst,
        message_bytes=BYTES,
        messages=DATAGRAMS,
        verb=send,
        transport=Transport.UD,
    )


def _outcome(exam: Examination, src: str, dst: str, results: Mapping[str, Mapping[str, Any]]) -> Outcome:
    way = f"{src}>{dst}"
    rc, full, ud = (_verdict(results, f"{way}/{kind}") for kind in ("rc", "full", "ud"))
    if not (rc or full or ud):
        return Outcome(src, dst)
    addresses = f"{_gid(exam, src)} to {_gid(exam, dst)}"
    if any("wrong bytes" in said for said in (rc, full, ud)):
        return Outcome(src, dst, "payload arrives changed", "; ".join(filter(None, (rc, full, ud))), CORRUPT)
    if full and not rc and not ud:
        size = min(exam.endpoints[end].active_mtu or 1024 for end in (src, dst))
        return Outcome(
            src, dst, f"{BYTES} bytes arrive, packets of {size} do not", f"{full}, {addresses}", PATH_MTU
        )
    if rc and ud:
        return Outcome(src, dst, "nothing arrives", f"RC {rc}, UD {ud}, {addresses}", PATH)
    what, said = (
        ("RC does not get through, UD does", rc or full)
        if rc or full
        else ("UD does not get through, RC does", ud)
    )
    return Outcome(src, dst, what, f"{said}, {addresses}", ONE_SERVICE)


def _verdict(results: Mapping[str, Mapping[str, Any]], flow: str) -> str:
    """Return what is wrong with a flow, empty when everything that was sent arrived as it was sent."""
    sent, got = results[f"{flow}/src"], results[f"{flow}/dst"]
    wrong, right, whole = got["payload_mismatched_bytes"], got["payload_verified_bytes"], sent["bytes_sent"]
    if wrong:
        return f"{wrong} wrong bytes of {whole}"
    if sent["status"] != "done":
        return str(sent.get("error") or f"is {sent['status']} after {LIMIT_S:g} s")
    if right is None:
        return "its payload was not checked"
    return "" if right == whole and whole > 0 else f"{right} of {whole} bytes arrived"


def _gid(exam: Examination, port: str) -> str:
    return str(exam.endpoints[port].gid.get("gid"))


# --- judging -----------------------------------------------------------------------------------------------


def _judge(exam: Examination, outcomes: list[Outcome]) -> None:
    """Name the hosts that explain what failed; pairs that nobody explains are told one by one."""
    passed: dict[Pair, bool] = {}
    for outcome in outcomes:
        passed[outcome.pair] = passed.get(outcome.pair, True) and not outcome.trouble
    named = culprits(passed)
    for host in named:
        own = [each for each in outcomes if host in each.pair]
        bad = [each for each in own if each.trouble]
        exam.fail(host, f"fails {len(bad)} of {len(own)} pairs", value=_example(bad[0]), advice=CULPRIT)
    _tell_the_rest(
        exam, [each for each in outcomes if each.trouble and not set(each.pair) & set(named)], passed
    )
    for patient in [
        each for each in exam.patients.values() if each.host in {host for pair in passed for host in pair}
    ]:
        own_pairs = [good for pair, good in passed.items() if patient.host in pair]
        exam.good(patient.host, f"{sum(own_pairs)}/{len(own_pairs)}")


def _tell_the_rest(exam: Examination, bad: list[Outcome], passed: Mapping[Pair, bool]) -> None:
    if len(passed) > 2 and not any(passed.values()):
        value = _example(bad[0])
        exam.fail({host for pair in passed for host in pair}, "fails all pairs", value=value, advice=NOBODY)
        return
    for each in bad:
        where = f"{each.src} to {each.dst}"
        exam.fail(each.pair, each.trouble, value=each.value, advice=each.advice, where=where)


def _example(outcome: Outcome) -> str:
    value = f": {outcome.value}" if outcome.value else ""
    return f"such as {outcome.src} to {outcome.dst}: {outcome.trouble}{value}"
