"""Runs and what they log: parameters, metrics, tags, data sets, models."""

from __future__ import annotations

import json
import math
import secrets
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import connection, transaction

from accounts.actor import Actor
from accounts.permissions import require
from accounts.roles import Action
from core import text
from core.errors import Invalid
from lineage.errors import RunDeleted
from lineage.models import (
    Dataset,
    Experiment,
    Metric,
    Param,
    Run,
    RunInput,
    RunModel,
    RunStatus,
    RunTag,
)
from lineage.queries import find_logged_model, find_run
from lineage.services.experiments import ExperimentDeleted

KEY_LIMIT = 250
PARAM_VALUE_LIMIT = 6000
TAG_VALUE_LIMIT = 8000
NAME_TAG = "mlflow.runName"  # the tag in which every client keeps the run's name
MODELS_TAG = "mlflow.log-model.history"
MODEL_HISTORY_LIMIT = 1_000_000
_ADJECTIVES = ("amber", "brisk", "calm", "deft", "early", "fair", "glad", "keen", "lucid", "merry", "quick", "sound")
_NOUNS = ("alder", "beacon", "cedar", "delta", "ember", "fjord", "grove", "harbor", "inlet", "larch", "meadow", "reef")


class ParamChanged(Invalid):
    """Changing param values is not allowed. Param with key={key!r} was already logged with value={old!r} for run
    {run}; the new value {new!r} was refused."""

    field = "value"


class RunNameConflict(Invalid):
    """The run's name {name!r} and its tag mlflow.runName {tag!r} differ: send one of them, or the same value."""

    field = "run_name"


class BadNumber(Invalid):
    """{field} must be {wanted}, not {value!r}."""


@dataclass(frozen=True)
class Point:
    """One measured value; `value` may be NaN, an infinity is stored as the largest finite number."""

    key: str
    value: float
    timestamp_ms: int
    step: int = 0
    logged_model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


@dataclass(frozen=True)
class DatasetUse:
    """A data set that a run reads, with the tags of that use."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str = ""
    profile: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@transaction.atomic
def create(
    actor: Actor,
    experiment: Experiment,
    *,
    name: str = "",
    user_name: str = "",
    started_ms: int | None = None,
    tags: Mapping[str, str],
) -> Run:
    """Begin a run. Without a name, or a tag that holds one, it gets a random one."""
    require(actor, Action.LOG_RUN)
    if experiment.deleted_at:
        raise ExperimentDeleted(name=experiment.name)
    tagged = tags.get(NAME_TAG, "")
    if name and tagged and name != tagged:
        raise RunNameConflict(name=name, tag=tagged)
    name = text.free_text("run_name", name or tagged or _random_name(), limit=250, lines=False)
    run = Run.objects.create(
        experiment=experiment,
        name=name,
        user_name=text.free_text("user_id", user_name, limit=250, lines=False),
        started_ms=_whole("start_time", int(time.time() * 1000) if started_ms is None else started_ms),
        created_by_id=actor.user_id,
    )
    _write_tags(run, {**tags, NAME_TAG: name})
    return run


@transaction.atomic
def update(
    actor: Actor, run_id: object, *, status: RunStatus | None = None, ended_ms: int | None = None, name: str = ""
) -> Run:
    """Change a run's status, end or name; what is not given stays."""
    run = _locked(actor, run_id)
    if status is not None:
        run.status = status
    if ended_ms is not None:
        run.ended_ms = _whole("end_time", ended_ms)
    if name:
        run.name = text.free_text("run_name", name, limit=250, lines=False)
        _write_tags(run, {NAME_TAG: name})
    run.save(update_fields=["status", "ended_ms", "name"])
    return run


@transaction.atomic
def log(
    actor: Actor,
    run_id: object,
    *,
    metrics: Sequence[Point] = (),
    params: Sequence[tuple[str, str]] = (),
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log a batch: all of it or nothing. A parameter may be logged again with the same value only."""
    run = _locked(actor, run_id)
    if params:
        _write_params(run, params)
    if tags:
        _write_tags(run, tags)
        if tags.get(NAME_TAG):
            run.name = text.free_text("run_name", tags[NAME_TAG], limit=250, lines=False)
            run.save(update_fields=["name"])
    if metrics:
        _write_metrics(actor, run, metrics)


@transaction.atomic
def log_inputs(
    actor: Actor, run_id: object, datasets: Iterable[DatasetUse], logged_model_ids: Iterable[str] = ()
) -> None:
    """Note what the run reads. The first description of a data set stays; the same use again changes nothing."""
    run = _locked(actor, run_id)
    for use in datasets:
        dataset, _ = Dataset.objects.get_or_create(
            experiment_id=run.experiment_id,
            name=text.free_text("dataset.name", use.name, limit=500, lines=False, empty=False),
            digest=text.free_text("dataset.digest", use.digest, limit=36, lines=False, empty=False),
            defaults={
                "source_type": text.free_text("dataset.source_type", use.source_type, limit=64, lines=False),
                "source": text.free_text("dataset.source", use.source, limit=65_535),
                "schema": text.free_text("dataset.schema", use.schema, limit=1_048_575),
                "profile": text.free_text("dataset.profile", use.profile, limit=16_777_215),
            },
        )
        tags = {
            text.key("tags.key", key): text.free_text("tags.value", value, limit=TAG_VALUE_LIMIT)
            for key, value in use.tags.items()
        }
        RunInput.objects.get_or_create(run=run, dataset=dataset, defaults={"tags": tags})
    _link_models(actor, run, [(logged_model_id, 0) for logged_model_id in logged_model_ids], is_output=False)


@transaction.atomic
def log_outputs(actor: Actor, run_id: object, logged_models: Iterable[tuple[str, int]]) -> None:
    """Note which logged models the run made, each with its step."""
    _link_models(actor, _locked(actor, run_id), logged_models, is_output=True)


@transaction.atomic
def note_model(actor: Actor, run_id: object, description: Mapping[str, object]) -> None:
    """Add a model that a client of the 2.x generation logged to the run's tag mlflow.log-model.history."""
    run = _locked(actor, run_id)
    there = run.tags.filter(key=MODELS_TAG).first()
    try:
        known = json.loads(there.value) if there else []
    except ValueError:
        known = []  # somebody set the tag himself, to something else
    history = json.dumps([*(known if isinstance(known, list) else []), description])
    text.free_text(MODELS_TAG, history, limit=MODEL_HISTORY_LIMIT)
    RunTag.objects.update_or_create(run=run, key=MODELS_TAG, defaults={"value": history})


def _link_models(actor: Actor, run: Run, logged_models: Iterable[tuple[str, int]], *, is_output: bool) -> None:
    links = [
        RunModel(
            run=run,
            logged_model=find_logged_model(actor, logged_model_id),
            is_output=is_output,
            step=_whole("step", step, low=None),
        )
        for logged_model_id, step in logged_models
    ]
    RunModel.objects.bulk_create(links, ignore_conflicts=True)


def _locked(actor: Actor, run_id: object) -> Run:
    """The run, locked for this transaction, which the actor may log to and which is not deleted."""
    run = find_run(actor, run_id)
    require(actor, Action.LOG_RUN)
    run = Run.objects.select_for_update(of=("self",), no_key=True).select_related("experiment").get(pk=run.pk)
    if run.deleted_at:
        raise RunDeleted(run=run.pk.hex)
    return run


def _write_params(run: Run, params: Sequence[tuple[str, str]]) -> None:
    wanted: dict[str, str] = {}
    for at, (key, value) in enumerate(params):
        text.key(f"params[{at}].key", key, limit=KEY_LIMIT)
        value = text.cut(f"params[{at}].value", value, limit=PARAM_VALUE_LIMIT)
        if wanted.setdefault(key, value) != value:
            raise ParamChanged(key=key, old=wanted[key], new=value, run=run.pk.hex)
    there = dict(run.params.filter(key__in=wanted).values_list("key", "value"))
    for key, old in there.items():
        if old != wanted[key]:
            raise ParamChanged(key=key, old=old, new=wanted[key], run=run.pk.hex)
    Param.objects.bulk_create(Param(run=run, key=key, value=value) for key, value in wanted.items() if key not in there)


def _write_tags(run: Run, tags: Mapping[str, str]) -> None:
    rows = [
        RunTag(
            run=run,
            key=text.key("tags.key", key, limit=KEY_LIMIT),
            value=text.cut("tags.value", value, limit=TAG_VALUE_LIMIT),
        )
        for key, value in tags.items()
    ]
    RunTag.objects.bulk_create(rows, update_conflicts=True, unique_fields=["run", "key"], update_fields=["value"])


def _write_metrics(actor: Actor, run: Run, points: Sequence[Point]) -> None:
    points = [_checked(at, point) for at, point in enumerate(points)]
    Metric.objects.bulk_create(
        [Metric(run=run, key=p.key, timestamp_ms=p.timestamp_ms, step=p.step, value=p.value) for p in points],
        ignore_conflicts=True,
    )
    latest: dict[str, Point] = {}
    for point in points:
        latest[point.key] = max(latest.get(point.key, point), point, key=_recency)
    _upsert_latest(run.pk, latest.values())
    measured: dict[tuple[str, ...], Point] = {}
    for point in points:
        if point.logged_model_id:
            place = (point.logged_model_id, point.key, point.dataset_name, point.dataset_digest)
            measured[place] = max(measured.get(place, point), point, key=_recency)
    if measured:
        _upsert_measures(actor, run, list(measured.values()))


# PostgreSQL orders NaN above every number, and so does `_recency`.
_LATEST = """
INSERT INTO lineage_latestmetric AS known (run_id, key, value, timestamp_ms, step)
SELECT %s::uuid, * FROM unnest(%s::text[], %s::float8[], %s::bigint[], %s::bigint[])
ON CONFLICT (run_id, key) DO UPDATE
   SET value = excluded.value, timestamp_ms = excluded.timestamp_ms, step = excluded.step
 WHERE (excluded.step, excluded.timestamp_ms, excluded.value) > (known.step, known.timestamp_ms, known.value)
"""


def _upsert_latest(run_id: uuid.UUID, points: Iterable[Point]) -> None:
    rows = sorted(points, key=lambda point: point.key)
    with connection.cursor() as cursor:
        cursor.execute(
            _LATEST,
            [run_id, *([getattr(p, name) for p in rows] for name in ("key", "value", "timestamp_ms", "step"))],
        )


_MEASURED = """
INSERT INTO lineage_loggedmodelmetric AS known
       (run_id, logged_model_id, key, dataset_name, dataset_digest, value, timestamp_ms, step)
SELECT %s::uuid, * FROM unnest(
       %s::uuid[], %s::text[], %s::text[], %s::text[], %s::float8[], %s::bigint[], %s::bigint[])
ON CONFLICT (logged_model_id, run_id, key, dataset_name, dataset_digest) DO UPDATE
   SET value = excluded.value, timestamp_ms = excluded.timestamp_ms, step = excluded.step
 WHERE (excluded.step, excluded.timestamp_ms, excluded.value) > (known.step, known.timestamp_ms, known.value)
"""


def _upsert_measures(actor: Actor, run: Run, points: Sequence[Point]) -> None:
    ids = {name: find_logged_model(actor, name).pk for name in {point.logged_model_id for point in points}}
    rows = sorted(points, key=lambda point: (ids[point.logged_model_id], point.key, point.dataset_name))
    columns = ("key", "dataset_name", "dataset_digest", "value", "timestamp_ms", "step")
    with connection.cursor() as cursor:
        cursor.execute(
            _MEASURED,
            [
                run.pk,
                [ids[point.logged_model_id] for point in rows],
                *([getattr(point, name) for point in rows] for name in columns),
            ],
        )


def _recency(point: Point) -> tuple[int, int, bool, float]:
    is_nan = math.isnan(point.value)
    return point.step, point.timestamp_ms, is_nan, 0.0 if is_nan else point.value


def _checked(at: int, point: Point) -> Point:
    text.key(f"metrics[{at}].key", point.key, limit=KEY_LIMIT)
    _whole(f"metrics[{at}].timestamp", point.timestamp_ms)
    _whole(f"metrics[{at}].step", point.step, low=None)
    if isinstance(point.value, bool) or not isinstance(point.value, int | float):
        raise BadNumber(field=f"metrics[{at}].value", wanted="a number", value=point.value)
    try:
        value = float(point.value)
    except OverflowError:
        raise BadNumber(field=f"metrics[{at}].value", wanted="a number within ±1.8e308", value=point.value) from None
    if math.isinf(value):
        # As the field's reference server stores it, so that histories compare.
        value = math.copysign(1.7976931348623157e308, value)
    return Point(
        point.key,
        value,
        point.timestamp_ms,
        point.step,
        point.logged_model_id,
        # Its bytes, with those of the key, must fit into an index entry.
        text.free_text(f"metrics[{at}].dataset_name", point.dataset_name, limit=250, lines=False),
        text.free_text(f"metrics[{at}].dataset_digest", point.dataset_digest, limit=36, lines=False),
    )


def _whole(field: str, value: object, *, low: int | None = 0) -> int:
    """`value` as a 64-bit whole number, not below `low`; BadNumber."""
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise BadNumber(field=field, wanted="a whole number of at most 63 bits", value=value)
    if low is not None and value < low:
        raise BadNumber(field=field, wanted=f"{low} or more", value=value)
    return value


def _random_name() -> str:
    return f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{secrets.randbelow(1000)}"
