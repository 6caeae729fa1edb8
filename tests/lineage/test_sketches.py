"""A history as it is drawn: few points of however many, and always the last one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from django.db import connection

from accounts.actor import Actor
from lineage import histories
from lineage.models import LatestMetric, Run
from lineage.services import experiments, runs
from lineage.services.metrics import Point

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(requester: Actor) -> Run:
    return runs.create(requester, experiments.default(requester), tags={})


def log(run: Run, key: str, points: int, *, time: str = "n * 10", step: str = "n") -> None:
    """So many points, n from 0, with n % 7 as values."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO lineage_metric (run_id, key, timestamp_ms, step, value)"
            f" SELECT %s, %s, {time}, {step}, n %% 7 FROM generate_series(0, %s - 1) n",
            [run.pk, key, points],
        )
        last = "SELECT value, timestamp_ms, step FROM lineage_metric WHERE run_id = %s AND key = %s"
        cursor.execute(f"{last} ORDER BY step DESC, timestamp_ms DESC, value DESC LIMIT 1", [run.pk, key])
        value, at, highest = cursor.fetchone()
    LatestMetric.objects.create(
        run=run, key=key, value=value, timestamp_ms=at, step=highest, experiment=run.experiment, started_ms=1
    )


def steps(run: Run, key: str, *, read: int) -> list[int]:
    (samples,) = histories.sketched([run.pk], [key], most=20, read=read)[key].values()
    return [sample.step for sample in samples]


def test_a_short_history_is_kept_whole(run: Run) -> None:
    log(run, "loss", 20)
    assert steps(run, "loss", read=1000) == list(range(20))


@pytest.mark.parametrize("read", [1000, 100], ids=["read whole", "read off the index"])
@pytest.mark.parametrize("time", ["n * 10", "7"], ids=["at times of their own", "all at one time"])
def test_of_a_long_history_points_are_taken_evenly_from_the_first_to_the_last(run: Run, read: int, time: str) -> None:
    log(run, "loss", 500, time=time)
    found = steps(run, "loss", read=read)
    assert (found[0], found[-1]) == (0, 499)
    assert 15 <= len(found) <= 20
    assert max(after - before for before, after in pairwise(found)) <= 32


def test_the_last_value_is_there_although_the_steps_ran_backwards(run: Run) -> None:
    log(run, "loss", 500, step="500 - n")
    assert steps(run, "loss", read=100)[-1] == LatestMetric.objects.get(key="loss").step == 500


def test_any_time_and_step_can_be_sketched(run: Run) -> None:
    ends = (-(2**63), 2**63 - 1)
    time, step = f"(array[{ends[0]}, {ends[1]}, n])[n %% 3 + 1]", f"(array[{ends[0]}, {ends[1]}])[n %% 2 + 1]"
    log(run, "loss", 30, time=time, step=step)
    assert steps(run, "loss", read=1)[-1] == ends[1]


def test_many_metrics_of_many_runs_are_one_query_each_with_its_own_points(
    requester: Actor, run: Run, django_assert_num_queries: object
) -> None:
    other = runs.create(requester, experiments.default(requester), tags={})
    runs.log(requester, run.pk, metrics=[Point("loss", float("nan"), 1, 0), Point("loss", 2.0, 2, 1)])
    runs.log(requester, other.pk, metrics=[Point("auc", 0.5, 1, 3)])
    with django_assert_num_queries(1):
        found = histories.sketched([run.pk, other.pk], ["loss", "auc"], most=20)
    assert [sample.step for sample in found["loss"][run.pk]] == [0, 1]
    assert [(sample.value, sample.step) for sample in found["auc"][other.pk]] == [(0.5, 3)]
    assert (len(found["loss"]), len(found["auc"])) == (1, 1)
    assert histories.logged_by([run.pk, other.pk], most=9) == [("auc", 3, 1), ("loss", 1, 1)]
    assert histories.sketched([], ["loss"], most=20) == {"loss": {}}
