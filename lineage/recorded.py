"""What runs recorded, of many runs at once: a page of a search reads them in two queries."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import connection

from lineage.models import Run


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
    tags: list[tuple[str, str]]
    params: list[tuple[str, str]]
    metrics: list[tuple[str, float, int, int]]
    datasets: list[DatasetRead]
    models_read: list[uuid.UUID]
    models_made: list[tuple[uuid.UUID, int]]  # with the step


# What is named freely in one statement, since each costs more than what it reads; told apart by its first column.
_NAMED = """
SELECT 'tag', run_id, id, key, value, NULL::float8, NULL::bigint, NULL::bigint
  FROM lineage_runtag WHERE run_id = ANY(%(ids)s::uuid[])
UNION ALL
SELECT 'param', run_id, id, key, value, NULL, NULL, NULL FROM lineage_param WHERE run_id = ANY(%(ids)s::uuid[])
UNION ALL
SELECT 'metric', run_id, id, key, NULL, value, timestamp_ms, step
  FROM lineage_latestmetric WHERE run_id = ANY(%(ids)s::uuid[])
UNION ALL
SELECT CASE WHEN is_output THEN 'made' ELSE 'read' END, run_id, id, logged_model_id::text, NULL, NULL, NULL, step
  FROM lineage_runmodel WHERE run_id = ANY(%(ids)s::uuid[])
 ORDER BY 3
"""
_DATASETS = """
SELECT i.run_id, d.name, d.digest, d.source_type, d.source, d.schema, d.profile, i.tags::text
  FROM lineage_runinput i JOIN lineage_dataset d ON d.id = i.dataset_id
 WHERE i.run_id = ANY(%(ids)s::uuid[]) ORDER BY i.id
"""


def recorded(runs: Sequence[Run]) -> list[RecordedRun]:
    """The `runs`, in their order, with what they recorded. Two queries, however many there are."""
    if not runs:
        return []
    ids = {"ids": f"{{{','.join(run.pk.hex for run in runs)}}}"}  # written once, not once for each place
    found = {run.pk: RecordedRun(run, [], [], [], [], [], []) for run in runs}
    with connection.cursor() as cursor:
        cursor.execute(_NAMED, ids)
        for what, run_id, _, key, value, number, at, step in cursor.fetchall():
            row = found[run_id]
            match what:
                case "tag":
                    row.tags.append((key, value))
                case "param":
                    row.params.append((key, value))
                case "metric":
                    row.metrics.append((key, number, at, step))
                case "made":
                    row.models_made.append((uuid.UUID(key), step))
                case "read":
                    row.models_read.append(uuid.UUID(key))
        cursor.execute(_DATASETS, ids)
        for run_id, name, digest, source_type, source, schema, profile, tags in cursor.fetchall():
            read = DatasetRead(name, digest, source_type, source, schema, profile, json.loads(tags))
            found[run_id].datasets.append(read)
    return list(found.values())
