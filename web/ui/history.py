"""The page of what held a stage or an alias when, and the evidence pack to save."""

from __future__ import annotations

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.actor import Actor
from core import times
from core.errors import Refusal
from core.paging import paginate
from registry import pack
from registry.history import intervals, on_day, targets, told
from registry.lifecycle import Stage
from registry.models import Model
from registry.past import find_past_model
from registry.references import target_named
from web.files import attachment
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of

_PER_PAGE = 25


@require_safe
@signed_in
def history(request: PageRequest, actor: Actor, name: str) -> HttpResponse:
    """What held a stage, or what an alias pointed at, newest first; and who held it on a day."""
    model = find_past_model(actor, name)
    target = target_named(request.GET.get("target") or Stage.PRODUCTION)
    page = paginate(
        intervals(model, target),
        order=("-started_at", "-id"),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["history", str(model.pk), target],
    )
    day = request.GET.get("on", "").strip()
    answer, refusal = _answer(model, target, day)
    context = {
        "model": model,
        "target": target,
        "targets": targets(model, target),
        "rows": told(page.items),
        "page": page,
        "day": day,
        "answer": answer,
        "refusal": refusal,
    }
    return show(request, "registry/history.html", context, status=status_of(refusal) if refusal else 200)


@require_safe
@signed_in
def evidence(request: PageRequest, actor: Actor, name: str, number: str) -> HttpResponseBase:
    """The evidence pack of a version, to be saved."""
    packed = pack.packed(actor, name, number)
    return attachment(packed.file, name=packed.name, size=packed.size, kind="application/zip")


@require_safe
@signed_in
def evidence_page(request: PageRequest, actor: Actor, name: str, number: str) -> HttpResponse:
    """What the evidence pack tells, as a page to be read or printed."""
    return show(request, "registry/evidence.html", {**pack.shown(actor, name, number), "now": timezone.now()})


def _answer(model: Model, target: str, day: str) -> tuple[str, Refusal | None]:
    """In a sentence, who held the target on the day; or why that cannot be said."""
    if not day:
        return "", None
    try:
        return on_day(model, target, *times.past_day("on", day)), None
    except Refusal as refusal:
        return "", refusal
