"""Logged models, which clients of the 3.x generation make before they register one."""

from __future__ import annotations

from typing import Any

from accounts.actor import Actor
from core.errors import Invalid
from core.paging import page_size, paginate
from lineage import queries
from lineage.services import logged_models
from web.mlflow import encode, places
from web.mlflow.filters import conditions
from web.mlflow.wire import Fields, MissingField

PAGE, PAGE_LIMIT = 100, 1000
_ORDERS = {"creation_timestamp": "created_at", "last_updated_timestamp": "updated_at", "name": "name"}


class UnknownOrder(Invalid):
    """Logged models cannot be ordered by {value!r}: use one of {known}."""

    field = "order_by"


class NotSearchedByDataset(Invalid):
    """Logged models cannot be searched by data set here: leave 'datasets' out."""

    field = "datasets"


def create(actor: Actor, fields: Fields) -> dict[str, Any]:
    made = logged_models.create(
        actor,
        places.experiment_named(actor, fields.required("experiment_id")),
        name=fields.text("name"),
        model_type=fields.text("model_type"),
        source_run_id=fields.text("source_run_id"),
        params=dict(fields.pairs("params", limit=1000)),
        tags=dict(fields.pairs("tags", limit=1000)),
    )
    return {"model": encode.logged_model(made)}


def get(actor: Actor, fields: Fields, model_id: str) -> dict[str, Any]:
    found = places.logged_model_named(actor, model_id, deleted_too=fields.flag("allow_deleted"))
    return {"model": encode.logged_model(found)}


def finalise(actor: Actor, fields: Fields, model_id: str) -> dict[str, Any]:
    status = fields.choice("status", encode.LOGGED_MODEL_STATUS)
    if status is None:
        raise MissingField(field="status")
    return {"model": encode.logged_model(logged_models.finalise(actor, places.logged_model_key(model_id), status))}


def log_params(actor: Actor, fields: Fields, model_id: str) -> dict[str, Any]:
    logged_models.log_params(actor, places.logged_model_key(model_id), dict(fields.pairs("params", limit=1000)))
    return {}


def set_tags(actor: Actor, fields: Fields, model_id: str) -> dict[str, Any]:
    tagged = logged_models.tag(actor, places.logged_model_key(model_id), dict(fields.pairs("tags", limit=1000)))
    return {"model": encode.logged_model(tagged)}


def search(actor: Actor, fields: Fields) -> dict[str, Any]:
    ids = fields.strings("experiment_ids")
    if not ids:
        raise MissingField(field="experiment_ids")
    if fields.objects("datasets"):
        raise NotSearchedByDataset
    wanted, order = fields.text("filter"), _order(fields)
    among = [places.experiment_named(actor, value).pk for value in ids[:1000]]
    page = paginate(
        queries.logged_models(actor).filter(conditions(wanted), experiment_id__in=among),
        order=order,
        size=page_size(fields.whole("max_results"), default=PAGE, limit=PAGE_LIMIT, field="max_results"),
        token=fields.text("page_token"),
        query=["logged-models", sorted(ids), wanted],
    )
    return {
        **({"models": [encode.logged_model(row) for row in page.items]} if page.items else {}),
        **({"next_page_token": page.next_token} if page.next_token else {}),
    }


def _order(fields: Fields) -> list[str]:
    columns = []
    for item in fields.objects("order_by", limit=len(_ORDERS)):
        name = item.required("field_name")
        if name not in _ORDERS:
            raise UnknownOrder(value=name, known=", ".join(_ORDERS))
        ascending = "ascending" not in item.values or item.flag("ascending")
        columns.append(("" if ascending else "-") + _ORDERS[name])
    return [*(columns or ["-created_at"]), "id"]
