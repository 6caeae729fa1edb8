"""Files: the proxy at `mlflow-artifacts`, the listings and downloads of runs, logged models and versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from accounts.actor import Actor
from core import text
from core.errors import Conflict, Invalid, NotFound
from lineage.models import FolderFile, ManifestFile
from lineage.queries import FileNotThere, file_at, files_under, find_run, listing
from lineage.services import artifacts, direct
from lineage.services.artifacts import Place
from registry.queries import files_of, find_version, frozen_files
from web.files import announced_size, download, upload_chunks
from web.mlflow import encode, places
from web.mlflow.door import encoded
from web.mlflow.places import Frozen, Spot, spot_at
from web.mlflow.wire import Fields, fields_of

PAGE_LIMIT = 10 * 1024 * 1024  # bytes that a page of the web UI may send


class FrozenFile(Conflict):
    """The files of a registered version are frozen: log to a run, and register a new version."""

    field = "path"


class Unsaid(Invalid):
    """Request must specify {field}."""


class TooLargeForPage(Invalid):
    """Artifact size is too large. Max size is 10MB. Send it with PUT to mlflow-artifacts/artifacts instead."""

    field = "data"


# --- The proxy --------------------------------------------------------------------------------------------------------


def put(actor: Actor, request: HttpRequest, path: str) -> HttpResponse:
    """Store a file in the folder of a run or a logged model; there, one may be written over until it is registered."""
    spot = spot_at(actor, path)
    artifacts.upload(
        actor,
        writable(spot),
        spot.path,
        upload_chunks(request),
        announced_sha256=request.headers.get("X-Content-SHA256"),
        announced_size=announced_size(request),
        overwrite=True,
    )
    return HttpResponse()


def get(actor: Actor, request: HttpRequest, path: str) -> HttpResponseBase:
    return _download(request, file_of(actor, spot_at(actor, path)))


def delete(actor: Actor, request: HttpRequest, path: str) -> HttpResponse:
    """Remove a file, or all below a directory; what is not there is no mistake."""
    try:
        spot = spot_at(actor, path.rstrip("/"))
    except NotFound:
        return encoded({})
    place = writable(spot)
    direct.take_in(actor, place)  # else what was sent to the store before would appear after it was deleted
    artifacts.remove(actor, place, spot.path)
    return encoded({})


def writable(spot: Spot) -> Place:
    """Whose folder a file of this spot lies in; FrozenFile."""
    if isinstance(spot.owner, Frozen):
        raise FrozenFile
    return spot.owner


def file_of(actor: Actor, spot: Spot) -> FolderFile | ManifestFile:
    """The file there; FileNotThere."""
    if not isinstance(spot.owner, Frozen):
        return file_at(direct.folder_of(actor, spot.owner), spot.path)
    return _named(frozen_files(actor, spot.owner.version_id).filter(path=spot.path), spot.path)


def _named(files: Iterable[ManifestFile], path: str) -> ManifestFile:
    for file in files:
        return file
    raise FileNotThere(path=path)


def _download(request: HttpRequest, file: FolderFile | ManifestFile) -> HttpResponseBase:
    return download(request, sha256=file.sha256, size=file.size, name=file.path, guess_type=True)


# --- Files of a run, a logged model, a version ------------------------------------------------------------------------


def get_of_run(actor: Actor, request: HttpRequest) -> HttpResponseBase:
    fields = fields_of(request)
    path = text.artifact_path(fields.required("path"))
    place = Place(run=find_run(actor, fields.run_id()))
    return _download(request, file_at(direct.folder_of(actor, place), path))


def get_of_version(actor: Actor, request: HttpRequest) -> HttpResponseBase:
    fields = fields_of(request)
    path = text.artifact_path(fields.required("path"))
    return _download(request, version_file(actor, fields.required("name"), fields.required("version"), path))


def version_file(actor: Actor, name: str, number: str, path: str) -> ManifestFile:
    """A frozen file of a version; ModelNotFound, VersionNotFound, FileNotThere."""
    return _named(files_of(find_version(actor, name, number)).filter(path=path), path)


def get_of_logged_model(actor: Actor, request: HttpRequest, model_id: str) -> HttpResponseBase:
    path = text.artifact_path(fields_of(request).required("artifact_file_path"))
    place = Place(logged_model=places.logged_model_named(actor, model_id))
    return _download(request, file_at(direct.folder_of(actor, place), path))


def put_by_page(actor: Actor, request: HttpRequest) -> HttpResponse:
    """A small file from the web UI, into a run."""
    fields = Fields(dict(request.GET.lists()), from_query=True)
    for name in ("run_uuid", "path"):
        if not fields.text(name):
            raise Unsaid(field=name)
    path = text.artifact_path(fields.text("path"))
    place = Place(run=find_run(actor, fields.text("run_uuid")))
    size = announced_size(request)
    artifacts.upload(actor, place, path, _page_chunks(request), announced_size=size, overwrite=True)
    return encoded({})


def _page_chunks(request: HttpRequest) -> Iterator[bytes]:
    size = 0
    for chunk in upload_chunks(request):
        size += len(chunk)
        if size > PAGE_LIMIT:
            raise TooLargeForPage
        yield chunk
    if not size:
        raise Unsaid(field="data")


# --- Listings ---------------------------------------------------------------------------------------------------------


def list_proxied(actor: Actor, fields: Fields) -> dict[str, Any]:
    """One level, names only; what is not there is empty."""
    path = text.artifact_path(fields.text("path").rstrip("/"), empty=True)
    try:
        spot = spot_at(actor, path, root=True)
    except NotFound:
        return {}
    return _files(encode.files(_level(actor, spot)))


def list_run(actor: Actor, fields: Fields) -> dict[str, Any]:
    """One level, paths relative to the run's root."""
    path = text.artifact_path(fields.text("path").rstrip("/"), empty=True)
    run = find_run(actor, fields.run_id())
    found = _level(actor, Spot(Place(run=run), path))
    return {"root_uri": places.run_root(run), **_files(encode.files(found, below=path))}


def list_logged_model(actor: Actor, fields: Fields, model_id: str) -> dict[str, Any]:
    """One level, paths relative to the logged model's root."""
    path = text.artifact_path(fields.text("artifact_directory_path").rstrip("/"), empty=True)
    logged_model = places.logged_model_named(actor, model_id)
    found = _level(actor, Spot(Place(logged_model=logged_model), path))
    return {"root_uri": places.logged_model_root(logged_model), **_files(encode.files(found, below=path))}


def _level(actor: Actor, spot: Spot) -> list[tuple[str, int | None]]:
    if isinstance(spot.owner, Frozen):
        files: Any = frozen_files(actor, spot.owner.version_id)
    else:
        files = files_under(direct.folder_of(actor, spot.owner), spot.path)
    return listing([(file.path, file.size) for file in files], spot.path)


def _files(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {"files": found} if found else {}
