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


class Logged(NamedTuple):
    """A metric that runs logged: the last step at which, and how many of the runs did."""

    key: str
    last_step: int
    runs: int


_KEYS = """
SELECT key, max(step), count(*) FROM lineage_latestmetric WHERE run_id = ANY(%s) GROUP BY key ORDER BY key LIMIT %s
"""


def logged_by(run_ids: Collection[uuid.UUID], *, most: int) -> list[Logged]:
    """What metrics these runs logged, by key and at most `most`. One query.

    The caller has reached the runs by something that the actor may see; so for `sketched`.
    """
    with connection.cursor() as cursor:
        cursor.execute(_KEYS, [list(run_ids), most])
        return [Logged(*row) for row in cursor.fetchall()]


# A short history is read whole and every so many points of it are kept. Of a long one, which may have millions, the
# index gives the first point of each slice of its time (or of its steps, where all points bear one time), so that a
# drawing costs the same however much was logged.
_SKETCHED = """
WITH wanted AS (
    SELECT run_id, key, (SELECT count(*) FROM (SELECT FROM lineage_metric m
                          WHERE m.run_id = r.run_id AND m.key = k.key LIMIT %(whole)s + 1) first) AS places
      FROM unnest(%(runs)s::uuid[]) AS r (run_id), unnest(%(keys)s::text[]) AS k (key)
), short AS (
    SELECT m.run_id, m.key, m.value, m.timestamp_ms, m.step, w.places,
           row_number() OVER (PARTITION BY m.run_id, m.key ORDER BY m.step, m.timestamp_ms, m.value) AS place
      FROM wanted w JOIN lineage_metric m ON m.run_id = w.run_id AND m.key = w.key
     WHERE w.places <= %(whole)s
), long AS (
    SELECT w.run_id, w.key, point.*
      FROM wanted w
     CROSS JOIN LATERAL (SELECT timestamp_ms, step FROM lineage_metric m WHERE m.run_id = w.run_id AND m.key = w.key
                          ORDER BY timestamp_ms, step LIMIT 1) AS first
     CROSS JOIN LATERAL (SELECT timestamp_ms, step FROM lineage_metric m WHERE m.run_id = w.run_id AND m.key = w.key
                          ORDER BY timestamp_ms DESC, step DESC LIMIT 1) AS last
     CROSS JOIN LATERAL generate_series(0, %(most)s - 2) AS slice
     CROSS JOIN LATERAL (
        SELECT (first.timestamp_ms + (last.timestamp_ms::numeric - first.timestamp_ms)
                * slice / (%(most)s - 2))::bigint AS time,
               CASE WHEN first.timestamp_ms < last.timestamp_ms AND slice < %(most)s - 2 THEN -9223372036854775808
                    ELSE (first.step + (last.step::numeric - first.step) * slice / (%(most)s - 2))::bigint END AS step
     ) AS begin
     CROSS JOIN LATERAL (
        SELECT value, timestamp_ms, step FROM lineage_metric m
         WHERE m.run_id = w.run_id AND m.key = w.key AND (m.timestamp_ms, m.step) >= (begin.time, begin.step)
         ORDER BY timestamp_ms, step, value LIMIT 1
     ) AS point
     WHERE w.places > %(whole)s
)
SELECT key, run_id, value, timestamp_ms, step FROM short
 WHERE place = places OR (place - 1) %% greatest(1, (places + %(most)s - 3) / (%(most)s - 1)) = 0
UNION
SELECT key, run_id, value, timestamp_ms, step FROM long
UNION
SELECT l.key, l.run_id, l.value, l.timestamp_ms, l.step
  FROM wanted w JOIN lineage_latestmetric l ON l.run_id = w.run_id AND l.key = w.key
 ORDER BY step, timestamp_ms, value
"""


def sketched(
    run_ids: Collection[uuid.UUID], keys: Collection[str], *, most: int, read: int = 60_000
) -> dict[str, dict[uuid.UUID, list[Sample]]]:
    """At most `most` points of each metric of each run, from first to last, by key and run. One query.

    `read` is about how many points are looked at for all of them together; at least three of each must be wanted.
    """
    found: dict[str, dict[uuid.UUID, list[Sample]]] = {key: {} for key in keys}
    if not run_ids or not keys:
        return found
    whole = max(most, read // (len(run_ids) * len(keys)))
    with connection.cursor() as cursor:
        cursor.execute(_SKETCHED, {"runs": list(run_ids), "keys": list(keys), "most": most, "whole": whole})
        for key, *sample in cursor.fetchall():
            found[key].setdefault(sample[0], []).append(Sample(*sample))
    return found


def _ids(run_ids: Collection[str]) -> list[uuid.UUID]:
    return [found for run_id in run_ids if (found := as_uuid(run_id))]


def _visible(actor: Actor, run_ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    seen = set(Run.objects.visible_to(actor).filter(pk__in=run_ids).values_list("pk", flat=True))
    return [run_id for run_id in dict.fromkeys(run_ids) if run_id in seen]


def _samples(sql: str, values: list[Any] | dict[str, Any]) -> list[Sample]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [Sample(*row) for row in cursor.fetchall()]
