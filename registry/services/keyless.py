"""Promotions named by their version and stage, and comments, for wires whose calls carry neither an id nor a key.

Stock clients repeat a call when its answer is lost on the way, so what the actor did within the last minutes is
answered a second time as it was the first.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from accounts.actor import Actor
from accounts.queries import REPEATED_WITHIN, folds_repeated_creates
from registry import queries
from registry.errors import AlreadyApproved, AlreadyThere, AskedByAnother, NobodyAsked
from registry.lifecycle import Stage, State, stage_named
from registry.models import Comment, Promotion, Version
from registry.services import discussion, promotions


def request(actor: Actor, name: object, number: object, stage: object, *, comment: str = "") -> Promotion:
    """`promotions.request` for a stage. Raises AlreadyThere."""
    target = stage_named(stage)
    try:
        return promotions.request(actor, name, number, target, comment=comment)
    except AlreadyThere:
        version = queries.find_version(actor, name, number)
        if done := _just_now(version, target, State.PROMOTED, requester=actor.user_id):
            return done
        raise


def approve(
    actor: Actor,
    name: object,
    number: object,
    stage: object,
    *,
    evidence: str = "",
    comment: str = "",
    archive_existing: bool = False,
) -> Promotion:
    """`promotions.approve` when the caller knows what he looked at, else `promotions.approve_as_it_stands`.

    Raises NobodyAsked, and what those do.
    """
    version, target = queries.find_version(actor, name, number), stage_named(stage)
    promotion = _open(version, target)
    if promotion is None:
        given_by = {"approvals__reviewer": actor.user_id}
        return _just_now(version, target, State.PROMOTED, **given_by) or _nobody(version, target)
    try:
        if evidence:
            return promotions.approve(
                actor, promotion.pk, evidence=evidence, comment=comment, archive_existing=archive_existing
            )
        return promotions.approve_as_it_stands(actor, promotion.pk, comment=comment, archive_existing=archive_existing)
    except AlreadyApproved:
        return promotion


def reject(actor: Actor, name: object, number: object, stage: object, *, reason: str) -> Promotion:
    """`promotions.reject`; NobodyAsked."""
    version, target = queries.find_version(actor, name, number), stage_named(stage)
    if promotion := _open(version, target):
        return promotions.reject(actor, promotion.pk, reason=reason)
    return _just_now(version, target, State.REJECTED, decided_by=actor.user_id) or _nobody(version, target)


def withdraw(actor: Actor, name: object, number: object, stage: object, *, creator: str, reason: str = "") -> Promotion:
    """`promotions.withdraw` of what `creator` asked for; NobodyAsked, AskedByAnother."""
    version, target = queries.find_version(actor, name, number), stage_named(stage)
    promotion = _open(version, target)
    if promotion is None:
        return _just_now(version, target, State.WITHDRAWN, decided_by=actor.user_id) or _nobody(version, target)
    if promotion.requester.username.lower() != creator.lower():
        raise AskedByAnother(
            creator=creator,
            requester=promotion.requester.username,
            name=version.model.name,
            version=version.number,
            stage=target,
        )
    return promotions.withdraw(actor, promotion.pk, reason=reason)


def comment(actor: Actor, name: object, number: object, words: str) -> Comment:
    """`discussion.comment`; the same words of the same user on the same version are one comment."""
    version = queries.find_version(actor, name, number)
    since = timezone.now() - REPEATED_WITHIN
    earlier = Comment.objects.filter(
        version=version, author=actor.user_id, text=words, created_at__gte=since, deleted_at__isnull=True
    )
    said = earlier.first() if folds_repeated_creates(actor.workspace_id) else None
    return said or discussion.comment(actor, name, number, words)


def _open(version: Version, stage: Stage) -> Promotion | None:
    return Promotion.objects.open().filter(version=version, target=stage).select_related("requester").first()


def _just_now(version: Version, stage: Stage, state: State, **by: Any) -> Promotion | None:
    """The newest promotion of a version to a stage, if that is what it came to within the last minutes."""
    newest = Promotion.objects.filter(version=version, target=stage).order_by("-requested_at", "-id")[:1]
    since = timezone.now() - REPEATED_WITHIN
    return Promotion.objects.filter(pk__in=newest.values("pk"), state=state, decided_at__gte=since, **by).first()


def _nobody(version: Version, stage: Stage) -> Promotion:
    raise NobodyAsked(name=version.model.name, version=version.number, stage=stage)
