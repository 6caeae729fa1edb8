"""Reads of lineage that are shaped by their use; each takes the actor and finds only what he may see."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable

from django.db.models import prefetch_related_objects
from django.db.models.fields.json import KeyTextTransform

from accounts.actor import Actor
from accounts.roles import Action
from core import text
from core.canonical import digest
from core.errors import NotFound
from lineage.models import Experiment, Folder, FolderFile, LoggedModel, Manifest, Run, RunInput

CONTEXT_TAG = "mlflow.data.context"  # of a data set's use: what the run read it for
DATASETS_SHOWN = 1000
MODELS_SHOWN = 50


class ExperimentNotFound(NotFound):
    """No Experiment with id={experiment} exists here that you can see."""


class RunNotFound(NotFound):
    """Run with id={run} not found: there is none here that you can see."""


class LoggedModelNotFound(NotFound):
    """Logged model with ID '{logged_model}' not found: there is none here that you can see."""


class UploadNotFound(NotFound):
    """There is no upload {name!r} of yours: send its files first, with PUT /api/v1/uploads/{name}/files/PATH."""


class FileNotThere(NotFound):
    """There is no file {path!r} there."""


def as_uuid(value: object) -> uuid.UUID | None:
    """`value` as a UUID when it is one, in hex with or without dashes."""
    try:
        return value if isinstance(value, uuid.UUID) else uuid.UUID(hex=str(value))
    except ValueError:
        return None


def find_run(actor: Actor, run_id: object) -> Run:
    """The run, deleted or not, with its experiment; RunNotFound."""
    found = as_uuid(run_id)
    run = Run.objects.visible_to(actor).select_related("experiment").filter(pk=found).first() if found else None
    if run is None:
        raise RunNotFound(run=run_id)
    return run


def whole_run(actor: Actor, run_id: object) -> Run:
    """The run with everything it logged, metrics by their last value; RunNotFound. Seven queries."""
    run = find_run(actor, run_id)
    prefetch_related_objects([run], "tags", "params", "metrics", "inputs__dataset", "models")
    return run


def run_if_known(actor: Actor, run_id: str) -> Run | None:
    """The run when it is one of ours that the actor can see; a version may name one of another server."""
    found = as_uuid(run_id)
    return Run.objects.visible_to(actor).filter(pk=found).first() if found else None


def find_logged_model(actor: Actor, logged_model_id: object, *, deleted_too: bool = False) -> LoggedModel:
    """The logged model with its experiment; LoggedModelNotFound."""
    found = as_uuid(logged_model_id)
    rows = LoggedModel.objects.visible_to(actor).select_related("experiment")
    if not deleted_too:
        rows = rows.filter(deleted_at__isnull=True)
    logged_model = rows.filter(pk=found).first() if found else None
    if logged_model is None:
        raise LoggedModelNotFound(logged_model=f"m-{found.hex}" if found else logged_model_id)
    return logged_model


def models_made_by(run: Run) -> list[LoggedModel]:
    """The living models that a run logged, the newest first and at most MODELS_SHOWN. One query."""
    rows = LoggedModel.objects.filter(deleted_at__isnull=True)
    made = rows.filter(source_run=run).union(rows.filter(runs__run=run, runs__is_output=True))
    return list(made.order_by("-created_at", "id")[:MODELS_SHOWN])


def find_experiment(actor: Actor, experiment_id: int) -> Experiment:
    """The experiment, deleted or not; ExperimentNotFound."""
    experiment = Experiment.objects.visible_to(actor).filter(pk=experiment_id).first()
    if experiment is None:
        raise ExperimentNotFound(experiment=experiment_id)
    return experiment


def datasets_read(experiment_ids: Collection[int]) -> list[tuple[int, str, str, str | None]]:
    """Data sets that runs of these experiments read: experiment, name, digest, and what for, each once; at most
    DATASETS_SHOWN."""
    uses = (
        RunInput.objects.filter(dataset__experiment_id__in=experiment_ids)
        .annotate(context=KeyTextTransform(CONTEXT_TAG, "tags"))
        .order_by("dataset__experiment_id", "dataset__name", "dataset__digest", "context")
        .values_list("dataset__experiment_id", "dataset__name", "dataset__digest", "context")
    )
    return list(uses.distinct()[:DATASETS_SHOWN])


def find_upload(actor: Actor, name: str) -> Folder:
    """The actor's own upload of this name, if he may read or upload anything here; UploadNotFound."""
    if actor.may_somewhere(Action.READ) or actor.may_somewhere(Action.UPLOAD_ARTIFACT):
        own = Folder.objects.filter(workspace_id=actor.workspace_id, upload_owner_id=actor.user_id)
        if folder := own.filter(upload_name=name).first():
            return folder
    raise UploadNotFound(name=name)


def files_under(folder: Folder | None, path: str) -> list[FolderFile]:
    """The files below `path` ("" for all), by path; none when there is no folder."""
    if folder is None:
        return []
    files = folder.files.all()
    if path:
        files = files.filter(path__startswith=f"{path}/")
    return list(files.order_by("path"))


def file_at(folder: Folder | None, path: str) -> FolderFile:
    """The file at `path`; FileNotThere."""
    text.artifact_path(path)
    file = folder.files.filter(path=path).first() if folder else None
    if file is None:
        raise FileNotThere(path=path)
    return file


def listing(files: Iterable[tuple[str, int]], path: str) -> list[tuple[str, int | None]]:
    """One level of (path, size) pairs below `path`: (name, size) sorted by name, size None for a directory."""
    prefix = f"{path}/" if path else ""
    entries: dict[str, int | None] = {}
    for full, size in files:
        if full.startswith(prefix):
            head, _, rest = full[len(prefix) :].partition("/")
            entries[head] = None if rest else size
    return sorted(entries.items())


def listed_digest(manifest: Manifest) -> str:
    """The digest that the files of a manifest have as they are listed now: its own, unless somebody altered a row."""
    return digest([list(file) for file in sorted(manifest.files.values_list("path", "sha256", "size"))])
