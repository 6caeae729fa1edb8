"""Experiments."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.db.models import BigIntegerField, Case, F, When
from django.http import HttpRequest, HttpResponse

from accounts.actor import Actor
from core.errors import Invalid
from core.paging import paginate
from core.searching import Of, Operator
from lineage import queries, searching
from lineage.conditions import Column
from lineage.searching import View
from lineage.services import experiments, repeats
from web.grammar import LISTS, NULLS, NUMBER, TEXT, Attribute, Grammar, parse_filter, parse_order
from web.mlflow import encode, places
from web.mlflow.door import encoded
from web.mlflow.wire import Fields, fields_of

SEARCH_LIMIT = 50_000
DATASETS_OF = 20  # experiments at once
VIEWS: dict[str | int, View] = {
    "ACTIVE_ONLY": View.ACTIVE,
    "DELETED_ONLY": View.DELETED,
    "ALL": View.ALL,
    1: View.ACTIVE,
    2: View.DELETED,
    3: View.ALL,
}
_BUCKETS = ("s3://", "gs://", "wasbs://", "abfss://", "dbfs:/")

_GRAMMAR = Grammar(
    attributes={
        "name": Attribute("name", TEXT),
        "experiment_id": Attribute("id", frozenset({Operator.EQUAL, Operator.DIFFERENT}) | LISTS),
        "creation_time": Attribute("created_at", NUMBER, number=True, whole=True),
        "last_update_time": Attribute("updated_at", NUMBER, number=True, whole=True),
    },
    named={Of.TAG: TEXT | NULLS},
)
_COLUMNS = {
    "name": Column("name", is_text=True),
    "id": Column(
        Case(When(is_default=True, then=0), default=F("id"), output_field=BigIntegerField()),
        read=places.experiment_number,
    ),
    "created_at": Column("created_at", is_moment=True),
    "updated_at": Column("updated_at", is_moment=True),
}


class LocationIsOurs(Invalid):
    """The artifact location {value!r} will not do: leave it out, to keep files on this server, or name a place here,
    not beginning with a number, such as mlflow-artifacts:/TEAM/PROJECT, or one in an object store such as
    s3://BUCKET/PATH."""

    field = "artifact_location"


class NoExperimentNamed(Invalid):
    """SearchDatasets request must specify at least one experiment_id."""

    field = "experiment_ids"


class TooManyExperiments(Invalid):
    """SearchDatasets request cannot specify more than {limit} experiment_ids. Received {count} experiment_ids."""

    field = "experiment_ids"


def create(actor: Actor, request: HttpRequest) -> HttpResponse:
    fields = fields_of(request)
    made, repeated = experiments.create_once(
        actor,
        name=fields.required("name"),
        artifact_location=_location(fields.text("artifact_location")),
        tags=dict(fields.pairs("tags", limit=1000)),
    )
    return encoded({"experiment_id": places.experiment_id(made)}, **encode.repeated(repeated))


def _location(given: str) -> str:
    if not given or given.startswith(_BUCKETS):
        return given.rstrip("/")
    if place := places.location(given):
        return place
    if settings.VOUCH_CONFORMANCE:
        return given.rstrip("/") if ":" in given else os.path.abspath(given)
    raise LocationIsOurs(value=given)


def get(actor: Actor, fields: Fields) -> dict[str, Any]:
    found = places.experiment_named(actor, fields.required("experiment_id"))
    return {"experiment": encode.experiment(repeats.answered(actor, found))}


def get_by_name(actor: Actor, fields: Fields) -> dict[str, Any]:
    found = experiments.find_by_name(actor, fields.required("experiment_name"))
    return {"experiment": encode.experiment(repeats.answered(actor, found))}


def search(actor: Actor, fields: Fields) -> dict[str, Any]:
    experiments.default(actor)  # which stands in every list
    wanted, orders = fields.text("filter"), fields.strings("order_by")
    view = fields.choice("view_type", VIEWS) or View.ACTIVE
    rows, order = searching.experiments(
        actor, parse_filter(wanted, _GRAMMAR), parse_order(orders, _GRAMMAR), view=view, columns=_COLUMNS
    )
    page = paginate(
        rows,
        order=order,
        size=fields.max_results(default=0, limit=SEARCH_LIMIT),  # the reference server has no default either
        token=fields.text("page_token"),
        query=["experiments", wanted, orders, view],
    )
    return encode.page("experiments", [encode.experiment(row) for row in page.items], page.next_token)


def rename(actor: Actor, fields: Fields) -> dict[str, Any]:
    found = places.experiment_named(actor, fields.required("experiment_id"))
    experiments.rename(actor, found, fields.required("new_name"))
    return {}


def delete(actor: Actor, fields: Fields) -> dict[str, Any]:
    experiments.delete(actor, places.experiment_named(actor, fields.required("experiment_id")))
    return {}


def restore(actor: Actor, fields: Fields) -> dict[str, Any]:
    experiments.restore(actor, places.experiment_named(actor, fields.required("experiment_id")))
    return {}


def set_tag(actor: Actor, fields: Fields) -> dict[str, Any]:
    found = places.experiment_named(actor, fields.required("experiment_id"))
    experiments.tag(actor, found, fields.required("key"), fields.text("value"))
    return {}


def delete_tag(actor: Actor, fields: Fields) -> dict[str, Any]:
    found = places.experiment_named(actor, fields.required("experiment_id"))
    experiments.untag(actor, found, fields.required("key"))
    return {}


def search_datasets(actor: Actor, fields: Fields) -> dict[str, Any]:
    ids = fields.strings("experiment_ids")
    if not ids:
        raise NoExperimentNamed
    if len(ids) > DATASETS_OF:
        raise TooManyExperiments(limit=DATASETS_OF, count=len(ids))
    among = {row.pk: places.experiment_id(row) for row in places.experiments_named(actor, ids)}
    found = [
        {
            "experiment_id": among[experiment],
            "name": name,
            "digest": digest,
            **({"context": context} if context else {}),
        }
        for experiment, name, digest, context in queries.datasets_read(list(among))
    ]
    return {"dataset_summaries": found} if found else {}
