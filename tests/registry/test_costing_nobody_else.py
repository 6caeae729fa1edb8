"""Faults, crowds and moments that must cost nobody else an event."""

from __future__ import annotations

import datetime
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.actor import Actor
from core import sealing
from core.addresses import Egress
from core.http import Letter, Sender, Sent
from registry.models import Notification, Webhook
from registry.services import catalog, notices, notices_sending, sending, subscriptions, webhooks
from tests import make

SECRET = "whsec_c2VjcmV0IHRoYXQgaXMgbG9uZyBlbm91Z2ggZm9yIHVz"


def hook(requester: Actor, **more: Any) -> Webhook:
    more = {"url": "https://example.org/", "secret": sealing.sealed(SECRET), "owner_id": requester.user_id, **more}
    return Webhook.objects.create(workspace=make.workspace(), **more)


class Answering:
    """Sends in no time, and is answered with a status."""

    def __init__(self, status: int = 200) -> None:
        self.status = status

    def send(self, letter: Letter) -> Future[Sent]:
        done: Future[Sent] = Future()
        done.set_result(Sent(self.status, b"", None, 0, "", ""))
        return done


@pytest.mark.django_db
def test_those_in_trouble_leave_half_of_the_places_to_those_that_answer(requester: Actor) -> None:
    for number in range(150):
        hook(requester, url=f"https://bad{number}.example/", failures=5)
    make.model(requester)
    round_ = sending._Round(time.monotonic() + 5)
    round_._lease()
    assert len(round_.turns) <= sending._FOR_TROUBLED


@pytest.mark.django_db
def test_what_cannot_be_written_holds_up_nobody_else(requester: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = hook(requester, url="https://bad.example/")
    good = hook(requester, url="https://good.example/")
    make.model(requester)
    catalog.tag_model(requester, "churn", "a", "b")

    written = sending.letter_of

    def letter_of(webhook: Webhook, *more: Any) -> Letter:
        if webhook.pk == bad.pk:
            raise KeyError("a verb that nobody has words for")
        return written(webhook, *more)

    monkeypatch.setattr(sending, "_sender", Answering)
    monkeypatch.setattr(sending, "letter_of", letter_of)
    sending.deliver_due()
    assert set(good.deliveries.values_list("state", flat=True)) == {"delivered"}


@pytest.mark.django_db(transaction=True)
def test_one_delivery_that_cannot_be_recorded_holds_up_nobody_else(
    requester: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = hook(requester, url="https://bad.example/")
    good = hook(requester, url="https://good.example/")
    make.model(requester)
    bad.deliveries.update(attempts=32767, tried_before=32767)  # as often as somebody had it sent again

    monkeypatch.setattr(sending, "_sender", Answering)
    sending.deliver_due()
    assert set(bad.deliveries.values_list("state", flat=True)) == {"failed"}
    assert set(good.deliveries.values_list("state", flat=True)) == {"delivered"}


@pytest.mark.django_db
def test_the_address_of_a_chat_is_not_in_the_error_when_it_may_not_be_posted_to_any_more(
    requester: Actor, viewer: Actor, settings: Any
) -> None:
    make.model(requester)
    subscriptions.follow(viewer, "churn")
    settings.VOUCH_CHAT_NETWORKS = ["127.0.0.0/8"]
    subscriptions.change(viewer, slack_url="http://127.0.0.1:9/services/T0/secret-part")
    notices.note()
    make.version(requester)
    notices.note()
    settings.VOUCH_CHAT_NETWORKS = []
    notices_sending._sender.cache_clear()
    notices_sending.send()
    notices_sending._sender().close()
    notices_sending._sender.cache_clear()
    assert Notification.objects.exclude(error="").exists()
    assert "secret-part" not in Notification.objects.get().error


@pytest.mark.django_db(transaction=True)
def test_what_was_owed_in_the_moment_in_which_a_webhook_was_switched_off_is_not_sent_when_it_is_on_again(
    requester: Actor, maintainer: Actor
) -> None:
    webhook = hook(requester)
    make.model(requester)
    webhook.deliveries.all().delete()

    def switch_off() -> None:
        try:
            webhooks.update(maintainer, webhook.pk, active=False)
        finally:
            connection.close()

    with transaction.atomic():
        catalog.tag_model(requester, "churn", "a", "b")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(switch_off).result()
    webhooks.update(maintainer, webhook.pk, active=True)
    assert "pending" not in set(webhook.deliveries.filter(verb="model.tagged").values_list("state", flat=True))


def test_many_names_whose_servers_hang_hold_up_no_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def resolve(host: str, *_: object, **__: object) -> object:
        if host.startswith("slow"):
            release.wait(10)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with Sender(Egress(), connect_seconds=1) as sender:
        for number in range(80):
            sender.send(Letter(f"https://slow{number}.example/", {}, b""))
        error = sender.send(Letter("https://good.example/", {}, b"")).result(5).error
        release.set()
    assert error == "the name good.example does not resolve (name or service not known)"


@pytest.mark.django_db
def test_one_failure_long_after_the_last_event_disables_nothing(
    requester: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = timezone.now() - datetime.timedelta(days=30)
    webhook = hook(requester, failing_since=long_ago, failures=10)  # nothing has happened since
    make.model(requester)
    monkeypatch.setattr(sending, "_sender", lambda: Answering(503))
    sending.deliver_due()
    webhook.refresh_from_db()
    assert webhook.active
    assert set(webhook.deliveries.values_list("state", flat=True)) == {"pending"}


@pytest.mark.django_db
def test_nobody_learns_from_his_chat_what_listens_in_the_networks_of_the_operator(
    requester: Actor, viewer: Actor, settings: Any
) -> None:
    settings.VOUCH_CHAT_NETWORKS = ["127.0.0.0/8"]
    notices_sending._sender.cache_clear()
    make.model(requester)
    subscriptions.follow(viewer, "churn")
    subscriptions.change(viewer, slack_url="http://127.0.0.1:9/")
    notices.note()
    make.version(requester)
    notices.note()
    notices_sending.send()
    notices_sending._sender().close()
    notices_sending._sender.cache_clear()
    assert "refused" not in Notification.objects.get().error


@pytest.mark.django_db(transaction=True)
def test_who_disables_one_webhook_for_long_ends_the_round_of_nobody_else(
    requester: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, good = hook(requester, url="https://held.example/"), hook(requester, url="https://good.example/")
    make.model(requester)
    monkeypatch.setattr(sending, "_sender", Answering)
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                list(held.deliveries.select_for_update())
                locked.set()
                done.wait(20)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        locked.wait(5)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '200ms'")
        try:
            sending.deliver_due(seconds=1)
        finally:
            done.set()
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '3s'")
    assert set(good.deliveries.values_list("state", flat=True)) == {"delivered"}
