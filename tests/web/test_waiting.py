"""Calls that wait share the places of a process."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from typing import Any

import pytest

from accounts.actor import Actor
from web import waiting

pytestmark = pytest.mark.django_db


def may_wait(actor: Actor, *, yields: bool) -> bool:
    looks = iter((False, True))
    try:
        return waiting.until(actor, uuid.uuid4(), lambda: next(looks), at_most=5, yields=yields)
    except waiting.NoPlace:
        return False


@pytest.mark.parametrize(("places", "left"), [(4, 2), (3, 1), (1, 0), (0, 0)])
def test_calls_that_yield_leave_half_of_the_places_to_the_others(
    requester: Actor, settings: Any, places: int, left: int
) -> None:
    settings.VOUCH_WAIT_PLACES = places
    with ExitStack() as taken:
        for _ in range(places - left):
            assert may_wait(requester, yields=True)
            taken.enter_context(waiting._place(object(), places))
        assert not may_wait(requester, yields=True)
        for _ in range(left):
            assert may_wait(requester, yields=False)
            taken.enter_context(waiting._place(object(), places))
        assert not may_wait(requester, yields=False)
