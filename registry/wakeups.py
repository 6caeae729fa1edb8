"""Wake-ups: whoever waits for a model or a promotion to change hears of it in the moment the change commits.

A write says `wake` inside its transaction, which PostgreSQL delivers at the commit (LISTEN/NOTIFY). One thread of each
process listens while anybody waits. A lost message costs a waiter a second: he looks again by himself.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import structlog
from django.db import Error, connection

log = structlog.get_logger()

CHANNEL = "vouch_changed"
_LOOK_AGAIN_AFTER = 1.0
_LINGER = 5.0  # seconds that the listener stays when nobody waits any more


def wake(*subjects: uuid.UUID) -> None:
    """Tell whoever waits for these, the ids of models or promotions, when the present transaction commits."""
    with connection.cursor() as cursor:
        ids = [subject.hex for subject in subjects]
        cursor.execute("SELECT pg_notify(%s, subject) FROM unnest(%s::text[]) AS subject", [CHANNEL, ids])


def wait_for(subject: uuid.UUID, changed: Callable[[], bool], *, seconds: float) -> bool:
    """Block until `changed()` is true or `seconds` have passed; returns whether it became true.

    `changed` is one cheap query. It runs outside any transaction, on each wake-up of `subject` and once a second.
    """
    deadline = time.monotonic() + seconds
    with _listener.subscribed(subject.hex) as woken:
        while not changed():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            woken.wait(min(left, _LOOK_AGAIN_AFTER))
            woken.clear()
        return True


class _Listener:
    """The one thread of a process that listens, and those who wait for what it hears."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, set[threading.Event]] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def subscribed(self, subject: str) -> Iterator[threading.Event]:
        """An event that is set whenever `subject` may have changed, inside the block."""
        event = threading.Event()
        with self._lock:
            self._waiting.setdefault(subject, set()).add(event)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wake-ups", daemon=True)
                self._thread.start()
        try:
            yield event
        finally:
            with self._lock:
                self._waiting[subject].discard(event)
                if not self._waiting[subject]:
                    del self._waiting[subject]

    def _run(self) -> None:
        while not self._is_over():
            try:
                self._listen()
            except (psycopg.Error, Error) as error:
                log.warning("wakeups.lost", error=type(error).__name__)
                time.sleep(_LOOK_AGAIN_AFTER)
            finally:
                connection.close()

    def _listen(self) -> None:
        connection.ensure_connection()
        session = connection.connection
        session.execute(f"LISTEN {CHANNEL}")
        self._ring(None)  # something may have changed before we listened
        while True:
            for heard in session.notifies(timeout=_LINGER):
                self._ring(heard.payload)
            with self._lock:
                if not self._waiting:
                    return

    def _ring(self, subject: str | None) -> None:
        with self._lock:
            for waited_for, events in self._waiting.items():
                if subject is None or subject == waited_for:
                    for event in events:
                        event.set()

    def _is_over(self) -> bool:
        with self._lock:
            if not self._waiting:
                self._thread = None
            return self._thread is None


_listener = _Listener()
