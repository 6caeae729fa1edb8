"""Two who log at once: neither waits for the other for ever, and what one takes is taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.actor import Actor
from core.errors import Refusal
from lineage.models import Dataset, Experiment, RunInput
from lineage.services import experiments, links, runs
from lineage.services.links import DatasetUse

pytestmark = pytest.mark.django_db(transaction=True)


class Other:
    """Somebody who does `first` in a transaction of his own, and `then` once we wait for what he has done."""

    def __init__(self, first: Callable[[], object], then: Callable[[], object] = lambda: None) -> None:
        self.first, self.then = first, then
        self.began = threading.Event()
        self.failure: Exception | None = None

    def __enter__(self) -> None:
        self.thread = threading.Thread(target=self._act)
        self.thread.start()
        assert self.began.wait(10)

    def __exit__(self, *failure: object) -> None:
        self.thread.join()
        assert self.failure is None

    def _act(self) -> None:
        try:
            with transaction.atomic():
                self.first()
                self.began.set()
                self._await_somebody_who_waits()
                self.then()
        except (DatabaseError, Refusal) as failure:
            self.failure = failure
        finally:
            connection.close()

    def _await_somebody_who_waits(self) -> None:
        until = time.monotonic() + 2
        with connection.cursor() as cursor:
            while time.monotonic() < until:
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                if cursor.fetchone()[0]:
                    return
                time.sleep(0.01)


def test_a_name_that_another_takes_just_now_is_taken(requester: Actor) -> None:
    mine = experiments.create(requester, name="mine", tags={})
    other = Other(lambda: experiments.create(requester, name="theirs", tags={}))
    with other, pytest.raises(experiments.ExperimentNameTaken):
        experiments.rename(requester, mine, "theirs")
    assert sorted(Experiment.objects.values_list("name", flat=True)) == ["Default", "mine", "theirs"]


def test_two_runs_that_read_the_same_new_data_sets_do_not_wait_for_each_other(requester: Actor) -> None:
    experiment = experiments.default(requester)
    mine, theirs = (runs.create(requester, experiment, tags={}) for _ in range(2))
    a, b = (DatasetUse(name=name, digest="1", source_type="local", source=name) for name in "ab")
    with Other(
        lambda: links.log_inputs(requester, theirs.pk, [a]),
        then=lambda: links.log_inputs(requester, theirs.pk, [b]),
    ):
        links.log_inputs(requester, mine.pk, [b, a])
    assert Dataset.objects.count() == 2
    read = RunInput.objects.filter(run=mine).order_by("pk").values_list("dataset__name", flat=True)
    assert list(read) == ["b", "a"]
