"""Metrics: logged one by one and in batches, and their histories."""

from __future__ import annotations

from typing import Any

from accounts.actor import Actor
from core.errors import Invalid
from core.paging import paginate
from core.text import storable
from lineage import histories
from lineage.services import runs
from lineage.services.metrics import Point
from web.mlflow import encode, places
from web.mlflow.wire import Fields, MissingField, TooManyItems

BATCH_METRICS, BATCH_PARAMS, BATCH_TAGS, BATCH_ALL = 1000, 100, 100, 1000
HISTORY_PAGE = 25_000
HISTORY_AT_ONCE = 250_000  # for those that do not page
RUNS_AT_ONCE = 100
SAMPLES = 2500  # of each run


class NoRunNamed(Invalid):
    """GetMetricHistoryBulk request must specify at least one run_id."""

    field = "run_id"


class NoMetricNamed(Invalid):
    """GetMetricHistoryBulk request must specify a metric_key."""

    field = "metric_key"


class TooManyRuns(Invalid):
    """GetMetricHistoryBulk request cannot specify more than {limit} run_ids. Received {count} run_ids."""

    field = "run_id"


class TooManyRunsSampled(Invalid):
    """GetMetricHistoryBulkInterval request must specify at most {limit} run_ids. Received {count} run_ids."""

    field = "run_ids"


class BadSampleSize(Invalid):
    """max_results must be between 1 and {limit}."""

    field = "max_results"


class HalfAnInterval(Invalid):
    """If either start step or end step are specified, both must be specified."""

    field = "start_step"


class EndBeforeStart(Invalid):
    """end_step must be greater than start_step. Found start_step={first} and end_step={last}."""

    field = "end_step"


# --- Logging ----------------------------------------------------------------------------------------------------------


def log(actor: Actor, fields: Fields) -> dict[str, Any]:
    run_id = fields.run_id()
    runs.log(actor, run_id, metrics=[_point(fields)])
    return {}


def log_batch(actor: Actor, fields: Fields) -> dict[str, Any]:
    run_id = fields.run_id()
    metrics = fields.objects("metrics", limit=BATCH_METRICS)
    params, tags = fields.pairs("params", limit=BATCH_PARAMS), fields.pairs("tags", limit=BATCH_TAGS)
    count = len(metrics) + len(params) + len(tags)
    if count > BATCH_ALL:
        raise TooManyItems(field="metrics, params, and tags", limit=BATCH_ALL, count=count)
    runs.log(actor, run_id, metrics=_points(metrics), params=params, tags=dict(tags))
    return {}


_PLAIN = {"key", "value", "timestamp", "step"}


def _points(items: list[Fields]) -> list[Point]:
    """The points of a batch. Most are as clients send them, and of few metrics: those are read without ado."""
    clean_keys: set[str] = set()
    found = []
    for item in items:
        raw = item.values
        if raw.keys() <= _PLAIN and len(raw) >= 3:
            key, value, timestamp, step = raw.get("key"), raw.get("value"), raw.get("timestamp"), raw.get("step", 0)
            if (
                type(key) is str
                and (type(value) is float or type(value) is int)
                and type(timestamp) is type(step) is int
                and key
            ):
                if key not in clean_keys:
                    clean_keys.add(storable(f"{item.path}key", key))
                found.append(Point(key, value, timestamp, step))
                continue
        found.append(_point(item))
    return found


def _point(fields: Fields) -> Point:
    model_id = fields.text("model_id")
    return Point(
        key=fields.required("key"),
        value=fields.required_number("value"),
        timestamp_ms=fields.required_whole("timestamp"),
        step=fields.whole("step") or 0,
        logged_model_id=places.logged_model_key(model_id).hex if model_id else "",
        dataset_name=fields.text("dataset_name"),
        dataset_digest=fields.text("dataset_digest"),
    )


# --- Histories --------------------------------------------------------------------------------------------------------


def history(actor: Actor, fields: Fields) -> dict[str, Any]:
    """A page of a history; whoever names no size gets all at once, as clients do that know of no pages."""
    run_id, key = fields.run_id(), fields.required("metric_key")
    page = paginate(
        histories.points(actor, run_id, key),
        order=histories.ORDER,
        size=HISTORY_AT_ONCE
        if fields.whole("max_results") is None
        else fields.max_results(default=HISTORY_PAGE, limit=HISTORY_PAGE),
        token=fields.text("page_token"),
        query=["metric-history", run_id, key],
    )
    return encode.page("metrics", encode.history(key, page.items), page.next_token)


def histories_of_runs(actor: Actor, fields: Fields) -> dict[str, Any]:
    """The first points of several runs, as the web page of the reference server asks for them."""
    run_ids = fields.strings("run_id")
    if not run_ids:
        raise NoRunNamed
    if len(run_ids) > RUNS_AT_ONCE:
        raise TooManyRuns(limit=RUNS_AT_ONCE, count=len(run_ids))
    key = fields.text("metric_key")
    if not key:
        raise NoMetricNamed
    most = fields.whole("max_results")
    most = HISTORY_PAGE if most is None else max(0, min(most, HISTORY_PAGE))
    return {"metrics": encode.samples(key, histories.of_runs(actor, run_ids, key, most=most))}


def samples(actor: Actor, fields: Fields) -> dict[str, Any]:
    """Points of several runs, evenly thinned out for a chart."""
    run_ids = fields.strings("run_ids")
    if not run_ids:
        raise MissingField(field="run_ids")
    if len(run_ids) > RUNS_AT_ONCE:
        raise TooManyRunsSampled(limit=RUNS_AT_ONCE, count=len(run_ids))
    key = fields.required("metric_key")
    most = fields.whole("max_results")
    most = SAMPLES if most is None else most
    if not 1 <= most <= SAMPLES:
        raise BadSampleSize(limit=SAMPLES)
    first, last = fields.whole("start_step"), fields.whole("end_step")
    steps = None
    if first is not None and last is not None:
        if first > last:
            raise EndBeforeStart(first=first, last=last)
        steps = first, last
    elif first is not None or last is not None:
        raise HalfAnInterval
    found = histories.thinned(actor, run_ids, key, most=most, steps=steps)
    return {"metrics": encode.samples(key, found)} if found else {}
