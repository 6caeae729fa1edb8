"""Refusals that more than one service of lineage raises; each docstring is the message."""

from __future__ import annotations

from core.errors import Conflict


class RunDeleted(Conflict):
    """The run {run} must be in the 'active' state: it is deleted. Restore it first, or log to another one."""
