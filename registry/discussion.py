"""What people say about a version, and who was asked to review a promotion of it, as a page shows it."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef

from accounts.actor import Actor
from accounts.roles import Action
from core.paging import Page, paginate
from registry.lifecycle import State
from registry.models import Comment, Promotion, ReviewRequest
from registry.outlook import may_ask_for_reviews
from registry.queries import comments, review_requests

_AT_ONCE = 50


@dataclass(frozen=True)
class Discussion:
    """A page of comments, the newest first; and what the one who looks may do."""

    page: Page[Comment]
    asked: tuple[ReviewRequest, ...]
    may_comment: bool
    may_moderate: bool
    may_ask: bool  # somebody to review it

    @property
    def comments(self) -> list[Comment]:
        """The comments of the page, the oldest first."""
        return self.page.items[::-1]


def may_edit(actor: Actor, comment: Comment) -> bool:
    """Whether the actor can put other words into the comment, whose version is loaded."""
    return comment.author_id == actor.user_id and _may_comment(actor, comment)


def may_delete(actor: Actor, comment: Comment) -> bool:
    """Whether the actor can take the comment away, whose version is loaded."""
    moderates = actor.may(Action.MODERATE_COMMENTS, comment.version.model_id)
    return (comment.author_id == actor.user_id or moderates) and _may_comment(actor, comment)


def _may_comment(actor: Actor, comment: Comment) -> bool:
    return comment.deleted_at is None and actor.may(Action.COMMENT, comment.version.model_id)


def discussion(actor: Actor, promotion: Promotion, *, token: str = "") -> Discussion:
    """The comments on the version of a visible promotion, `token` from the page after them; BadPageToken.

    At most three queries. Each comment has the names that it mentions as `mentioned`.
    """
    mentions = Comment.mentions.through.objects.filter(comment=OuterRef("pk")).values("user__username")
    said = comments(actor).filter(version=promotion.version_id).prefetch_related(None)
    said = said.annotate(mentioned=ArraySubquery(mentions))
    query = ["comments", str(promotion.version_id)]
    return Discussion(
        page=paginate(said, order=("-id",), size=_AT_ONCE, token=token, query=query),
        asked=tuple(review_requests(promotion)),
        may_comment=actor.may(Action.COMMENT, promotion.model_id) and promotion.version.deleted_at is None,
        may_moderate=actor.may(Action.MODERATE_COMMENTS, promotion.model_id),
        may_ask=promotion.state == State.OPEN and may_ask_for_reviews(actor, promotion),
    )
