"""Sending what was sent already once more, and a test: back into the queue, for the sender to take."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from accounts.actor import Actor
from accounts.audit import Event
from accounts.verbs import Verb
from core.ids import first_at
from registry.delivery import call_sender
from registry.errors import DeliveryNotFound, NeverHappens, TooManyTests, TriedOnce, UnknownEvent, WebhookDisabled
from registry.formats import Format, asked_for
from registry.models import Delivery, Webhook
from registry.models.webhooks import DeliveryState
from registry.outbox import emit_all
from registry.services.locks import locked_webhook

TESTS_AT_ONCE = 3
MOST = 10_000  # that one call has sent again
_BATCH = 5_000  # of them in one statement, so that none runs into its time limit


@transaction.atomic
def test(actor: Actor, webhook_id: uuid.UUID, *, event: str = "") -> Delivery:  # noqa: PT028 - no test of ours
    """Owe the event of this test to this webhook alone, even a disabled one. It is tried once.

    `event`: an example of this one is sent, in the words of the wire of the webhook's format. Raises WebhookNotFound,
    TooManyTests, UnknownEvent, NeverHappens.
    """
    webhook = locked_webhook(actor, webhook_id)
    if event:
        _refuse_untold(Format(webhook.format), event)
    tests = Delivery.objects.filter(webhook=webhook, verb=Verb.WEBHOOK_TESTED, test=True)
    if tests.filter(state=DeliveryState.PENDING).count() >= TESTS_AT_ONCE:
        raise TooManyTests(limit=TESTS_AT_ONCE)
    told = {"webhook": str(webhook.pk), "name": webhook.name, "origin": webhook.origin}
    if event:
        told["event"] = event
    [entry] = emit_all(actor, webhook.model, [Event(Verb.WEBHOOK_TESTED, f"webhook {webhook}", told)])
    delivery = Delivery.objects.create(webhook=webhook, entry=entry, verb=entry.verb, test=True, due_at=entry.at)
    transaction.on_commit(call_sender, robust=True)
    return delivery


@transaction.atomic
def redeliver(actor: Actor, delivery_id: uuid.UUID) -> Delivery:
    """Send a delivery again, or now, whatever came of it: the same `webhook-id`, and the schedule from its beginning.

    Raises DeliveryNotFound, WebhookDisabled, TriedOnce.
    """
    managed = Webhook.objects.living().visible_to(actor)
    seen = Delivery.objects.filter(pk=delivery_id, webhook__in=managed).first()
    if seen is None:
        raise DeliveryNotFound(delivery=delivery_id)
    webhook = locked_webhook(actor, seen.webhook_id)
    if seen.test:
        raise TriedOnce
    _refuse_disabled(webhook)
    delivery = Delivery.objects.filter(pk=delivery_id)
    if not delivery.update(**_anew()):  # pruned meanwhile
        raise DeliveryNotFound(delivery=delivery_id)
    _redelivered(actor, webhook, 1, delivery=str(delivery_id), type=seen.verb)
    return delivery.select_related("entry").get()


@transaction.atomic
def redeliver_failed(actor: Actor, webhook_id: uuid.UUID, since: datetime.datetime) -> int:
    """Send all again that has been owed since then (aware) and has failed; returns how many those are.

    The oldest 10,000 at most: call it again until there are none. Raises WebhookNotFound, WebhookDisabled.
    """
    webhook = locked_webhook(actor, webhook_id)
    _refuse_disabled(webhook)
    failed = Delivery.objects.filter(webhook=webhook, state=DeliveryState.FAILED, test=False, pk__gte=first_at(since))
    count = _in_batches(failed, at_most=MOST, **_anew())
    if count:
        _redelivered(actor, webhook, count, since=since.isoformat())
    return count


def end_pending(webhook: Webhook, error: str) -> int:
    """Nothing that is still owed to a webhook is tried any more, until somebody has it redelivered; how many.

    Tests go on, unless it is retired. Of very many, `prune` ends the others: nothing is sent to it in any case, and the
    locks that are held here keep others waiting.
    """
    pending = Delivery.objects.filter(webhook=webhook, state=DeliveryState.PENDING)
    if webhook.retired_at is None:
        pending = pending.filter(test=False)
    ended: dict[str, Any] = {"state": DeliveryState.FAILED, "finished_at": timezone.now(), "error": error[:500]}
    return _in_batches(pending, at_most=MOST, **ended)


def _refuse_untold(form: Format, event: str) -> None:
    known = asked_for(form)
    if event not in known:
        raise UnknownEvent(field="event", value=event, format=form, known=", ".join(known) or "none")
    if known[event].verb is None:
        raise NeverHappens(value=event)


def _refuse_disabled(webhook: Webhook) -> None:
    if not webhook.active:
        raise WebhookDisabled


def _anew() -> dict[str, object]:
    """What makes a delivery due now, its attempts counted on."""
    return {
        "state": DeliveryState.PENDING,
        "due_at": timezone.now(),
        "finished_at": None,
        "tried_before": F("attempts"),
    }


def _redelivered(actor: Actor, webhook: Webhook, count: int, **more: str) -> None:
    """Tell of it, and have a receiver that was left alone for a while asked again."""
    webhook.rests_until = None
    webhook.save(update_fields=["rests_until"])
    told = {"webhook": str(webhook.pk), "name": webhook.name, "origin": webhook.origin, "count": count, **more}
    emit_all(actor, webhook.model, [Event(Verb.WEBHOOK_REDELIVERED, f"webhook {webhook}", told)])
    transaction.on_commit(call_sender, robust=True)


def _in_batches(rows: QuerySet[Delivery], *, at_most: int | None = None, **changes: object) -> int:
    """Change so many of `rows`, the oldest first, each change taking its row out of them; returns how many."""
    done = 0
    while at_most is None or done < at_most:
        oldest = rows.order_by("pk").values("pk")[: min(_BATCH, (at_most or done + _BATCH) - done)]
        count = Delivery.objects.filter(pk__in=oldest).update(**changes)
        done += count
        if count < _BATCH:
            break
    return done


# --- What is forgotten ------------------------------------------------------------------------------------------------


def prune(before: datetime.datetime) -> int:
    """Delete the deliveries that ended before that time, with their attempts; returns how many. A batch at a time.

    What a webhook was still owed as it was deleted or disabled is ended first, and secrets that sign no more go.
    """
    pending, now = Delivery.objects.filter(state=DeliveryState.PENDING), timezone.now()
    ended: dict[str, Any] = {"state": DeliveryState.FAILED, "finished_at": now}
    _in_batches(pending.filter(webhook__retired_at__isnull=False), error="the webhook was deleted", **ended)
    _in_batches(pending.filter(webhook__active=False, test=False), error="the webhook was disabled", **ended)
    Webhook.objects.filter(previous_until__lt=now).update(previous_secret="", previous_until=None)
    old = Delivery.objects.exclude(state=DeliveryState.PENDING).filter(finished_at__lt=before).order_by("finished_at")
    pruned = 0
    while batch := list(old.values_list("pk", flat=True)[:_BATCH]):
        Delivery.objects.filter(pk__in=batch).delete()
        pruned += len(batch)
    return pruned
