"""Source URIs of model versions: which are allowed, and where the bytes they name lie.

The rules are those of the reference server since 3.11, with one more: what names our own store must exist and hold
files, since a version whose bytes can still be written could change after it was approved.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from accounts.actor import Actor
from core import text
from core.errors import Invalid
from lineage.models import Run
from lineage.queries import RunNotFound, files_under, find_run
from lineage.services.artifacts import Place
from registry.queries import find_version
from registry.references import parse
from registry.resolving import resolve
from registry.services.catalog import Origin
from web.mlflow.places import Frozen, logged_model_id, logged_model_named, path_in_store, spot_at

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_LOGGED_MODEL = re.compile(r"models:/(m-[0-9a-f]{32})")
# A server of somebody's choice that ours, or whoever loads the model, would be made to call.
_HOST_ADDRESSED = frozenset({"http", "https", "ftp", "sftp", "hdfs", "viewfs", "r2", "b2", "abfss"})


# Where a client copies the files to that registers with Databricks what was logged elsewhere (web/databricks/dbfs.py).
COPIES = "/databricks/mlflow/tmp-external-source"


class SourceClimbs(Invalid):
    """Invalid model version source: '{source}'. Please provide an absolute path: one without '..', plain or
    percent-encoded, and without control characters."""

    field = "source"


class LocalSource(Invalid):
    """Invalid model version source: '{source}'. A path on your own disk cannot be loaded by others: log the model to
    this server first, then register models:/, runs:/ or mlflow-artifacts:/ URIs, or one of an object store."""

    field = "source"


class HostAddressedSource(Invalid):
    """Invalid model version source: '{source}'. Sources of the scheme '{scheme}' on other hosts are not allowed."""

    field = "source"


class SourceOfAnother(Invalid):
    """Invalid model version source: '{source}'. The {wanted} request parameter must identify the resource that contains
    the source."""

    field = "source"


@dataclass(frozen=True)
class Source:
    """Where a version comes from; `ours` when its files must be in our store."""

    origin: Origin
    ours: bool


def read(actor: Actor, *, source: str, run_id: str, model_id: str) -> Source:
    """What `source` names, checked against the run and the logged model that the request says it belongs to."""
    _is_straight(source)
    scheme = found[1].lower() if (found := _SCHEME.match(source)) else ""
    if scheme == "file" or len(scheme) < 2:  # one letter is a drive
        raise LocalSource(source=source)
    if scheme == "models":
        return _of_model(actor, source, run_id, model_id)
    if scheme == "runs":
        return _of_run(actor, source, run_id)
    if scheme == "mlflow-artifacts":
        return _of_store(actor, source, run_id, model_id)
    if scheme in _HOST_ADDRESSED:
        raise HostAddressedSource(source=source, scheme=scheme)
    if scheme == "dbfs" and (copy := copy_at(source[len("dbfs:") :])):
        return _of_copy(actor, source, run_id, model_id, *copy)
    logged_model = logged_model_named(actor, model_id) if model_id else None
    run = _known_run(actor, run_id)
    return Source(Origin(source=source, run=run, run_ref=run_id, logged_model=logged_model), ours=False)


def copy_at(path: str) -> tuple[str, str] | None:
    """The name of the upload that a path of Databricks' file system lies in, and the path below; None outside."""
    if not path.startswith(f"{COPIES}/"):
        return None
    name, _, inside = path.removeprefix(f"{COPIES}/").strip("/").partition("/")
    return (name, inside) if name else None


def _is_straight(source: str) -> None:
    seen = source
    for _ in range(4):
        if not seen.isprintable() or ".." in re.split(r"[/\\?#]", seen):
            raise SourceClimbs(source=source)
        seen, before = unquote(seen), seen
        if seen == before:
            return
    raise SourceClimbs(source=source)


def _of_model(actor: Actor, source: str, run_id: str, model_id: str) -> Source:
    if found := _LOGGED_MODEL.fullmatch(source):
        if model_id != found[1]:
            raise SourceOfAnother(source=source, wanted="model_id")
        logged_model = logged_model_named(actor, model_id)
        run = logged_model.source_run
        if run and run_id and run.pk.hex != run_id:
            raise SourceOfAnother(source=source, wanted="run_id")
        run = run or _known_run(actor, run_id)
        return Source(
            Origin(
                source=source,
                place=Place(logged_model=logged_model),
                run=run,
                run_ref=run.pk.hex if run else run_id,
                logged_model=logged_model,
            ),
            ours=True,
        )
    there = resolve(actor, parse(source))
    version = find_version(actor, there.name, there.version)
    if run_id and run_id != version.run_ref:
        raise SourceOfAnother(source=source, wanted="run_id")
    if model_id and (not version.logged_model_id or model_id != logged_model_id(version.logged_model_id)):
        raise SourceOfAnother(source=source, wanted="model_id")
    origin = Origin(
        source=f"models:/{there.name}/{there.version}",
        copy_of=version,
        run=version.run,
        run_ref=version.run_ref,
        logged_model=version.logged_model,
    )
    # A copy of a version whose bytes lie elsewhere has none here either.
    return Source(origin, ours=version.manifest_id is not None)


def _of_run(actor: Actor, source: str, run_id: str) -> Source:
    named, _, path = source.removeprefix("runs:").strip("/").partition("/")
    if not run_id or named != run_id:
        raise SourceOfAnother(source=source, wanted="run_id")
    run = find_run(actor, run_id)
    path = text.artifact_path(path, empty=True)
    return Source(Origin(source=source, place=Place(run=run), path=path, run=run, run_ref=run.pk.hex), ours=True)


def _of_store(actor: Actor, source: str, run_id: str, model_id: str) -> Source:
    path = path_in_store(source)
    if path is None:
        raise HostAddressedSource(source=source, scheme="mlflow-artifacts")
    spot = spot_at(actor, path)
    if isinstance(spot.owner, Frozen):
        raise SourceOfAnother(source=source, wanted="run_id or model_id")
    run, logged_model = spot.owner.run, spot.owner.logged_model
    if run and run.pk.hex != run_id:
        raise SourceOfAnother(source=source, wanted="run_id")
    if logged_model:
        if logged_model_id(logged_model.pk) != model_id:
            raise SourceOfAnother(source=source, wanted="model_id")
        run = logged_model.source_run
    origin = Origin(
        source=source,
        place=spot.owner,
        path=spot.path,
        run=run,
        run_ref=run.pk.hex if run else run_id,
        logged_model=logged_model,
    )
    return Source(origin, ours=True)


def _of_copy(actor: Actor, source: str, run_id: str, model_id: str, name: str, path: str) -> Source:
    place = Place(upload_name=name)
    # The client adds the name of the directory that it copied, also where it has copied what is in it.
    if not files_under(place.existing_folder(actor), path):
        path = path.partition("/")[2]
    run = _known_run(actor, run_id)
    logged_model = logged_model_named(actor, model_id) if model_id else None
    origin = Origin(source=source, place=place, path=path, run=run, run_ref=run_id, logged_model=logged_model)
    return Source(origin, ours=True)


def _known_run(actor: Actor, run_id: str) -> Run | None:
    """The run, if it is one of ours: a source elsewhere may come from a run elsewhere."""
    try:
        return find_run(actor, run_id) if run_id else None
    except RunNotFound:
        return None
