"""Signing in and out, and choosing a workspace."""

from __future__ import annotations

import structlog
from django.contrib import messages
from django.contrib.auth import authenticate, login, logout
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_http_methods, require_POST

from accounts.actor import Actor
from accounts.models import User
from accounts.queries import WorkspaceNotFound
from accounts.roles import Action
from accounts.services import sign_in as sign_ins
from accounts.services.people import PeopleOnly
from web.auth import address_of
from web.ui import errors, throttle
from web.ui.desk import PageRequest, next_page, signed_in

log = structlog.get_logger()

_WRONG = "The user name or the password is wrong. Service accounts cannot sign in; they work with tokens."
_TOO_OFTEN = "Too many attempts. Wait a quarter of an hour, then try again."


@signed_in
def home(request: PageRequest, actor: Actor) -> HttpResponse:
    """To the queue for whoever reviews, else to the models."""
    reviews = actor.may(Action.APPROVE_PROMOTION) or any(
        actor.may(Action.APPROVE_PROMOTION, model_id) for model_id in actor.model_roles
    )
    return redirect("reviews" if reviews else "models")


@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """The form, and what it sends: the session begins anew and one goes on to `next`, if that is a page of ours."""
    try:
        if request.method == "POST":
            return _try(request)
        if request.user.is_authenticated:
            return redirect(next_page(request))
        return _form(request)
    except OperationalError as error:
        return errors.unavailable(request, error)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    messages.info(request, "You are signed out.")
    return redirect("sign-in")


@require_POST
@signed_in
def choose_workspace(request: PageRequest, actor: Actor) -> HttpResponse:
    """Go to another workspace of the person's; WorkspaceNotFound."""
    wanted = request.POST.get("workspace", "")
    if wanted not in {workspace.slug for workspace in request.desk.workspaces}:
        raise WorkspaceNotFound(slug=wanted)
    request.session["workspace"] = wanted
    return redirect("home")


def _try(request: HttpRequest) -> HttpResponse:
    username, password = request.POST.get("username", ""), request.POST.get("password", "")
    if len(username) > 150 or "\0" in username:
        username = ""  # nobody's; what follows takes the same time
    address = address_of(request)
    if not throttle.attempt(username, address):
        log.warning("sign-in throttled", username=username, address=address)
        response = _form(request, error=_TOO_OFTEN, status=429)
        response["Retry-After"] = str(throttle.WHILE)
        return response
    # Django hashes the password for unknown, disabled and service accounts too, so all take the same time.
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        log.warning("sign-in refused", username=username, address=address)
        return _form(request, error=_WRONG, status=403)
    try:
        actor = sign_ins.begin(user, address=address, request_id=getattr(request, "request_id", ""))
    except PeopleOnly:
        return _form(request, error=_WRONG, status=403)
    throttle.forget(username, address)
    login(request, user)  # under a new session key
    request.session["workspace"] = actor.workspace_slug
    return redirect(next_page(request))


def _form(request: HttpRequest, *, error: str = "", status: int = 200) -> HttpResponse:
    context = {"error": error, "username": request.POST.get("username", ""), "next": next_page(request)}
    response = render(request, "accounts/sign_in.html", context, status=status)
    patch_cache_control(response, private=True, no_store=True)
    return response
