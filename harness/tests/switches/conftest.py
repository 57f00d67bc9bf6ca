"""Where the miniature of bench.py stands: on this machine, and (marked `lab`) on the switch of a VM lab."""

from __future__ import annotations

import os
import shutil

import pytest

from harness.bindings.vmlab import Lab
from harness.core.capability import Capability
from harness.core.errors import HarnessError
from harness.core.topology import Topology
from harness.tests.switches.bench import Bench, switched_on
from harness.transport.local import LocalRemote
from harness.transport.ssh import connect


def _local():
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    for program in ("ip", "tc", "nft"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on this machine")
    remote = LocalRemote("here")
    done = remote.run(["sh", "-c", "ip netns add rbtry && ip netns del rbtry"], check=False)
    if done.exit_code:
        pytest.skip(f"no network namespaces on this machine: {done.stderr.strip()}")
    return remote


@pytest.fixture(scope="session")
def lab(worker_name):
    """A lab of its own; without what a lab needs these tests are skipped."""
    try:
        lab = Lab.up(Topology.load("softroce-2"), name=f"drivers-{worker_name}")
    except HarnessError as error:
        pytest.skip(f"no VM lab: {error}")
    with lab:
        yield lab


@pytest.fixture(scope="session")
def worker_name():
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


@pytest.fixture(scope="session")
def local_namespaces():
    remote = _local()
    bench = Bench(remote)
    yield bench
    bench.close()
    remote.close()


@pytest.fixture(scope="session")
def guest_namespaces(lab):
    remote = connect(lab.site.access("sw1"), "sw1")
    bench = Bench(remote)
    yield bench
    bench.close()
    remote.close()


@pytest.fixture
def bench(local_namespaces):
    """The miniature on this machine."""
    yield local_namespaces
    local_namespaces.driver().restore()


@pytest.fixture(params=["local", pytest.param("guest", marks=pytest.mark.lab)])
def full_bench(request):
    """One whose kernel marks and holds back: this machine's, where it does, and that of a guest."""
    bench = request.getfixturevalue(f"{request.param}_namespaces")
    driver = bench.driver()
    missing = {Capability.ECN, Capability.PACKET_DELAY} - driver.capabilities
    if missing:
        pytest.skip(
            f"this kernel lacks sch_red, sch_netem or sch_prio: no {', '.join(sorted(map(str, missing)))}"
        )
    yield bench
    driver.restore()


@pytest.fixture
def switched(bench):
    return switched_on(bench)
