"""Metrics of one or several runs, drawn from their first step to the last."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from core.errors import Invalid
from lineage import histories
from lineage.histories import Logged, Sample
from web.ui import charts
from web.ui.charts import Series

AT_FIRST, MOST = 6, 12  # plots of a page: when nobody chose, and when somebody did
LISTED = 300  # metrics among which one chooses
_DRAWN = 240  # points of a line
_WIDTH, _HEIGHT = 360, 190  # so many stand side by side that larger ones would have too small a print


class UnknownMetric(Invalid):
    """{value!r} is none of the metrics that can be drawn here: choose among those that are listed."""

    field = "metrics"


class TooManyMetrics(Invalid):
    """{count} metrics were chosen; at most {limit} are drawn at once: choose fewer."""

    field = "metrics"


@dataclass(frozen=True)
class Line:
    """A run in a plot: `last` is the point with the highest step, None when the run did not log the metric."""

    label: str
    serie: str  # the class of its colour, in all plots the same
    last: Sample | None


@dataclass(frozen=True)
class Plot:
    """A metric, drawn. `rows` say the last values in words."""

    title: str
    svg: SafeString
    rows: tuple[Line, ...]
    several: bool  # more than one run, so that a legend is needed


@dataclass(frozen=True)
class Option:
    """A metric that can be drawn."""

    key: str
    chosen: bool


@dataclass(frozen=True)
class Plots:
    """What a page draws, and what else it could. `left_out` tells how many metrics are not drawn."""

    plots: tuple[Plot, ...]
    options: tuple[Option, ...]
    left_out: int


def plots_of(runs: Sequence[tuple[uuid.UUID, str]], keys: Collection[str]) -> list[Plot]:
    """A plot for each metric, in which each run, an id and what to call it, has its line. One query.

    The caller has reached the runs by something that the actor may see.
    """
    found = histories.sketched([run_id for run_id, _ in runs], keys, most=_DRAWN)
    return [_plot(key, [(label, found[key].get(run_id, [])) for run_id, label in runs]) for key in keys]


def shown(runs: Sequence[tuple[uuid.UUID, str]], asked: Sequence[str] = ()) -> Plots:
    """The plots of a page: of the metrics `asked` for, or else of the first that have a course to see. Two queries.

    `asked` is `request.GET.getlist("metrics")`: each a metric, or several with commas between. Raises UnknownMetric,
    TooManyMetrics.
    """
    logged = histories.logged_by([run_id for run_id, _ in runs], most=LISTED)
    keys = _chosen(logged, asked)
    options = tuple(Option(each.key, each.key in keys) for each in logged)
    return Plots(tuple(plots_of(runs, keys)), options, len(options) - len(keys))


def _chosen(logged: Sequence[Logged], asked: Sequence[str]) -> list[str]:
    known = {each.key for each in logged}
    keys = list(dict.fromkeys(key for value in asked if value for key in _named(value, known)))
    if unknown := next((key for key in keys if key not in known), None):
        raise UnknownMetric(value=unknown)
    if len(keys) > MOST:
        raise TooManyMetrics(count=len(keys), limit=MOST)
    if keys:
        return keys
    # What was logged over many steps by most runs; how busy the machine was comes after what the model can do.
    best = sorted((each for each in logged if each.last_step > 0), key=lambda e: (_is_of_machine(e.key), -e.runs))
    return sorted((each.key for each in best[:AT_FIRST]), key=lambda key: (_is_of_machine(key), key))


def _named(value: str, known: Collection[str]) -> list[str]:
    """A metric's own name may hold a comma."""
    return [value] if value in known else [key.strip() for key in value.split(",") if key.strip()]


def _is_of_machine(key: str) -> bool:
    return key.startswith("system/")


def _plot(key: str, lines: Sequence[tuple[str, list[Sample]]]) -> Plot:
    samples = [samples for _, samples in lines]
    # Who gives no steps logs everything at step 0: then it is drawn over time.
    over_time = all(each[0].step == each[-1].step for each in samples if each) and any(
        len(each) > 1 for each in samples
    )
    drawn = charts.lines(
        f"{key} over {'time' if over_time else 'steps'}",
        [Series(label, _points(each, over_time=over_time)) for label, each in lines],
        x="seconds" if over_time else "step",
        width=_WIDTH,
        height=_HEIGHT,
    )
    rows = [Line(label, f"serie-{at}", each[-1] if each else None) for at, (label, each) in enumerate(lines)]
    return Plot(key, drawn, tuple(rows), len(lines) > 1)


def _points(samples: Sequence[Sample], *, over_time: bool) -> list[tuple[float, float]]:
    if not over_time:
        return [(sample.step, sample.value) for sample in samples]
    return [((sample.timestamp_ms - samples[0].timestamp_ms) / 1000, sample.value) for sample in samples]
