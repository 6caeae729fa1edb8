"""The review queue."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from accounts.actor import Actor
from accounts.roles import Action
from core.paging import paginate
from registry.queue import Lane, Queue, order
from web.ui import snippets
from web.ui.desk import PageRequest, show, signed_in

_PER_PAGE = 25


@require_safe
@signed_in
def reviews(request: PageRequest, actor: Actor) -> HttpResponse:
    """A lane of the queue: mine to decide, waiting on others, decided."""
    wanted = request.GET.get("show", "")
    lane = Lane(wanted) if wanted in set(Lane) else Lane.MINE
    queue = Queue(actor)
    page = paginate(
        queue.lane(lane),
        order=order(lane),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["reviews", lane, actor.workspace_id],
    )
    items = page.items
    if lane == Lane.MINE and not request.GET.get("page"):
        items = queue.asked_first(items)
    context = {
        "lane": lane,
        "counts": queue.counts(),
        "rows": queue.rows(items),
        "page": page,
        "snippets": snippets.ask_for_production(),
        "reviews": actor.may(Action.APPROVE_PROMOTION) or bool(actor.model_roles),
    }
    return show(request, "registry/reviews.html", context)
