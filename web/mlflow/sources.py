"""Source URIs of model versions: which are allowed, and where the bytes they name lie.

The rules are those of the reference server since 3.11, with one more and one less. What is in our own store must hold
files, since a version whose bytes can still be written could change after it was approved. And a run or a logged model
that is not here is taken as lying on another tracking server, which the client that loads the version asks by itself:
`mlflow.set_registry_uri` may point here while runs are logged elsewhere. Nobody can make it appear here later: the ids
of runs and logged models are drawn at random by this server, and no request chooses one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from django.conf import settings

from accounts.actor import Actor
from core import text
from core.errors import Invalid
from lineage.models import LoggedModel, Run
from lineage.queries import LoggedModelNotFound, RunNotFound, files_under, find_run
from lineage.services.artifacts import Place
from registry.queries import find_version
from registry.references import parse
from registry.resolving import resolve
from registry.services.catalog import Origin
from web.mlflow.places import (
    Frozen,
    NoSuchPlace,
    logged_model_id,
    logged_model_named,
    logged_model_root,
    path_in_store,
    run_root,
    spot_at,
)

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_LOGGED_MODEL = re.compile(r"models:/(m-[0-9a-f]{32})")
# As a client that loads from it takes it: without an encoding, a query or a fragment, behind which something else, a
# folder here that can be written to, could be named.
_PLAIN = re.compile(r"[A-Za-z-]+:/+[A-Za-z0-9._@+=:,~ /-]+")
# A server of somebody's choice that ours, or whoever loads the model, would be made to call.
_HOST_ADDRESSED = frozenset({"http", "https", "ftp", "sftp", "hdfs", "viewfs", "r2", "b2", "abfss"})
# What clients send of a prompt, whose text is a tag and which has no files.
_NO_SOURCE = frozenset({"dummy-source", "prompt-template"})


# Where a client copies the files to that registers with Databricks what was logged elsewhere (web/databricks/dbfs.py).
COPIES = "/databricks/mlflow/tmp-external-source"


class SourceClimbs(Invalid):
    """Invalid model version source: '{source}'. If supplying a source as an http, https, local file path, ftp,
    objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references present.
    Please provide an absolute path. One without '..', plain or percent-encoded, and without control characters."""

    field = "source"


class LocalSource(Invalid):
    """Invalid model version source: '{source}'. To use a local path as a model version source would have others load
    what only your machine has: log the model to a server first, then register models:/, runs:/ or mlflow-artifacts:/
    URIs, or one of an object store."""

    field = "source"


class HostAddressedSource(Invalid):
    """Invalid model version source: '{source}'. Sources of the scheme '{scheme}' on other hosts are not allowed."""

    field = "source"


class SourceNotPlain(Invalid):
    """Invalid model version source: '{source}'. What lies on another tracking server is named by letters, digits,
    spaces and . _ @ + = : , ~ - alone."""

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


class PromptSource(Invalid):
    """Invalid prompt source: '{source}'. A prompt has no files: send 'dummy-source'."""

    field = "source"


def read(actor: Actor, *, source: str, run_id: str, model_id: str, of_prompt: bool = False) -> Source:
    """What `source` names, checked against the run and the logged model that the request says it belongs to."""
    if of_prompt:
        if source not in _NO_SOURCE:
            raise PromptSource(source=source)
        return Source(Origin(source=source, run=_known_run(actor, run_id), run_ref=run_id), ours=False)
    _is_straight(source)
    scheme = found[1].lower() if (found := _SCHEME.match(source)) else ""
    if scheme == "file" or len(scheme) < 2:  # one letter is a drive
        return _of_disk(actor, source, run_id, model_id)
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
    logged_model = _known_model(actor, model_id)
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
        logged_model = _known_model(actor, model_id)
        if logged_model is None:
            return _elsewhere(source, f"the logged model {model_id}", run=_known_run(actor, run_id), run_ref=run_id)
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
    # Clients skip a host between `//` and `/`: what stood there would hide the run that they load from.
    hosted = re.match(r"runs://[^/]", source)
    named, _, path = source.removeprefix("runs:").strip("/").partition("/")
    if hosted or not run_id or named != run_id:
        raise SourceOfAnother(source=source, wanted="run_id")
    run = _known_run(actor, run_id)
    if run is None:
        return _elsewhere(source, f"the run {run_id}", run_ref=run_id)
    path = text.artifact_path(path, empty=True)
    return Source(Origin(source=source, place=Place(run=run), path=path, run=run, run_ref=run.pk.hex), ours=True)


def _of_store(actor: Actor, source: str, run_id: str, model_id: str) -> Source:
    path = path_in_store(source)
    if path is None:
        raise HostAddressedSource(source=source, scheme="mlflow-artifacts")
    try:
        spot = spot_at(actor, path)
    except (RunNotFound, LoggedModelNotFound, NoSuchPlace):
        return _of_another_store(actor, source, path, run_id, model_id)
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


def _of_disk(actor: Actor, source: str, run_id: str, model_id: str) -> Source:
    """A path on a disk that this server and its clients share, inside the root of its run: for conformance runs."""
    run, logged_model = _known_run(actor, run_id), _known_model(actor, model_id)
    roots = [run_root(run)] if run else []
    roots += [logged_model_root(logged_model)] if logged_model else []
    wanted = f"{source.removeprefix('file://').rstrip('/')}/"
    inside = [root for root in roots if wanted.startswith(f"{root.removeprefix('file://').rstrip('/')}/")]
    if not (settings.VOUCH_CONFORMANCE and inside):
        raise LocalSource(source=source)
    return Source(Origin(source=source, run=run, run_ref=run_id, logged_model=logged_model), ours=False)


def _of_another_store(actor: Actor, source: str, path: str, run_id: str, model_id: str) -> Source:
    """A path that leads to no folder here, in that of a run or a logged model which is not here either."""
    run, parts = _known_run(actor, run_id), path.split("/")
    if run_id in parts and not run:
        return _elsewhere(source, f"the run {run_id}", run_ref=run_id)
    if model_id in parts and not _known_model(actor, model_id):
        return _elsewhere(source, f"the logged model {model_id}", run=run, run_ref=run_id)
    raise SourceOfAnother(source=source, wanted="model_id" if model_id else "run_id")


def _elsewhere(source: str, what: str, *, run_ref: str, run: Run | None = None) -> Source:
    """A source on another tracking server; whoever has mistyped it learns of it on the version."""
    if not _PLAIN.fullmatch(source):
        raise SourceNotPlain(source=source)
    note = f"This server does not know {what}: the files, if there are any, lie on another tracking server."
    return Source(Origin(source=source, run=run, run_ref=run_ref, note=note), ours=False)


def _known_model(actor: Actor, model_id: str) -> LoggedModel | None:
    """The logged model, if it is one of ours; LoggedModelNotFound when it was deleted, for it may be again."""
    try:
        return logged_model_named(actor, model_id) if model_id else None
    except LoggedModelNotFound:
        pass
    try:
        logged_model_named(actor, model_id, deleted_too=True)
    except LoggedModelNotFound:
        return None
    raise LoggedModelNotFound(logged_model=model_id)


def _of_copy(actor: Actor, source: str, run_id: str, model_id: str, name: str, path: str) -> Source:
    place = Place(upload_name=name)
    # The client adds the name of the directory that it copied, also where it has copied what is in it.
    if not files_under(place.existing_folder(actor), path):
        path = path.partition("/")[2]
    run = _known_run(actor, run_id)
    logged_model = _known_model(actor, model_id)
    origin = Origin(source=source, place=place, path=path, run=run, run_ref=run_id, logged_model=logged_model)
    return Source(origin, ours=True)


def _known_run(actor: Actor, run_id: str) -> Run | None:
    """The run, if it is one of ours: a source elsewhere may come from a run elsewhere."""
    try:
        return find_run(actor, run_id) if run_id else None
    except RunNotFound:
        return None
