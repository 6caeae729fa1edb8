"""What one can say on the page of a promotion, and whom one can ask to review it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from accounts.actor import Actor
from registry.errors import CommentNotFound
from registry.queries import find_promotion
from registry.services import discussion
from web.ui.desk import PageRequest

Act = Callable[[PageRequest, Actor, uuid.UUID], str]


def _comment(request: PageRequest, actor: Actor, promotion_id: uuid.UUID) -> str:
    found = find_promotion(actor, promotion_id)
    discussion.comment(
        actor, found.model.name, found.version.number, request.POST.get("text", ""), promotion=promotion_id
    )
    return "You said something."


def _edit(request: PageRequest, actor: Actor, promotion_id: uuid.UUID) -> str:
    discussion.edit(actor, _named(request), request.POST.get("text", ""))
    return "Your comment was changed."


def _delete(request: PageRequest, actor: Actor, promotion_id: uuid.UUID) -> str:
    discussion.delete(actor, _named(request))
    return "The comment was deleted."


def _ask(request: PageRequest, actor: Actor, promotion_id: uuid.UUID) -> str:
    names = [name.removeprefix("@") for name in re.split(r"[\s,]+", request.POST.get("reviewers", "")) if name]
    discussion.request_review(actor, promotion_id, names)
    return f"Asked to review it: {', '.join(names)}." if names else "Nobody was named, so nobody was asked."


def _unask(request: PageRequest, actor: Actor, promotion_id: uuid.UUID) -> str:
    name = request.POST.get("reviewer", "")
    discussion.unask(actor, promotion_id, name)
    return f"Not asked any more: {name}."


def _named(request: PageRequest) -> uuid.UUID:
    value = request.POST.get("comment_id", "")
    try:
        return uuid.UUID(value)
    except ValueError:
        raise CommentNotFound(comment=value) from None


# By their name in a form; each answers with what to tell.
ACTS: dict[str, Act] = {
    "comment": _comment,
    "edit-comment": _edit,
    "delete-comment": _delete,
    "ask": _ask,
    "unask": _unask,
}
