"""Who waits hears of a change when it commits, and not by looking again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from accounts.actor import Actor
from registry import wakeups
from registry.lifecycle import State
from registry.models import Model, Promotion
from registry.queries import generation_of, state_of
from registry.services import aliases, catalog, clock, promotions
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def only_told(monkeypatch: Any) -> Iterator[None]:
    """Nobody looks again by himself; the listener leaves at once, so that the database can be dropped."""
    monkeypatch.setattr(wakeups, "_LOOK_AGAIN_AFTER", 20.0)
    monkeypatch.setattr(wakeups, "_LINGER", 0.1)
    yield
    for thread in threading.enumerate():
        if thread.name == "wake-ups":
            thread.join(10)


def seconds_until_told(subject: Any, changed: Callable[[], bool], act: Callable[[], object]) -> float:
    """From the end of `act` until one who waits for `subject` goes on."""
    over: list[float] = []

    def wait() -> None:
        assert wakeups.wait_for(subject, changed, seconds=15)
        over.append(time.monotonic())
        connection.close()

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.7)  # until he listens
    act()
    acted = time.monotonic()
    waiter.join(20)
    return over[0] - acted


@pytest.fixture
def opened(requester: Actor) -> Promotion:
    make.model(requester)
    make.version(requester)
    return promotions.request(requester, "churn", 1, "Production")


@pytest.mark.parametrize("decision", ["approve", "reject", "withdraw", "delete the version", "expire"])
def test_every_end_of_a_promotion_is_told(
    decision: str, opened: Promotion, requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    acts: dict[str, Callable[[], object]] = {
        "approve": lambda: promotions.approve(reviewer, opened.pk, evidence=make.evidence(opened)),
        "reject": lambda: promotions.reject(reviewer, opened.pk, reason="no"),
        "withdraw": lambda: promotions.withdraw(requester, opened.pk),
        "delete the version": lambda: catalog.delete_version(maintainer, "churn", 1),
        "expire": lambda: clock.expire_due(opened.expires_at),
    }
    assert seconds_until_told(opened.pk, lambda: state_of(opened.pk) != State.OPEN, acts[decision]) < 1


def test_every_move_of_the_generation_is_told(opened: Promotion, requester: Actor, reviewer: Actor) -> None:
    acts: list[Callable[[], object]] = [
        lambda: aliases.set_alias(requester, "churn", "champion", 1),
        lambda: promotions.approve(reviewer, opened.pk, evidence=make.evidence(opened)),
        lambda: make.version(requester),
    ]
    for act in acts:
        before = Model.objects.get()
        assert (
            seconds_until_told(before.pk, lambda before=before: generation_of(before.pk) != before.generation, act) < 1  # type: ignore[misc]
        )


def test_waiting_ends_when_the_time_is_over(opened: Promotion) -> None:
    assert not wakeups.wait_for(opened.pk, lambda: state_of(opened.pk) != State.OPEN, seconds=0.3)
