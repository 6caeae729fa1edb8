"""The review queue."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from accounts.actor import Actor
from accounts.roles import Action
from core.paging import paginate
from registry.lifecycle import Stage
from registry.policy import ALIAS_MARK
from registry.queue import Filters, Lane, Queue, order
from web.ui import snippets
from web.ui.desk import PageRequest, show, signed_in

_PER_PAGE = 25
_TITLES = {
    Lane.MINE: "For you to decide",
    Lane.WAITING: "Waiting for others",
    Lane.BLOCKED: "Blocked",
    Lane.AFTERWARDS: "To look at afterwards",
    Lane.DECIDED: "Decided",
}
_TARGETS = [(Stage.PRODUCTION, "Production"), (Stage.STAGING, "Staging"), (Stage.ARCHIVED, "Archived")]


@require_safe
@signed_in
def reviews(request: PageRequest, actor: Actor) -> HttpResponse:
    """A lane of the queue: mine to decide, waiting on others, held by a gate, to look at afterwards, decided."""
    wanted = request.GET.get("show", "")
    lane = Lane(wanted) if wanted in set(Lane) else Lane.MINE
    filters = Filters.of(**{name: request.GET.get(name, "") for name in ("model", "target", "requester")})
    queue = Queue(actor, filters)
    page = paginate(
        queue.lane(lane),
        order=order(lane),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["reviews", lane, actor.workspace_id, filters.model, filters.target, filters.requester],
    )
    items = page.items
    if lane == Lane.MINE and not request.GET.get("page"):
        items = queue.asked_first(items)
    counts = queue.counts()
    context = {
        "lane": lane,
        "lanes": [(each, _TITLES[each], _address(each, filters), getattr(counts, each, None)) for each in Lane],
        "filters": filters,
        "targets": [*_TARGETS, (ALIAS_MARK, "any alias")],
        "lane_counts": counts,
        "rows": queue.rows(items),
        "page": page,
        "snippets": snippets.ask_for_production(),
        "reviews": actor.may_somewhere(Action.APPROVE_PROMOTION),
    }
    if not filters:
        context["counts"] = counts
    return show(request, "registry/reviews.html", context)


def _address(lane: Lane, filters: Filters) -> str:
    """The query string of a lane, narrowed as this one is."""
    said = {"show": "" if lane == Lane.MINE else lane, **vars(filters)}
    return "?" + urlencode({name: value for name, value in said.items() if value})
