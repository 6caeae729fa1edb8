"""Experiments, runs, and what runs log."""

from __future__ import annotations

from typing import Any

from accounts.actor import Actor
from core.errors import Invalid
from core.paging import page_size, paginate
from lineage.queries import metric_history, whole_run
from lineage.services import experiments, runs
from web.mlflow import encode, places
from web.mlflow.wire import Fields, json_object

BATCH_METRICS, BATCH_PARAMS, BATCH_TAGS = 1000, 100, 100
DATASETS_AT_ONCE = 1000
HISTORY_PAGE = 25_000
_MODEL_FIELDS = ("run_id", "utc_time_created", "artifact_path", "model_uuid", "flavors")


class LocationIsOurs(Invalid):
    """The artifact location {value!r} will not do: leave it out, to keep files on this server, or name a place in an
    object store such as s3://BUCKET/PATH."""

    field = "artifact_location"


class WrongModelJson(Invalid):
    """The model description lacks {missing}."""

    field = "model_json"


# --- Experiments ------------------------------------------------------------------------------------------------------


def create_experiment(actor: Actor, fields: Fields) -> dict[str, Any]:
    location = fields.text("artifact_location")
    if location and not location.startswith(("s3://", "gs://", "wasbs://", "abfss://", "dbfs:/")):
        raise LocationIsOurs(value=location)
    experiment = experiments.create(
        actor,
        name=fields.required("name"),
        tags=dict(fields.pairs("tags", limit=1000)),
        artifact_location=location.rstrip("/"),
    )
    return {"experiment_id": places.experiment_id(experiment)}


def get_experiment(actor: Actor, fields: Fields) -> dict[str, Any]:
    return {"experiment": encode.experiment(places.experiment_named(actor, fields.required("experiment_id")))}


def get_experiment_by_name(actor: Actor, fields: Fields) -> dict[str, Any]:
    return {"experiment": encode.experiment(experiments.find_by_name(actor, fields.required("experiment_name")))}


# --- Runs -------------------------------------------------------------------------------------------------------------


def create_run(actor: Actor, fields: Fields) -> dict[str, Any]:
    run = runs.create(
        actor,
        places.experiment_named(actor, fields.required("experiment_id")),
        name=fields.text("run_name"),
        user_name=fields.text("user_id"),
        started_ms=fields.whole("start_time"),
        tags=dict(fields.pairs("tags", limit=1000)),
    )
    return {"run": encode.run(whole_run(actor, run.pk))}


def get_run(actor: Actor, fields: Fields) -> dict[str, Any]:
    return {"run": encode.run(whole_run(actor, fields.run_id()))}


def update_run(actor: Actor, fields: Fields) -> dict[str, Any]:
    run = runs.update(
        actor,
        fields.run_id(),
        status=fields.choice("status", encode.RUN_STATUS),
        ended_ms=fields.whole("end_time"),
        name=fields.text("run_name"),
    )
    return {"run_info": encode.run_info(run)}


def log_metric(actor: Actor, fields: Fields) -> dict[str, Any]:
    runs.log(actor, fields.run_id(), metrics=[_point(fields)])
    return {}


def log_param(actor: Actor, fields: Fields) -> dict[str, Any]:
    runs.log(actor, fields.run_id(), params=[(fields.required("key"), fields.text("value"))])
    return {}


def set_tag(actor: Actor, fields: Fields) -> dict[str, Any]:
    runs.log(actor, fields.run_id(), tags={fields.required("key"): fields.text("value")})
    return {}


def log_batch(actor: Actor, fields: Fields) -> dict[str, Any]:
    runs.log(
        actor,
        fields.run_id(),
        metrics=[_point(item) for item in fields.objects("metrics", limit=BATCH_METRICS)],
        params=fields.pairs("params", limit=BATCH_PARAMS),
        tags=dict(fields.pairs("tags", limit=BATCH_TAGS)),
    )
    return {}


def _point(fields: Fields) -> runs.Point:
    model_id = fields.text("model_id")
    return runs.Point(
        key=fields.required("key"),
        value=fields.required_number("value"),
        timestamp_ms=fields.required_whole("timestamp"),
        step=fields.whole("step") or 0,
        logged_model_id=places.logged_model_key(model_id).hex if model_id else "",
        dataset_name=fields.text("dataset_name"),
        dataset_digest=fields.text("dataset_digest"),
    )


def log_inputs(actor: Actor, fields: Fields) -> dict[str, Any]:
    runs.log_inputs(
        actor,
        fields.run_id(),
        [_dataset_use(item) for item in fields.objects("datasets", limit=DATASETS_AT_ONCE)],
        [
            places.logged_model_key(item.required("model_id")).hex
            for item in fields.objects("models", limit=DATASETS_AT_ONCE)
        ],
    )
    return {}


def _dataset_use(fields: Fields) -> runs.DatasetUse:
    dataset = fields.inner("dataset")
    return runs.DatasetUse(
        name=dataset.required("name"),
        digest=dataset.required("digest"),
        source_type=dataset.required("source_type"),
        source=dataset.required("source"),
        schema=dataset.text("schema"),
        profile=dataset.text("profile"),
        tags=dict(fields.pairs("tags", limit=100)),
    )


def log_outputs(actor: Actor, fields: Fields) -> dict[str, Any]:
    outputs = [
        (places.logged_model_key(item.required("model_id")).hex, item.whole("step") or 0)
        for item in fields.objects("models", limit=DATASETS_AT_ONCE)
    ]
    runs.log_outputs(actor, fields.run_id(), outputs)
    return {}


def log_model(actor: Actor, fields: Fields) -> dict[str, Any]:
    """What clients of the 2.x generation send after uploading a model."""
    model = json_object(fields.required("model_json"))
    if missing := [name for name in ("artifact_path", "flavors", "utc_time_created", "run_id") if name not in model]:
        raise WrongModelJson(missing=", ".join(missing))
    runs.note_model(actor, fields.run_id(), {name: model[name] for name in _MODEL_FIELDS if name in model})
    return {}


def get_metric_history(actor: Actor, fields: Fields) -> dict[str, Any]:
    run_id, key = fields.run_id(), fields.required("metric_key")
    page = paginate(
        metric_history(actor, run_id, key),
        order=("timestamp_ms", "step", "value"),
        size=page_size(fields.whole("max_results"), default=HISTORY_PAGE, limit=HISTORY_PAGE, field="max_results"),
        token=fields.text("page_token"),
        query=["metric-history", run_id, key],
    )
    return {
        **({"metrics": encode.history(page.items)} if page.items else {}),
        **({"next_page_token": page.next_token} if page.next_token else {}),
    }
