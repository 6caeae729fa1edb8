"""What a run read and made: data sets and logged models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db import transaction

from accounts.actor import Actor
from core import text
from lineage.models import Dataset, Run, RunInput, RunModel, RunTag
from lineage.queries import find_logged_model
from lineage.services.metrics import whole
from lineage.services.runs import TAG_VALUE_LIMIT, locked

MODELS_TAG = "mlflow.log-model.history"
MODEL_HISTORY_LIMIT = 1_000_000


@dataclass(frozen=True)
class DatasetUse:
    """A data set that a run reads, with the tags of that use."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str = ""
    profile: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@transaction.atomic
def log_inputs(
    actor: Actor, run_id: object, datasets: Iterable[DatasetUse], logged_model_ids: Iterable[str] = ()
) -> None:
    """Note what the run reads. The first description of a data set stays; the same use again changes nothing."""
    run = locked(actor, run_id)
    uses = list(datasets)
    # Runs share their experiment's data sets: met in one order by all, so that no two writers wait for each other.
    met = {
        key: _dataset(run, use) for key, use in sorted({(use.name, use.digest): use for use in reversed(uses)}.items())
    }
    for use in uses:
        tags = {
            text.key("tags.key", key): text.free_text("tags.value", value, limit=TAG_VALUE_LIMIT)
            for key, value in use.tags.items()
        }
        RunInput.objects.get_or_create(run=run, dataset=met[use.name, use.digest], defaults={"tags": tags})
    _link_models(actor, run, [(logged_model_id, 0) for logged_model_id in logged_model_ids], is_output=False)


def _dataset(run: Run, use: DatasetUse) -> Dataset:
    return Dataset.objects.get_or_create(
        experiment_id=run.experiment_id,
        name=text.free_text("dataset.name", use.name, limit=500, lines=False, empty=False),
        digest=text.free_text("dataset.digest", use.digest, limit=36, lines=False, empty=False),
        defaults={
            "source_type": text.free_text("dataset.source_type", use.source_type, limit=64, lines=False),
            "source": text.free_text("dataset.source", use.source, limit=65_535),
            "schema": text.free_text("dataset.schema", use.schema, limit=1_048_575),
            "profile": text.free_text("dataset.profile", use.profile, limit=16_777_215),
        },
    )[0]


@transaction.atomic
def log_outputs(actor: Actor, run_id: object, logged_models: Iterable[tuple[str, int]]) -> None:
    """Note which logged models the run made, each with its step."""
    _link_models(actor, locked(actor, run_id), logged_models, is_output=True)


@transaction.atomic
def note_model(actor: Actor, run_id: object, description: Mapping[str, object]) -> None:
    """Add a model that a client of the 2.x generation logged to the run's tag mlflow.log-model.history."""
    run = locked(actor, run_id)
    there = run.tags.filter(key=MODELS_TAG).first()
    try:
        known = json.loads(there.value) if there else []
    except ValueError:
        known = []  # somebody set the tag himself, to something else
    known = known if isinstance(known, list) else []
    if description in known:
        return  # the client repeats itself
    history = json.dumps([*known, description])
    text.free_text(MODELS_TAG, history, limit=MODEL_HISTORY_LIMIT)
    RunTag.objects.update_or_create(run=run, key=MODELS_TAG, defaults={"value": history})


def _link_models(actor: Actor, run: Run, logged_models: Iterable[tuple[str, int]], *, is_output: bool) -> None:
    links = []
    for logged_model_id, step in logged_models:
        logged_model = find_logged_model(actor, logged_model_id)
        step = whole("step", step, low=None)
        links.append(RunModel(run=run, logged_model=logged_model, is_output=is_output, step=step))
    RunModel.objects.bulk_create(links, ignore_conflicts=True)
