"""Promotions as Databricks' activities and transition requests, always with the keys of both: its SDK takes what it
knows of each. And versions and comments."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from django.conf import settings

from accounts.actor import Actor
from accounts.verbs import Verb
from registry.activities import Activity
from registry.discussion import may_delete, may_edit
from registry.lifecycle import Act, State
from registry.models import Approval, Comment, Following, Model, Promotion
from registry.resolving import VersionFacts
from registry.review import Standing
from web.databricks.levels import level_of
from web.mlflow import encode
from web.mlflow.encode import millis

_ACTIONS = {
    Act.APPROVE: "APPROVE_TRANSITION_REQUEST",
    Act.REJECT: "REJECT_TRANSITION_REQUEST",
    Act.WITHDRAW: "CANCEL_TRANSITION_REQUEST",
}
# The nearest of its own: a kind that the SDK does not know is nothing to it. `activity_type_detail` tells them apart.
_KINDS = {
    Verb.PROMOTION_REQUESTED: "REQUESTED_TRANSITION",
    Verb.PROMOTION_APPROVED: "APPROVED_REQUEST",
    Verb.PROMOTION_PROMOTED: "APPLIED_TRANSITION",
    Verb.PROMOTION_BYPASSED: "APPLIED_TRANSITION",
    Verb.PROMOTION_ROLLED_BACK: "APPLIED_TRANSITION",
    Verb.PROMOTION_REJECTED: "REJECTED_REQUEST",
    Verb.PROMOTION_WITHDRAWN: "CANCELLED_REQUEST",
    Verb.PROMOTION_SUPERSEDED: "CANCELLED_REQUEST",
    Verb.PROMOTION_EXPIRED: "CANCELLED_REQUEST",
    Verb.VERSION_TRANSITIONED: "SYSTEM_TRANSITION",
    Verb.COMMENT_CREATED: "NEW_COMMENT",
}


def request(standing: Standing) -> dict[str, Any]:
    """What somebody asks for; a transition that was applied, when nothing was missing."""
    promotion = standing.promotion
    applied = promotion.state == State.PROMOTED
    return _activity(
        standing,
        id=str(promotion.pk),
        kind="APPLIED_TRANSITION" if applied else "REQUESTED_TRANSITION",
        user=promotion.requester.username,
        comment=promotion.comment,
        at=promotion.requested_at,
    )


def approval(standing: Standing, given: Approval) -> dict[str, Any]:
    """An approval; `system_comment` tells whether the version has moved, else what is missing still."""
    return _activity(
        standing,
        id=str(given.pk),
        kind="APPROVED_REQUEST",
        user=given.reviewer.username,
        comment=given.comment,
        at=given.at,
    )


def rejection(standing: Standing) -> dict[str, Any]:
    return _decision(standing, "REJECTED_REQUEST")


def withdrawal(standing: Standing) -> dict[str, Any]:
    return _decision(standing, "CANCELLED_REQUEST")


def _decision(standing: Standing, kind: str) -> dict[str, Any]:
    """How a promotion ended."""
    promotion = standing.promotion
    return _activity(
        standing,
        id=f"{promotion.pk}.{promotion.state}",
        kind=kind,
        user=promotion.decided_by.username if promotion.decided_by else "",
        comment=promotion.reason,
        at=promotion.decided_at or promotion.requested_at,
    )


def _activity(
    standing: Standing, *, id: str, kind: str, user: str, comment: str, at: datetime.datetime
) -> dict[str, Any]:
    """`promotion`, `state`, `missing`, `evidence` and `page` are ours."""
    promotion = standing.promotion
    is_open = promotion.state == State.OPEN
    return {
        "id": id,
        "activity_type": kind,
        "user_id": user,
        "comment": comment,
        "from_stage": promotion.from_stage,
        "to_stage": promotion.target,
        "system_comment": _told(standing),
        "creation_timestamp": millis(at),
        "last_updated_timestamp": millis(promotion.decided_at or at),
        "available_actions": [name for act, name in _ACTIONS.items() if act in standing.possible],
        "promotion": str(promotion.pk),
        "state": promotion.state,
        "missing": list(standing.outlook.missing) if is_open else [],
        "evidence": standing.outlook.evidence.digest if is_open else promotion.decided_evidence,
        "page": settings.VOUCH_URL + promotion.page,
    }


def _told(standing: Standing) -> str:
    promotion = standing.promotion
    version = f"Version {promotion.version.number}"
    if promotion.state == State.PROMOTED:
        return f"{version} was moved to {promotion.target}."
    if promotion.state == State.OPEN:
        return f"{version} is not in {promotion.target} yet. It needs: {'; '.join(standing.outlook.missing)}."
    return f"{version} was not moved: its promotion is {promotion.state}."


def version(
    actor: Actor, facts: VersionFacts, requests: Iterable[Standing], following: Following | None
) -> dict[str, Any]:
    """ModelVersionDatabricks: MLflow's with the open requests, the caller's level, and whether he is told of it."""
    subscription = "DEFAULT" if following is None else "UNSUBSCRIBED" if following.muted else "ALL_EVENTS"
    return {
        **encode.version(facts),
        "open_requests": [request(standing) for standing in requests],
        "permission_level": level_of(actor.roles_for(facts.model_id)),
        "email_subscription_status": subscription,
    }


def model(actor: Actor, row: Model, newest: Iterable[VersionFacts]) -> dict[str, Any]:
    """ModelDatabricks: MLflow's with its id, by which permissions name it, and the caller's level."""
    level = level_of(actor.roles_for(row.pk))
    return {**encode.model(row, newest), "id": str(row.pk), "permission_level": level}


def activity(actor: Actor, happened: Activity) -> dict[str, Any]:
    """Activity; `activity_type_detail` (the event as our log and webhooks call it) and `promotion` are ours."""
    moved = {"from_stage": happened.from_stage, "to_stage": happened.to_stage} if happened.promotion else {}
    promotion = happened.promotion
    return {
        "id": happened.id,
        "activity_type": _KINDS[happened.kind],
        "activity_type_detail": happened.kind,
        "user_id": happened.by,
        "comment": happened.said,
        **moved,
        "system_comment": _why(happened),
        "creation_timestamp": millis(happened.at),
        "last_updated_timestamp": millis(
            happened.comment.edited_at if happened.comment and happened.comment.edited_at else happened.at
        ),
        "available_actions": _acts_on(actor, happened.comment) if happened.comment else [],
        **({"promotion": str(promotion.pk), "page": settings.VOUCH_URL + promotion.page} if promotion else {}),
    }


def _why(happened: Activity) -> str:
    """In words, what the kind does not say."""
    match happened:
        case Activity(kind=Verb.VERSION_TRANSITIONED, promotion=Promotion() as by):
            return f"It left {happened.from_stage}, since version {by.version.number} was moved there."
        case Activity(kind=Verb.PROMOTION_BYPASSED):
            return "An administrator bypassed the policy."
        case Activity(kind=Verb.PROMOTION_ROLLED_BACK):
            return "It was rolled back to."
        case Activity(kind=Verb.PROMOTION_SUPERSEDED):
            return "The request was closed, since it could not be carried out any more."
        case Activity(kind=Verb.PROMOTION_EXPIRED):
            return "The request expired."
    return ""


def comment(actor: Actor, row: Comment) -> dict[str, Any]:
    """CommentObject, with what `actor` can do to it."""
    return {
        "id": str(row.pk),
        "user_id": row.author.username,
        "comment": row.text,
        "creation_timestamp": millis(row.created_at),
        "last_updated_timestamp": millis(row.edited_at or row.created_at),
        "available_actions": _acts_on(actor, row),
    }


def _acts_on(actor: Actor, row: Comment) -> list[str]:
    possible = {"EDIT_COMMENT": may_edit(actor, row), "DELETE_COMMENT": may_delete(actor, row)}
    return [name for name, allowed in possible.items() if allowed]
