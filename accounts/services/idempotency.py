"""Remembered answers: a request repeated with the same `Idempotency-Key` has one effect and one answer."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import RememberedAnswer
from core import text
from core.canonical import digest
from core.errors import Conflict

KEPT_FOR = datetime.timedelta(hours=24)


class KeyUsedForAnother(Conflict):
    """The Idempotency-Key {key!r} was used for another request: use a new key for each request."""

    field = "Idempotency-Key"


class AnswerForgotten(Conflict):
    """The answer for this Idempotency-Key was forgotten just now: look at what became of it, then use a new key."""

    field = "Idempotency-Key"


@transaction.atomic
def once(actor: Actor, key: str, request: Any, act: Callable[[], tuple[int, Any]]) -> tuple[int, Any, bool]:
    """Run `act` in this transaction and remember its (status, JSON body); or give the remembered one.

    `request` is whatever makes this request itself (method, path, body), as JSON. The third value tells whether the
    answer was remembered. A second request with the key waits for the first; if `act` raises, nothing is remembered.
    """
    text.key("Idempotency-Key", key, limit=255)
    fingerprint = digest(request)
    mine = {"user_id": actor.user_id, "workspace_id": actor.workspace_id, "key": key}
    RememberedAnswer.objects.bulk_create([RememberedAnswer(**mine, fingerprint=fingerprint)], ignore_conflicts=True)
    row = RememberedAnswer.objects.select_for_update().get(**mine)
    if row.fingerprint != fingerprint:
        raise KeyUsedForAnother(key=key)
    if row.status:
        return row.status, row.body, True
    row.status, row.body = act()
    row.save(update_fields=["status", "body"])
    return row.status, row.body, False


def answered(actor: Actor, key: str) -> bool:
    """Whether an answer is remembered for this key, so that `once` will not act."""
    text.key("Idempotency-Key", key, limit=255)
    mine = RememberedAnswer.objects.filter(user_id=actor.user_id, workspace_id=actor.workspace_id, key=key)
    return mine.filter(status__gt=0).exists()


def prune() -> int:
    """Forget what is older than a day; returns how many."""
    return RememberedAnswer.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).delete()[0]
