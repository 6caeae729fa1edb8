"""Rows as MLflow's objects: int64 as numbers, `version` as text, tags as lists, times in milliseconds."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable
from typing import Any

from django.conf import settings

from lineage.histories import Sample
from lineage.models import Experiment, LoggedModel, LoggedModelMetric, LoggedModelStatus, Run, RunStatus
from lineage.recorded import RecordedRun
from registry.models import Model
from registry.resolving import VersionFacts
from web.mlflow import places

RUN_STATUS: dict[str | int, RunStatus] = {
    **{status.value: status for status in RunStatus},
    1: RunStatus.RUNNING,
    2: RunStatus.SCHEDULED,
    3: RunStatus.FINISHED,
    4: RunStatus.FAILED,
    5: RunStatus.KILLED,
}
_LOGGED_MODEL_STATUS = {
    LoggedModelStatus.PENDING: "LOGGED_MODEL_PENDING",
    LoggedModelStatus.READY: "LOGGED_MODEL_READY",
    LoggedModelStatus.FAILED: "LOGGED_MODEL_UPLOAD_FAILED",
}
LOGGED_MODEL_STATUS: dict[str | int, LoggedModelStatus] = {
    **{name: status for status, name in _LOGGED_MODEL_STATUS.items()},
    1: LoggedModelStatus.PENDING,
    2: LoggedModelStatus.READY,
    3: LoggedModelStatus.FAILED,
}
_VERSION_STATUS = {"pending": "PENDING_REGISTRATION", "ready": "READY", "failed": "FAILED_REGISTRATION"}


def millis(moment: datetime.datetime) -> int:
    return int(moment.timestamp() * 1000)


def _tags(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in pairs]


def filled(**fields: Any) -> dict[str, Any]:
    """Without what is unset and the lists that are empty: protobuf leaves those out. Empty texts stay."""
    return {name: value for name, value in fields.items() if value is not None and value != []}


def page(name: str, items: list[dict[str, Any]], next_token: str) -> dict[str, Any]:
    """A page of a list, without what is empty in it."""
    return {**({name: items} if items else {}), **({"next_page_token": next_token} if next_token else {})}


def repeated(is_so: bool) -> dict[str, str]:
    """The header that says of a create that an earlier request had made what it answers with."""
    return {"Vouch-Repeated": "true"} if is_so else {}


# --- Registry ---------------------------------------------------------------------------------------------------------


def version(facts: VersionFacts, *, aliases: bool = True) -> dict[str, Any]:
    """ModelVersion; `manifest_digest`, `promotion` and `page` (of the promotion that moved it) are ours."""
    return filled(
        name=facts.name,
        version=str(facts.number),
        creation_timestamp=millis(facts.created_at),
        last_updated_timestamp=millis(facts.updated_at),
        user_id=facts.registrar,
        current_stage=facts.stage,
        description=facts.description,
        source=facts.source,
        run_id=facts.run,
        run_link=facts.run_link,
        status=_VERSION_STATUS[facts.status],
        status_message=facts.status_message or None,
        tags=_tags(facts.tags),
        aliases=facts.aliases if aliases else None,
        model_id=places.logged_model_id(facts.logged_model_id) if facts.logged_model_id else None,
        manifest_digest=facts.manifest,
        promotion=str(facts.promotion_id) if facts.promotion_id else None,
        page=f"{settings.VOUCH_URL}/promotions/{facts.promotion_id}" if facts.promotion_id else None,
    )


def model(row: Model, newest: Iterable[VersionFacts]) -> dict[str, Any]:
    """RegisteredModel; its latest versions come without aliases, as on the reference server."""
    return filled(
        name=row.name,
        creation_timestamp=millis(row.created_at),
        last_updated_timestamp=millis(row.updated_at),
        user_id=row.created_by.username,
        description=row.description,
        latest_versions=[version(facts, aliases=False) for facts in newest],
        tags=_tags((tag.key, tag.value) for tag in row.tags.all()),
        aliases=[{"alias": alias.name, "version": str(alias.version.number)} for alias in row.aliases.all()],
    )


# --- Tracking ---------------------------------------------------------------------------------------------------------


def experiment(row: Experiment) -> dict[str, Any]:
    return filled(
        experiment_id=places.experiment_id(row),
        name=row.name,
        artifact_location=places.experiment_root(row),
        lifecycle_stage=_lifecycle(bool(row.deleted_at)),
        creation_time=millis(row.created_at),
        last_update_time=millis(row.updated_at),
        tags=_tags((tag.key, tag.value) for tag in row.tags.all()),
    )


def run_info(row: Run) -> dict[str, Any]:
    """RunInfo. The run's id travels under both of its names: clients read both."""
    return filled(
        run_id=row.pk.hex,
        run_uuid=row.pk.hex,
        run_name=row.name,
        experiment_id=places.experiment_id(row.experiment),
        user_id=row.user_name,
        status=row.status,
        start_time=row.started_ms,
        end_time=row.ended_ms,
        artifact_uri=places.run_root(row),
        lifecycle_stage=_lifecycle(row.is_deleted),
    )


def run(row: RecordedRun) -> dict[str, Any]:
    """Run with its data, inputs and outputs."""
    inputs = [
        {
            "tags": _tags(read.tags.items()),
            "dataset": {
                "name": read.name,
                "digest": read.digest,
                "source_type": read.source_type,
                "source": read.source,
                "schema": read.schema,
                "profile": read.profile,
            },
        }
        for read in row.datasets
    ]
    return {
        "info": run_info(row.run),
        "data": filled(
            metrics=[
                {"key": key, "value": _double(value), "timestamp": timestamp, "step": step}
                for key, value, timestamp, step in row.metrics
            ],
            params=_tags(row.params),
            tags=_tags(row.tags),
        ),
        "inputs": filled(
            dataset_inputs=inputs,
            model_inputs=[{"model_id": places.logged_model_id(key)} for key in row.models_read],
        ),
        "outputs": filled(
            model_outputs=[{"model_id": places.logged_model_id(key), "step": step} for key, step in row.models_made]
        ),
    }


def history(key: str, points: Iterable[tuple[int, int, float]]) -> list[dict[str, Any]]:
    """Points of one metric, each (time, step, value)."""
    return [
        {"key": key, "value": value if value == value else "NaN", "timestamp": timestamp, "step": step}
        for timestamp, step, value in points
    ]


def samples(key: str, points: Iterable[Sample]) -> list[dict[str, Any]]:
    """Points of one metric of several runs."""
    return [
        {
            "key": key,
            "value": _double(point.value),
            "timestamp": point.timestamp_ms,
            "step": point.step,
            "run_id": point.run_id.hex,
        }
        for point in points
    ]


def _double(value: float) -> float | str:
    return "NaN" if math.isnan(value) else value


def _lifecycle(is_deleted: bool) -> str:
    return "deleted" if is_deleted else "active"


# --- Logged models and files ------------------------------------------------------------------------------------------


def logged_model(row: LoggedModel) -> dict[str, Any]:
    """LoggedModel with its parameters and metrics."""
    return {
        "info": filled(
            model_id=places.logged_model_id(row.pk),
            experiment_id=places.experiment_id(row.experiment),
            name=row.name,
            creation_timestamp_ms=millis(row.created_at),
            last_updated_timestamp_ms=millis(row.updated_at),
            artifact_uri=places.logged_model_root(row),
            status=_LOGGED_MODEL_STATUS[LoggedModelStatus(row.status)],
            model_type=row.model_type or None,
            source_run_id=row.source_run_id.hex if row.source_run_id else None,
            status_message=row.status_message or None,
            tags=_tags((tag.key, tag.value) for tag in row.tags.all()),
        ),
        "data": filled(
            params=_tags((param.key, param.value) for param in row.params.all()),
            metrics=[_model_metric(row, measured) for measured in row.metrics.all()],
        ),
    }


def _model_metric(row: LoggedModel, measured: LoggedModelMetric) -> dict[str, Any]:
    return filled(
        key=measured.key,
        value=_double(measured.value),
        timestamp=measured.timestamp_ms,
        step=measured.step,
        dataset_name=measured.dataset_name or None,
        dataset_digest=measured.dataset_digest or None,
        model_id=places.logged_model_id(row.pk),
        run_id=measured.run_id.hex,
    )


def files(entries: Iterable[tuple[str, int | None]], *, below: str = "") -> list[dict[str, Any]]:
    """FileInfo of (name, size) entries, size None for a directory; `below` comes before each name."""
    prefix = f"{below}/" if below else ""
    return [filled(path=prefix + name, is_dir=size is None, file_size=size) for name, size in entries]
