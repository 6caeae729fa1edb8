"""Transition requests, and transitions with a comment."""

from __future__ import annotations

import uuid
from typing import Any

from accounts.actor import Actor
from registry import queries, resolving
from registry.errors import ReasonMissing
from registry.lifecycle import Stage, State
from registry.resolving import VersionFacts
from registry.review import Standing, standings
from registry.services import keyless, promotions
from web.databricks import encode
from web.mlflow.wire import Fields


def create_request(actor: Actor, fields: Fields) -> dict[str, Any]:
    asked = keyless.request(actor, *_named(fields), comment=fields.text("comment"))
    return {"request": encode.request(_standing(actor, asked.pk))}


def list_requests(actor: Actor, fields: Fields) -> dict[str, Any]:
    facts = resolving.version_facts(actor, fields.required("name"), fields.required("version"))
    return {"requests": [encode.request(standing) for standing in _open_of(actor, facts)]}


def approve_request(actor: Actor, fields: Fields) -> dict[str, Any]:
    """`evidence`, the digest of what the reviewer looked at, is ours: callers other than the SDK can send it."""
    approved = keyless.approve(
        actor,
        *_named(fields),
        evidence=fields.text("evidence"),
        comment=fields.text("comment"),
        archive_existing=fields.flag("archive_existing_versions"),
    )
    standing = _standing(actor, approved.pk)
    own = [approval for approval in standing.outlook.given if approval.reviewer_id == actor.user_id]
    return {"activity": encode.approval(standing, own[-1])}


def reject_request(actor: Actor, fields: Fields) -> dict[str, Any]:
    named, reason = _named(fields), fields.text("comment")
    if not reason.strip():
        raise ReasonMissing(field="comment")
    rejected = keyless.reject(actor, *named, reason=reason)
    return {"activity": encode.rejection(_standing(actor, rejected.pk))}


def delete_request(actor: Actor, fields: Fields) -> dict[str, Any]:
    withdrawn = keyless.withdraw(
        actor, *_named(fields), creator=fields.required("creator"), reason=fields.text("comment")
    )
    return {"activity": encode.withdrawal(_standing(actor, withdrawn.pk))}


def transition_stage(actor: Actor, fields: Fields) -> dict[str, Any]:
    name, number, stage = _named(fields)
    promotions.transition(
        actor,
        name,
        number,
        stage,
        comment=fields.text("comment"),
        archive_existing=fields.flag("archive_existing_versions"),
    )
    facts = resolving.version_facts(actor, name, number)
    return {"model_version_databricks": encode.version(facts, _open_of(actor, facts))}


def _named(fields: Fields) -> tuple[str, str, str]:
    return fields.required("name"), fields.required("version"), fields.required("stage")


def _standing(actor: Actor, promotion_id: uuid.UUID) -> Standing:
    return standings(actor, [queries.find_promotion(actor, promotion_id)])[0]


def _open_of(actor: Actor, facts: VersionFacts) -> list[Standing]:
    """The open promotions of a version to a stage, the oldest first; there is no word for one of an alias."""
    asked = queries.promotions(actor).filter(version=facts.id, state=State.OPEN, target__in=list(Stage))
    return standings(actor, list(asked.select_related("version__manifest").order_by("requested_at", "id")))
