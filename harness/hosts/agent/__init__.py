"""The agent: the part of the harness that runs on a host under test and posts work requests to its devices.

It travels alone, as one zip archive: standard library, the host's pyverbs, numpy when it is there; Python 3.9
and later. Nothing here imports the rest of the harness. docs/agent.md describes the protocol.
"""

from __future__ import annotations
