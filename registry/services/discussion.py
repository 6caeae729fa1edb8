"""Comments on versions and promotions, and asking people to review."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable

from django.db import transaction
from django.db.models.functions import Lower
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import User, UserKind
from accounts.permissions import require
from accounts.queries import holders
from accounts.roles import Action, Role
from accounts.verbs import Verb
from core import text
from registry import mentions
from registry.errors import (
    CannotReview,
    CommentDeleted,
    CommentNotFound,
    EmptyComment,
    NoSuchReviewer,
    NotAsked,
    NotYourComment,
    NotYoursToAsk,
    PromotionClosed,
    PromotionNotFound,
    TooManyMentions,
    TooManyReviewers,
)
from registry.lifecycle import State
from registry.models import Comment, Model, Promotion, ReviewRequest
from registry.outbox import emit_all, emit_promotion, of_version
from registry.outlook import may_ask_for_reviews, outlooks
from registry.queries import find_comment
from registry.services.locks import locked_model, locked_promotion, version_of

COMMENT_LIMIT = 10_000
MENTIONS_LIMIT = 20
REVIEWERS_LIMIT = 20
_TOLD = 1000  # characters of a comment that an event carries


# --- Comments ---------------------------------------------------------------------------------------------------------


@transaction.atomic
def comment(
    actor: Actor, name: object, number: object, words: object, *, promotion: uuid.UUID | None = None
) -> Comment:
    """Say something about a version, or about one promotion of it.

    `@username` mentions somebody who can see the model; any other name stays text, so that nobody learns who there is.
    Raises EmptyComment, TooManyMentions, PromotionNotFound.
    """
    model = locked_model(actor, name)
    version = version_of(model, number)
    require(actor, Action.COMMENT, model)
    if promotion and not version.promotions.filter(pk=promotion).exists():
        raise PromotionNotFound(promotion=promotion)
    said = _words(words)
    mentioned = _mentioned(model, said)
    written = Comment.objects.create(version=version, promotion_id=promotion, author_id=actor.user_id, text=said)
    written.mentions.set(mentioned)
    _tell(actor, Verb.COMMENT_CREATED, model, written, text=said[:_TOLD], mentions=_names(mentioned))
    return written


@transaction.atomic
def edit(actor: Actor, comment_id: uuid.UUID, words: object) -> Comment:
    """Put other words into one's own comment; nobody can change what somebody else said.

    Raises CommentNotFound, NotYourComment, CommentDeleted, and what `comment` does.
    """
    model, written = _locked(actor, comment_id)
    require(actor, Action.COMMENT, model)
    if written.author_id != actor.user_id:
        raise NotYourComment(act="change it; a maintainer can delete it")
    if written.deleted_at:
        raise CommentDeleted
    said = _words(words)
    if said == written.text:
        return written
    mentioned = _mentioned(model, said)
    written.text, written.edited_at = said, timezone.now()
    written.save(update_fields=["text", "edited_at"])
    written.mentions.set(mentioned)
    _tell(actor, Verb.COMMENT_UPDATED, model, written, text=said[:_TOLD], mentions=_names(mentioned))
    return written


@transaction.atomic
def delete(actor: Actor, comment_id: uuid.UUID) -> None:
    """Take a comment away: one's own, or any for whoever moderates. Its place stays, its words are not shown any more.

    Raises CommentNotFound, NotYourComment.
    """
    model, written = _locked(actor, comment_id)
    require(actor, Action.COMMENT, model)
    if written.author_id != actor.user_id and not actor.may(Action.MODERATE_COMMENTS, model.id):
        raise NotYourComment(act="delete it, or a maintainer")
    if written.deleted_at:
        return
    written.deleted_at = timezone.now()
    written.save(update_fields=["deleted_at"])
    written.mentions.clear()
    _tell(actor, Verb.COMMENT_DELETED, model, written, author=written.author.username)


def _locked(actor: Actor, comment_id: uuid.UUID) -> tuple[Model, Comment]:
    """The model, locked, and the comment as it is then."""
    seen = find_comment(actor, comment_id)
    model = locked_model(actor, seen.version.model.name)
    written = Comment.objects.select_related("version", "author").filter(pk=comment_id, version__model=model).first()
    if written is None:
        raise CommentNotFound(comment=comment_id)
    written.version.model = model
    return model, written


def _words(value: object) -> str:
    said = text.free_text("text", value, limit=COMMENT_LIMIT)
    if not said.strip():
        raise EmptyComment
    return said


def _mentioned(model: Model, words: str) -> list[User]:
    """Whom `words` mention, of those who can see the model."""
    names = mentions.names_in(words)
    if not names:
        return []
    named = User.objects.alias(folded=Lower("username")).filter(folded__in=names).exclude(kind=UserKind.SYSTEM)
    found = {user.pk: user for user in named.order_by("username")}
    seeing = holders(found, Role, workspace_id=model.workspace_id, model_id=model.id)
    shown: list[User] = [user for pk, user in found.items() if pk in seeing]
    if len(shown) > MENTIONS_LIMIT:
        raise TooManyMentions(count=len(shown), limit=MENTIONS_LIMIT)
    return shown


def _names(users: Iterable[User]) -> list[str]:
    return sorted(user.username for user in users)


def _tell(actor: Actor, verb: Verb, model: Model, written: Comment, **more: object) -> None:
    about = {"promotion": str(written.promotion_id)} if written.promotion_id else {}
    emit_all(actor, model, [of_version(verb, model, written.version.number, comment=str(written.pk), **about, **more)])


# --- Asking for a review ----------------------------------------------------------------------------------------------


@transaction.atomic
def request_review(actor: Actor, promotion_id: uuid.UUID, usernames: Collection[str]) -> Promotion:
    """Ask people to review an open promotion: each must hold a role that reviews it, and have had no part in it.

    All are asked, or none; who was asked already is not asked twice. Raises NotYoursToAsk, PromotionClosed,
    NoSuchReviewer, CannotReview, TooManyReviewers.
    """
    promotion = _locked_for_asking(actor, promotion_id)
    if promotion.state != State.OPEN:
        raise PromotionClosed(state=promotion.state, act="ask for a review of")
    if len(usernames) > REVIEWERS_LIMIT:
        raise TooManyReviewers(limit=REVIEWERS_LIMIT)
    asked = set(promotion.review_requests.values_list("reviewer_id", flat=True))
    new = [user for user in _reviewers(promotion, usernames) if user.pk not in asked]
    if len(asked) + len(new) > REVIEWERS_LIMIT:
        raise TooManyReviewers(limit=REVIEWERS_LIMIT)
    if new:
        ReviewRequest.objects.bulk_create(
            ReviewRequest(promotion=promotion, reviewer=user, asked_by_id=actor.user_id) for user in new
        )
        emit_promotion(actor, Verb.PROMOTION_REVIEW_REQUESTED, promotion, asked=_names(new))
    return promotion


@transaction.atomic
def unask(actor: Actor, promotion_id: uuid.UUID, username: str) -> Promotion:
    """Take it back that somebody was asked to review a promotion. Raises NotAsked, NotYoursToAsk."""
    promotion = _locked_for_asking(actor, promotion_id)
    asked = promotion.review_requests.filter(reviewer__in=User.objects.named(username)).select_related("reviewer")
    found = asked.first()
    if found is None:
        raise NotAsked(username=username)
    found.delete()
    emit_promotion(actor, Verb.PROMOTION_REVIEW_REQUESTED, promotion, asked=[], unasked=[found.reviewer.username])
    return promotion


def _locked_for_asking(actor: Actor, promotion_id: uuid.UUID) -> Promotion:
    promotion = locked_promotion(actor, promotion_id)
    require(actor, Action.REQUEST_PROMOTION, promotion.model)
    if not may_ask_for_reviews(actor, promotion):
        raise NotYoursToAsk
    return promotion


def _reviewers(promotion: Promotion, usernames: Collection[str]) -> list[User]:
    """The users of these names, each of whom may review the promotion."""
    names = {text.searchable(username).strip().lower(): username for username in usernames}
    found = {user.username.lower(): user for user in User.objects.alias(f=Lower("username")).filter(f__in=names)}
    look = outlooks([promotion], givers=[user.pk for user in found.values()])[promotion.pk]
    for name, username in names.items():
        user = found.get(name)
        if user is None or user.pk not in look.reviewers:
            raise NoSuchReviewer(username=username, name=promotion.model.name)
        if why := look.excludes(user.pk):
            # The reasons are written for the one who is told them.
            raise CannotReview(username=user.username, why=why.replace("you ", "they "))
    return [found[name] for name in names]
