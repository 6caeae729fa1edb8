"""The page of several versions of a model beside each other."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from accounts.actor import Actor
from core.errors import Refusal
from registry.models import Model
from registry.overview import find_shown
from registry.queries import versions
from registry.side_by_side import AXES, SideBySide, named, numbers, side_by_side
from web.ui.charts import Across, parallel
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of

_OFFERED = 50  # the newest versions, where one chooses again


@require_safe
@signed_in
def compare(request: PageRequest, actor: Actor, name: str) -> HttpResponse:
    """`?versions=3,5,7`: their metrics across parallel axes, chosen by `axes`, and in a table with all the rest."""
    model = find_shown(actor, name).model
    try:
        beside = side_by_side(
            actor,
            model,
            numbers(request.GET.getlist("versions")),
            [axis for axis in request.GET.getlist("axes") if axis],
        )
    except Refusal as refusal:
        return _choose(request, actor, model, refusal)
    context = {
        "model": model,
        "beside": beside,
        "numbers": [side.version.number for side in beside.sides],
        "chart": _chart(beside),
        "drawn": [axis.key for axis in beside.axes],
        "most_axes": AXES,
    }
    return show(request, "registry/compare.html", context)


def _choose(request: PageRequest, actor: Actor, model: Model, refusal: Refusal) -> HttpResponse:
    """The page that says what cannot be compared, and offers the versions that can."""
    offered = versions(actor).filter(model=model).prefetch_related(None).order_by("-number")[:_OFFERED]
    context = {
        "model": model,
        "refusal": refusal,
        "offered": offered,
        "asked": named(request.GET.getlist("versions")),
    }
    return show(request, "registry/compare.html", context, status=status_of(refusal))


def _chart(beside: SideBySide) -> str:
    """The versions across the axes; empty for fewer than two, which are no lines."""
    if len(beside.axes) < 2:
        return ""
    rows = [
        Across(f"v{side.version.number}", [axis.values[place] for axis in beside.axes])
        for place, side in enumerate(beside.sides)
    ]
    names = " and ".join(row.label for row in rows)
    return parallel(f"{names} across {len(beside.axes)} metrics", [_brief(axis.key) for axis in beside.axes], rows)


def _brief(key: str) -> str:
    """So much of a metric's name as there is room for under its axis."""
    return key if len(key) <= 14 else f"{key[:6]}…{key[-6:]}"
