"""Runs: begun, read, searched, changed; their parameters, tags, data sets and models."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from accounts.actor import Actor
from core.errors import Invalid
from core.paging import paginate_in_turn
from core.searching import Of
from lineage import searching
from lineage.conditions import Column
from lineage.queries import as_uuid, find_run
from lineage.recorded import recorded
from lineage.searching import View
from lineage.services import links, repeats, runs
from web.grammar import LISTS, NULLS, NUMBER, TEXT, Attribute, Grammar, parse_filter, parse_order
from web.mlflow import encode, places
from web.mlflow.door import encoded
from web.mlflow.experiments import SEARCH_LIMIT, VIEWS
from web.mlflow.wire import Fields, fields_of, json_object

SEARCH_PAGE = 1000
ITEMS_AT_ONCE = 1000
_MODEL_FIELDS = ("run_id", "utc_time_created", "artifact_path", "model_uuid", "flavors")

_NAME = Attribute("name", TEXT)
_START = Attribute("started_ms", NUMBER, number=True, whole=True)
_GRAMMAR = Grammar(
    attributes={
        "run_id": Attribute("id", TEXT | LISTS),
        "run_name": _NAME,
        "run name": _NAME,
        "Run name": _NAME,
        "Run Name": _NAME,
        "user_id": Attribute("user_name", TEXT),
        "status": Attribute("status", TEXT),
        "artifact_uri": Attribute("root", TEXT),
        "start_time": _START,
        "created": _START,
        "Created": _START,
        "end_time": Attribute("ended_ms", NUMBER, number=True, whole=True),
    },
    named={
        Of.TAG: TEXT | NULLS,
        Of.PARAM: TEXT | NULLS,
        Of.METRIC: NUMBER,
        Of.DATASET: TEXT | LISTS,
    },
    ordered=(Of.ATTRIBUTE, Of.TAG, Of.PARAM, Of.METRIC),
)
_COLUMNS = {
    "id": Column("id", read=as_uuid, shown=places.HEX_OF_ID),
    "name": Column("name", is_text=True),
    "user_name": Column("user_name", is_text=True),
    "status": Column("status", is_text=True),
    "root": Column(places.ROOT_OF_RUN, is_text=True),
    "started_ms": Column("started_ms"),
    "ended_ms": Column("ended_ms", nullable=True),
}


class WrongModelJson(Invalid):
    """Model json is missing mandatory fields: {missing}"""

    field = "model_json"


def create(actor: Actor, request: HttpRequest) -> HttpResponse:
    fields = fields_of(request)
    made, repeated = runs.create_once(
        actor,
        places.experiment_named(actor, fields.required("experiment_id")),
        name=fields.text("run_name"),
        user_name=fields.text("user_id"),
        started_ms=fields.whole("start_time"),
        tags=dict(fields.pairs("tags", limit=1000)),
    )
    return encoded({"run": encode.run(recorded([made])[0])}, **encode.repeated(repeated))


def get(actor: Actor, fields: Fields) -> dict[str, Any]:
    found = repeats.answered(actor, find_run(actor, fields.run_id()))
    return {"run": encode.run(recorded([found])[0])}


def search(actor: Actor, fields: Fields) -> dict[str, Any]:
    ids = fields.strings("experiment_ids")
    wanted, orders = fields.text("filter"), fields.strings("order_by")
    view = fields.choice("run_view_type", VIEWS) or View.ACTIVE
    among = {experiment.pk: experiment for experiment in places.experiments_named(actor, ids)}
    lists, order = searching.runs(
        among.values(),
        parse_filter(wanted, _GRAMMAR),
        parse_order(orders, _GRAMMAR),
        view=view,
        columns=_COLUMNS,
    )
    page = paginate_in_turn(
        lists,
        order=order,
        size=fields.max_results(default=SEARCH_PAGE, limit=SEARCH_LIMIT),
        token=fields.text("page_token"),
        query=["runs", sorted(ids), wanted, orders, view],
    )
    for run in page.items:
        run.experiment = among[run.experiment_id]
    return encode.page("runs", [encode.run(row) for row in recorded(page.items)], page.next_token)


def update(actor: Actor, fields: Fields) -> dict[str, Any]:
    run = runs.update(
        actor,
        fields.run_id(),
        status=fields.choice("status", encode.RUN_STATUS),
        ended_ms=fields.whole("end_time"),
        name=fields.text("run_name"),
    )
    return {"run_info": encode.run_info(run)}


def delete(actor: Actor, fields: Fields) -> dict[str, Any]:
    runs.delete(actor, fields.run_id())
    return {}


def restore(actor: Actor, fields: Fields) -> dict[str, Any]:
    runs.restore(actor, fields.run_id())
    return {}


def log_param(actor: Actor, fields: Fields) -> dict[str, Any]:
    runs.log(actor, fields.run_id(), params=[(fields.required("key"), fields.text("value"))])
    return {}


def set_tag(actor: Actor, fields: Fields) -> dict[str, Any]:
    runs.log(actor, fields.run_id(), tags={fields.required("key"): fields.text("value")})
    return {}


def delete_tag(actor: Actor, fields: Fields) -> dict[str, Any]:
    runs.untag(actor, fields.run_id(), fields.required("key"))
    return {}


def log_inputs(actor: Actor, fields: Fields) -> dict[str, Any]:
    links.log_inputs(
        actor,
        fields.run_id(),
        [_dataset_use(item) for item in fields.objects("datasets", limit=ITEMS_AT_ONCE)],
        [
            places.logged_model_key(item.required("model_id")).hex
            for item in fields.objects("models", limit=ITEMS_AT_ONCE)
        ],
    )
    return {}


def _dataset_use(fields: Fields) -> links.DatasetUse:
    dataset = fields.inner("dataset")
    return links.DatasetUse(
        name=dataset.required("name"),
        digest=dataset.required("digest"),
        source_type=dataset.required("source_type"),
        source=dataset.required("source"),
        schema=dataset.text("schema"),
        profile=dataset.text("profile"),
        tags=dict(fields.pairs("tags", limit=100)),
    )


def log_outputs(actor: Actor, fields: Fields) -> dict[str, Any]:
    run_id = fields.run_id()
    outputs = [
        (places.logged_model_key(item.required("model_id")).hex, item.whole("step") or 0)
        for item in fields.objects("models", limit=ITEMS_AT_ONCE)
    ]
    links.log_outputs(actor, run_id, outputs)
    return {}


def log_model(actor: Actor, fields: Fields) -> dict[str, Any]:
    """What clients of the 2.x generation send after uploading a model."""
    run_id = fields.run_id()
    model = json_object(fields.required("model_json"))
    if missing := [name for name in ("artifact_path", "flavors", "utc_time_created", "run_id") if name not in model]:
        raise WrongModelJson(missing=", ".join(missing))
    links.note_model(actor, run_id, {name: model[name] for name in _MODEL_FIELDS if name in model})
    return {}
