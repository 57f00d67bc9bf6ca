"""A lab of virtual machines: real verbs (rdma_rxe), real sshd, a Linux switch; no root and no hardware."""

from __future__ import annotations

from harness.bindings.vmlab.errors import GuestError, LabBusy, LabError
from harness.bindings.vmlab.lab import Lab
from harness.bindings.vmlab.plan import offers
from harness.bindings.vmlab.running import Guest, RunningLab

__all__ = ["Guest", "GuestError", "Lab", "LabBusy", "LabError", "RunningLab", "offers"]
