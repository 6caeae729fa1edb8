"""How one is told of what happens: the page of one's settings, and following a model from its page."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from accounts.actor import Actor
from core.errors import Refusal
from core.paging import paginate
from registry.models import MailWhen
from registry.services import subscriptions
from registry.services.notices import mail_is_on
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of

_PER_PAGE = 50
_RECENT = 20
_SAID = {
    "follow": "You follow {} now.",
    "mute": "You have muted {}: nothing is told of it, also when somebody asks you by name.",
    "leave": "You neither follow {} nor have you muted it.",
}


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def notifications(request: PageRequest, actor: Actor) -> HttpResponse:
    """How the person is told, which models he follows or has muted, and what he was told lately."""
    if request.method != "POST":
        return _page(request, actor)
    url = request.POST.get("slack_url", "").strip()
    forget = "" if request.POST.get("forget_slack") else None
    try:
        subscriptions.change(
            actor,
            mail=request.POST.get("mail", ""),
            muted="muted" in request.POST,
            slack_url=url or forget,
        )
    except Refusal as refusal:
        return _page(request, actor, refusal=refusal)
    messages.success(request, "You are told as you chose from now on.")
    return redirect("notifications")


@require_POST
@signed_in
def follow(request: PageRequest, actor: Actor, name: str) -> HttpResponse:
    """Follow a model, mute it, or do neither any more; back to where the button was."""
    act = request.POST.get("act", "")
    if act == "leave":
        subscriptions.unfollow(actor, name)
    elif act in _SAID:
        subscriptions.follow(actor, name, muted=act == "mute")
    if act in _SAID:
        messages.success(request, _SAID[act].format(name))
    return redirect("notifications") if request.POST.get("back") == "notifications" else redirect("model", name=name)


def _page(request: PageRequest, actor: Actor, *, refusal: Refusal | None = None) -> HttpResponse:
    page = paginate(
        subscriptions.followings(actor),
        order=("-id",),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["following", actor.user_id, actor.workspace_id],
    )
    wishes = subscriptions.settings_of(actor)
    context = {
        "refusal": refusal,
        "wishes": wishes,
        "chosen": request.POST.get("mail") if refusal else wishes.mail,
        "muted": "muted" in request.POST if refusal else wishes.muted,
        "typed_url": request.POST.get("slack_url", "") if refusal else "",
        "ways": _ways(),
        "mail_is_on": mail_is_on(),
        "cap": settings.VOUCH_MAILS_PER_DAY,
        "page": page,
        "recent": subscriptions.recent(actor).order_by("-entry_id", "-id")[:_RECENT],
    }
    return show(request, "accounts/notifications.html", context, status=status_of(refusal) if refusal else 200)


def _ways() -> list[tuple[str, str, str]]:
    """Each choice for mail, its words, and what it means."""
    return [
        (MailWhen.AT_ONCE, "At once", "one mail for each event"),
        (MailWhen.DIGEST, "Once a day", f"all in one, at {settings.VOUCH_DIGEST_HOUR}:00 UTC"),
        (MailWhen.NEVER, "Never", "no mail at all"),
    ]
