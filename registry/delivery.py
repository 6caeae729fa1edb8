"""One delivery: what is sent, when it is tried again, and how the process that sends is woken."""

from __future__ import annotations

import datetime
import random
import threading

import structlog
from celery import current_app
from kombu.exceptions import OperationalError

log = structlog.get_logger()

# --- When -------------------------------------------------------------------------------------------------------------
_MINUTE, _HOUR = 60, 3600
# Seconds to wait after each attempt that failed (Standard Webhooks: the recommended schedule); ten attempts in all.
SCHEDULE = (5, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR)
_JITTER = 0.1  # of the pause, so that what failed together is not tried together
LONGEST_PAUSE = datetime.timedelta(days=1)


def pause_after(attempts: int, retry_after: float | None = None) -> datetime.timedelta | None:
    """How long to wait after so many attempts, the last of which failed; None when there is no further one.

    Not less than the receiver asked for in `retry_after`, in seconds; a day at most.
    """
    if attempts > len(SCHEDULE):
        return None
    pause = SCHEDULE[attempts - 1] * (1 + _JITTER * random.random())  # noqa: S311 - it keeps no secret
    return min(datetime.timedelta(seconds=max(pause, retry_after or 0)), LONGEST_PAUSE)


# --- The shortcut -----------------------------------------------------------------------------------------------------
class _Bell:
    """Publishes a call for the sender from a thread of its own: a slow or dead broker holds up nobody's request.

    Calls that come while one is being published are one call. One that is lost costs a few seconds, until the sweep.
    """

    def __init__(self) -> None:
        self._rung = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self) -> None:
        """Have a call published soon."""
        self._rung.set()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # a fork leaves the thread behind
                self._thread = threading.Thread(target=self._run, name="sender-bell", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._rung.wait()
            self._rung.clear()
            try:
                current_app.send_task("registry.tasks.deliver_due", retry=False, expires=60, ignore_result=True)
            except (OperationalError, OSError) as error:
                log.warning("sender.not_called", error=type(error).__name__)


_bell = _Bell()


def call_sender() -> None:
    """Wake the process that sends. Returns at once and never fails."""
    _bell.ring()
