"""Candidate beside incumbent: what differs in metrics, parameters, data, code, words and files."""

from __future__ import annotations

import math
import re
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from lineage.declared import declaring
from lineage.provenance import KEPT, FileChanges, Provenance, file_changes, recorded
from registry.gates import Judged
from registry.models import Version
from registry.text_diff import TextDiff, text_diff


class Verdict(StrEnum):
    """How a metric moved, as far as its name tells which way is up."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    UNKNOWN = ""


@dataclass(frozen=True)
class MetricRow:
    """A metric on both sides (None: not logged); `change` is relative to the incumbent, 0.1 for ten per cent.

    `check` names the check that measured it, where no run did; `judged` are the gates that hold it to a limit.
    """

    key: str
    before: float | None
    after: float | None
    delta: float | None
    change: float | None
    verdict: Verdict
    check: str = ""
    judged: tuple[Judged, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the two sides differ."""
        return self.delta != 0 and not (self.delta is None and self.before == self.after)


@dataclass(frozen=True)
class Difference:
    """Something that is not the same on both sides (None: absent there)."""

    key: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Side:
    """A version and the run it came from, when that run is known here."""

    version: Version
    run: Provenance | None


@dataclass(frozen=True)
class Comparison:
    candidate: Side
    incumbent: Side | None
    metrics: tuple[MetricRow, ...]  # those that gates hold to a limit, then what changed, then the others
    metrics_cut: bool  # a run logged more than are compared
    params: tuple[Difference, ...]
    params_same: int
    datasets: tuple[Difference, ...]
    datasets_same: int
    facts: tuple[Difference, ...]
    description: TextDiff
    files: FileChanges

    @property
    def metrics_first(self) -> tuple[MetricRow, ...]:
        """The metrics that a reviewer looks at first: all, where there is nothing to compare them with."""
        return tuple(row for row in self.metrics if row.judged or row.changed or self.incumbent is None)

    @property
    def metrics_same(self) -> tuple[MetricRow, ...]:
        """The others."""
        return tuple(row for row in self.metrics if not (row.judged or row.changed or self.incumbent is None))


_LOWER_IS_BETTER = re.compile(
    r"(^|[^a-z])(loss|logloss|error|err|mse|rmse|mae|mape|perplexity|latency|brier)([^a-z]|$)"
)
_HIGHER_IS_BETTER = re.compile(
    r"(^|[^a-z])(accuracy|acc|auc|roc|f1|precision|recall|r2|score|map|ndcg|bleu|rouge|iou)([^a-z]|$)"
)


def compare(
    candidate: Version,
    incumbent: Version | None,
    judged: Collection[Judged] = (),
    known: Mapping[uuid.UUID, Provenance] | None = None,
) -> Comparison:
    """What a reviewer compares, with what the gates of the policy say of metrics.

    Both versions come with their manifests; `known` is what is known of runs already. Two queries, or one when all are.
    """
    run_ids = {version.run_id for version in (candidate, incumbent) if version and version.run_id}
    runs = {**(known or {}), **recorded(run_ids - (known or {}).keys())}
    after = _side(candidate, runs)
    before = _side(incumbent, runs) if incumbent else None
    params, params_same = differences(_params(before), _params(after))
    datasets, datasets_same = differences(_datasets(before), _datasets(after))
    return Comparison(
        candidate=after,
        incumbent=before,
        metrics=_with_limits(metric_rows(_metrics(before), _metrics(after)), judged),
        metrics_cut=any(len(_metrics(side)) >= KEPT for side in (before, after)),
        params=params,
        params_same=params_same,
        datasets=datasets,
        datasets_same=datasets_same,
        facts=_facts(before, after),
        description=text_diff(incumbent.description if incumbent else "", candidate.description),
        files=file_changes(
            incumbent.manifest_id if incumbent else None,
            candidate.manifest_id,
            also=_declaring(candidate) | (_declaring(incumbent) if incumbent else set()),
        ),
    )


def _declaring(version: Version) -> set[str]:
    return declaring(version.manifest.contents) if version.manifest else set()


def metric_rows(before: Mapping[str, float], after: Mapping[str, float]) -> tuple[MetricRow, ...]:
    """Every metric of either side, by key."""
    return tuple(_metric_row(key, before.get(key), after.get(key)) for key in sorted(before.keys() | after.keys()))


def _with_limits(rows: tuple[MetricRow, ...], judged: Collection[Judged]) -> tuple[MetricRow, ...]:
    """The rows, each with the gates that hold it to a limit, and those that checks measured: the gated first."""
    by_metric: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for each in judged:
        if bound := each.verdict.bound:
            by_metric[bound.metric, bound.check].append(each)
    found = [replace(row, judged=tuple(by_metric.pop((row.key, ""), ()))) for row in rows]
    for (key, check), gates in by_metric.items():
        bounds = [each.verdict.bound for each in gates if each.verdict.bound]
        before = next((bound.before for bound in bounds if bound.before is not None), None)
        row = _metric_row(key, before, next((bound.value for bound in bounds), None))
        found.append(replace(row, check=check, judged=tuple(gates)))
    return tuple(sorted(found, key=lambda row: (not row.judged, not row.changed, row.key)))


def _metric_row(key: str, before: float | None, after: float | None) -> MetricRow:
    if before is None or after is None or not (math.isfinite(before) and math.isfinite(after)):
        return MetricRow(key, before, after, None, None, Verdict.UNKNOWN)
    delta = after - before
    change = delta / abs(before) if before and math.isfinite(delta) else None
    return MetricRow(key, before, after, delta, change, verdict(key, delta))


def verdict(key: str, delta: float) -> Verdict:
    """Whether a metric of this name became better by moving by `delta`; UNKNOWN where the name does not tell."""
    if delta == 0:
        return Verdict.SAME
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", key).lower()
    if _LOWER_IS_BETTER.search(words):  # asked first: "score_error" is an error
        return Verdict.BETTER if delta < 0 else Verdict.WORSE
    if _HIGHER_IS_BETTER.search(words):
        return Verdict.BETTER if delta > 0 else Verdict.WORSE
    return Verdict.UNKNOWN


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[tuple[Difference, ...], int]:
    """What is not the same, by key, and how many are."""
    keys = sorted(before.keys() | after.keys())
    changed = tuple(
        Difference(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)
    )
    return changed, len(keys) - len(changed)


def _side(version: Version, runs: Mapping[uuid.UUID, Provenance]) -> Side:
    return Side(version, runs.get(version.run_id) if version.run_id else None)


def _metrics(side: Side | None) -> Mapping[str, float]:
    return side.run.metrics if side and side.run else {}


def _params(side: Side | None) -> Mapping[str, str]:
    return side.run.params if side and side.run else {}


def _datasets(side: Side | None) -> Mapping[str, str]:
    if not side or not side.run:
        return {}
    digests: dict[str, str] = {}
    for dataset in side.run.datasets:
        name = f"{dataset.name} ({dataset.context})" if dataset.context else dataset.name
        digests[name] = f"{digests[name]}, {dataset.digest}" if name in digests else dataset.digest
    return digests


def _facts(before: Side | None, after: Side) -> tuple[Difference, ...]:
    then, now = _facts_of(before), _facts_of(after)
    return tuple(Difference(key, then.get(key), value) for key, value in now.items() if value or then.get(key))


def _facts_of(side: Side | None) -> dict[str, str]:
    if side is None:
        return {}
    return {
        "Code commit": side.run.commit if side.run else "",
        "Source": side.version.source,
        "Manifest (SHA-256)": side.version.manifest.digest if side.version.manifest else "",
    }
