"""Reading the log in order while others write: on real connections, since this is about what commits when."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection, connections, transaction

from accounts import audit, feed
from accounts.actor import Actor
from accounts.audit import Event
from accounts.models import AuditEntry
from accounts.verbs import Verb

pytestmark = pytest.mark.django_db(transaction=True)


class Undone(Exception):
    """So that a transaction rolls back."""


def write(actor: Actor, subject: str, *, chain_of: uuid.UUID | None = None, count: int = 1) -> None:
    events = [Event(Verb.MODEL_UPDATED, subject, {})] * count
    audit.record_all(actor, events, chain_of=chain_of or uuid.uuid4())


def on_its_own(act: Callable[[], object]) -> None:
    """Run `act` on a connection of its own, to its end."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_closing, act).result(30)


def _closing(act: Callable[[], object]) -> None:
    try:
        act()
    finally:
        connections.close_all()


@contextmanager
def held_open(first: Callable[[], object], *, undo: bool = False) -> Iterator[None]:
    """A transaction on a connection of its own that has done `first` and stays open inside the block."""
    begun, over = threading.Event(), threading.Event()

    def run() -> None:
        try:
            with transaction.atomic():
                first()
                begun.set()
                over.wait(30)
                if undo:
                    raise Undone
        except Undone:
            pass

    with ThreadPoolExecutor(1) as pool:
        running: Future[None] = pool.submit(_closing, run)
        assert begun.wait(30)
        try:
            yield
        finally:
            over.set()
            running.result(30)


def committed(actor: Actor, subject: str) -> None:
    def act() -> None:
        with transaction.atomic():
            write(actor, subject)

    on_its_own(act)


def subjects(since: int) -> list[str]:
    return list(feed.after(since).values_list("subject", flat=True))


@pytest.fixture
def start(requester: Actor) -> int:
    """The end of what setting up has written."""
    return feed.horizon()


def test_what_commits_early_waits_for_what_was_written_before_it(requester: Actor, start: int) -> None:
    with held_open(lambda: write(requester, "first")):
        committed(requester, "second")
        assert subjects(start) == []
    assert subjects(start) == ["first", "second"]


def test_what_is_rolled_back_never_appears_and_holds_up_no_longer(requester: Actor, start: int) -> None:
    with held_open(lambda: write(requester, "never"), undo=True):
        committed(requester, "second")
        assert subjects(start) == []
    assert subjects(start) == ["second"]


def test_a_lost_connection_holds_up_nothing(requester: Actor, start: int) -> None:
    """Nobody may have to end by hand what somebody else left open."""
    seen: list[int] = []

    def write_and_tell() -> None:
        write(requester, "never")
        seen.append(connection.connection.info.backend_pid)

    def lose() -> None:
        with held_open(write_and_tell, undo=True):
            committed(requester, "second")
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s, 10000)", seen)
            assert subjects(start) == ["second"]

    lose()


def test_what_a_savepoint_took_back_is_announced_anew(requester: Actor, start: int) -> None:
    def write_twice() -> None:
        try:
            with transaction.atomic():
                write(requester, "never")
                raise Undone
        except Undone:
            write(requester, "first")

    with held_open(write_twice):
        committed(requester, "second")
        assert subjects(start) == []
    assert subjects(start) == ["first", "second"]


def test_transactions_that_write_no_entry_hold_nothing_up(requester: Actor, start: int) -> None:
    def write_something_else() -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE accounts_user SET last_login = now()")

    with held_open(AuditEntry.objects.count), held_open(write_something_else):
        committed(requester, "second")
        assert subjects(start) == ["second"]


def test_a_reader_inside_one_transaction_is_told_of_new_writers(requester: Actor, start: int) -> None:
    """What a transaction learns of others must not be what it learned before."""
    with transaction.atomic():
        assert subjects(start) == []
        with held_open(lambda: write(requester, "first")):
            committed(requester, "second")
            assert subjects(start) == []


def test_one_transaction_announces_itself_once(requester: Actor) -> None:
    """Each lock takes a place in a table of bounded size."""
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    with transaction.atomic(), connection.cursor() as cursor:
        for count in range(1, 6):
            write(requester, "many", count=count)
        cursor.execute(held)
        assert cursor.fetchone() == (1,)


def test_in_a_storm_a_reader_reads_every_entry_exactly_once(requester: Actor, start: int) -> None:
    chains = [uuid.uuid4() for _ in range(12)]
    ended = threading.Event()

    def storm(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(40):
            try:
                with transaction.atomic():
                    time.sleep(chance.random() * 0.005)
                    # In one order, as the models of one transaction are locked.
                    for chain in sorted(chance.sample(chains, chance.randint(1, 3))):
                        write(requester, "storm", chain_of=chain, count=chance.randint(1, 4))
                        time.sleep(chance.random() * 0.02)
                    if chance.random() < 0.2:
                        raise Undone
            except Undone:
                pass

    def read() -> list[int]:
        found, last = [], start
        while True:
            over = ended.is_set()
            page = list(feed.after(last)[:50].values_list("pk", flat=True))
            found += page
            last = page[-1] if page else last
            if over and not page:
                connections.close_all()
                return found

    with ThreadPoolExecutor(9) as pool:
        reader = pool.submit(read)
        writers = [pool.submit(_closing, lambda seed=seed: storm(seed)) for seed in range(8)]
        try:
            for writer in writers:
                writer.result(60)
        finally:
            ended.set()
        found = reader.result(30)
    assert found == list(AuditEntry.objects.filter(pk__gt=start).order_by("pk").values_list("pk", flat=True))
    assert len(found) > 500
