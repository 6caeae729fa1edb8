"""What runs recorded, and how two manifests differ: as a reviewer looks at them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db import connection

KEPT = 500  # of each kind; a run may have logged many thousands


@dataclass(frozen=True)
class DatasetRead:
    """A data set that a run read; `context` says for what, e.g. training."""

    name: str
    digest: str
    source_type: str
    context: str


@dataclass(frozen=True)
class Provenance:
    """A run and what it recorded, each kind by key and at most KEPT of it; times in milliseconds since 1970."""

    run_id: uuid.UUID
    name: str
    experiment: str
    user_name: str
    status: str
    started_ms: int
    ended_ms: int | None
    deleted: bool
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]
    datasets: tuple[DatasetRead, ...]

    @property
    def commit(self) -> str:
        """The code's commit, as the client tagged it."""
        return self.tags.get("mlflow.source.git.commit", "")

    @property
    def cut_at(self) -> int:
        """KEPT when there may be more of some kind than is here, else 0."""
        return KEPT if any(len(kind) >= KEPT for kind in (self.metrics, self.params, self.tags, self.datasets)) else 0

    @property
    def own_tags(self) -> dict[str, str]:
        """The tags that people set; those of the client itself begin with `mlflow.`."""
        return {key: value for key, value in self.tags.items() if not key.startswith("mlflow.")}


# A float goes as text, which keeps every digit, and NaN with it.
_RECORDED = f"""
SELECT r.id, r.name, e.name, r.user_name, r.status, r.started_ms, r.ended_ms,
       coalesce(r.deleted_at, e.deleted_at) IS NOT NULL,
       (SELECT json_agg(json_build_array(k.key, k.value::text)) FROM
          (SELECT key, value FROM lineage_latestmetric WHERE run_id = r.id ORDER BY key LIMIT {KEPT}) k),
       (SELECT json_agg(json_build_array(k.key, k.value)) FROM
          (SELECT key, value FROM lineage_param WHERE run_id = r.id ORDER BY key LIMIT {KEPT}) k),
       (SELECT json_agg(json_build_array(k.key, k.value)) FROM
          (SELECT key, value FROM lineage_runtag WHERE run_id = r.id ORDER BY key LIMIT {KEPT}) k),
       (SELECT json_agg(json_build_array(k.name, k.digest, k.source_type, k.context)) FROM
          (SELECT d.name, d.digest, d.source_type, coalesce(i.tags->>'mlflow.data.context', '') AS context
             FROM lineage_runinput i JOIN lineage_dataset d ON d.id = i.dataset_id
            WHERE i.run_id = r.id ORDER BY d.name, d.digest LIMIT {KEPT}) k)
  FROM lineage_run r JOIN lineage_experiment e ON e.id = r.experiment_id
 WHERE r.id = ANY(%s)
"""  # noqa: S608 - the only thing put in is a number of ours


def recorded(run_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Provenance]:
    """What each of these runs recorded, by id. One query.

    The caller has reached the runs by something that the actor may see: a version shows where it came from to whoever
    may see the version.
    """
    if not run_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_RECORDED, [list(run_ids)])
        rows = cursor.fetchall()
    return {row[0]: _provenance(row) for row in rows}


def _provenance(row: Any) -> Provenance:
    run_id, name, experiment, user_name, status, started_ms, ended_ms, deleted, *kinds = row
    metrics, params, tags, datasets = (_json(value) for value in kinds)
    return Provenance(
        run_id=run_id,
        name=name,
        experiment=experiment,
        user_name=user_name,
        status=status,
        started_ms=started_ms,
        ended_ms=ended_ms,
        deleted=deleted,
        metrics={key: float(value) for key, value in metrics},
        params=dict(params),
        tags=dict(tags),
        datasets=tuple(DatasetRead(*dataset) for dataset in datasets),
    )


def _json(value: Any) -> list[Any]:
    return json.loads(value) if isinstance(value, str) else value or []


@dataclass(frozen=True)
class FileChange:
    """A file that is not the same in two manifests; the side on which it is missing has None. Sizes in bytes."""

    path: str
    before: str | None
    before_size: int | None
    after: str | None
    after_size: int | None


@dataclass(frozen=True)
class FileChanges:
    """The files that differ, by path and at most KEPT of them, and how many differ in all.

    `also` are those that were asked for by their paths, whether they differ or not.
    """

    shown: tuple[FileChange, ...]
    total: int
    also: tuple[FileChange, ...] = ()


_CHANGED = f"""
WITH b AS (SELECT path, sha256, size FROM lineage_manifestfile WHERE manifest_id = %(before)s),
     a AS (SELECT path, sha256, size FROM lineage_manifestfile WHERE manifest_id = %(after)s),
     f AS (SELECT coalesce(a.path, b.path) AS path, b.sha256 AS before, b.size AS before_size,
                  a.sha256 AS after, a.size AS after_size
             FROM b FULL JOIN a ON a.path = b.path)
SELECT false AS asked, d.* FROM
  (SELECT f.*, count(*) OVER () FROM f WHERE after IS DISTINCT FROM before ORDER BY path LIMIT {KEPT}) d
UNION ALL
SELECT true, f.*, 0 FROM f WHERE path = ANY(%(also)s)
"""  # noqa: S608 - the only thing put in is a number of ours


def file_changes(before: uuid.UUID | None, after: uuid.UUID | None, *, also: Collection[str] = ()) -> FileChanges:
    """How the files of the manifest `after` differ from those of `before`, and the files with the paths `also` of both.

    One query, or none where there is nothing to ask.
    """
    if before == after and not also:
        return FileChanges((), 0)
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, {"before": before, "after": after, "also": list(also)})
        rows = cursor.fetchall()
    shown = sorted((FileChange(*row[1:6]) for row in rows if not row[0]), key=lambda file: file.path)
    wanted = sorted((FileChange(*row[1:6]) for row in rows if row[0]), key=lambda file: file.path)
    return FileChanges(tuple(shown), next((row[6] for row in rows if not row[0]), 0), tuple(wanted))
