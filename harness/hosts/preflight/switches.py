"""Stage `switch`: a driver understands each switch that the site names, and no run left anything there."""

from __future__ import annotations

from harness.core.errors import HarnessError
from harness.hosts.gather import attempt
from harness.hosts.preflight.examination import Examination, bare
from harness.switches import SwitchDriver, load
from harness.transport.remote import Remote

TIMEOUT_S = 30.0
DRIVER = "check os and ports in the site file, and that the user may configure the switch"
LEFT = "what a killed run left is removed by the next run with --i-own-this-fabric"


def look(exam: Examination) -> None:
    """Ask all switches what they can and what is left there; nothing is changed."""

    def one(node: str) -> tuple[SwitchDriver, list[str]]:
        driver = _driver(exam, node, exam.switches[node])
        return driver, driver.leftovers()

    found, errors = attempt(exam.switches, one, timeout_s=TIMEOUT_S, what="asking the switch")
    for node, (driver, left) in found.items():
        exam.good(node, driver.name)
        if left:
            exam.warn(node, "something of an earlier run is still there", value="; ".join(left), advice=LEFT)
    for node, error in errors.items():
        if not isinstance(error, HarnessError):
            raise error
        exam.fail(node, bare(str(error), node), advice=DRIVER)


def _driver(exam: Examination, node: str, remote: Remote) -> SwitchDriver:
    switch = exam.site.switches[node]
    return load(switch.os)(remote, node, switch.ports, exam.topology)
