"""The page of a run, and the files that it logged."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from accounts.actor import Actor
from core import text
from core.errors import Invalid
from lineage.levels import Level, level
from lineage.models import Folder, Run
from lineage.provenance import recorded
from lineage.queries import file_at, find_run, models_made_by
from registry.descent import versions_of_run
from web.files import download
from web.ui import plots
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of


@require_safe
@signed_in
def run(request: PageRequest, actor: Actor, run_id: str) -> HttpResponse:
    """A run and all that it logged."""
    found = find_run(actor, run_id)
    path = request.GET.get("path", "")
    context: dict[str, Any] = {
        "run": found,
        "experiment": found.experiment,
        "told": recorded([found.pk])[found.pk],
        "models": models_made_by(found),
        "versions": versions_of_run(actor, found),
        "path": path,
    }
    try:
        context["drawn"] = plots.shown([(found.pk, found.name)], request.GET.getlist("metrics"))
        context["level"] = _level(found, path, request.GET.get("after", ""))
        context["parents"] = _parents(path)  # of a path that was let pass, and so is short
    except Invalid as refusal:
        context["refusal"] = refusal
        return show(request, "lineage/run.html", context, status=status_of(refusal))
    return show(request, "lineage/run.html", context)


@require_safe
@signed_in
def run_file(request: PageRequest, actor: Actor, run_id: str, path: str) -> HttpResponseBase:
    """A file that a run logged, to be saved and never shown by the browser."""
    found = file_at(_folder(find_run(actor, run_id)), path)
    return download(request, sha256=found.sha256, size=found.size, name=found.path)


def _level(found: Run, path: str, after: str) -> Level | None:
    folder = _folder(found)
    if folder is None:
        text.artifact_path(path, empty=True)
        return None
    return level(folder, path, after=after)


def _folder(found: Run) -> Folder | None:
    return Folder.objects.filter(run=found).first()


def _parents(path: str) -> list[tuple[str, str]]:
    """The directories above a path and itself: (name, path) from the top."""
    parts = path.split("/") if path else []
    return [(part, "/".join(parts[: at + 1])) for at, part in enumerate(parts)]
