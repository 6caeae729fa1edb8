"""Conformance runs: what they switch off, said where nobody can overlook it."""

from __future__ import annotations

import structlog
from django.conf import settings

SWITCHED_OFF = (
    "VOUCH_CONFORMANCE is on: policies are open, stages hold several versions, webhooks go to any host, repeated "
    "creates make several objects. Nothing here is vouched for. Take it away, and start again, before any real work."
)


def announce() -> None:
    """Say it in the log of a process that starts."""
    if settings.VOUCH_CONFORMANCE:
        structlog.get_logger().warning(SWITCHED_OFF)
