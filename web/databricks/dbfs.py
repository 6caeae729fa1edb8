"""The one folder of Databricks' file system that its registry needs: where clients copy what they then register.

With `mlflow.set_registry_uri("databricks")` and the runs elsewhere (here, over MLflow's own wire, is elsewhere), the
client uploads the files to `dbfs:/databricks/mlflow/tmp-external-source/<name>/…` and registers that as the source.
Here each such name is an upload of the caller's own, as on the native API.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from accounts.actor import Actor
from core import text
from core.errors import NotFound
from lineage.queries import UploadNotFound, files_under, find_upload, listing
from lineage.services import artifacts
from lineage.services.artifacts import Place
from web.files import announced_size, upload_chunks
from web.mlflow import encode
from web.mlflow.door import encoded
from web.mlflow.sources import COPIES, copy_at
from web.mlflow.wire import Fields


class NoSuchPath(NotFound):
    """There is no file or directory {path!r}: of this file system only /databricks/mlflow/tmp-external-source is
    here."""

    field = "path"


def put(actor: Actor, request: HttpRequest, path: str) -> HttpResponse:
    """Store a file of a copy. The same bytes again change nothing; the client takes another name for another copy."""
    found = copy_at(f"/{path}")
    if found is None:
        raise NoSuchPath(path=f"/{path}")
    name, inside = found
    artifacts.upload(
        actor,
        Place(upload_name=name),
        inside,
        upload_chunks(request),
        announced_sha256=request.headers.get("X-Content-SHA256"),
        announced_size=announced_size(request),
    )
    return encoded({})


def show(actor: Actor, fields: Fields) -> dict[str, Any]:
    """One level of a copy; nothing of others' is there."""
    path = fields.required("path").rstrip("/")
    name, inside = copy_at(path) or ("", "")
    inside = text.artifact_path(inside, empty=True)
    try:
        found = files_under(find_upload(actor, name), inside)
    except UploadNotFound:
        raise NoSuchPath(path=path) from None
    level = listing([(file.path, file.size) for file in found], inside)
    files = encode.files(level, below=f"{COPIES}/{name}/{inside}".rstrip("/"))
    if not files:
        raise NoSuchPath(path=path)
    return {"files": [{"file_size": 0, **file} for file in files]}
