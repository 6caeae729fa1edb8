"""The person's own account: name, password, roles, teams, and where he signed in."""

from __future__ import annotations

import structlog
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from accounts import members, queries
from accounts.actor import Actor
from accounts.services import own
from core.errors import Conflict, Invalid, Refusal
from web.auth import address_of
from web.ui import throttle
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of
from web.ui.members import NoSuchAct

log = structlog.get_logger()

_MODELS_SHOWN = 25
_SIGN_INS_SHOWN = 5


class NotTheSame(Invalid):
    """The new password is not the same in both fields: type it again."""

    field = "again"


class TooOften(Conflict):
    """Too many attempts. Wait a quarter of an hour, then try again."""

    field = "current"


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def profile(request: PageRequest, actor: Actor) -> HttpResponse:
    """What Vouch knows of the person; changes his name and his password."""
    if request.method != "POST":
        return _page(request, actor)
    act = request.POST.get("act", "")
    try:
        if act == "name":
            own.change_name(actor, request.POST.get("display_name", "").strip())
            messages.success(request, "You are called so from now on.")
        elif act == "password":
            _change_password(request, actor)
        else:
            raise NoSuchAct(act=act)
    except (Invalid, Conflict) as refusal:
        return _page(request, actor, refusal=refusal, act=act)
    return redirect("profile")


def _change_password(request: PageRequest, actor: Actor) -> None:
    new = request.POST.get("password", "")
    if new != request.POST.get("again", ""):
        raise NotTheSame
    address = address_of(request)
    # As at the sign-in: whoever finds an open browser does not guess the password in it.
    if not throttle.attempt(actor.username, address):
        log.warning("change of password throttled", username=actor.username, address=address)
        raise TooOften
    user = own.change_password(actor, request.POST.get("current", ""), new)
    throttle.forget(actor.username, address)
    update_session_auth_hash(request, user)
    messages.success(request, "Your password is changed. You are signed out everywhere but here.")


def _page(request: PageRequest, actor: Actor, *, refusal: Refusal | None = None, act: str = "") -> HttpResponse:
    user = queries.user_of(actor)
    [row] = members.rows(actor, [user])
    for_models = list(members.grants_for_models(actor, user).order_by("model__name")[:_MODELS_SHOWN])
    context = {
        "person": user,
        "held": row.held,
        "teams": members.teams_of(actor, user),
        "for_models": for_models,
        "models_more": max(0, row.held.models - len(for_models)),
        "sign_ins": queries.sign_ins(actor, [space.pk for space in request.desk.workspaces], limit=_SIGN_INS_SHOWN),
        "refusal": refusal,
        "wrong": refusal.at_field or "" if refusal else "",
        "act": act,
        "display_name": request.POST.get("display_name", "") if act == "name" else user.display_name,
    }
    return show(request, "accounts/profile.html", context, status=status_of(refusal) if refusal else 200)
