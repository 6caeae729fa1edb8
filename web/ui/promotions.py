"""The page of a promotion, and what one can do to it there."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts.actor import Actor
from core.errors import NotFound, Refusal
from registry.discussion import discussion
from registry.errors import EvidenceChanged
from registry.hindsight import hindsight
from registry.lifecycle import State
from registry.models import Promotion
from registry.review import changed_since, moved_since, review
from registry.services import afterwards, promotions
from web.ui.desk import PageRequest, show, signed_in
from web.ui.discussion import ACTS
from web.ui.errors import status_of

_STAMP = 200  # characters of what the page sends back of itself, at most
# What people write into the forms, to be shown again when it is refused.
_TYPED = ("comment", "reason", "text", "comment_id", "reviewers", "note", "agrees")


def _approve(request: PageRequest, actor: Actor, promotion_id: uuid.UUID) -> Promotion:
    evidence, comment = request.POST.get("evidence", ""), request.POST.get("comment", "")
    return promotions.approve(actor, promotion_id, evidence=evidence, comment=comment)


def _reject(request: PageRequest, actor: Actor, promotion_id: uuid.UUID) -> Promotion:
    return promotions.reject(actor, promotion_id, reason=request.POST.get("reason", ""))


def _withdraw(request: PageRequest, actor: Actor, promotion_id: uuid.UUID) -> Promotion:
    return promotions.withdraw(actor, promotion_id, reason=request.POST.get("reason", ""))


def _bypass(request: PageRequest, actor: Actor, promotion_id: uuid.UUID) -> Promotion:
    return promotions.bypass(actor, promotion_id, reason=request.POST.get("reason", ""))


def _reopen(request: PageRequest, actor: Actor, promotion_id: uuid.UUID) -> Promotion:
    return promotions.reopen(actor, promotion_id, reason=request.POST.get("reason", ""))


def _review_afterwards(request: PageRequest, actor: Actor, promotion_id: uuid.UUID) -> Promotion:
    agrees, note = request.POST.get("agrees") == "yes", request.POST.get("note", "")
    return afterwards.review_afterwards(actor, promotion_id, agrees=agrees, note=note)


def _revalidate(request: PageRequest, actor: Actor, promotion_id: uuid.UUID) -> Promotion:
    return afterwards.revalidate(actor, promotion_id, comment=request.POST.get("comment", ""))


_ACTS: dict[str, Callable[[PageRequest, Actor, uuid.UUID], Promotion]] = {
    "approve": _approve,
    "reject": _reject,
    "withdraw": _withdraw,
    "bypass": _bypass,
    "reopen": _reopen,
    "review": _review_afterwards,
    "revalidate": _revalidate,
}


class NoSuchAct(NotFound):
    """One cannot {act!r} a promotion: approve, reject, withdraw, bypass or reopen it, comment on it, review it
    afterwards or vouch for it anew."""


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def promotion(request: PageRequest, actor: Actor, promotion_id: uuid.UUID) -> HttpResponse:
    """One promotion: its evidence, the forms to decide on it, and what is said about it."""
    if request.method != "POST":
        return _page(request, actor, promotion_id)
    act = request.POST.get("act", "")
    if act not in _ACTS and act not in ACTS:
        raise NoSuchAct(act=act)
    try:
        told, at = _done(request, actor, promotion_id, act)
    except Refusal as refusal:
        return _page(request, actor, promotion_id, act=act, refusal=refusal)
    messages.success(request, told)
    return redirect(f"{reverse('promotion', args=[promotion_id])}{at}")


def _done(request: PageRequest, actor: Actor, promotion_id: uuid.UUID, act: str) -> tuple[str, str]:
    """Do `act`; what to tell, and the place on the page to go on at."""
    if act in _ACTS:
        return _told(_ACTS[act](request, actor, promotion_id), act), ""
    return ACTS[act](request, actor, promotion_id), "#reviewers" if act in ("ask", "unask") else "#discussion"


def _page(
    request: PageRequest,
    actor: Actor,
    promotion_id: uuid.UUID,
    *,
    act: str = "",
    refusal: Refusal | None = None,
) -> HttpResponse:
    changed = ""
    if isinstance(refusal, EvidenceChanged):
        changed = changed_since(actor, promotion_id, request.POST.get("evidence", ""), _looked_at(request))
    shown = review(actor, promotion_id)
    talk = discussion(actor, shown.promotion, token=request.GET.get("page", ""))
    stamp = request.GET.get("seen", "") or shown.stamp
    compared = shown.comparison
    context = {
        "review": shown,
        "seen": stamp[:_STAMP],
        "moved": moved_since(stamp, shown),
        "differing": {
            "metrics": sum(row.changed for row in compared.metrics),
            "words": compared.description.added + compared.description.removed,
        },
        "after": hindsight(actor, shown.promotion),
        "talk": talk,
        "page": talk.page,
        "act": act,
        "refusal": refusal,
        "changed": changed,
        "typed": {name: request.POST.get(name, "") for name in _TYPED},
    }
    return show(request, "registry/promotion.html", context, status=status_of(refusal) if refusal else 200)


def _looked_at(request: PageRequest) -> object:
    """The evidence as the form held it, None when it is no JSON; nothing is decided by it."""
    try:
        return json.loads(request.POST.get("looked_at", ""))
    except (ValueError, RecursionError):
        return None


def _told(decided: Promotion, act: str) -> str:
    version = f"v{decided.version.number}"
    if act == "review":
        return "You have reviewed it afterwards."
    if act == "revalidate":
        return f"You vouched for {version} anew."
    if decided.state == State.PROMOTED:
        return f"{version} is in {decided.target} now{', past its policy' if decided.bypass else ''}."
    if act == "reopen":
        return f"The promotion of {version} to {decided.target} is open again."
    if decided.state == State.OPEN:
        return f"You approved {version}. It goes through once nothing is missing any more."
    return f"The promotion of {version} to {decided.target} is {decided.state}."
