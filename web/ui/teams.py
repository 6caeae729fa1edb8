"""The page of a team: who belongs to it, and what it holds."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from accounts import members as reads
from accounts.actor import Actor
from accounts.models import Team
from accounts.roles import Role
from accounts.services import people
from accounts.services import teams as service
from core.errors import Refusal
from core.paging import paginate
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of
from web.ui.members import NobodyNamed, NoSuchAct, field_of, give, roles_to_give, take

_PER_PAGE = 25
_MODELS_SHOWN = 50


def _add(request: PageRequest, actor: Actor, team: Team) -> None:
    username = request.POST.get("holder", "").strip()
    if not username:
        raise NobodyNamed
    service.add(actor, team.name, username)
    messages.success(request, f"{username} belongs to {team.name}, and holds what the team holds from now on.")


def _remove(request: PageRequest, actor: Actor, team: Team) -> None:
    username = request.POST.get("member", "")
    service.remove(actor, team.name, username)
    messages.success(request, f"{username} belongs to {team.name} no more, and keeps only what comes from elsewhere.")


def _give(request: PageRequest, actor: Actor, team: Team) -> None:
    give(request, actor, team_name=team.name)


def _take(request: PageRequest, actor: Actor, team: Team) -> None:
    take(request, actor)


_ACTS: dict[str, Callable[[PageRequest, Actor, Team], None]] = {
    "add": _add,
    "remove": _remove,
    "give": _give,
    "take": _take,
}


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def team(request: PageRequest, actor: Actor, name: str) -> HttpResponse:
    """One team; adds and removes members one by one, gives it roles and takes them."""
    found = reads.find_team(actor, name)
    if found is None:
        raise people.TeamNotFound(team=name)
    if request.method != "POST":
        return _page(request, actor, found)
    act = request.POST.get("act", "")
    if act not in _ACTS:
        raise NoSuchAct(act=act)
    try:
        _ACTS[act](request, actor, found)
    except Refusal as refusal:
        return _page(request, actor, found, refusal=refusal, act=act)
    return redirect("team", name=found.name)


def _page(
    request: PageRequest, actor: Actor, found: Team, *, refusal: Refusal | None = None, act: str = ""
) -> HttpResponse:
    [row] = reads.team_rows([found])
    page = paginate(
        found.members.all(),
        order=("username",),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["team", found.pk],
    )
    again = request.POST if refusal else {}
    roles = roles_to_give(actor)
    held = {Role(grant.role) for grant in row.grants}
    context = {
        "team": found,
        "row": row,
        "page": page,
        "for_models": reads.grants_for_models(actor, found).order_by("id")[:_MODELS_SHOWN],
        "models_more": max(0, row.models - _MODELS_SHOWN),
        "roles": roles,
        "may_take": [role for role, _ in roles],
        "may_change": held <= {role for role, _ in roles},
        "refusal": refusal,
        "wrong": field_of(refusal),
        "act": act,
        "typed": {name: again.get(name, "") for name in ("holder", "role", "model")},
    }
    return show(request, "accounts/team.html", context, status=status_of(refusal) if refusal else 200)
