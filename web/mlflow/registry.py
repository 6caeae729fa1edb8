"""Registered models, versions, aliases and stages."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from accounts.actor import Actor
from registry import queries, resolving
from registry.lifecycle import Stage, stage_named
from registry.services import aliases, catalog, promotions
from web.mlflow import encode, places, sources
from web.mlflow.door import encoded
from web.mlflow.wire import Fields, fields_of


def create_model(actor: Actor, fields: Fields) -> dict[str, Any]:
    name = fields.required("name")
    catalog.create_model(
        actor, name=name, description=fields.text("description"), tags=dict(fields.pairs("tags", limit=1000))
    )
    return _model(actor, name)


def get_model(actor: Actor, fields: Fields) -> dict[str, Any]:
    return _model(actor, fields.required("name"))


def _model(actor: Actor, name: str) -> dict[str, Any]:
    model = queries.find_model(actor, name)
    return {"registered_model": encode.model(model, resolving.newest_in_stages(actor, name, list(Stage)))}


def latest_versions(actor: Actor, fields: Fields) -> dict[str, Any]:
    name = fields.required("name")
    wanted = {stage_named(stage) for stage in fields.strings("stages")} or set(Stage)
    found = resolving.newest_in_stages(actor, name, sorted(wanted))
    return {"model_versions": [encode.version(facts) for facts in found]} if found else {}


def set_alias(actor: Actor, fields: Fields) -> dict[str, Any]:
    aliases.set_alias(actor, fields.required("name"), fields.required("alias"), fields.required("version"))
    return {}


def delete_alias(actor: Actor, fields: Fields) -> dict[str, Any]:
    aliases.remove_alias(actor, fields.required("name"), fields.required("alias"), missing_ok=True)
    return {}


def get_alias(actor: Actor, fields: Fields) -> dict[str, Any]:
    name, alias = fields.required("name"), fields.required("alias")
    return {"model_version": encode.version(resolving.version_facts_at_alias(actor, name, alias))}


def create_version(actor: Actor, request: HttpRequest) -> HttpResponse:
    """The header `Vouch-Repeated` tells that an identical request made the version a moment before."""
    fields = fields_of(request)
    name = fields.required("name")
    source = sources.read(
        actor, source=fields.required("source"), run_id=fields.text("run_id"), model_id=fields.text("model_id")
    )
    made = catalog.register_version(
        actor,
        name,
        source.origin,
        description=fields.text("description"),
        run_link=fields.text("run_link"),
        tags=dict(fields.pairs("tags", limit=1000)),
        files_required=source.ours,
    )
    body = _version(actor, name, made.version.number)
    return encoded(body, **({"Vouch-Repeated": "true"} if made.repeated else {}))


def get_version(actor: Actor, fields: Fields) -> dict[str, Any]:
    return _version(actor, fields.required("name"), fields.required("version"))


def _version(actor: Actor, name: str, number: object) -> dict[str, Any]:
    return {"model_version": encode.version(resolving.version_facts(actor, name, number))}


def transition_stage(actor: Actor, fields: Fields) -> dict[str, Any]:
    name, number = fields.required("name"), fields.required("version")
    promotions.transition(
        actor,
        name,
        number,
        fields.required("stage"),
        archive_existing=fields.flag("archive_existing_versions"),
    )
    return _version(actor, name, number)


def download_uri(actor: Actor, fields: Fields) -> dict[str, Any]:
    """Where to load a version from: its frozen files, so that what is served is what was approved, byte for byte."""
    facts = resolving.version_facts(actor, fields.required("name"), fields.required("version"))
    return {"artifact_uri": places.version_root(facts.id) if facts.manifest else facts.source}
