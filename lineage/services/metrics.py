"""Metrics: the points of a batch, written to the history of their run in a handful of statements."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.db import connection

from accounts.actor import Actor
from core import text
from core.errors import Invalid
from lineage.models import Run
from lineage.queries import find_logged_model

KEY_LIMIT = 250
LARGEST = 1.7976931348623157e308
_INT64 = range(-(2**63), 2**63)


class BadNumber(Invalid):
    """Invalid value {value} for parameter '{field}' supplied: it must be {wanted}."""


class Point(NamedTuple):
    """One measured value; `value` may be NaN, an infinity is stored as the largest finite number."""

    key: str
    value: float
    timestamp_ms: int
    step: int = 0
    logged_model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


def write_metrics(actor: Actor, run: Run, points: Sequence[Point]) -> None:
    """Add points to the history of a locked run, and to what is known of the logged models they were measured of.

    Raises BadNumber, BadCharacter, TooLong, LoggedModelNotFound.
    """
    points = _checked(points)
    latest: dict[str, Point] = {}
    measured: dict[tuple[str, ...], Point] = {}
    for point in points:
        known = latest.get(point.key)
        if known is None or _recency(point) > _recency(known):
            latest[point.key] = point
        if point.logged_model_id:
            place = (point.logged_model_id, point.key, point.dataset_name, point.dataset_digest)
            measured[place] = max(measured.get(place, point), point, key=_recency)
    with connection.cursor() as cursor:
        cursor.execute(_HISTORY, [run.pk, *_columns(points)])
        # In the order of their keys, so that two writers meet at the same row first and neither waits for the other.
        cursor.execute(_LATEST, [run.pk, run.experiment_id, run.started_ms, *_columns(sorted(latest.values()))])
    if measured:
        _write_measures(actor, run, list(measured.values()))


def _checked(points: Sequence[Point]) -> list[Point]:
    """The `points` as they are stored. Each key is looked at once: a batch holds many points of few metrics."""
    fine: set[str] = set()
    found = []
    for at, point in enumerate(points):
        if point.key not in fine:
            text.key(f"metrics[{at}].key", point.key, limit=KEY_LIMIT)
            fine.add(point.key)
        value = point.value
        if type(value) is not float or math.isinf(value):
            value = _number(f"metrics[{at}].value", value)
        whole(f"metrics[{at}].timestamp", point.timestamp_ms)
        whole(f"metrics[{at}].step", point.step, low=None)
        if value is not point.value or point.logged_model_id or point.dataset_name or point.dataset_digest:
            point = Point(
                point.key,
                value,
                point.timestamp_ms,
                point.step,
                point.logged_model_id,
                # Its bytes, with those of the key, must fit into an index entry.
                text.free_text(f"metrics[{at}].dataset_name", point.dataset_name, limit=250, lines=False),
                text.free_text(f"metrics[{at}].dataset_digest", point.dataset_digest, limit=36, lines=False),
            )
        found.append(point)
    return found


def whole(field: str, value: object, *, low: int | None = 0) -> int:
    """`value` as a 64-bit whole number, not below `low`; BadNumber."""
    if type(value) is not int or value not in _INT64:
        raise BadNumber(field=field, wanted="a whole number of at most 63 bits", value=value)
    if low is not None and value < low:
        raise BadNumber(field=field, wanted=f"{low} or more", value=value)
    return value


def _number(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadNumber(field=field, wanted="a number", value=value)
    try:
        number = float(value)
    except OverflowError:
        raise BadNumber(field=field, wanted="a number within ±1.8e308", value=value) from None
    # As the field's reference server stores it, so that histories compare.
    return math.copysign(LARGEST, number) if math.isinf(number) else number


def _recency(point: Point) -> tuple[int, int, bool, float]:
    # PostgreSQL orders NaN above every number.
    is_nan = point.value != point.value
    return point.step, point.timestamp_ms, is_nan, 0.0 if is_nan else point.value


def _columns(points: Sequence[Point]) -> list[list[str] | str]:
    """The keys that occur, and for each point the place of its key among them, its value, its time and its step.

    Numbers go as PostgreSQL writes arrays: the driver would look at each of them for what it has to quote.
    """
    places = {key: at for at, key in enumerate(dict.fromkeys(point.key for point in points), start=1)}
    return [
        list(places),
        _array(places[point.key] for point in points),
        _array(point.value for point in points),
        _array(point.timestamp_ms for point in points),
        _array(point.step for point in points),
    ]


def _array(numbers: Iterable[float]) -> str:
    return f"{{{','.join(map(repr, numbers))}}}"


_HISTORY = """
INSERT INTO lineage_metric (run_id, key, value, timestamp_ms, step)
SELECT %s::uuid, (%s::text[])[place], value, timestamp_ms, step
  FROM unnest(%s::int[], %s::float8[], %s::bigint[], %s::bigint[]) AS points (place, value, timestamp_ms, step)
ON CONFLICT DO NOTHING
"""

_LATEST = """
INSERT INTO lineage_latestmetric AS known (run_id, experiment_id, started_ms, key, value, timestamp_ms, step)
SELECT %s::uuid, %s::bigint, %s::bigint, (%s::text[])[place], value, timestamp_ms, step
  FROM unnest(%s::int[], %s::float8[], %s::bigint[], %s::bigint[]) AS points (place, value, timestamp_ms, step)
ON CONFLICT (run_id, key) DO UPDATE
   SET value = excluded.value, timestamp_ms = excluded.timestamp_ms, step = excluded.step
 WHERE (excluded.step, excluded.timestamp_ms, excluded.value) > (known.step, known.timestamp_ms, known.value)
"""

_MEASURED = """
INSERT INTO lineage_loggedmodelmetric AS known
       (run_id, logged_model_id, key, dataset_name, dataset_digest, value, timestamp_ms, step)
SELECT %s::uuid, * FROM unnest(
       %s::uuid[], %s::text[], %s::text[], %s::text[], %s::float8[], %s::bigint[], %s::bigint[])
ON CONFLICT (logged_model_id, run_id, key, dataset_name, dataset_digest) DO UPDATE
   SET value = excluded.value, timestamp_ms = excluded.timestamp_ms, step = excluded.step
 WHERE (excluded.step, excluded.timestamp_ms, excluded.value) > (known.step, known.timestamp_ms, known.value)
"""


def _write_measures(actor: Actor, run: Run, points: Sequence[Point]) -> None:
    ids: dict[str, uuid.UUID] = {
        name: find_logged_model(actor, name).pk for name in {point.logged_model_id for point in points}
    }
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
