"""The pages of models and versions."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.actor import Actor
from accounts.queries import recent_entries
from accounts.roles import Action
from core.errors import Refusal
from core.paging import paginate
from registry import overview, shelf
from registry.headline import headlines, wanted
from registry.lanes import Stay, places
from registry.lifecycle import State
from registry.queries import versions
from registry.ruling import rulings
from registry.services import promotions, rollback
from web.files import download
from web.ui import plots, snippets
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of
from web.ui.sparks import spark
from web.ui.timeline import timeline

_PER_PAGE = 25
_ACTIVITY = 12


@require_safe
@signed_in
def models(request: PageRequest, actor: Actor) -> HttpResponse:
    """The models of the workspace, last changed first."""
    typed = {field: request.GET.get(field, "").strip() for field in ("q", "tag", "owner", "stage")}
    search = shelf.Search.asked(**typed)
    page = paginate(
        shelf.models(actor, search),
        order=("-updated_at", "-id"),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["models", actor.workspace_id, typed],
    )
    rows = shelf.rows(page.items)
    context = {
        "rows": rows,
        "sparks": {row.model.pk: spark(row.headline) for row in rows if row.headline},
        "page": page,
        "search": search,
        "typed": typed,
        "stages": shelf.SERVING,
        "snippets": snippets.first_model(),
        "may_create": actor.may(Action.CREATE_MODEL),
    }
    return show(request, "registry/models.html", context)


@require_safe
@signed_in
def model(request: PageRequest, actor: Actor, name: str) -> HttpResponse:
    """One model: what is in which stage, its versions, what happened lately."""
    return _model_page(request, actor, name)


@require_POST
@signed_in
def roll_back(request: PageRequest, actor: Actor, name: str) -> HttpResponse:
    """Put an earlier version into a stage, or under an alias, again."""
    target, to = request.POST.get("target", ""), request.POST.get("to") or None
    try:
        done = rollback.roll_back(actor, name, target, to=to, reason=request.POST.get("reason", ""))
    except Refusal as refusal:
        return _model_page(request, actor, name, refusal=refusal)
    messages.success(
        request, f"v{done.version.number} is in {done.target} again. Somebody else looks at it afterwards."
    )
    return redirect(done.page)


def _model_page(request: PageRequest, actor: Actor, name: str, *, refusal: Refusal | None = None) -> HttpResponse:
    shown = overview.find_shown(actor, name)
    found = shown.model
    page = paginate(
        versions(actor).filter(model=found).prefetch_related(None),
        order=("-number",),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["versions", str(found.pk)],
    )
    there = places(found)
    ruled = rulings(found)
    until = page.items[0].number if page.items else 0
    line = headlines({found.pk: wanted(shown.headline_tag, ruled, until=until)}, over=_PER_PAGE).get(found.pk)
    context = {
        "model": found,
        "tags": shown.tags,
        "following": shown.following,
        "places": there,
        "aliases_of": _by_version(there.aliases),
        "history": timeline(found.name, there.lanes, timezone.now()),
        "ways_back": overview.ways_back(found, there.holders()) if actor.may(Action.ROLL_BACK, found.pk) else {},
        "refusal": refusal,
        "typed": {field: request.POST.get(field, "") for field in ("target", "to", "reason")},
        "page": page,
        "headline": line,
        "measured": line.by_number if line else {},
        "spark": spark(line) if line else "",
        "open_promotions": overview.open_promotions(found),
        "rulings": [now for now in ruled.values() if now.policy or not now.free],
        "activity": recent_entries(actor, found.pk, limit=_ACTIVITY),
        "sees_all_activity": actor.may(Action.READ_AUDIT, found.pk),
        "snippets": snippets.first_version(found.name),
        "may_register": actor.may(Action.REGISTER_VERSION, found.pk),
    }
    return show(request, "registry/model.html", context, status=status_of(refusal) if refusal else 200)


def _by_version(aliases: Iterable[Stay]) -> dict[uuid.UUID, list[Stay]]:
    """The aliases of a model by the version that each points at."""
    found: dict[uuid.UUID, list[Stay]] = {}
    for alias in aliases:
        found.setdefault(alias.version_id, []).append(alias)
    return found


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def version(request: PageRequest, actor: Actor, name: str, number: str) -> HttpResponse:
    """One version, and asking for it to be moved to a stage."""
    if request.method == "POST":
        return _ask(request, actor, name, number)
    return _version_page(request, actor, name, number)


@require_safe
@signed_in
def file(request: PageRequest, actor: Actor, name: str, number: str, path: str) -> HttpResponseBase:
    """A file of a version, to be saved and never shown by the browser."""
    found = overview.find_file(actor, name, number, path)
    return download(request, sha256=found.sha256, size=found.size, name=found.path)


def _ask(request: PageRequest, actor: Actor, name: str, number: str) -> HttpResponse:
    stage, comment = request.POST.get("stage", ""), request.POST.get("comment", "")
    try:
        promotion = promotions.request(actor, name, number, stage, comment=comment)
    except Refusal as refusal:
        return _version_page(request, actor, name, number, refusal=refusal, stage=stage, comment=comment)
    if promotion.state == State.PROMOTED:
        messages.success(request, f"v{promotion.version.number} is in {promotion.target} now.")
        return redirect("version", name=name, number=number)
    messages.success(request, "You asked for it. Somebody who had no part in it can now vouch for it.")
    return redirect(promotion.page)


def _version_page(
    request: PageRequest,
    actor: Actor,
    name: str,
    number: str,
    *,
    refusal: Refusal | None = None,
    stage: str = "",
    comment: str = "",
) -> HttpResponse:
    shown = overview.find_shown_version(actor, name, number)
    found = shown.version
    details = overview.version_details(found)
    drawn = (
        plots.shown([(details.run.run_id, f"v{found.number}")], request.GET.getlist("metrics")) if details.run else None
    )
    context = {
        "version": found,
        "model": found.model,
        "tags": shown.tags,
        "aliases": shown.aliases,
        "details": details,
        "drawn": drawn,
        "ways_to_load": snippets.load(found, next(iter(details.files), None), shown.aliases),
        "may_ask": actor.may(Action.REQUEST_PROMOTION, found.model_id),
        "may_read_audit": actor.may(Action.READ_AUDIT, found.model_id),
        "refusal": refusal,
        "asked_stage": stage,
        "comment": comment,
    }
    return show(request, "registry/version.html", context, status=status_of(refusal) if refusal else 200)
