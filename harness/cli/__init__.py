"""The ``roce`` command. One module a command; each imports what it needs when it runs: help is quick."""

from __future__ import annotations

from harness.cli.app import main

__all__ = ["main"]
