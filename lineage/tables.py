"""Experiments and runs as tables: what a row shows, read for a page of rows at once."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection

from core.searching import Field, Of
from lineage.models import Experiment

COUNTED = 1000  # runs; beyond it they are not counted
NEWEST = 50  # runs, by which is told what those of an experiment log
KEYS = 200  # metrics and parameters, of each at most
_VALUE = 200  # characters of a value in a table


@dataclass(frozen=True)
class ExperimentRow:
    """An experiment with its living runs: how many, not counted beyond COUNTED + 1, and when the last began."""

    experiment: Experiment
    runs: int
    last_ms: int | None


_ROWS = f"""
SELECT e.id, (SELECT count(*) FROM (SELECT FROM lineage_run r
               WHERE r.experiment_id = e.id AND r.deleted_at IS NULL LIMIT {COUNTED} + 1) counted),
       (SELECT r.started_ms FROM lineage_run r WHERE r.experiment_id = e.id AND r.deleted_at IS NULL
         ORDER BY r.started_ms DESC LIMIT 1)
  FROM unnest(%s::bigint[]) AS e (id)
"""  # noqa: S608 - the only thing put in is a number of ours


def experiment_rows(found: Sequence[Experiment]) -> list[ExperimentRow]:
    """The experiments, in their order, with what is told of their runs. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, [[experiment.pk for experiment in found]])
        told = {key: (runs, last_ms) for key, runs, last_ms in cursor.fetchall()}
    return [ExperimentRow(experiment, *told[experiment.pk]) for experiment in found]


class Column(NamedTuple):
    """A metric or parameter, and how many of the newest runs logged it."""

    field: Field
    runs: int


_COLUMNS = f"""
WITH newest AS (
    SELECT id FROM lineage_run WHERE experiment_id = %s AND deleted_at IS NULL
     ORDER BY started_ms DESC, id LIMIT {NEWEST}
)
(SELECT 'metric', key, count(*) FROM newest JOIN lineage_latestmetric l ON l.run_id = newest.id
  GROUP BY key ORDER BY count(*) DESC, key LIMIT {KEYS})
UNION ALL
(SELECT 'param', key, count(*) FROM newest JOIN lineage_param p ON p.run_id = newest.id
  GROUP BY key ORDER BY count(*) DESC, key LIMIT {KEYS})
"""  # noqa: S608 - the only things put in are numbers of ours


def columns_of(experiment: Experiment) -> list[Column]:
    """What the newest runs of an experiment log: metrics, then parameters, what most have first. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS, [experiment.pk])
        return [Column(Field(Of(of), key), runs) for of, key, runs in cursor.fetchall()]


_CELLS = f"""
SELECT run_id, 'metric', key, value, NULL FROM lineage_latestmetric
 WHERE run_id = ANY(%(runs)s::uuid[]) AND key = ANY(%(metric)s::text[])
UNION ALL
SELECT run_id, 'param', key, NULL, left(value, {_VALUE}) FROM lineage_param
 WHERE run_id = ANY(%(runs)s::uuid[]) AND key = ANY(%(param)s::text[])
UNION ALL
SELECT run_id, 'tag', key, NULL, left(value, {_VALUE}) FROM lineage_runtag
 WHERE run_id = ANY(%(runs)s::uuid[]) AND key = ANY(%(tag)s::text[])
"""  # noqa: S608 - the only thing put in is a number of ours


def cells(run_ids: Collection[uuid.UUID], fields: Collection[Field]) -> dict[tuple[uuid.UUID, Field], float | str]:
    """What these runs have for these metrics, parameters and tags, the beginning of long texts. One query."""
    asked = {of.value: [field.name for field in fields if field.of is of] for of in (Of.METRIC, Of.PARAM, Of.TAG)}
    with connection.cursor() as cursor:
        cursor.execute(_CELLS, {"runs": list(run_ids), **asked})
        return {
            (run_id, Field(Of(of), key)): number if of == Of.METRIC else text
            for run_id, of, key, number, text in cursor.fetchall()
        }


class Beside(NamedTuple):
    """One metric or parameter of several runs: what each has, None for none, and whether it is the same in all."""

    key: str
    values: tuple[Any, ...]
    same: bool


def beside(recorded: Sequence[Mapping[str, Any]]) -> list[Beside]:
    """What several runs recorded, by key: what differs first, then what is the same in all."""
    keys = sorted({key for each in recorded for key in each})
    rows = [(key, tuple(each.get(key) for each in recorded)) for key in keys]
    # By what is written, since NaN is not equal to itself.
    found = [Beside(key, values, len({repr(value) for value in values}) == 1) for key, values in rows]
    return sorted(found, key=lambda row: row.same)
