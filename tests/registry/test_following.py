"""Events of no model are owed by whoever reads the log: once, to those that listen to more than models."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.roles import Role
from registry.models import Bookmark, Delivery, Model, Webhook
from registry.services import following
from tests import make


def listening(url: str = "https://example.org/", slug: str = "default", **more: Any) -> Webhook:
    return Webhook.objects.create(workspace=make.workspace(slug), url=url, **more)


def heard(webhook: Webhook) -> list[str]:
    return list(webhook.deliveries.order_by("entry_id").values_list("verb", flat=True))


@pytest.mark.django_db
def test_history_is_owed_to_nobody_and_what_comes_after_is(requester: Actor) -> None:
    webhook = listening()
    assert following.follow() == 0
    make.token(requester)
    make.actor("newcomer", Role.VIEWER)
    assert following.follow() > 0
    assert heard(webhook) == ["token.created", "user.created", "grant.given"]
    assert following.follow() == 0
    assert len(heard(webhook)) == 3


@pytest.mark.django_db
def test_only_webhooks_of_all_of_the_same_workspace_hear_of_it(requester: Actor, outsider: Actor) -> None:
    make.model(requester)
    everything, narrowed = listening(), listening(verbs=["token.created"])
    deaf = [
        listening(model=Model.objects.get()),
        listening(pattern="*"),
        listening(verbs=["version.transitioned"]),
        listening(slug="elsewhere"),
        listening(active=False, disabled_because="by hand"),
    ]
    following.follow()
    make.token(requester)
    following.follow()
    assert (heard(everything), heard(narrowed)) == (["token.created"], ["token.created"])
    assert not any(heard(webhook) for webhook in deaf)


@pytest.mark.django_db
def test_what_belongs_to_a_model_or_to_no_workspace_is_passed_over(requester: Actor) -> None:
    webhook = listening()
    following.follow()
    make.model(requester)  # owed in its own transaction
    assert heard(webhook) == ["model.created"]
    following.follow()
    assert heard(webhook) == ["model.created"]
    assert Bookmark.objects.get().entry == AuditEntry.objects.latest("pk").pk


@pytest.mark.django_db
def test_what_fails_is_read_again_and_nothing_twice(requester: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is one transaction with the move of the bookmark."""
    webhook = listening()
    following.follow()
    monkeypatch.setattr(following, "_BATCH", 2)
    for _ in range(5):
        make.token(requester)
    whole = following.owe
    calls: list[int] = []

    def failing(entries: Sequence[AuditEntry], *more: Any) -> None:
        whole(entries, *more)
        calls.append(len(entries))
        if len(calls) == 2:
            raise ConnectionError

    monkeypatch.setattr(following, "owe", failing)
    with pytest.raises(ConnectionError):
        following.follow()
    assert len(heard(webhook)) == 2
    assert following.follow() == 3
    assert len(heard(webhook)) == 5


@pytest.mark.django_db(transaction=True)
def test_two_who_follow_at_once_owe_once(requester: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = listening()
    following.follow()
    monkeypatch.setattr(following, "_BATCH", 3)
    for _ in range(20):
        make.token(requester)
    gate = threading.Barrier(4)

    def follow() -> int:
        try:
            gate.wait(20)
            return sum(following.follow() for _ in range(10))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        read = [future.result(60) for future in [pool.submit(follow) for _ in range(4)]]
    assert sum(read) == Delivery.objects.filter(webhook=webhook).count() == 20


@pytest.mark.django_db
def test_a_batch_costs_the_same_however_many_it_owes(requester: Actor, django_assert_num_queries: Any) -> None:
    listening()
    following.follow()
    for _ in range(20):
        make.token(requester)
    with django_assert_num_queries(8):  # the savepoint's two, bookmark, horizon, entries, webhooks, owed, bookmark
        following.follow()
