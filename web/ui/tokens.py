"""The page of one's own API tokens."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_http_methods

from accounts.actor import Actor
from accounts.queries import tokens_of
from accounts.roles import Scope
from accounts.services import tokens as service
from accounts.services.tokens import BadLifetime, Issued, TokenNotFound
from core.errors import Refusal
from core.paging import paginate
from lineage.queries import as_uuid
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of
from web.ui.snippets import Snippet, set_token

_PER_PAGE = 25
_SCOPES = (
    (Scope.READ, "see models, versions and files, and load them"),
    (Scope.REGISTER, "log runs, upload files, register models and versions, set tags and aliases"),
    (Scope.REQUEST, "ask for a stage"),
    (Scope.REVIEW, "approve and reject"),
    (Scope.WEBHOOK, "set up webhooks"),
    (Scope.ADMIN, "users, grants, bypasses"),
)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def tokens(request: PageRequest, actor: Actor) -> HttpResponse:
    """The person's tokens for this workspace; makes one, which is shown this once, and revokes one."""
    if request.method != "POST":
        return _page(request, actor)
    if request.POST.get("act") == "revoke":
        return _revoke(request, actor)
    try:
        issued = service.create(
            actor,
            name=request.POST.get("name", "").strip(),
            scopes=request.POST.getlist("scopes"),
            days=_days(request),
            model_glob=request.POST.get("model_glob", "").strip(),
        )
    except Refusal as refusal:
        return _page(request, actor, refusal=refusal)
    return _page(request, actor, issued=issued)


def _revoke(request: PageRequest, actor: Actor) -> HttpResponse:
    token_id = as_uuid(request.POST.get("token", ""))
    if token_id is None:
        raise TokenNotFound(token_id=request.POST.get("token", ""))
    token = service.revoke(actor, token_id)
    messages.success(request, f"The token {token.name} is revoked. What uses it is refused from now on.")
    return redirect("tokens")


def _days(request: PageRequest) -> int:
    typed = request.POST.get("days", "").strip()
    if not (typed.isascii() and typed.isdecimal() and len(typed) < 6):
        raise BadLifetime(value=repr(typed))
    return int(typed)


def _page(
    request: PageRequest, actor: Actor, *, issued: Issued | None = None, refusal: Refusal | None = None
) -> HttpResponse:
    page = paginate(
        tokens_of(actor),
        order=("-created_at", "-id"),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["tokens", actor.user_id, actor.workspace_id],
    )
    again = request.POST if refusal else {}
    context = {
        "page": page,
        "issued": issued,
        "plain": [Snippet("Token", issued.plain)] if issued else [],
        "how": set_token(),
        "refusal": refusal,
        "now": timezone.now(),
        "scopes": _SCOPES,
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
