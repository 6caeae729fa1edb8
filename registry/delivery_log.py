"""What the pages show of webhooks and of what was sent to them."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.utils import timezone

from accounts.actor import Actor
from accounts.roles import Action
from core.sealing import CannotOpen
from registry.delivery import letter_of, told_by
from registry.errors import DeliveryNotFound
from registry.formats import sentence
from registry.models import Attempt, Delivery, Model, Webhook
from registry.models.webhooks import DeliveryState
from registry.queries import deliveries

_AT_ONCE = datetime.timedelta(minutes=1)


@dataclass(frozen=True)
class WebhookRow:
    """A webhook, and the newest that it was or is owed."""

    webhook: Webhook
    last: Delivery | None

    @property
    def last_at(self) -> datetime.datetime | None:
        """When that ended or is tried next; None when it is due."""
        if self.last is None:
            return None
        return self.last.finished_at or (self.last.due_at if self.last.due_at > timezone.now() else None)


@dataclass(frozen=True)
class DeliveryRow:
    """A delivery, its event in words, and what came of the last attempt."""

    webhook: Webhook
    delivery: Delivery
    words: str
    last: Attempt | None

    @property
    def page(self) -> str:
        return f"{self.webhook.page}/deliveries/{self.delivery.pk}"

    @property
    def waits(self) -> bool:
        return self.delivery.state == DeliveryState.PENDING

    @property
    def untried(self) -> bool:
        """It is to be sent, and was not since it was owed or sent anew."""
        return self.waits and self.delivery.attempts == self.delivery.tried_before

    @property
    def next_at(self) -> datetime.datetime | None:
        """When it is tried next; None when that is now, or never."""
        rests = None if self.delivery.test else self.webhook.rests_until
        at = max(self.delivery.due_at, rests or self.delivery.due_at)
        return at if self.waits and at > timezone.now() else None

    @property
    def is_being_sent(self) -> bool:
        """A look in a moment may find it tried: it is due, and has not been for long."""
        return self.untried and self.next_at is None and timezone.now() - self.delivery.due_at < _AT_ONCE

    @property
    def hangs(self) -> bool:
        """It should have been tried by now, so there may be no process that sends."""
        return self.untried and self.next_at is None and not self.is_being_sent


def webhook_rows(found: Collection[Webhook]) -> list[WebhookRow]:
    """Each webhook with the newest that it was or is owed. One query."""
    newest = Delivery.objects.filter(webhook=OuterRef("pk")).order_by("-id").values("pk")[:1]
    of_each = Webhook.objects.filter(pk__in=[webhook.pk for webhook in found]).values_list(Subquery(newest))
    last = {delivery.webhook_id: delivery for delivery in Delivery.objects.filter(pk__in=of_each)}
    return [WebhookRow(webhook, last.get(webhook.pk)) for webhook in found]


def log_of(
    webhook: Webhook, *, state: str = "", verb: str = "", since: datetime.datetime | None = None
) -> QuerySet[Delivery]:
    """What a webhook was or is owed, narrowed to a state, a kind of event and a time, ready for `delivery_rows`."""
    rows = deliveries(webhook, since=since).select_related("entry__workspace", "entry__chain")
    if state:
        rows = rows.filter(state=state)
    return rows.filter(verb=verb) if verb else rows


def find_in_log(webhook: Webhook, delivery_id: uuid.UUID) -> Delivery:
    """One delivery of `log_of`; DeliveryNotFound."""
    delivery = log_of(webhook).filter(pk=delivery_id).first()
    if delivery is None:
        raise DeliveryNotFound(delivery=delivery_id)
    return delivery


def delivery_rows(webhook: Webhook, found: Collection[Delivery]) -> list[DeliveryRow]:
    """Each delivery of `log_of` with its event in words and its last attempt. One query."""
    tries = Attempt.objects.filter(delivery__in=[delivery.pk for delivery in found], number=F("delivery__attempts"))
    last = {attempt.delivery_id: attempt for attempt in tries.defer("headers", "answer")}
    return [
        DeliveryRow(webhook, delivery, sentence(told_by(delivery.entry)), last.get(delivery.pk)) for delivery in found
    ]


def body_now(webhook: Webhook, delivery: Delivery) -> tuple[str, str]:
    """The body that an attempt of this moment would send, on lines, or why there is none. One of the two is empty."""
    try:
        body = letter_of(webhook, delivery, timezone.now()).body
    except (ValueError, CannotOpen) as error:
        return "", str(error)
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False), ""


def manageable_models(actor: Actor) -> list[str]:
    """The names of the models whose webhooks somebody may manage by a role for that model; a hundred at most."""
    ids = [pk for pk in actor.model_roles if actor.may(Action.EDIT_WEBHOOK, pk)]
    rows = Model.objects.visible_to(actor).filter(pk__in=ids).order_by("name")
    return list(rows.values_list("name", flat=True)[:100])
