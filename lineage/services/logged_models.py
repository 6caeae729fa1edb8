"""Logged models: what a run made, before anybody registers it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor
from accounts.permissions import require
from accounts.roles import Action
from core import text
from core.errors import Invalid, NotFound
from lineage.models import Experiment, LoggedModel, LoggedModelParam, LoggedModelStatus, LoggedModelTag
from lineage.queries import find_logged_model, find_run
from lineage.services import repeats
from lineage.services.experiments import ExperimentDeleted

PARAM_VALUE_LIMIT = 6000
TAG_VALUE_LIMIT = 8000
_NOT_IN_A_NAME = set("/:.%\"'")


class BadLoggedModelName(Invalid):
    """The model's name {value!r} will not do: use 1 to 500 characters without / : . % and quotes."""

    field = "name"


class NoLoggedModelTag(NotFound):
    """No tag with key {key!r} found for model with ID 'm-{logged_model}'."""


class LoggedModelParamChanged(Invalid):
    """The parameter {key!r} of model 'm-{logged_model}' has the value {old!r}: it cannot become {new!r}."""

    field = "params"


@transaction.atomic
def create(
    actor: Actor,
    experiment: Experiment,
    *,
    name: str = "",
    model_type: str = "",
    source_run_id: str = "",
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> LoggedModel:
    """A new logged model, pending until its files are up.

    Each request makes one, also one that is like the last: programs begin several models of one name before they log
    to any, and nothing tells that from a repetition. What a repetition leaves is pending, and nobody's.
    """
    require(actor, Action.LOG_RUN)
    if experiment.deleted_at:
        raise ExperimentDeleted(name=experiment.name)
    name = text.free_text("name", name, limit=500, lines=False) or f"model-{secrets.token_hex(4)}"
    if _NOT_IN_A_NAME & set(name):
        raise BadLoggedModelName(value=name)
    source_run = find_run(actor, source_run_id) if source_run_id else None
    repeats.settle(experiment)
    if source_run:
        repeats.settle(source_run)
    logged_model = LoggedModel.objects.create(
        experiment=experiment,
        name=name,
        model_type=text.free_text("model_type", model_type, limit=500, lines=False),
        source_run=source_run,
        created_by_id=actor.user_id,
    )
    _write_params(logged_model, params)
    _write_tags(logged_model, tags)
    return logged_model


@transaction.atomic
def finalise(actor: Actor, logged_model_id: object, status: LoggedModelStatus) -> LoggedModel:
    """Say that the model's files are all there, or that they failed to arrive."""
    logged_model = _locked(actor, logged_model_id)
    logged_model.status = status
    logged_model.save(update_fields=["status", "updated_at"])
    return logged_model


@transaction.atomic
def tag(actor: Actor, logged_model_id: object, tags: Mapping[str, str]) -> LoggedModel:
    """Set tags; those of the same key change."""
    logged_model = _locked(actor, logged_model_id)
    _write_tags(logged_model, tags)
    logged_model.save(update_fields=["updated_at"])
    return logged_model


@transaction.atomic
def untag(actor: Actor, logged_model_id: object, key: str) -> None:
    """Take a tag away; NoLoggedModelTag."""
    logged_model = _locked(actor, logged_model_id)
    if not logged_model.tags.filter(key=text.searchable(key)).delete()[0]:
        raise NoLoggedModelTag(key=key, logged_model=logged_model.pk.hex)
    logged_model.save(update_fields=["updated_at"])


@transaction.atomic
def log_params(actor: Actor, logged_model_id: object, params: Mapping[str, str]) -> LoggedModel:
    """Add parameters; one that is there can be logged again with the same value only, or LoggedModelParamChanged."""
    logged_model = _locked(actor, logged_model_id)
    _write_params(logged_model, params)
    return logged_model


@transaction.atomic
def delete(actor: Actor, logged_model_id: object) -> None:
    """Hide a logged model; versions registered from it keep their files. One that is hidden stays so."""
    logged_model = _locked(actor, logged_model_id, deleted_too=True)
    if not logged_model.deleted_at:
        logged_model.deleted_at = timezone.now()
        logged_model.save(update_fields=["deleted_at", "updated_at"])


def _locked(actor: Actor, logged_model_id: object, *, deleted_too: bool = False) -> LoggedModel:
    found = find_logged_model(actor, logged_model_id, deleted_too=deleted_too)
    require(actor, Action.LOG_RUN)
    rows = LoggedModel.objects.select_for_update(of=("self",), no_key=True).select_related("experiment")
    return rows.get(pk=found.pk)


def _write_params(logged_model: LoggedModel, params: Mapping[str, str]) -> None:
    rows = [
        LoggedModelParam(
            logged_model=logged_model,
            key=text.key("params.key", key),
            value=text.cut("params.value", value, limit=PARAM_VALUE_LIMIT),
        )
        for key, value in params.items()
    ]
    LoggedModelParam.objects.bulk_create(rows, ignore_conflicts=True)
    wanted = {row.key: row.value for row in rows}
    for key, old in logged_model.params.filter(key__in=wanted).values_list("key", "value"):
        if old != wanted[key]:
            raise LoggedModelParamChanged(key=key, old=old, new=wanted[key], logged_model=logged_model.pk.hex)


def _write_tags(logged_model: LoggedModel, tags: Mapping[str, str]) -> None:
    rows = [
        LoggedModelTag(
            logged_model=logged_model,
            key=text.key("tags.key", key),
            value=text.free_text("tags.value", value, limit=TAG_VALUE_LIMIT),
        )
        for key, value in tags.items()
    ]
    LoggedModelTag.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["logged_model", "key"], update_fields=["value"]
    )
