"""The page of one delivery: every attempt, and what would be sent now."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from accounts.actor import Actor
from accounts.roles import Action
from core.errors import NotFound, Refusal
from core.paging import paginate
from registry import queries
from registry.delivery_log import body_now, delivery_rows, find_in_log
from registry.services import redelivery
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of

_PER_PAGE = 25


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def delivery(request: PageRequest, actor: Actor, webhook_id: uuid.UUID, delivery_id: uuid.UUID) -> HttpResponse:
    """One delivery with its attempts, the newest first; sends it again."""
    if request.method != "POST":
        return _page(request, actor, webhook_id, delivery_id)
    queries.find_delivery(queries.find_webhook(actor, webhook_id), delivery_id)
    try:
        redelivery.redeliver(actor, delivery_id)
    except NotFound:
        raise
    except Refusal as refusal:
        return _page(request, actor, webhook_id, delivery_id, refusal=refusal)
    messages.success(request, "It is sent again.")
    return redirect("delivery", webhook_id, delivery_id)


def _page(
    request: PageRequest,
    actor: Actor,
    webhook_id: uuid.UUID,
    delivery_id: uuid.UUID,
    *,
    refusal: Refusal | None = None,
) -> HttpResponse:
    webhook = queries.find_webhook(actor, webhook_id)
    found = find_in_log(webhook, delivery_id)
    page = paginate(
        queries.attempts(found),
        order=("-number",),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["attempts", str(found.pk)],
    )
    body, no_body = body_now(webhook, found)
    [row] = delivery_rows(webhook, [found])
    answers = actor.may(Action.READ_ANSWERS, webhook.model_id)
    context = {
        "webhook": webhook,
        "row": row,
        "delivery": found,
        "page": page,
        "answers": answers,
        "tries": [(attempt, attempt.shown_headers(whole=answers)) for attempt in page.items],
        "body": body,
        "no_body": no_body,
        "refusal": refusal,
    }
    return show(request, "registry/delivery.html", context, status=status_of(refusal) if refusal else 200)
