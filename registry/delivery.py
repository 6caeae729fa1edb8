"""One delivery: what is sent where, when it is tried again, and how the process that sends is woken."""

from __future__ import annotations

import datetime
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import structlog
from celery import current_app
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from kombu.exceptions import OperationalError

from accounts.models import AuditEntry
from accounts.verbs import Verb
from core.http import Egress, Letter
from registry.formats import Format, Told, expresses, goes_by, tells, tested, written
from registry.models import Delivery, Webhook

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


def rest_after(failures: int, status: int | None, retry_after: float | None) -> datetime.timedelta | None:
    """How long to leave a receiver alone that has failed so many times in a row, the last time with `status`.

    None: not at all, since one odd event is no reason. As long as it asked for, when it is overloaded; an hour at most.
    """
    if retry_after and status in _OVERLOADED:
        return min(datetime.timedelta(seconds=retry_after), _LONGEST_REST_ASKED_FOR)
    if failures < _IN_TROUBLE:
        return None
    return min(_FIRST_REST * (1 << min(failures - _IN_TROUBLE, 20)), _LONGEST_REST)


_OVERLOADED = frozenset({429, 503})
_IN_TROUBLE = 3  # failures in a row
_FIRST_REST, _LONGEST_REST = datetime.timedelta(seconds=5), datetime.timedelta(minutes=5)
_LONGEST_REST_ASKED_FOR = datetime.timedelta(hours=1)


# --- What and where ---------------------------------------------------------------------------------------------------
def egress() -> Egress:
    """Where webhooks may lie, as the operator has it; ImproperlyConfigured."""
    return _egress(tuple(settings.VOUCH_WEBHOOK_NETWORKS), tuple(settings.VOUCH_WEBHOOK_PORTS))


def chat_egress() -> Egress:
    """Where chats of people may lie: anybody names his own, so the networks of receivers are none of them."""
    return _egress(tuple(settings.VOUCH_CHAT_NETWORKS), tuple(settings.VOUCH_WEBHOOK_PORTS))


@lru_cache(maxsize=2)
def _egress(networks: tuple[str, ...], ports: tuple[int, ...]) -> Egress:
    try:
        return Egress.of(networks, ports)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"VOUCH_WEBHOOK_NETWORKS, _PORTS or VOUCH_CHAT_NETWORKS will not do: {error}."
        ) from None


def tellable(webhook: Webhook, entry: AuditEntry) -> bool:
    """Whether the format of a webhook, whose workspace is loaded, has words for an event of its workspace."""
    form = Format(webhook.format)
    if entry.verb not in tells(form):
        return False
    entry.workspace = webhook.workspace
    told = told_by(entry)
    return expresses(form, told) and (not webhook.events or goes_by(form, told, webhook.events))


def told_by(entry: AuditEntry) -> Told:
    """An entry as it is told; its workspace and its chain are loaded."""
    model = str(entry.data.get("model", "")) if entry.chain.subject_id else ""
    return Told(
        id=str(entry.pk),
        verb=Verb(entry.verb),
        at=entry.at,
        subject=entry.subject,
        workspace=entry.workspace.slug if entry.workspace else "",
        model=model,
        sequence=entry.sequence,
        hash=entry.hash,
        actor=entry.actor_name,
        data=entry.data,
        link=_page(model, entry.data),
        address=settings.VOUCH_URL,
    )


def _page(model: str, data: Mapping[str, Any]) -> str:
    """The address of the page on which to read on, or nothing."""
    if "promotion" in data:
        path = f"promotions/{data['promotion']}"
    elif "policy" in data and "target" in data:
        path = f"policies/{data['policy']}"
    elif "webhook" in data:
        path = f"webhooks/{data['webhook']}"
    elif model:
        path = f"models/{quote(model)}" + (f"/versions/{data['version']}" if "version" in data else "")
    else:
        return ""
    return f"{settings.VOUCH_URL}/{path}"


def letter_of(webhook: Webhook, delivery: Delivery, at: datetime.datetime) -> Letter:
    """What an attempt of `at` to deliver sends; the delivery's entry is loaded as for `told_by`.

    Raises ValueError when the format of the webhook has no words for it, CannotOpen when a secret of it cannot be read.
    """
    form, told = Format(webhook.format), told_by(delivery.entry)
    if settings.VOUCH_CONFORMANCE and form == Format.MLFLOW:  # as a server without workspaces, which those tests know
        told = replace(told, workspace="")
    tried = delivery.entry.data.get("event") if delivery.test else None
    message = written(
        form,
        tested(form, told) if delivery.test else told,
        delivery_id=str(delivery.pk),
        webhook_id=str(webhook.pk),
        at=at,
        secrets=webhook.secrets(at),
        stages=webhook.targets,
        events=[tried] if tried else webhook.events,
    )
    header = webhook.header()
    own = {"user-agent": "Vouch"} | ({"authorization": header} if header else {})
    return Letter(webhook.url, own | dict(message.headers), message.body)


# --- The shortcut -----------------------------------------------------------------------------------------------------
class _Bell:
    """Publishes a call for the sender from a thread of its own: a slow or dead broker holds up nobody's request.

    Calls that come while one is being published, or soon after, are one call: each costs the sender as much as two
    deliveries. One that is lost costs a few seconds, until the sweep.
    """

    _BETWEEN = 0.1  # seconds

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
            time.sleep(self._BETWEEN)


_bell = _Bell()


def call_sender() -> None:
    """Wake the process that sends. Returns at once and never fails."""
    _bell.ring()
