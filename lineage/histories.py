"""Histories of metrics: page by page, or thinned out for a chart."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import QuerySet

from accounts.actor import Actor
from lineage.models import Metric, Run
from lineage.queries import as_uuid

ORDER = ("timestamp_ms", "step", "value")


class Sample(NamedTuple):
    """A point of one of several runs."""

    run_id: uuid.UUID
    value: float
    timestamp_ms: int
    step: int


def points(actor: Actor, run_id: object, key: str) -> QuerySet[Metric, tuple[int, int, float]]:
    """Every point of a metric, as tuples of the columns of ORDER; none for a run that the actor cannot see.

    In that order they are read from the table's own index alone.
    """
    found = as_uuid(run_id)
    runs = _visible(actor, [found] if found else [])
    return Metric.objects.filter(run_id__in=runs, key=key).values_list("timestamp_ms", "step", "value")


_FIRST = """
SELECT run_id, value, timestamp_ms, step FROM lineage_metric WHERE run_id = ANY(%s) AND key = %s
 ORDER BY run_id, timestamp_ms, step, value LIMIT %s
"""


def of_runs(actor: Actor, run_ids: Collection[str], key: str, *, most: int) -> list[Sample]:
    """The first `most` points of a metric of several runs: by run, then by time, step and value."""
    return _samples(_FIRST, [_visible(actor, _ids(run_ids)), key, most])


# One bucket of the ordered points for each point that is wanted, and the first of each bucket; the very last point
# stands at the end, in the place of another one when all places are taken.
_THINNED = """
WITH placed AS (
    SELECT run_id, value, timestamp_ms, step, ntile(%(most)s) OVER ordered AS bucket,
           row_number() OVER ordered AS place, count(*) OVER (PARTITION BY run_id) AS places
      FROM lineage_metric
     WHERE run_id = ANY(%(runs)s) AND key = %(key)s AND step BETWEEN %(first)s AND %(last)s
    WINDOW ordered AS (PARTITION BY run_id ORDER BY step, timestamp_ms, value)
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY run_id, bucket ORDER BY place) AS within FROM placed
)
SELECT run_id, value, timestamp_ms, step FROM ranked
 WHERE place = places OR (within = 1 AND (bucket < %(most)s OR places < %(most)s))
 ORDER BY array_position(%(runs)s, run_id), place
"""


def thinned(
    actor: Actor, run_ids: Sequence[str], key: str, *, most: int, steps: tuple[int, int] | None = None
) -> list[Sample]:
    """At most `most` points of each run, evenly taken from first to last; of the `steps` from one to another only.

    Runs come in the order in which they were named, their points by step, time and value.
    """
    first, last = steps or (-(2**63), 2**63 - 1)
    runs = _visible(actor, _ids(run_ids))
    return _samples(_THINNED, {"runs": runs, "key": key, "most": most, "first": first, "last": last})


def _ids(run_ids: Collection[str]) -> list[uuid.UUID]:
    return [found for run_id in run_ids if (found := as_uuid(run_id))]


def _visible(actor: Actor, run_ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    seen = set(Run.objects.visible_to(actor).filter(pk__in=run_ids).values_list("pk", flat=True))
    return [run_id for run_id in dict.fromkeys(run_ids) if run_id in seen]


def _samples(sql: str, values: list[Any] | dict[str, Any]) -> list[Sample]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [Sample(*row) for row in cursor.fetchall()]
