"""Searches of experiments, runs and logged models, as queries that can be paged."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count, Exists, F, FilteredRelation, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast

from accounts.actor import Actor
from core.searching import Condition, Of, Operator, Order, compared
from lineage.conditions import Column, Kind, narrowed, ordered, with_ties_broken, with_value
from lineage.models import (
    Experiment,
    ExperimentTag,
    LatestMetric,
    LoggedModel,
    LoggedModelMetric,
    LoggedModelParam,
    LoggedModelTag,
    Param,
    Run,
    RunTag,
)

_NAN = float("nan")
FEW = 5000  # runs: so many are looked up one by one and sorted in no time
ASKED = 3  # conditions, at most, of which it is found out how many fulfil them


class View(StrEnum):
    """Which things a search looks at."""

    ACTIVE = "active"
    DELETED = "deleted"
    ALL = "all"


def experiments(
    actor: Actor, conditions: Sequence[Condition], orders: Sequence[Order], *, view: View, columns: Mapping[str, Column]
) -> tuple[QuerySet[Experiment], list[str]]:
    """Experiments of the actor's that fulfil all `conditions`, and their order for `core.paging`: newest first.

    `columns` are the attributes that conditions and orders may name.
    """
    kind = Kind(columns, "experiment", {Of.TAG: (ExperimentTag, "tags")})
    rows = narrowed(Experiment.objects.visible_to(actor).prefetch_related("tags"), conditions, kind)
    if view is not View.ALL:
        rows = rows.filter(deleted_at__isnull=view is View.ACTIVE)
    rows, order = ordered(rows, orders, kind)
    if not order:
        return rows, ["-created_at", "id"]
    return rows, with_ties_broken(order, ["-id"])


def runs(
    among: Collection[Experiment],
    conditions: Sequence[Condition],
    orders: Sequence[Order],
    *,
    view: View,
    columns: Mapping[str, Column],
) -> tuple[list[QuerySet[Run]], list[str]]:
    """Runs of the experiments `among` that fulfil all `conditions`, and their order: the last begun first.

    They come as lists of which each begins where the one before ends, for `core.paging`, and without their experiments.
    """
    kind = Kind(
        columns,
        "run",
        {Of.TAG: (RunTag, "tags"), Of.PARAM: (Param, "params"), Of.METRIC: (LatestMetric, "metrics")},
        frozenset({Of.TAG, Of.PARAM}),
    )
    living = Q(experiment_id__in=[experiment.pk for experiment in among if not experiment.deleted_at])
    dead = Q(experiment_id__in=[experiment.pk for experiment in among if experiment.deleted_at])
    seen = {
        View.ACTIVE: living & Q(deleted_at__isnull=True),
        View.DELETED: dead | living & Q(deleted_at__isnull=False),
        View.ALL: living | dead,
    }
    rows: QuerySet[Run] = Run.objects.filter(seen[view]).defer("created_at", "fingerprint")
    few = _few(among, conditions, kind)
    if len(among) == 1:
        (experiment,) = among
        first = orders[0] if len(orders) == 1 and orders[0].field.of is Of.METRIC else None
        if first and (few is None or few.condition.field == first.field):
            return _by_value(rows, experiment, conditions, first, kind), _BY_VALUE[first.descending]
        metric = next((found for found in conditions if found.field.of is Of.METRIC), None)
        if metric and not few and not orders:
            # Many fulfil each of the others as well: it is looked at run by run, not collected by an index of its own.
            others = [found for found in conditions if found is not metric]
            rows = narrowed(rows, others, replace(kind, by_head=frozenset()))
            return [_walked(rows, experiment, metric)], ["-begun", "by"]
    if few:
        # The start added to, so that the index of all runs in that order is not read until it comes upon the few.
        rows = rows.filter(pk__any_of=few.ids).annotate(begun=F("started_ms") + 0, by=F("id"))
        conditions = [found for found in conditions if found is not few.condition]
        if not orders:
            return [narrowed(rows, conditions, kind)], ["-begun", "by"]
    rows, order = ordered(narrowed(rows, conditions, kind), orders, kind)
    return [rows], with_ties_broken(order, ["-started_ms", "id"])


def logged_models(
    among: Collection[Experiment],
    conditions: Sequence[Condition],
    orders: Sequence[Order],
    *,
    columns: Mapping[str, Column],
    datasets: Sequence[tuple[str, str]] = (),
) -> tuple[QuerySet[LoggedModel], list[str]]:
    """Living logged models of the experiments `among` that fulfil all `conditions`, and their order: newest first.

    `datasets` are names and digests ("" for any): metrics count only when measured on one of them, and without a
    condition on a metric there must be one that was.
    """
    kind = Kind(
        columns,
        "logged_model",
        {
            Of.TAG: (LoggedModelTag, "tags"),
            Of.PARAM: (LoggedModelParam, "params"),
            Of.METRIC: (LoggedModelMetric, "metrics"),
        },
    )
    measured_on = Q()
    for name, digest in datasets:
        measured_on |= Q(dataset_name=name, **({"dataset_digest": digest} if digest else {}))
    rows: QuerySet[LoggedModel] = LoggedModel.objects.filter(
        experiment_id__in=[experiment.pk for experiment in among], deleted_at=None
    )
    if datasets and not any(condition.field.of is Of.METRIC for condition in conditions):
        rows = rows.filter(Exists(LoggedModelMetric.objects.filter(measured_on, logged_model=OuterRef("pk"))))
    rows = narrowed(rows, conditions, kind, metrics=measured_on)
    rows = rows.select_related("experiment").prefetch_related("tags", "params", "metrics")
    rows, order = ordered(rows, orders, kind)
    return rows, with_ties_broken(order, ["-created_at", "id"])


@dataclass(frozen=True)
class _Few:
    """A condition that few runs fulfil; `ids` are theirs, as PostgreSQL writes an array."""

    condition: Condition
    ids: str


def _few(among: Collection[Experiment], conditions: Sequence[Condition], kind: Kind) -> _Few | None:
    """The first condition which but FEW of all runs fulfil, if there is one.

    PostgreSQL cannot guess how many do: it knows how values are spread over all metrics, not how those of one are. So
    the index is asked, and the ids go back as they came: as thousands of objects they would cost more than the search.
    """
    for condition in conditions[:ASKED]:
        holders = _holders(condition, among, kind)
        if holders is not None:
            found = holders[: FEW + 1].aggregate(count=Count("*"), ids=Cast(ArrayAgg("run_id"), TextField()))
            if found["count"] <= FEW:
                return _Few(condition, found["ids"] or "{}")
    return None


def _holders(condition: Condition, among: Collection[Experiment], kind: Kind) -> QuerySet[Any, Any] | None:
    """The ids of the runs that fulfil a condition, where an index gives them."""
    of, operator = condition.field.of, condition.operator
    if of is Of.METRIC and operator is not Operator.DIFFERENT:
        rows: QuerySet[Any] = LatestMetric.objects.filter(experiment__in=[experiment.pk for experiment in among])
        rows = rows.order_by("value")  # so that the index is read, however many are thought to be there
    elif of in kind.by_head and operator is Operator.EQUAL:
        rows = kind.named[of][0]._default_manager.all()
    else:
        return None
    rows = rows.filter(key=condition.field.name)
    return with_value(rows, condition, by_head=of in kind.by_head).values_list("run_id", flat=True)


def _walked(rows: QuerySet[Run], experiment: Experiment, condition: Condition) -> QuerySet[Run]:
    """The rows that fulfil a condition on a metric as many do, to be read in the order of the index of all that have
    the metric: by `begun`, the start of the run, and `by`, its id."""
    # Added to, so that the index by value is out of the question: it would give them all, to be sorted. And with no
    # bound on two sides, from which the planner would conclude that they are few.
    rows = _with_metric(rows, experiment, condition.field.name).alias(value=F("metric__value") + 0.0)
    rows = rows.filter(compared("value", condition.operator, condition.value))
    return rows if condition.operator is Operator.DIFFERENT else rows.filter(~Q(value=_NAN))


_BY_VALUE = {False: ["value", "-begun", "by"], True: ["-value", "-begun", "by"]}


def _by_value(
    rows: QuerySet[Run], experiment: Experiment, conditions: Sequence[Condition], order: Order, kind: Kind
) -> list[QuerySet[Run]]:
    """The rows with a number for the metric, then those with NaN, then those without: each by `value`, `begun`, `by`.

    The first are read in the order of the index by value, so that a page of them does not cost a look at all.
    """
    on_it = [condition for condition in conditions if condition.field == order.field]
    others = narrowed(rows, [condition for condition in conditions if condition not in on_it], kind)
    having: QuerySet[Any] = _with_metric(others, experiment, order.field.name).annotate(value=F("metric__value"))
    for condition in on_it:
        having = with_value(having, condition)
    without = others.filter(~Exists(LatestMetric.objects.filter(run=OuterRef("pk"), key=order.field.name)))
    nothing = Value(0.0)
    return [
        having.filter(value__lt=_NAN),
        having.filter(value=_NAN).annotate(value=nothing),
        *([] if on_it else [without.annotate(value=nothing, begun=F("started_ms"), by=F("id"))]),
    ]


def _with_metric(rows: QuerySet[Run], experiment: Experiment, key: str) -> QuerySet[Run]:
    of_metric = Q(metrics__key=key, metrics__experiment=experiment.pk)
    rows = rows.alias(metric=FilteredRelation("metrics", condition=of_metric)).filter(metric__run__isnull=False)
    return rows.annotate(begun=F("metric__started_ms"), by=F("metric__run_id"))
