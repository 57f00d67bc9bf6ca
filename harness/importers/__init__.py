"""Files of other tools become scenarios of ours; one module a tool, called by `roce import`."""

from __future__ import annotations
