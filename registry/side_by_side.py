"""Several versions of a model beside each other: what each measured, what it was made with, and where it is."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accounts.actor import Actor
from core.errors import Invalid, NotFound
from lineage.provenance import Provenance, recorded
from registry.comparison import Verdict, verdict
from registry.models import Model, Version
from registry.queries import versions

MOST, LEAST = 8, 2
AXES = 8
_ROWS = 200  # metrics, or parameters, of the table


class BadVersions(Invalid):
    """{field} {value!r} names no versions to compare: give two to eight numbers, such as versions=3,5,7."""

    field = "versions"


class TooManyVersions(Invalid):
    """{count} versions were chosen; at most eight fit beside each other: choose fewer."""

    field = "versions"


class VersionsMissing(NotFound):
    """There is no {missing} of the model {name!r} that you can see: choose others among its versions."""


class UnknownAxis(Invalid):
    """None of these versions has a metric {value!r}: choose among those that are listed."""

    field = "axes"


class TooManyAxes(Invalid):
    """{count} axes were chosen; at most eight fit beside each other: choose fewer."""

    field = "axes"


@dataclass(frozen=True)
class Side:
    """A version and the run that it came from, when that run is known here."""

    version: Version
    run: Provenance | None


@dataclass(frozen=True)
class Measured:
    """A metric over the versions (None: not logged); `best` are the places of its best values, empty where its name
    does not tell which way is up, or all are the same."""

    key: str
    values: tuple[float | None, ...]
    best: frozenset[int]


@dataclass(frozen=True)
class Told:
    """Something that each version says in text, None where it says nothing."""

    key: str
    values: tuple[str | None, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


@dataclass(frozen=True)
class SideBySide:
    """`params` that differ, and those that are the same; `axes` are chosen among `shared`, the metrics of at least two
    versions. `more` tells how many metrics and parameters are not listed."""

    sides: tuple[Side, ...]
    metrics: tuple[Measured, ...]
    params: tuple[Told, ...]
    params_same: tuple[Told, ...]
    datasets: tuple[Told, ...]
    facts: tuple[Told, ...]
    shared: tuple[str, ...]
    axes: tuple[Measured, ...]
    more: int


def numbers(asked: Sequence[str]) -> list[int]:
    """The versions that somebody asked for, each once: numbers with commas between, or several of those.

    Raises BadVersions, TooManyVersions.
    """
    written = _written(asked)
    if bad := next((each for each in written if not _is_number(each)), None):
        raise BadVersions(value=bad)
    chosen = named(asked)
    if len(chosen) > MOST:
        raise TooManyVersions(count=len(chosen))
    if len(chosen) < LEAST:
        raise BadVersions(value=", ".join(written))
    return chosen


def named(asked: Sequence[str]) -> list[int]:
    """Those numbers alone that can be read, each once."""
    return list(dict.fromkeys(int(each) for each in _written(asked) if _is_number(each)))


def _written(asked: Sequence[str]) -> list[str]:
    return [each.strip().removeprefix("v") for value in asked for each in value.split(",") if each.strip()]


def _is_number(written: str) -> bool:
    return written.isascii() and written.isdigit() and len(written) <= 9


def side_by_side(actor: Actor, model: Model, chosen: Sequence[int], axes: Sequence[str] = ()) -> SideBySide:
    """These versions in the order in which they were chosen. Two queries.

    `axes` are the metrics to draw; none: the first that all share. Raises VersionsMissing, UnknownAxis, TooManyAxes.
    """
    rows = versions(actor).filter(model=model, number__in=chosen).prefetch_related(None)
    found = {version.number: version for version in rows}
    if missing := [number for number in chosen if number not in found]:
        raise VersionsMissing(name=model.name, missing=" and no ".join(f"v{number}" for number in missing))
    runs = recorded({version.run_id for version in found.values() if version.run_id})
    sides = [_side(found[number], runs) for number in chosen]
    metrics = _measured(sides)
    params = _told(sides, lambda run: run.params)
    differing = [param for param in params if param.differs]
    same = [param for param in params if not param.differs]
    shared = [metric for metric in metrics if sum(value is not None for value in metric.values) >= LEAST]
    return SideBySide(
        sides=tuple(sides),
        metrics=tuple(metrics[:_ROWS]),
        params=tuple(differing[:_ROWS]),
        params_same=tuple(same[:_ROWS]),
        datasets=tuple(_told(sides, _datasets)),
        facts=tuple(_facts(sides)),
        shared=tuple(metric.key for metric in shared),
        axes=tuple(_axes(metrics, shared, axes)),
        more=sum(max(0, len(each) - _ROWS) for each in (metrics, differing, same)),
    )


def _side(version: Version, runs: dict[uuid.UUID, Provenance]) -> Side:
    return Side(version, runs.get(version.run_id) if version.run_id else None)


def _measured(sides: Sequence[Side]) -> list[Measured]:
    keys = sorted({key for side in sides if side.run for key in side.run.metrics})
    rows = ((key, tuple(side.run.metrics.get(key) if side.run else None for side in sides)) for key in keys)
    return [Measured(key, values, _best(key, values)) for key, values in rows]


def _best(key: str, values: Sequence[float | None]) -> frozenset[int]:
    """The places of the best values, as far as the name of the metric tells which way is up."""
    there = [value for value in values if value is not None and math.isfinite(value)]
    up = verdict(key, 1.0)
    if len(there) < LEAST or min(there) == max(there) or up == Verdict.UNKNOWN:
        return frozenset()
    best = max(there) if up == Verdict.BETTER else min(there)
    return frozenset(place for place, value in enumerate(values) if value == best)


def _told(sides: Sequence[Side], of: Callable[[Provenance], dict[str, str]]) -> list[Told]:
    said = [of(side.run) if side.run else {} for side in sides]
    keys = sorted({key for each in said for key in each})
    return [Told(key, tuple(each.get(key) for each in said)) for key in keys]


def _datasets(run: Provenance) -> dict[str, str]:
    digests: dict[str, list[str]] = {}
    for dataset in run.datasets:
        name = f"{dataset.name} ({dataset.context})" if dataset.context else dataset.name
        digests.setdefault(name, []).append(dataset.digest)
    return {name: ", ".join(each) for name, each in digests.items()}


def _facts(sides: Sequence[Side]) -> list[Told]:
    rows = {
        "Code commit": [side.run.commit if side.run else "" for side in sides],
        "Signature": [_signature(side.version) for side in sides],
        "Flavors": [_flavors(side.version) for side in sides],
    }
    return [Told(key, tuple(value or None for value in values)) for key, values in rows.items() if any(values)]


def _signature(version: Version) -> str:
    contents = version.manifest.contents if version.manifest else None
    if contents is None or not contents.mlmodel_read:
        return ""
    inputs, outputs = contents.signature_inputs, contents.signature_outputs
    return " and ".join(["inputs"] * inputs + ["outputs"] * outputs) or "none"


def _flavors(version: Version) -> str:
    contents = version.manifest.contents if version.manifest else None
    return ", ".join(contents.flavors) if contents else ""


def _axes(metrics: Sequence[Measured], shared: Sequence[Measured], asked: Sequence[str]) -> list[Measured]:
    known = {metric.key: metric for metric in metrics}
    if not asked:
        # First those that all have, and of those the ones that differ: an axis on which all meet tells nothing.
        ranked = sorted(shared, key=lambda m: (None in m.values, len(set(m.values)) == 1))
        return sorted(ranked[:AXES], key=lambda metric: metric.key)
    # A metric's own name may hold a comma.
    keys = list(dict.fromkeys(k.strip() for each in asked for k in ([each] if each in known else each.split(","))))
    if unknown := next((key for key in keys if key not in known), None):
        raise UnknownAxis(value=unknown)
    if len(keys) > AXES:
        raise TooManyAxes(count=len(keys))
    return [known[key] for key in keys]
