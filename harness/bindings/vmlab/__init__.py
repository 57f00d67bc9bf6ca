"""A lab of virtual machines: real verbs (rdma_rxe), real sshd, a Linux switch; no root and no hardware."""

from __future__ import annotations

from harness.bindings.vmlab.errors import GuestError, LabBusy, LabError
from harness.bindings.vmlab.lab import Guest, Lab, RunningLab
from harness.bindings.vmlab.plan import offers

__all__ = ["Guest", "GuestError", "Lab", "LabBusy", "LabError", "RunningLab", "offers"]
