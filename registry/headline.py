"""The one metric that stands for a model on pages, and its values over the newest versions."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connection

from registry.lifecycle import Stage
from registry.ruling import Ruling

TAG = "vouch.headline_metric"  # of a model: names the metric
OVER = 20  # the newest versions
_TARGETS = (Stage.PRODUCTION, Stage.STAGING)  # whose policies say what counts, the first that does
# What counts where nobody says so: the first of these that the newest version has, else the first by the alphabet.
KNOWN = (
    "accuracy", "auc", "roc_auc", "f1", "f1_score", "precision", "recall", "r2", "r2_score", "map", "ndcg", "bleu",
    "score", "rmse", "mse", "mae", "mape", "log_loss", "logloss", "error", "loss",
)  # fmt: skip


@dataclass(frozen=True)
class Headline:
    """A metric, and (number of the version, its last value) of those versions that have it, the oldest first."""

    metric: str
    points: tuple[tuple[int, float], ...]

    @property
    def values(self) -> list[float]:
        return [value for _, value in self.points]

    @property
    def by_number(self) -> dict[int, float]:
        return dict(self.points)

    @property
    def newest(self) -> tuple[int, float]:
        """The last of the points, of which there is always one."""
        return self.points[-1]


@dataclass(frozen=True)
class Wanted:
    """What to look for at a model: `named` by its tag, and no other; else the first of `judged` that any version has.

    Only versions up to the number `until`, where one is given.
    """

    named: str = ""
    judged: tuple[str, ...] = ()
    until: int | None = None


def wanted(named: str, ruled: Mapping[str, Ruling], *, until: int | None = None) -> Wanted:
    """By the model's tag, and the policies in force for it. What a check measures does not count: it is in no run."""
    gates = [gate for target in _TARGETS if target in ruled for gate in ruled[target].terms.gates]
    judged = [gate["metric"] for gate in gates if "metric" in gate and "check" not in gate]
    return Wanted(named, tuple(dict.fromkeys(judged)), until)


# Of each model: the newest versions; which metric; its value in each. Every step is a few look-ups in an index.
_VALUES = """
WITH asked AS (
    SELECT (each->>0)::uuid AS model_id, each->>1 AS named, each->2 AS judged, (each->>3)::int AS until
      FROM jsonb_array_elements(%(asked)s::jsonb) each
), newest AS (
    SELECT a.model_id, v.number, v.run_id
      FROM asked a CROSS JOIN LATERAL (
           SELECT number, run_id FROM registry_version
            WHERE model_id = a.model_id AND number <= a.until AND deleted_at IS NULL
            ORDER BY number DESC LIMIT %(over)s) v
), chosen AS (
    SELECT a.model_id, coalesce(
           nullif(a.named, ''),
           (SELECT j.key FROM jsonb_array_elements_text(a.judged) WITH ORDINALITY j(key, place)
             WHERE EXISTS (SELECT FROM newest n JOIN lineage_latestmetric m ON m.run_id = n.run_id AND m.key = j.key
                            WHERE n.model_id = a.model_id)
             ORDER BY j.place LIMIT 1),
           (SELECT m.key FROM lineage_latestmetric m
             WHERE m.run_id = (SELECT n.run_id FROM newest n
                                WHERE n.model_id = a.model_id
                                  AND EXISTS (SELECT FROM lineage_latestmetric l WHERE l.run_id = n.run_id)
                                ORDER BY n.number DESC LIMIT 1)
             ORDER BY array_position(%(known)s::text[],
                                     regexp_replace(lower(m.key), '^(val|valid|validation|test|eval)[_-]', '')),
                      m.key
             LIMIT 1)) AS key
      FROM asked a
)
SELECT n.model_id, c.key, n.number, m.value
  FROM newest n JOIN chosen c USING (model_id)
  JOIN lineage_latestmetric m ON m.run_id = n.run_id AND m.key = c.key
 ORDER BY n.model_id, n.number
"""
_LARGEST = 2**31 - 1


def headlines(asked: Mapping[uuid.UUID, Wanted], *, over: int = OVER) -> dict[uuid.UUID, Headline]:
    """The headline of each of these models that has one, over its newest `over` versions. One query.

    The caller has found the models among what the actor can see.
    """
    if not asked:
        return {}
    rows = [
        [str(model_id), each.named, each.judged, _LARGEST if each.until is None else each.until]
        for model_id, each in asked.items()
    ]
    with connection.cursor() as cursor:
        cursor.execute(_VALUES, {"asked": json.dumps(rows), "over": over, "known": list(KNOWN)})
        found: dict[uuid.UUID, list[tuple[int, float]]] = defaultdict(list)
        metrics: dict[uuid.UUID, str] = {}
        for model_id, metric, number, value in cursor.fetchall():
            metrics[model_id] = metric
            found[model_id].append((number, value))
    return {model_id: Headline(metrics[model_id], tuple(points)) for model_id, points in found.items()}
