"""Plots of metrics: which are drawn, how, and what is said beside them."""

from __future__ import annotations

import re

import pytest
from django.template.loader import render_to_string

from accounts.actor import Actor
from lineage.models import Run
from lineage.services import experiments, runs
from lineage.services.metrics import Point
from web.ui import plots

pytestmark = pytest.mark.django_db


def made(owner: Actor, **values: list[float]) -> Run:
    run = runs.create(owner, experiments.default(owner), tags={})
    points = [Point(key, value, 1000 * at, at) for key, each in values.items() for at, value in enumerate(each)]
    runs.log(owner, run.pk, metrics=points)
    return run


def drawn_of(*found: Run, asked: list[str] | None = None) -> plots.Plots:
    return plots.shown([(run.pk, run.name) for run in found], asked or [])


def test_what_has_a_course_is_drawn_and_the_rest_may_be_chosen(requester: Actor) -> None:
    run = made(requester, loss=[3.0, 2.0], final=[1.0], **{"system/cpu": [1.0, 2.0], "a, b": [1.0, 2.0]})
    drawn = drawn_of(run)
    assert [plot.title for plot in drawn.plots] == ["a, b", "loss", "system/cpu"]
    assert drawn.left_out == 1
    assert [plot.title for plot in drawn_of(run, asked=["final,loss", "a, b"]).plots] == ["final", "loss", "a, b"]


def test_no_more_than_six_are_drawn_unless_asked_for_and_never_more_than_twelve(requester: Actor) -> None:
    run = made(requester, **{f"m{n:02}": [1.0, 2.0] for n in range(13)})
    assert len(drawn_of(run).plots) == 6
    assert len(drawn_of(run, asked=[f"m{n:02}" for n in range(12)]).plots) == 12
    with pytest.raises(plots.TooManyMetrics, match="13 metrics were chosen; at most 12"):
        drawn_of(run, asked=[f"m{n:02}" for n in range(13)])
    with pytest.raises(plots.UnknownMetric, match="'auc' is none of the metrics that can be drawn here"):
        drawn_of(run, asked=["auc"])


def test_a_run_has_its_colour_in_every_plot_and_is_said_not_to_have_logged_what_it_did_not(requester: Actor) -> None:
    first, second = made(requester, loss=[3.0, 2.0]), made(requester, loss=[1.0, 0.5], auc=[0.7, 0.8])
    auc, loss = drawn_of(first, second).plots
    assert [(row.label, row.serie) for row in auc.rows] == [(first.name, "serie-0"), (second.name, "serie-1")]
    assert auc.rows[0].last is None
    page = render_to_string("parts/plots.html", {"drawn": drawn_of(first, second)})
    assert "not logged" in page
    assert page.count('class="legend"') == 2
    assert re.search(r'key serie-1"></span><bdi[^>]*>' + second.name + r".*?0\.8<", page)
    assert loss.svg.count("nofill") == 2


def test_without_steps_it_is_drawn_over_time(requester: Actor) -> None:
    run = runs.create(requester, experiments.default(requester), tags={})
    runs.log(requester, run.pk, metrics=[Point("loss", 1.0, 1000, 0), Point("loss", 0.5, 61_000, 0)])
    (plot,) = drawn_of(run, asked=["loss"]).plots
    assert "loss over time" in plot.svg
    assert "seconds" in plot.svg


@pytest.mark.parametrize("values", [[float("nan")] * 2, [float("nan"), 1.0], [float("inf"), 1.0], [1.0, 1.0]])
def test_whatever_was_logged_can_be_drawn(requester: Actor, values: list[float]) -> None:
    run = made(requester, **{"<script>": values})
    page = render_to_string("parts/plots.html", {"drawn": drawn_of(run)})
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_what_cannot_be_drawn_is_said_with_what_to_write(requester: Actor) -> None:
    for run, words in ((made(requester), "No metrics were logged"), (made(requester, auc=[1.0]), "was logged once")):
        page = render_to_string("parts/plots.html", {"drawn": drawn_of(run)})
        assert words in page
        assert "mlflow.log_metric" in page
