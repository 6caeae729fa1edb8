"""Models and versions with what Databricks tells of them besides; transition requests, transitions with a comment."""

from __future__ import annotations

import uuid
from typing import Any

from accounts.actor import Actor
from core.paging import page_size, paginate
from registry import queries, resolving
from registry.activities import activities
from registry.errors import ReasonMissing
from registry.lifecycle import Stage, State
from registry.resolving import VersionFacts
from registry.review import Standing, standings
from registry.services import keyless, promotions
from web.databricks import encode
from web.mlflow import encode as mlflow
from web.mlflow.wire import Fields

_ON_A_PAGE = 100  # unless the caller says otherwise
_PAGE_LIMIT = 1000


def get_model(actor: Actor, fields: Fields) -> dict[str, Any]:
    name = fields.required("name")
    model = queries.find_model(actor, name)
    newest = resolving.newest_in_stages(actor, name, list(Stage))
    return {"registered_model_databricks": encode.model(actor, model, newest)}


def list_models(actor: Actor, fields: Fields) -> dict[str, Any]:
    """Every model by its name, as MLflow's search tells them."""
    size = page_size(fields.whole("max_results"), default=_ON_A_PAGE, limit=_PAGE_LIMIT, field="max_results")
    token = fields.text("page_token")
    page = paginate(queries.models(actor), order=("name", "id"), size=size, token=token, query="registered-models")
    newest = resolving.newest_of_models([model.pk for model in page.items])
    listed = {"registered_models": [mlflow.model(model, newest[model.pk]) for model in page.items]}
    return listed | ({"next_page_token": page.next_token} if page.next_token else {})


def get_version(actor: Actor, fields: Fields) -> dict[str, Any]:
    facts = resolving.version_facts(actor, fields.required("name"), fields.required("version"))
    return {"model_version_databricks": _version(actor, facts)}


def _version(actor: Actor, facts: VersionFacts) -> dict[str, Any]:
    return encode.version(actor, facts, _open_of(actor, facts), queries.following_of(actor, facts.model_id))


def get_activities(actor: Actor, fields: Fields) -> dict[str, Any]:
    """What happened to a version, the newest first. The SDK has no call for it; Databricks' own pages have."""
    facts = resolving.version_facts(actor, fields.required("name"), fields.required("version"))
    size = page_size(fields.whole("max_results"), default=_ON_A_PAGE, limit=_PAGE_LIMIT, field="max_results")
    page = activities(actor, facts.id, size=size, token=fields.text("page_token"))
    told = [encode.activity(actor, happened) for happened in page.items]
    return {"activities": told, **({"next_page_token": page.next_token} if page.next_token else {})}


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
    moved = _version(actor, resolving.version_facts(actor, name, number))
    # Releases of 2024 look for it under the first of the two names.
    return {"model_version": moved, "model_version_databricks": moved}


def _named(fields: Fields) -> tuple[str, str, str]:
    return fields.required("name"), fields.required("version"), fields.required("stage")


def _standing(actor: Actor, promotion_id: uuid.UUID) -> Standing:
    return standings(actor, [queries.find_promotion(actor, promotion_id)])[0]


def _open_of(actor: Actor, facts: VersionFacts) -> list[Standing]:
    """The open promotions of a version to a stage, the oldest first; there is no word for one of an alias."""
    asked = queries.promotions(actor).filter(version=facts.id, state=State.OPEN, target__in=list(Stage))
    return standings(actor, list(asked.select_related("version__manifest").order_by("requested_at", "id")))
