"""Webhooks that two people act on at once: real connections."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Event
from accounts.models import AuditEntry
from accounts.verbs import Verb
from registry.errors import DeliveryNotFound, TooManyWebhooks, WebhookNotFound
from registry.models import Delivery, Webhook
from registry.models.webhooks import DeliveryState
from registry.policy import Scope
from registry.services import redelivery, webhooks
from registry.services.webhooks import Issued
from tests import make
from tests.registry.test_races import at_once

pytestmark = pytest.mark.django_db(transaction=True)

URL = "https://receiver.example/hook"


def made(actor: Actor, model: str = "") -> Issued:
    return webhooks.create(actor, url=URL, scope=Scope(model=model))


@pytest.mark.parametrize("model", ["", "churn"])
def test_two_rotations_at_once_leave_the_two_new_secrets(maintainer: Actor, requester: Actor, model: str) -> None:
    make.model(requester)
    first = made(maintainer, model)
    rotate = lambda: webhooks.rotate(maintainer, first.webhook.pk)  # noqa: E731
    rotated = [each.secret for each in at_once(rotate, rotate) if isinstance(each, Issued)]
    kept = Webhook.objects.get()
    assert (set(kept.secrets(timezone.now())), kept.revision) == (set(rotated), 3)
    assert first.secret not in kept.secrets(timezone.now())
    assert AuditEntry.objects.filter(verb="webhook.secret_rotated").count() == 2


def test_what_is_deleted_while_it_is_redelivered_owes_nothing(maintainer: Actor, requester: Actor) -> None:
    make.model(requester)
    for model in ("", "churn", "", "churn"):
        webhook = made(maintainer, model).webhook
        events = [Event(Verb.TOKEN_CREATED, f"token {number}", {}) for number in range(20)]
        failed = _failed(maintainer, webhook, events)
        done = at_once(
            lambda: redelivery.redeliver_failed(maintainer, webhook.pk, webhook.created_at),  # noqa: B023
            lambda: webhooks.delete(maintainer, webhook.pk),  # noqa: B023
            lambda: redelivery.redeliver(maintainer, failed[0].pk),  # noqa: B023
        )
        assert done[1] is None
        for refused in (done[0], done[2]):
            assert not isinstance(refused, Exception) or isinstance(refused, WebhookNotFound | DeliveryNotFound)
        assert not Delivery.objects.filter(webhook=webhook, state=DeliveryState.PENDING).exists()


def _failed(actor: Actor, webhook: Webhook, events: list[Event]) -> list[Delivery]:
    with transaction.atomic():
        entries = audit.record_all(actor, events)
        now = timezone.now()
        return Delivery.objects.bulk_create(
            Delivery(webhook=webhook, entry=entry, verb=entry.verb, state=DeliveryState.FAILED, due_at=now)
            for entry in entries
        )


def test_no_more_are_made_at_once_than_fit(maintainer: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "LIMIT", 2)
    results = at_once(*[lambda: made(maintainer)] * 6)
    assert sum(isinstance(each, TooManyWebhooks) for each in results) == 4
    assert Webhook.objects.count() == 2


def test_no_more_tests_are_under_way_than_may(maintainer: Actor) -> None:
    webhook = made(maintainer).webhook
    at_once(*[lambda: redelivery.test(maintainer, webhook.pk)] * 6)
    assert Delivery.objects.filter(webhook=webhook, test=True).count() == redelivery.TESTS_AT_ONCE
