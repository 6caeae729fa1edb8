"""The pages of experiments: their list, the runs of one as a table, several runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from accounts.actor import Actor
from core import text
from core.errors import Invalid
from core.paging import paginate, paginate_in_turn
from lineage import searching, tables
from lineage.models import Experiment, Run
from lineage.provenance import recorded
from lineage.queries import RunNotFound, as_uuid, find_experiment
from lineage.searching import View
from web.ui import plots, run_table, snippets
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of

_PER_PAGE = 25
RUNS_BESIDE = 8


class TooManyRuns(Invalid):
    """{count} runs were chosen; at most {limit} can be compared at once: choose fewer."""

    field = "runs"


@require_safe
@signed_in
def experiments(request: PageRequest, actor: Actor) -> HttpResponse:
    """The experiments of the workspace, newest first."""
    search = request.GET.get("q", "").strip()
    rows, order = searching.experiments(actor, [], [], view=View.ACTIVE, columns={})
    if search:
        rows = rows.filter(name__holds=text.free_text("q", search, limit=500, lines=False))
    page = paginate(
        rows,
        order=order,
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["experiments", actor.workspace_id, search],
    )
    context = {
        "rows": tables.experiment_rows(page.items),
        "page": page,
        "search": search,
        "snippets": snippets.first_run(),
    }
    return show(request, "lineage/experiments.html", context)


@require_safe
@signed_in
def experiment(request: PageRequest, actor: Actor, experiment_id: str) -> HttpResponse:
    """The runs of an experiment, last begun first unless another order is asked for."""
    found = find_experiment(actor, int(experiment_id))
    (row,) = tables.experiment_rows([found])
    context: dict[str, Any] = {
        "experiment": found,
        "row": row,
        "filter": request.GET.get("filter", "").strip(),
        "order": request.GET.get("order", ""),
        "asked_columns": request.GET.getlist("columns"),
        "snippets": snippets.first_run(found),
        "most_beside": RUNS_BESIDE,
    }
    try:
        context |= _table(request, found, row, context["filter"], context["order"])
    except Invalid as refusal:
        context["refusal"] = refusal
        return show(request, "lineage/experiment.html", context, status=status_of(refusal))
    return show(request, "lineage/experiment.html", context)


def _table(
    request: PageRequest, found: Experiment, row: tables.ExperimentRow, asked: str, order: str
) -> dict[str, Any]:
    logged = tables.columns_of(found)
    chosen = run_table.columns(request.GET.getlist("columns"), logged)
    few = row.runs <= tables.COUNTED
    lists, keys = searching.runs(
        [found],
        run_table.conditions(asked),
        run_table.order(order, few=few, limit=tables.COUNTED),
        view=View.DELETED if found.deleted_at else View.ACTIVE,
        columns=run_table.COLUMNS,
    )
    if found.deleted_at:  # it took its runs along; those that were deleted on their own are counted nowhere
        lists = [rows.filter(deleted_at__isnull=True) for rows in lists]
    page = paginate_in_turn(
        lists,
        order=keys,
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["runs of", found.pk, asked, order],
    )
    cells = tables.cells([run.pk for run in page.items], chosen)
    options = [(run_table.written(each.field), each.field) for each in logged]
    return {
        "page": page,
        "headings": run_table.headings(chosen, order, few=few),
        "rows": [(run, [(field, cells.get((run.pk, field))) for field in chosen]) for run in page.items],
        "options": options + [(run_table.written(f), f) for f in chosen if all(f != field for _, field in options)],
        "kept": [(name, value) for name, value in (("filter", asked), ("order", order)) if value],
        "chosen": {run_table.written(field) for field in chosen},
    }


@require_safe
@signed_in
def compare(request: PageRequest, actor: Actor, experiment_id: str) -> HttpResponse:
    """Several runs of an experiment: their metrics in one plot each, what they were made with in one table."""
    found = find_experiment(actor, int(experiment_id))
    context: dict[str, Any] = {"experiment": found, "most_beside": RUNS_BESIDE}
    try:
        runs = _chosen_runs(actor, found, request.GET.getlist("runs"))
        drawn = plots.shown([(run.pk, run.name) for run in runs], request.GET.getlist("metrics"))
    except Invalid as refusal:
        context["refusal"] = refusal
        return show(request, "lineage/compare.html", context, status=status_of(refusal))
    told = recorded([run.pk for run in runs])
    sides = [told[run.pk] for run in runs]
    context |= {
        "runs": runs,
        "sides": list(zip(runs, sides, strict=True)),
        "drawn": drawn,
        "cut_at": max((side.cut_at for side in sides), default=0),
        "kept": [("runs", run.pk.hex) for run in runs],
        "metrics": _beside(runs, [side.metrics for side in sides]),
        "params": _beside(runs, [side.params for side in sides]),
        "datasets": _beside(runs, [{f"{d.name} {d.context}".strip(): d.digest for d in s.datasets} for s in sides]),
    }
    return show(request, "lineage/compare.html", context)


def _chosen_runs(actor: Actor, found: Experiment, asked: list[str]) -> list[Run]:
    """The runs in the order in which they are named; RunNotFound, TooManyRuns."""
    ids = list(dict.fromkeys(part.strip() for value in asked for part in value.split(",") if part.strip()))
    if len(ids) > RUNS_BESIDE:
        raise TooManyRuns(count=len(ids), limit=RUNS_BESIDE)
    keys = [(named, as_uuid(named)) for named in ids]
    wanted = [key for _, key in keys if key]
    there = {run.pk: run for run in Run.objects.visible_to(actor).filter(experiment=found, pk__in=wanted)}
    for named, key in keys:
        if key not in there:
            raise RunNotFound(run=named)
    return [there[key] for key in dict.fromkeys(wanted)]


def _beside(runs: list[Run], told: Sequence[Mapping[str, Any]]) -> list[tuple[tables.Beside, list[tuple[Run, Any]]]]:
    return [(row, list(zip(runs, row.values, strict=True))) for row in tables.beside(told)]
