"""Logged models, which clients of the 3.x generation make before they register one."""

from __future__ import annotations

import uuid
from typing import Any

from accounts.actor import Actor
from core.errors import Invalid
from core.paging import paginate
from core.searching import Field, Of, Operator, Order
from lineage import searching
from lineage.conditions import Column
from lineage.models import LoggedModelStatus
from lineage.queries import LoggedModelNotFound, as_uuid
from lineage.services import logged_models
from web.grammar import LISTS, NUMBER, TEXT, Attribute, BadOrder, Grammar, parse_filter, parse_order
from web.mlflow import encode, places
from web.mlflow.wire import Fields, MissingField

PAGE, PAGE_LIMIT = 50, 50_000
ORDERS = 20  # at most
_SAME = frozenset({Operator.EQUAL, Operator.DIFFERENT}) | LISTS
_CREATED = Attribute("created_at", NUMBER, number=True, whole=True)
_UPDATED = Attribute("updated_at", NUMBER, number=True, whole=True)
_GRAMMAR = Grammar(
    attributes={
        "name": Attribute("name", TEXT | LISTS),
        "model_id": Attribute("id", TEXT | LISTS),
        "model_type": Attribute("model_type", TEXT | LISTS),
        "status": Attribute("status", _SAME),
        "source_run_id": Attribute("source_run_id", _SAME),
        "creation_timestamp": _CREATED,
        "creation_time": _CREATED,
        "creation_timestamp_ms": _CREATED,
        "last_updated_timestamp": _UPDATED,
        "last_updated_timestamp_ms": _UPDATED,
    },
    named={Of.TAG: TEXT | LISTS, Of.PARAM: TEXT | LISTS, Of.METRIC: NUMBER},
    ordered=(Of.ATTRIBUTE, Of.METRIC),
)


def _key(value: str) -> uuid.UUID | None:
    try:
        return places.logged_model_key(value)
    except LoggedModelNotFound:
        return None


def _status(value: str) -> str:
    name = value.upper().removeprefix("LOGGED_MODEL_")
    return LoggedModelStatus.FAILED if name == "UPLOAD_FAILED" else name


_COLUMNS = {
    "name": Column("name", is_text=True),
    "id": Column("id", read=_key, shown=places.ID_OF_LOGGED_MODEL),
    "model_type": Column("model_type", is_text=True),
    "status": Column("status", read=_status, is_text=True),
    "source_run_id": Column("source_run_id", read=as_uuid, nullable=True, is_text=True),
    "created_at": Column("created_at", is_moment=True),
    "updated_at": Column("updated_at", is_moment=True),
}


class NoDatasetName(Invalid):
    """`dataset_name` in the `datasets` clause must be specified."""

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


def delete(actor: Actor, model_id: str) -> dict[str, Any]:
    logged_models.delete(actor, places.logged_model_key(model_id))
    return {}


def log_params(actor: Actor, fields: Fields, model_id: str) -> dict[str, Any]:
    logged_models.log_params(actor, places.logged_model_key(model_id), dict(fields.pairs("params", limit=1000)))
    return {}


def set_tags(actor: Actor, fields: Fields, model_id: str) -> dict[str, Any]:
    tagged = logged_models.tag(actor, places.logged_model_key(model_id), dict(fields.pairs("tags", limit=1000)))
    return {"model": encode.logged_model(tagged)}


def delete_tag(actor: Actor, model_id: str, key: str) -> dict[str, Any]:
    logged_models.untag(actor, places.logged_model_key(model_id), key)
    return {}


def search(actor: Actor, fields: Fields) -> dict[str, Any]:
    ids = fields.strings("experiment_ids")
    if not ids:
        raise MissingField(field="experiment_ids")
    wanted, orders, datasets = fields.text("filter"), _orders(fields), _datasets(fields)
    rows, order = searching.logged_models(
        places.experiments_named(actor, ids),
        parse_filter(wanted, _GRAMMAR),
        orders,
        columns=_COLUMNS,
        datasets=datasets,
    )
    page = paginate(
        rows,
        order=order,
        size=fields.max_results(default=PAGE, limit=PAGE_LIMIT),
        token=fields.text("page_token"),
        query=["logged-models", sorted(ids), wanted, datasets, repr(orders)],
    )
    return encode.page("models", [encode.logged_model(row) for row in page.items], page.next_token)


def _datasets(fields: Fields) -> list[tuple[str, str]]:
    found = [(item.text("dataset_name"), item.text("dataset_digest")) for item in fields.objects("datasets", limit=100)]
    if not all(name for name, _ in found):
        raise NoDatasetName
    return found


def _orders(fields: Fields) -> list[Order]:
    found: dict[Field, Order] = {}
    for item in fields.objects("order_by", limit=ORDERS):
        name = item.required("field_name")
        prefix, dot, rest = name.partition(".")
        if dot and prefix in ("metrics", "metric"):
            # The name as it is: it is not a clause of a text here, so nothing in it needs quotes.
            named = Field(Of.METRIC, rest.strip("`"), item.text("dataset_name"), item.text("dataset_digest"))
        elif name in _GRAMMAR.attributes:
            named = parse_order([name], _GRAMMAR)[0].field
        else:
            known = ", ".join(_GRAMMAR.attributes)
            raise BadOrder(value=name, hint=f"order by metrics.NAME or one of {known}")
        ascending = "ascending" not in item.values or item.flag("ascending")
        found.setdefault(named, Order(named, not ascending))
    return list(found.values())
