"""The pages of webhooks: which there are, making and changing one, and what was sent to it."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_http_methods, require_safe

from accounts.actor import Actor
from accounts.permissions import require_anywhere
from accounts.roles import Action
from accounts.verbs import Verb
from core import text
from core.errors import NotFound, Refusal
from core.paging import paginate
from registry import queries
from registry.delivery_log import delivery_rows, log_of, webhook_rows
from registry.formats import Format, tells
from registry.models import Webhook
from registry.models.webhooks import DeliveryState
from registry.services import redelivery
from registry.services import webhooks as service
from registry.services.webhooks import Issued
from web.ui import snippets
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of
from web.ui.webhook_form import Typed, form_of

_PER_PAGE = 25
_ONE_SIGNATURE = frozenset({Format.MLFLOW, Format.DATABRICKS})


@require_safe
@signed_in
def webhooks(request: PageRequest, actor: Actor) -> HttpResponse:
    """The webhooks that the person may manage, the newest first."""
    require_anywhere(actor, Action.EDIT_WEBHOOK)
    page = paginate(
        queries.webhooks(actor),
        order=("-id",),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["webhooks", actor.workspace_id],
    )
    context = {"page": page, "rows": webhook_rows(page.items), "snippets": snippets.first_webhook()}
    return show(request, "registry/webhooks.html", context)


# --- Making and changing ----------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def new(request: PageRequest, actor: Actor) -> HttpResponse:
    """The form for a new webhook; makes it, and shows its secret this once."""
    require_anywhere(actor, Action.EDIT_WEBHOOK)
    if request.method != "POST":
        return _form(request, actor, Typed())
    typed = Typed.posted(request.POST)
    try:
        issued = service.create(
            actor,
            url=typed.url,
            scope=typed.scope,
            name=typed.name,
            description=typed.description,
            verbs=typed.heard,
            targets=typed.targets,
            format=typed.format,
        )
    except Refusal as refusal:
        return _form(request, actor, typed, refusal=refusal)
    return _issued(request, issued, "The webhook is made. Send a test to see that it arrives.")


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def edit(request: PageRequest, actor: Actor, webhook_id: uuid.UUID) -> HttpResponse:
    """The form to change one; what it is about and its format stay."""
    webhook = queries.find_webhook(actor, webhook_id)
    if webhook.retired_at:
        return redirect("webhook", webhook_id)
    if request.method != "POST":
        return _form(request, actor, Typed.of(webhook), webhook=webhook)
    typed = Typed.posted(request.POST)
    try:
        issued = service.update(
            actor,
            webhook_id,
            expected=typed.expected,
            url=typed.url,
            name=typed.name,
            description=typed.description,
            verbs=typed.heard,
            targets=typed.targets,
            owner=typed.owner or None,
        )
    except Refusal as refusal:
        return _form(request, actor, typed, webhook=webhook, refusal=refusal)
    return _issued(request, issued, "What you changed holds from the next event on.")


def _form(
    request: PageRequest,
    actor: Actor,
    typed: Typed,
    *,
    webhook: Webhook | None = None,
    refusal: Refusal | None = None,
) -> HttpResponse:
    context = {"form": form_of(actor, typed, webhook=webhook, refusal=refusal), "refusal": refusal, "webhook": webhook}
    return show(request, "registry/webhook_form.html", context, status=status_of(refusal) if refusal else 200)


def _issued(request: PageRequest, issued: Issued, told: str) -> HttpResponse:
    """Its secret if that is new, on a page that nobody keeps; else back to the webhook."""
    if not issued.secret:
        messages.success(request, told)
        return redirect("webhook", issued.webhook.pk)
    form = Format(issued.webhook.format)
    context = {
        "webhook": issued.webhook,
        "told": told,
        "plain": [snippets.Snippet("Secret", issued.secret)],
        "how": snippets.verify(form),
        "one_signature": form in _ONE_SIGNATURE,
    }
    response = show(request, "registry/webhook_secret.html", context)
    patch_cache_control(response, no_store=True)
    return response


# --- One of them ------------------------------------------------------------------------------------------------------


def _test(request: PageRequest, actor: Actor, webhook_id: uuid.UUID) -> HttpResponse:
    return redirect("delivery", webhook_id, redelivery.test(actor, webhook_id).pk)


def _enable(request: PageRequest, actor: Actor, webhook_id: uuid.UUID) -> HttpResponse:
    service.update(actor, webhook_id, active=True)
    messages.success(request, "It is active: what happens from now on is sent.")
    return redirect("webhook", webhook_id)


def _disable(request: PageRequest, actor: Actor, webhook_id: uuid.UUID) -> HttpResponse:
    service.update(actor, webhook_id, active=False)
    messages.success(request, "It is disabled: nothing is sent to it until somebody enables it.")
    return redirect("webhook", webhook_id)


def _rotate(request: PageRequest, actor: Actor, webhook_id: uuid.UUID) -> HttpResponse:
    return _issued(request, service.rotate(actor, webhook_id), "It has a new secret.")


def _delete(request: PageRequest, actor: Actor, webhook_id: uuid.UUID) -> HttpResponse:
    service.delete(actor, webhook_id)
    messages.success(request, "The webhook is deleted: nothing is sent to it any more.")
    return redirect("webhooks")


def _redeliver_failed(request: PageRequest, actor: Actor, webhook_id: uuid.UUID) -> HttpResponse:
    count = redelivery.redeliver_failed(actor, webhook_id, text.moment("since", request.POST.get("since", "").strip()))
    if count == redelivery.MOST:
        told = f"The oldest {count:,} are sent again, which is as many as go at once: repeat it for the rest."
    elif count:
        told = f"{count:,} {'deliveries are' if count > 1 else 'delivery is'} sent again."
    else:
        told = "Nothing that was owed since then has failed."
    messages.success(request, told)
    return redirect("webhook", webhook_id)


_ACTS: dict[str, Callable[[PageRequest, Actor, uuid.UUID], HttpResponse]] = {
    "test": _test,
    "enable": _enable,
    "disable": _disable,
    "rotate": _rotate,
    "delete": _delete,
    "redeliver": _redeliver_failed,
}


class NoSuchAct(NotFound):
    """One cannot {act!r} a webhook: test, enable, disable, rotate or delete it, or redeliver what has failed."""


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def webhook(request: PageRequest, actor: Actor, webhook_id: uuid.UUID) -> HttpResponse:
    """One webhook, what one can do to it, and its delivery log, the newest first."""
    if request.method != "POST":
        return _page(request, actor, webhook_id)
    act = request.POST.get("act", "")
    if act not in _ACTS:
        raise NoSuchAct(act=act)
    try:
        return _ACTS[act](request, actor, webhook_id)
    except NotFound:
        raise
    except Refusal as refusal:
        return _page(request, actor, webhook_id, refusal=refusal)


def _page(request: PageRequest, actor: Actor, webhook_id: uuid.UUID, *, refusal: Refusal | None = None) -> HttpResponse:
    found = queries.find_webhook(actor, webhook_id)
    asked = {name: request.GET.get(name, "").strip() for name in ("state", "type", "since")}
    state = asked["state"] if asked["state"] in set(DeliveryState) else ""
    verb = asked["type"] if asked["type"] in set(Verb) else ""
    since = None
    try:
        since = text.moment("since", asked["since"]) if asked["since"] else None
    except Refusal as unreadable:
        refusal = refusal or unreadable
    page = paginate(
        log_of(found, state=state, verb=verb, since=since),
        order=("-id",),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["deliveries", str(found.pk), state, verb, str(since)],
    )
    form = Format(found.format)
    rows = delivery_rows(found, page.items)
    context = {
        "webhook": found,
        "page": page,
        "rows": rows,
        "under_way": any(row.is_being_sent for row in rows),
        "state": state,
        "type": verb,
        "since": asked["since"],
        "again": request.POST.get("since", ""),
        "narrowed": bool(state or verb or since),
        "states": list(DeliveryState),
        "verbs": sorted(tells(form) | {Verb.WEBHOOK_TESTED}),
        "signs": form != Format.SLACK,
        "one_signature": form in _ONE_SIGNATURE,
        "now": timezone.now(),
        "refusal": refusal,
    }
    return show(request, "registry/webhook.html", context, status=status_of(refusal) if refusal else 200)
