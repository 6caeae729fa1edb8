"""Model versions, their tags, stages and files."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from accounts.actor import Actor
from core.paging import page_size
from lineage.services import direct
from registry import resolving, searching
from registry.services import catalog, promotions
from web.mlflow import encode, places, searches, sources
from web.mlflow.door import encoded
from web.mlflow.wire import Fields, fields_of

_MOST = 200_000  # that a search may ask for; what one answer holds is less, and the rest is on the next pages
_ANSWERED = 10_000


def create(actor: Actor, request: HttpRequest) -> HttpResponse:
    """The header `Vouch-Repeated` tells that an identical request made the version a moment before."""
    fields = fields_of(request)
    name, tags = fields.required("name"), dict(fields.pairs("tags", limit=1000))
    source = sources.read(
        actor,
        source=fields.required("source"),
        run_id=fields.text("run_id"),
        model_id=fields.text("model_id"),
        of_prompt=tags.get(searches.PROMPT.key) == searches.PROMPT.value,
    )
    direct.take_in(actor, source.origin.place)
    made = catalog.register_version(
        actor,
        name,
        source.origin,
        description=fields.text("description"),
        run_link=fields.text("run_link"),
        tags=tags,
        files_required=source.ours and not settings.VOUCH_CONFORMANCE,
    )
    if made.repeated:  # it may have been edited or moved since
        return encoded(_version(actor, name, made.version.number), **encode.repeated(made.repeated))
    return encoded({"model_version": encode.version(resolving.facts_of_new(made.version, actor.username, tags))})


def update(actor: Actor, fields: Fields) -> dict[str, Any]:
    """A description that is left out is taken away, as on the reference server."""
    name, number = fields.required("name"), fields.required("version")
    catalog.describe_version(actor, name, number, fields.text("description"))
    return _version(actor, name, number)


def delete(actor: Actor, fields: Fields) -> dict[str, Any]:
    catalog.delete_version(actor, fields.required("name"), fields.required("version"))
    return {}


def get(actor: Actor, fields: Fields) -> dict[str, Any]:
    return _version(actor, fields.required("name"), fields.required("version"))


def _version(actor: Actor, name: str, number: object) -> dict[str, Any]:
    return {"model_version": encode.version(resolving.version_facts(actor, name, number))}


def search(actor: Actor, fields: Fields) -> dict[str, Any]:
    """Without aliases, as on the reference server."""
    asked, prompts = searches.conditions(fields, searches.VERSIONS)
    size = page_size(fields.whole("max_results"), default=_MOST, limit=_MOST, field="max_results")
    found = searching.search_versions(
        actor,
        asked,
        searches.orders(fields, searches.VERSION_ORDERS),
        size=min(size, _ANSWERED),
        token=fields.text("page_token"),
        unless_model_tagged=prompts,
    )
    return encode.filled(
        model_versions=[encode.version(facts, aliases=False) for facts in found.items],
        next_page_token=found.next_token or None,
    )


def set_tag(actor: Actor, fields: Fields) -> dict[str, Any]:
    name, number = fields.required("name"), fields.required("version")
    catalog.tag_version(actor, name, number, fields.required("key"), fields.text("value"))
    return {}


def delete_tag(actor: Actor, fields: Fields) -> dict[str, Any]:
    name, number = fields.required("name"), fields.required("version")
    catalog.tag_version(actor, name, number, fields.required("key"), None)
    return {}


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
    """Where to load a version from: its frozen files, so that what is served is what was approved, byte for byte.

    Where its files lie elsewhere, what its registrar named: a client on another tracking server resolves that there.
    """
    facts = resolving.version_facts(actor, fields.required("name"), fields.required("version"))
    return {"artifact_uri": places.version_root(facts.id) if facts.manifest else facts.lies_at}
