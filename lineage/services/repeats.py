"""Creates that a client repeats because the answer to the first was lost on its way.

The row that a create made keeps the fingerprint of the request until whoever may have received the answer shows that he
has it: he reads the row, or writes to it. A request of the same fingerprint up to then, within ten minutes, is the
repetition of one whose answer never came, and is answered with that row. After it the row is in use, and the same
request is a new one: what two workers log would be mixed up else.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import QuerySet
from django.utils import timezone

from accounts.actor import Actor
from accounts.queries import REPEATED_WITHIN, folds_repeated_creates
from accounts.roles import Action
from core.canonical import digest
from lineage.models import Experiment, Run

Made = TypeVar("Made", Experiment, Run)


def fingerprint(actor: Actor, kind: str, **request: Any) -> str:
    """Of a request to make a `kind` of thing, by this user and token; "" where repetitions make things of their own."""
    if not folds_repeated_creates(actor.workspace_id):
        return ""
    return digest([kind, actor.workspace_id, actor.user_id, str(actor.token_id), request])


def earlier(rows: QuerySet[Made], fingerprint: str) -> Made | None:
    """The row among `rows` that a request of this fingerprint made just now, and whose maker may not know of it."""
    if not fingerprint:
        return None
    since = timezone.now() - REPEATED_WITHIN
    fresh = rows.filter(fingerprint=fingerprint, created_at__gte=since, deleted_at__isnull=True)
    return fresh.order_by("-created_at").first()


def settle(row: Experiment | Run) -> None:
    """Note that the answer arrived: from now on the same request makes another one."""
    if row.fingerprint:
        type(row).objects.filter(pk=row.pk).update(fingerprint="")
        row.fingerprint = ""


def answered(actor: Actor, row: Made) -> Made:
    """The `row`, which the actor asked for by its name: settled, if he is one who might have made it."""
    if row.fingerprint and actor.may(Action.LOG_RUN):
        settle(row)
    return row
