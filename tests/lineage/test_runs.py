"""Runs: parameters that stay, metrics with history, tags, data sets, logged models."""

from __future__ import annotations

import math

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from core.errors import Invalid
from core.text import BadCharacter
from lineage.models import Dataset, Experiment, LatestMetric, Metric, Param, Run, RunInput
from lineage.queries import LoggedModelNotFound, RunNotFound, find_run
from lineage.services import experiments, links, logged_models, metrics, runs
from lineage.services.links import DatasetUse
from lineage.services.metrics import Point

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(requester: Actor) -> Run:
    return runs.create(requester, experiments.default(requester), tags={})


def latest(run: Run, key: str) -> tuple[float, int]:
    row = LatestMetric.objects.get(run=run, key=key)
    return row.value, row.step


def test_a_run_without_a_name_gets_one_and_its_tag(run: Run) -> None:
    assert run.name
    assert run.tags.get(key="mlflow.runName").value == run.name


def test_a_parameter_stays_as_it_was_first_logged(requester: Actor, run: Run) -> None:
    runs.log(requester, run.pk, params=[("depth", "3")])
    runs.log(requester, run.pk, params=[("depth", "3"), ("trees", "10")])
    with pytest.raises(runs.ParamChanged, match=r"depth.*'3'.*'4'"):
        runs.log(requester, run.pk, params=[("depth", "4")])
    assert dict(Param.objects.values_list("key", "value")) == {"depth": "3", "trees": "10"}


def test_a_batch_is_written_whole_or_not_at_all(requester: Actor, run: Run) -> None:
    runs.log(requester, run.pk, params=[("depth", "3")])
    with pytest.raises(Invalid):
        runs.log(requester, run.pk, metrics=[Point("loss", 1.0, 1)], params=[("depth", "4")], tags={"k": "v"})
    assert not Metric.objects.exists()
    assert not run.tags.filter(key="k").exists()


def test_the_last_value_is_that_of_the_highest_step_then_time_then_value(requester: Actor, run: Run) -> None:
    runs.log(requester, run.pk, metrics=[Point("loss", 0.5, 10, 2), Point("loss", 0.9, 20, 1)])
    assert latest(run, "loss") == (0.5, 2)
    runs.log(requester, run.pk, metrics=[Point("loss", 0.4, 5, 2)])
    assert latest(run, "loss") == (0.5, 2)
    runs.log(requester, run.pk, metrics=[Point("loss", 0.6, 10, 2), Point("loss", 0.1, 10, 2)])
    assert latest(run, "loss") == (0.6, 2)


def test_not_a_number_is_kept_and_counts_as_highest(requester: Actor, run: Run) -> None:
    runs.log(requester, run.pk, metrics=[Point("loss", math.nan, 10), Point("loss", 1.0, 10)])
    assert math.isnan(latest(run, "loss")[0])
    runs.log(requester, run.pk, metrics=[Point("up", math.inf, 1), Point("down", -math.inf, 1)])
    assert latest(run, "up")[0] == 1.7976931348623157e308
    assert latest(run, "down")[0] == -1.7976931348623157e308


def test_an_exact_repetition_is_the_same_point(requester: Actor, run: Run) -> None:
    for _ in range(2):
        runs.log(requester, run.pk, metrics=[Point("loss", 0.5, 10, 1), Point("loss", math.nan, 10, 1)])
    assert Metric.objects.count() == 2


def test_a_thousand_points_take_a_constant_number_of_queries(requester: Actor, run: Run) -> None:
    def queries(many: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            runs.log(requester, run.pk, metrics=[Point(f"m{n % 7}", n, many, n) for n in range(many)])
        return len(captured)

    assert queries(10) == queries(1000) <= 8


@pytest.mark.parametrize(
    "point",
    [
        Point("loss", 1.0, -1),
        Point("loss", 1.0, 2**63),
        Point("loss", True, 1),
        Point("loss", "1", 1),  # type: ignore[arg-type]
        Point("", 1.0, 1),
        Point("a\x00", 1.0, 1),
        Point("a\u202e", 1.0, 1),
        Point("a" * 251, 1.0, 1),
        Point("loss", 1.0, 1, 2**70),
    ],
)
def test_bad_points_are_refused_naming_their_place(requester: Actor, run: Run, point: Point) -> None:
    with pytest.raises(Invalid) as refused:
        runs.log(requester, run.pk, metrics=[Point("fine", 1.0, 1), point])
    assert (refused.value.at_field or "").startswith("metrics[1].")
    assert not Metric.objects.exists()


def test_the_name_tag_renames_the_run(requester: Actor, run: Run) -> None:
    runs.log(requester, run.pk, tags={"mlflow.runName": "tuned"})
    run.refresh_from_db()
    assert run.name == "tuned"


def test_the_first_description_of_a_data_set_stays(requester: Actor, run: Run) -> None:
    for source in ("s3://one", "s3://two"):
        use = DatasetUse("train", "abc", "s3", source, tags={"mlflow.data.context": "training"})
        links.log_inputs(requester, run.pk, [use])
    assert Dataset.objects.get().source == "s3://one"
    assert RunInput.objects.get().tags == {"mlflow.data.context": "training"}


def test_nobody_logs_to_a_run_of_another_workspace(run: Run, outsider: Actor) -> None:
    with pytest.raises(RunNotFound):
        runs.log(outsider, run.pk, tags={"k": "v"})
    with pytest.raises(RunNotFound):
        find_run(outsider, "not an id")


def test_a_viewer_logs_nothing(run: Run, viewer: Actor) -> None:
    from accounts.permissions import RoleMissing

    with pytest.raises(RoleMissing):
        runs.log(viewer, run.pk, tags={"k": "v"})


def test_an_experiments_name_is_taken_once_and_default_belongs_to_the_default_one(requester: Actor) -> None:
    experiments.create(requester, name="tuning", tags={"team": "risk"})
    for name in ("tuning", "Default"):
        with pytest.raises(experiments.ExperimentExists):
            experiments.create(requester, name=name, tags={})
    assert experiments.find_by_name(requester, "Default").is_default
    assert Experiment.objects.count() == 2


def test_each_workspace_has_a_default_experiment_of_its_own(requester: Actor, outsider: Actor) -> None:
    assert experiments.default(requester).pk != experiments.default(outsider).pk


def test_a_logged_model_is_found_until_it_is_deleted(requester: Actor, run: Run, outsider: Actor) -> None:
    made = logged_models.create(
        requester, run.experiment, name="m", source_run_id=run.pk.hex, params={"a": "1"}, tags={"b": "2"}
    )
    with pytest.raises(LoggedModelNotFound):
        logged_models.tag(outsider, made.pk, {"c": "3"})
    logged_models.delete(requester, made.pk)
    with pytest.raises(LoggedModelNotFound):
        logged_models.tag(requester, made.pk, {"c": "3"})


@pytest.mark.parametrize("name", ["a/b", "a:b", "a.b", "a%b", 'a"b', "a'b"])
def test_a_logged_models_name_holds_no_separators(requester: Actor, run: Run, name: str) -> None:
    with pytest.raises(logged_models.BadLoggedModelName):
        logged_models.create(requester, run.experiment, name=name, params={}, tags={})


def test_control_characters_in_text_are_refused_by_name(requester: Actor, run: Run) -> None:
    with pytest.raises(BadCharacter, match=r"U\+0000"):
        runs.log(requester, run.pk, tags={"note": "a\x00b"})


def test_a_models_metric_is_its_latest_and_many_take_few_queries(requester: Actor, run: Run) -> None:
    made = logged_models.create(requester, run.experiment, name="m", params={}, tags={})

    def points(many: int) -> list[Point]:
        return [Point(f"m{n}", n, 1, 0, made.pk.hex, "train", "abc") for n in range(many)]

    with CaptureQueriesContext(connection) as captured:
        runs.log(requester, run.pk, metrics=points(500))
    assert len(captured) <= 12
    runs.log(requester, run.pk, metrics=[Point("loss", 0.1, 5, 10, made.pk.hex)])
    runs.log(requester, run.pk, metrics=[Point("loss", 0.9, 9, 1, made.pk.hex)])
    assert made.metrics.get(key="loss").step == 10


def test_a_number_beyond_all_measure_is_refused(requester: Actor, run: Run) -> None:
    with pytest.raises(metrics.BadNumber):
        runs.log(requester, run.pk, metrics=[Point("loss", 10**400, 1)])
