"""Registered models, their tags and aliases."""

from __future__ import annotations

from typing import Any

from accounts.actor import Actor
from core.paging import page_size
from registry import queries, resolving, searching
from registry.lifecycle import Stage, stage_named
from registry.services import aliases, catalog
from web.mlflow import encode, searches
from web.mlflow.wire import Fields


def create_model(actor: Actor, fields: Fields) -> dict[str, Any]:
    name = fields.required("name")
    catalog.create_model(
        actor, name=name, description=fields.text("description"), tags=dict(fields.pairs("tags", limit=1000))
    )
    return _model(actor, name)


def rename_model(actor: Actor, fields: Fields) -> dict[str, Any]:
    renamed = catalog.rename_model(actor, fields.required("name"), fields.required("new_name"))
    return _model(actor, renamed.name)


def update_model(actor: Actor, fields: Fields) -> dict[str, Any]:
    """A description that is left out is taken away, as on the reference server."""
    name = fields.required("name")
    catalog.describe_model(actor, name, fields.text("description"))
    return _model(actor, name)


def delete_model(actor: Actor, fields: Fields) -> dict[str, Any]:
    catalog.delete_model(actor, fields.required("name"))
    return {}


def get_model(actor: Actor, fields: Fields) -> dict[str, Any]:
    return _model(actor, fields.required("name"))


def _model(actor: Actor, name: str) -> dict[str, Any]:
    model = queries.find_model(actor, name)
    return {"registered_model": encode.model(model, resolving.newest_in_stages(actor, name, list(Stage)))}


def search_models(actor: Actor, fields: Fields) -> dict[str, Any]:
    asked, prompts = searches.conditions(fields, searches.MODELS)
    page = searching.search_models(
        actor,
        asked,
        searches.orders(fields, searches.MODEL_ORDERS),
        size=page_size(fields.whole("max_results"), default=100, limit=1000, field="max_results"),
        token=fields.text("page_token"),
        unless_tagged=prompts,
    )
    newest = resolving.newest_of_models([model.pk for model in page.items])
    return encode.filled(
        registered_models=[encode.model(model, newest[model.pk]) for model in page.items],
        next_page_token=page.next_token or None,
    )


def latest_versions(actor: Actor, fields: Fields) -> dict[str, Any]:
    name = fields.required("name")
    wanted = {stage_named(stage) for stage in fields.strings("stages")} or set(Stage)
    found = resolving.newest_in_stages(actor, name, sorted(wanted))
    return {"model_versions": [encode.version(facts) for facts in found]} if found else {}


def set_tag(actor: Actor, fields: Fields) -> dict[str, Any]:
    catalog.tag_model(actor, fields.required("name"), fields.required("key"), fields.text("value"))
    return {}


def delete_tag(actor: Actor, fields: Fields) -> dict[str, Any]:
    catalog.tag_model(actor, fields.required("name"), fields.required("key"), None)
    return {}


def set_alias(actor: Actor, fields: Fields) -> dict[str, Any]:
    aliases.set_alias(actor, fields.required("name"), fields.required("alias"), fields.required("version"))
    return {}


def delete_alias(actor: Actor, fields: Fields) -> dict[str, Any]:
    aliases.remove_alias(actor, fields.required("name"), fields.required("alias"), missing_ok=True)
    return {}


def get_alias(actor: Actor, fields: Fields) -> dict[str, Any]:
    name, alias = fields.required("name"), fields.required("alias")
    return {"model_version": encode.version(resolving.version_facts_at_alias(actor, name, alias))}
