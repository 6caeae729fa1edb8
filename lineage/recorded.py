"""What runs recorded, of many runs at once: a page of a search reads each kind in one query."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from lineage.models import Run

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class DatasetRead:
    """A data set that a run read, and the tags of that use."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str
    profile: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class RecordedRun:
    """A run and all that it recorded; `metrics` are (key, value, time in milliseconds, step) of the last point each."""

    run: Run
    tags: Pairs
    params: Pairs
    metrics: Sequence[tuple[str, float, int, int]]
    datasets: Sequence[DatasetRead]
    models_read: Sequence[uuid.UUID]
    models_made: Sequence[tuple[uuid.UUID, int]]  # with the step


_TAGS = "SELECT run_id, key, value FROM lineage_runtag WHERE run_id = ANY(%s::uuid[]) ORDER BY id"
_PARAMS = "SELECT run_id, key, value FROM lineage_param WHERE run_id = ANY(%s::uuid[]) ORDER BY id"
_METRICS = (
    "SELECT run_id, key, value, timestamp_ms, step FROM lineage_latestmetric WHERE run_id = ANY(%s::uuid[]) ORDER BY id"
)
_DATASETS = """
SELECT i.run_id, d.name, d.digest, d.source_type, d.source, d.schema, d.profile, i.tags::text
  FROM lineage_runinput i JOIN lineage_dataset d ON d.id = i.dataset_id
 WHERE i.run_id = ANY(%s::uuid[]) ORDER BY i.id
"""
_MODELS = (
    "SELECT run_id, logged_model_id, step, is_output FROM lineage_runmodel WHERE run_id = ANY(%s::uuid[]) ORDER BY id"
)


def recorded(runs: Sequence[Run]) -> list[RecordedRun]:
    """The `runs`, in their order, with what they recorded. Five queries, however many there are."""
    if not runs:
        return []
    ids = f"{{{','.join(run.pk.hex for run in runs)}}}"  # written once, not once for each query
    tags, params, metrics = _by_run(_TAGS, ids), _by_run(_PARAMS, ids), _by_run(_METRICS, ids)
    datasets, models = _by_run(_DATASETS, ids), _by_run(_MODELS, ids)
    return [
        RecordedRun(
            run,
            tags=tags.get(run.pk, ()),
            params=params.get(run.pk, ()),
            metrics=metrics.get(run.pk, ()),
            datasets=[_dataset_read(*told) for told in datasets.get(run.pk, ())],
            models_read=[model for model, _, is_output in models.get(run.pk, ()) if not is_output],
            models_made=[(model, step) for model, step, is_output in models.get(run.pk, ()) if is_output],
        )
        for run in runs
    ]


def _dataset_read(
    name: str, digest: str, source_type: str, source: str, schema: str, profile: str, tags: str
) -> DatasetRead:
    return DatasetRead(name, digest, source_type, source, schema, profile, json.loads(tags))


def _by_run(sql: str, ids: str) -> Mapping[uuid.UUID, list[Any]]:
    """The rows of `sql`, without the run's id that each begins with, by that id."""
    found: dict[uuid.UUID, list[Any]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(sql, [ids])
        for run_id, *row in cursor.fetchall():
            found[run_id].append(row)
    return found
