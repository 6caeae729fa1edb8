"""The page of one's own API tokens, and for administrators of those of somebody else."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods

from accounts.actor import Actor
from accounts.models import Token, User, UserKind
from accounts.queries import tokens_of
from accounts.roles import Scope
from accounts.services import people
from accounts.services import tokens as service
from accounts.services.tokens import BadLifetime, Issued, TokenNotFound
from core.errors import Refusal
from core.paging import paginate
from lineage.queries import as_uuid
from web.ui import role_words
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of
from web.ui.snippets import Snippet, set_token

_PER_PAGE = 25
_LIFETIMES = (7, 30, 90, 180, 365)


@dataclass(frozen=True)
class Row:
    """A token, what it may do in words, and how it stands."""

    token: Token
    may: list[tuple[str, str]]
    living: bool

    @property
    def stops(self) -> str:
        """What revoking it stops, as the end of a sentence."""
        return "; ".join(words for _, words in self.may)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def tokens(request: PageRequest, actor: Actor) -> HttpResponse:
    """The person's tokens for this workspace; makes one, which is shown this once, and revokes one.

    With `of` those of somebody whom an administrator looks after: he makes them for service accounts.
    """
    of = request.GET.get("of", "").strip()
    owner = people.find_user(actor, of) if of and of.lower() != actor.username.lower() else None
    if request.method != "POST":
        return _page(request, actor, owner)
    if request.POST.get("act") == "revoke":
        return _revoke(request, actor, owner)
    try:
        issued = service.create(
            actor,
            owner=owner,
            name=request.POST.get("name", "").strip(),
            scopes=request.POST.getlist("scopes"),
            days=_days(request),
            model_glob=request.POST.get("model_glob", "").strip(),
        )
    except Refusal as refusal:
        return _page(request, actor, owner, refusal=refusal)
    return _page(request, actor, owner, issued=issued)


def _revoke(request: PageRequest, actor: Actor, owner: User | None) -> HttpResponse:
    token_id = as_uuid(request.POST.get("token", ""))
    if token_id is None:
        raise TokenNotFound(token_id=request.POST.get("token", ""))
    token = service.revoke(actor, token_id)
    messages.success(request, f"The token {token.name} is revoked. What uses it is refused from now on.")
    return redirect(_address(owner))


def _address(owner: User | None) -> str:
    """The path of this page."""
    return reverse("tokens") + (f"?{urlencode({'of': owner.username})}" if owner else "")


def _days(request: PageRequest) -> int:
    typed = request.POST.get("days", "").strip()
    if not (typed.isascii() and typed.isdecimal() and len(typed) < 6):
        raise BadLifetime(value=repr(typed))
    return int(typed)


def _page(
    request: PageRequest,
    actor: Actor,
    owner: User | None,
    *,
    issued: Issued | None = None,
    refusal: Refusal | None = None,
) -> HttpResponse:
    page = paginate(
        service.visible(actor).filter(user=owner) if owner else tokens_of(actor),
        order=("-created_at", "-id"),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["tokens", owner.pk if owner else actor.user_id, actor.workspace_id],
    )
    now = timezone.now()
    again = request.POST if refusal else {}
    context = {
        "page": page,
        "rows": [_row(token, now) for token in page.items],
        "owner": owner,
        "makes": owner is None or owner.kind == UserKind.SERVICE,
        "here": _address(owner),
        "issued": issued,
        "plain": [Snippet("Token", issued.plain)] if issued else [],
        "how": set_token(),
        "refusal": refusal,
        "now": now,
        "scopes": role_words.SCOPES.items(),
        "usable": role_words.usable(actor) if owner is None else frozenset(Scope),
        "lifetimes": _LIFETIMES,
        "wrong": refusal.at_field or "" if refusal else "",
        "chosen": request.POST.getlist("scopes") if refusal else [scope.value for scope in service.DEFAULT_SCOPES],
        "typed": {
            "name": again.get("name", ""),
            "days": again.get("days", "90"),
            "model_glob": again.get("model_glob", ""),
        },
    }
    response = show(request, "accounts/tokens.html", context, status=status_of(refusal) if refusal else 200)
    if issued:
        patch_cache_control(response, no_store=True)
    return response


def _row(token: Token, now: datetime.datetime) -> Row:
    may = [(scope, role_words.SCOPES[Scope(scope)]) for scope in token.scopes if scope in set(Scope)]
    return Row(token, may, living=token.revoked_at is None and token.expires_at > now)
