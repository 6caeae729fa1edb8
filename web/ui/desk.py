"""Who sits at the desk: the signed-in person in a workspace, for every page; and the frame that pages are shown in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.http import url_has_allowed_host_and_scheme, urlencode

from accounts import queries
from accounts.actor import Actor
from accounts.models import Workspace
from accounts.roles import Action
from core.errors import Refusal
from lineage.storage.blobs import StoreFails
from registry.queue import Queue
from web.auth import address_of
from web.ui import errors

P = ParamSpec("P")
_RENEW_AFTER = 600  # seconds; a session ends twelve hours after the last page, give or take this much


@dataclass(frozen=True)
class Desk:
    """What the frame of a page shows of the person."""

    actor: Actor
    workspaces: list[Workspace]


class PageRequest(HttpRequest):
    """A request for which `signed_in` has found out who is asking."""

    desk: Desk
    request_id: str


def signed_in(
    view: Callable[Concatenate[PageRequest, Actor, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Turns `view(request, actor, …)` into a page for people: signs in first, and answers refusals with a page.

    Only the session counts; a token that is sent along is not looked at.
    """

    @wraps(view)
    def page(request: PageRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            user = request.user
            if not user.is_authenticated:
                # A part of a page that looks again: the sign-in page in its place would take away what is typed there.
                return HttpResponse(status=401) if _is_part(request) else to_sign_in(request)
            workspaces, actor = queries.signed_in(
                user,
                request.session.get("workspace", ""),
                address=address_of(request),
                request_id=request.request_id,
            )
            if actor is None:
                return errors.nowhere(request)
            _renew(request)
            request.desk = Desk(actor, workspaces)
            return view(request, actor, *args, **kwargs)
        except Refusal as refusal:
            return errors.refused(request, refusal)
        except OperationalError as error:
            return errors.unavailable(request, error)
        except StoreFails as error:
            return errors.store_fails(request, error)

    return page  # type: ignore[return-value]


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """To the sign-in page, which leads back here."""
    return redirect(f"{reverse('sign-in')}?{urlencode({'next': request.get_full_path()})}")


def next_page(request: HttpRequest) -> str:
    """Where to go on after a form: the path of this host that it names as `next`, else the start."""
    wanted = request.POST.get("next") or request.GET.get("next") or "/"
    safe = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) and wanted.startswith("/")
    return wanted if safe and not any(ord(character) < 32 for character in wanted) else "/"


def show(request: PageRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """The page in its frame. It is kept by nobody but the person's own browser, which asks before it shows it again."""
    actor = request.desk.actor
    counts = context.get("counts")
    frame = {
        "desk": request.desk,
        "actor": actor,
        "manages_webhooks": actor.may_somewhere(Action.EDIT_WEBHOOK),
        "manages_members": actor.may(Action.EDIT_GRANTS),
        "reads_audit": actor.may_somewhere(Action.READ_AUDIT),
        "to_decide": counts.mine if counts else Queue(actor).count_to_decide(),
    }
    response = render(request, template, {**frame, **context}, status=status)
    patch_cache_control(response, private=True, no_cache=True)
    return response


def _is_part(request: HttpRequest) -> bool:
    """Whether a page asks for a part of it, by a timer or as somebody types, and not the person for a page."""
    return request.headers.get("HX-Request") == "true"


def _renew(request: HttpRequest) -> None:
    if _is_part(request):
        return  # a page that looks again by itself, left open, would keep its session for ever
    now = int(time.time())
    if now - int(request.session.get("renewed", 0)) > _RENEW_AFTER:
        request.session["renewed"] = now
