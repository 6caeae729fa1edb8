"""Files: the proxy at `mlflow-artifacts`, and the listings of runs and logged models."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from accounts.actor import Actor
from core import text
from core.errors import Conflict, NotFound
from lineage.models import FolderFile, ManifestFile
from lineage.queries import FileNotThere, file_at, files_under, find_run, listing
from lineage.services import artifacts
from registry.queries import frozen_files
from web.files import announced_size, download, upload_chunks
from web.mlflow import encode, places
from web.mlflow.places import Frozen, Spot, spot_at
from web.mlflow.wire import Fields


class FrozenFile(Conflict):
    """The files of a registered version are frozen: log to a run, and register a new version."""

    field = "path"


def put(actor: Actor, request: HttpRequest, path: str) -> HttpResponse:
    """Store a file in the folder of a run or a logged model; there, one may be written over until it is registered."""
    spot = spot_at(actor, path)
    if isinstance(spot.owner, Frozen):
        raise FrozenFile
    artifacts.upload(
        actor,
        spot.owner,
        spot.path,
        upload_chunks(request),
        announced_sha256=request.headers.get("X-Content-SHA256"),
        announced_size=announced_size(request),
        overwrite=True,
    )
    return HttpResponse()


def get(actor: Actor, request: HttpRequest, path: str) -> HttpResponseBase:
    file = _file(actor, spot_at(actor, path))
    return download(request, sha256=file.sha256, size=file.size, name=file.path, guess_type=True)


def _file(actor: Actor, spot: Spot) -> FolderFile | ManifestFile:
    if not isinstance(spot.owner, Frozen):
        return file_at(spot.owner.existing_folder(actor), spot.path)
    file = frozen_files(actor, spot.owner.version_id).filter(path=spot.path).first()
    if file is None:
        raise FileNotThere(path=spot.path)
    return file


def list_proxied(actor: Actor, fields: Fields) -> dict[str, Any]:
    """One level, names only; what is not there is empty."""
    path = text.artifact_path(fields.text("path").rstrip("/"), empty=True)
    try:
        spot = spot_at(actor, path)
    except NotFound:
        return {}
    return _files(encode.files(_level(actor, spot)))


def list_run(actor: Actor, fields: Fields) -> dict[str, Any]:
    """One level, paths relative to the run's root."""
    run = find_run(actor, fields.run_id())
    path = text.artifact_path(fields.text("path").rstrip("/"), empty=True)
    found = _level(actor, Spot(artifacts.Place(run=run), path))
    return {"root_uri": places.run_root(run), **_files(encode.files(found, below=path))}


def list_logged_model(actor: Actor, fields: Fields, model_id: str) -> dict[str, Any]:
    """One level, paths relative to the logged model's root."""
    logged_model = places.logged_model_named(actor, model_id)
    path = text.artifact_path(fields.text("artifact_directory_path").rstrip("/"), empty=True)
    found = _level(actor, Spot(artifacts.Place(logged_model=logged_model), path))
    return {"root_uri": places.logged_model_root(logged_model), **_files(encode.files(found, below=path))}


def _level(actor: Actor, spot: Spot) -> list[tuple[str, int | None]]:
    if isinstance(spot.owner, Frozen):
        files: Any = frozen_files(actor, spot.owner.version_id)
    else:
        files = files_under(spot.owner.existing_folder(actor), spot.path)
    return listing([(file.path, file.size) for file in files], spot.path)


def _files(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {"files": found} if found else {}
