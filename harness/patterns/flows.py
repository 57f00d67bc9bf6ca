"""Flows listed one by one, for scenario files and importers."""

from __future__ import annotations

from harness.core.flow import Flows

__all__ = ["Flows"]
