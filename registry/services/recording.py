"""What came of attempts: each recorded by itself, and what follows from it for its webhook."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import DataError, OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts.audit import Event
from accounts.queries import system_actor
from accounts.verbs import Verb
from core.http import Letter, Sent
from registry.delivery import LONGEST_PAUSE, pause_after, rest_after
from registry.models import Delivery, Model, Webhook
from registry.models.webhooks import DeliveryState, Disabled
from registry.outbox import emit_all
from registry.services.redelivery import end_pending
from registry.wakeups import wake

log = structlog.get_logger()

FAILING_FOR = datetime.timedelta(days=5)
# A receiver that fails is tried again within a day: when the last failure is longer ago, nothing was sent in between.
_SILENCE = LONGEST_PAUSE * 1.25
GONE = 410
_NOT_RECORDED = "what came of it could not be recorded; the operator's log says why"


@dataclass(frozen=True)
class Made:
    """An attempt that has ended. Without a letter, what was owed could not be put into one."""

    webhook: Webhook
    delivery: Delivery
    letter: Letter | None
    at: datetime.datetime  # when it began
    sent: Sent
    final: bool = False  # no further attempt could do better

    @property
    def worked(self) -> bool:
        return self.sent.status is not None and 200 <= self.sent.status < 300


# It changes nothing of a delivery that somebody has recorded meanwhile.
_RECORD = """
WITH noted AS (
    INSERT INTO registry_attempt (delivery_id, number, at, headers, status, answer, duration_ms, address, error)
    SELECT id, %(number)s, %(at)s, %(headers)s::jsonb, %(status)s, %(answer)s, %(duration)s, %(address)s, %(error)s
      FROM registry_delivery WHERE id = %(delivery)s
    ON CONFLICT DO NOTHING
)
UPDATE registry_delivery d
   SET state = %(state)s, attempts = %(number)s, due_at = %(due_at)s, finished_at = %(finished_at)s,
       status = %(status)s, error = %(error)s
  FROM registry_webhook w
 WHERE d.id = %(delivery)s AND d.state = 'pending' AND d.attempts = %(before)s AND w.id = d.webhook_id
RETURNING w.revision = %(revision)s
"""


def record(ended: Sequence[Made]) -> list[bool]:
    """Record attempts, and what follows from each; returns for each whether the turn of its webhook goes on.

    It ends when the webhook was changed meanwhile, is in trouble, or asked for a rest. One trip to the database and one
    commit for all that ended by then.
    """
    now = timezone.now()
    values = [_values(made, now) for made in ended]
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        cursors = [connection.connection.execute(_RECORD, each) for each in values]
        unchanged = [bool(row and row[0]) for row in (cursor.fetchone() for cursor in cursors)]
    return [_follow_up(made) and same for made, same in zip(ended, unchanged, strict=True)]


def recorded(ended: Sequence[Made]) -> list[bool]:
    """`record`; when that fails, each by itself, so that what is wrong with one is not the end of all."""
    try:
        return record(ended)
    except (DataError, OperationalError) as error:
        if not connection.is_usable():
            raise
        log.warning("delivery.recorded_apart", error=str(error))
    return [_recorded_alone(made) for made in ended]


def _recorded_alone(made: Made) -> bool:
    try:
        return record([made])[0]
    except DataError:  # it would be the same each time
        log.exception("delivery.not_recorded", delivery=str(made.delivery.pk))
        Delivery.objects.filter(pk=made.delivery.pk).update(
            state=DeliveryState.FAILED, finished_at=timezone.now(), error=_NOT_RECORDED
        )
        return True
    except OperationalError:  # somebody holds the row: it is sent again
        if not connection.is_usable():
            raise
        log.exception("delivery.not_recorded", delivery=str(made.delivery.pk))
        return False


def _values(made: Made, now: datetime.datetime) -> dict[str, Any]:
    """What is written down of an attempt and of its delivery."""
    sent, delivery = made.sent, made.delivery
    number = delivery.attempts + 1
    final = made.worked or made.final or delivery.test or sent.status == GONE
    pause = None if final else pause_after(number - delivery.tried_before, sent.retry_after)
    state = DeliveryState.DELIVERED if made.worked else DeliveryState.PENDING if pause else DeliveryState.FAILED
    return {
        "delivery": delivery.pk,
        "number": number,
        "before": delivery.attempts,
        "at": made.at,
        "headers": json.dumps(_shown(made.letter.headers) if made.letter else {}),
        "status": sent.status,
        "answer": _kept(sent.answer.decode(errors="replace")),
        "duration": round(sent.seconds * 1000),
        "address": sent.address,
        "error": "" if made.worked else _kept(sent.error or f"it answered {sent.status}")[:500],
        "state": state,
        "due_at": now + pause if pause else delivery.due_at,
        "finished_at": None if pause else now,
        "revision": made.webhook.revision,
    }


def _shown(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers as they were sent, but for what opens somebody else's door."""
    return {name: "…" if name.lower() == "authorization" else value for name, value in headers.items()}


def _kept(text: str) -> str:
    """`text` as PostgreSQL can keep it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _follow_up(made: Made) -> bool:
    """What an attempt means for its webhook; returns whether to go on sending to it."""
    if made.delivery.test:
        wake(made.delivery.pk)
    elif not made.worked and made.letter:
        return _failed(made.webhook, made.sent, made.at)
    elif made.worked and made.webhook.failures:
        healed = Webhook.objects.filter(pk=made.webhook.pk)
        healed.update(failures=0, failing_since=None, failed_at=None, rests_until=None)
        made.webhook.failures, made.webhook.failing_since, made.webhook.rests_until = 0, None, None
    return True


def _failed(webhook: Webhook, sent: Sent, at: datetime.datetime) -> bool:
    """Note that a webhook did not take what it was sent, and leave it alone for a while, or for good if need be.

    Returns whether to go on sending to it.
    """
    now = timezone.now()
    webhook.failures += 1
    if webhook.failed_at is None or now - webhook.failed_at > _SILENCE:
        webhook.failing_since = at
    webhook.failing_since, webhook.failed_at = webhook.failing_since or at, now
    rest = rest_after(webhook.failures, sent.status, sent.retry_after)
    if rest:  # what another send that was open beside this one was asked for stays
        webhook.rests_until = max(now + rest, webhook.rests_until or now)
    as_it_was = Webhook.objects.filter(pk=webhook.pk, revision=webhook.revision)
    noted = ("failures", "failing_since", "failed_at", "rests_until")
    if not as_it_was.update(**{name: getattr(webhook, name) for name in noted}):
        return False  # somebody mended it meanwhile: it begins anew
    if sent.status == GONE:
        return disable(webhook, Disabled.GONE)
    if now - webhook.failing_since >= FAILING_FOR:
        return disable(webhook, Disabled.FAILING)
    return not webhook.rests_until or webhook.rests_until <= now


@transaction.atomic
def disable(webhook: Webhook, because: Disabled) -> bool:
    """Send nothing any more, and tell of it: in the log, and so its owner and whoever listens. Returns False."""
    if webhook.model_id:  # whoever writes to a model's chain has locked the model
        webhook.model = Model.objects.select_for_update(of=("self",), no_key=True).get(pk=webhook.model_id)
    still = Webhook.objects.living().filter(pk=webhook.pk, active=True)
    now = timezone.now()
    if still.update(active=False, disabled_because=because, disabled_at=now, revision=F("revision") + 1):
        end_pending(webhook, f"the webhook was disabled: {because.label}")
        told = {"webhook": str(webhook.pk), "reason": because.label}
        emit_all(
            system_actor(webhook.workspace),
            webhook.model,
            [Event(Verb.WEBHOOK_DISABLED, f"webhook {webhook}", told)],
        )
    return False
