"""Calls that wait: a bounded number of them at a time, so that they never hold the threads that answer the others."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.http import HttpRequest

from accounts.actor import Actor
from core.errors import Conflict, Invalid
from registry.wakeups import wait_for

LONGEST = 60


class BadWait(Invalid):
    """wait {value!r} is not allowed: use a whole number of seconds from 0 to {longest}."""

    field = "wait"


class NoPlace(Conflict):
    """{limit} calls {whose} are waiting already, which is as many as may: repeat this one in a second, or without
    wait."""

    field = "wait"


_lock = threading.Lock()
_taken: Counter[object] = Counter()


def seconds(request: HttpRequest) -> int:
    """The `wait` of the query in seconds, 0 when there is none; BadWait."""
    value = request.GET.get("wait", "0")
    if not value.isascii() or not value.isdecimal() or len(value) > 2 or int(value) > LONGEST:
        raise BadWait(value=value, longest=LONGEST)
    return int(value)


def until(actor: Actor, subject: uuid.UUID, changed: Callable[[], bool], *, at_most: int, yields: bool = False) -> bool:
    """Hold the call until `changed()`, for `at_most` seconds; NoPlace when too many are waiting already.

    `yields`: half of the places stay free of such calls, for those that others wait in.
    """
    if at_most == 0 or changed():
        return at_most > 0
    places = settings.VOUCH_WAIT_PLACES
    with _place(actor.token_id or actor.user_id, (places + 1) // 2 if yields else places):
        return wait_for(subject, changed, seconds=at_most)


@contextmanager
def _place(holder: object, places: int) -> Iterator[None]:
    with _lock:
        if _taken[holder] >= settings.VOUCH_WAIT_PLACES_PER_TOKEN:
            raise NoPlace(limit=settings.VOUCH_WAIT_PLACES_PER_TOKEN, whose="of this token")
        if _taken.total() >= places:
            raise NoPlace(limit=places, whose="in this process")
        _taken[holder] += 1
    try:
        yield
    finally:
        with _lock:
            _taken[holder] -= 1
            if not _taken[holder]:
                del _taken[holder]
