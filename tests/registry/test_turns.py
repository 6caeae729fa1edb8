"""A sender's turns: whom it looks for while it is busy, when it hands over, how often it is called."""

from __future__ import annotations

import datetime
import re
import time
from concurrent.futures import Future
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.actor import Actor
from core import sealing
from core.http import Letter, Sent
from registry import delivery
from registry.models import Delivery, Model, Webhook
from registry.services import catalog, sending
from tests import make


class Instant:
    """Sends in no time, so that what comes next has always ended before the last is recorded."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def send(self, letter: Letter) -> Future[Sent]:
        self.urls.append(letter.url)
        done: Future[Sent] = Future()
        done.set_result(Sent(status=200, answer=b"", retry_after=None, seconds=0, address="", error=""))
        return done


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> Instant:
    sender = Instant()
    monkeypatch.setattr(sending, "_sender", lambda: sender)
    return sender


def listening(requester: Actor, name: str) -> Model:
    """A model whose events go to a webhook of its own."""
    model = make.model(requester, name)
    secret = sealing.sealed("whsec_c2VjcmV0IHRoYXQgaXMgbG9uZyBlbm91Z2ggZm9yIHVz")
    Webhook.objects.create(
        workspace=make.workspace(),
        model=model,
        url=f"http://127.0.0.1/{name}",
        secret=secret,
        owner_id=requester.user_id,
    )
    return model


def happen(requester: Actor, name: str, times: int) -> None:
    for number in range(times):
        catalog.tag_model(requester, name, "n", str(number))


def test_who_is_owed_much_keeps_nobody_else_waiting(
    requester: Actor, instant: Instant, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening(requester, "busy")
    other = listening(requester, "other")
    happen(requester, "busy", 100)
    recorded = sending.recorded

    def record(ended: Any) -> list[bool]:
        if not Delivery.objects.filter(webhook__model=other).exists():
            happen(requester, "other", 1)
        return recorded(ended)

    monkeypatch.setattr(sending, "recorded", record)
    monkeypatch.setattr(sending, "_LOOK_AGAIN_AFTER", 0)  # a quick machine would be done before it looks again
    assert sending.deliver_due() == 101
    assert instant.urls.index("http://127.0.0.1/other") < 100


def test_a_round_whose_time_is_over_hands_over(
    requester: Actor, instant: Instant, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening(requester, "busy")
    happen(requester, "busy", 100)
    calls: list[str] = []
    monkeypatch.setattr(sending, "call_sender", lambda: calls.append("called"))
    recorded = sending.recorded

    def slowly(ended: Any) -> list[bool]:
        time.sleep(0.005)
        return recorded(ended)

    monkeypatch.setattr(sending, "recorded", slowly)
    made = sending.deliver_due(seconds=0.05)
    assert made == Delivery.objects.filter(state="delivered").count() < 100
    assert calls == ["called"]


def test_many_events_at_once_are_one_or_two_calls_though_the_broker_refuses_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    class Broker:
        def send_task(self, name: str, **how: object) -> None:
            calls.append(name)
            raise OperationalError

    monkeypatch.setattr(delivery, "current_app", Broker())
    bell = delivery._Bell()
    for _ in range(2):
        for _ in range(50):
            bell.ring()
            time.sleep(0.001)
        time.sleep(0.25)
    assert 2 <= len(calls) <= 6


def test_status_tells_what_waits_and_fails_when_it_is_long_overdue(requester: Actor) -> None:
    listening(requester, "churn")
    happen(requester, "churn", 3)
    out = StringIO()
    call_command("webhooks", "status", stdout=out)
    webhook = Webhook.objects.get()
    assert re.search(rf"{webhook.pk} +3 +\d\.\d s\n", out.getvalue())
    Delivery.objects.update(due_at=timezone.now() - datetime.timedelta(minutes=5))
    with pytest.raises(CommandError, match=str(webhook.pk)):
        call_command("webhooks", "status", stdout=out)
    Webhook.objects.update(rests_until=timezone.now() + datetime.timedelta(minutes=1))
    call_command("webhooks", "status", stdout=out)
    assert out.getvalue().endswith(" s  rests\n")
