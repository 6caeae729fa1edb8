"""The files of a version for those who load it by this wire: a list, and a URL for each that needs no token."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from accounts.actor import Actor
from core import text
from lineage.queries import listing
from lineage.services import direct
from lineage.storage import store
from registry import links, queries
from web.files import disposition, download
from web.mlflow import encode, errors, places
from web.mlflow.artifacts import version_file
from web.mlflow.wire import Fields

SIGNED = "signed"  # the first part of the path of our own links


def list_files(actor: Actor, fields: Fields) -> dict[str, Any]:
    """One level, paths relative to the version; a path that is a file is listed alone, as the client expects."""
    path = text.artifact_path(fields.text("path").rstrip("/"), empty=True)
    version = queries.find_version(actor, fields.required("name"), fields.required("version"))
    frozen = [(file.path, file.size) for file in queries.files_of(version)]
    found = encode.files(listing(frozen, path), below=path)
    found += encode.files((each, size) for each, size in frozen if each == path)
    root = places.version_root(version.pk) if version.manifest_id else version.lies_at
    return {"root_uri": root, **({"files": found} if found else {})}


def signed_uri(actor: Actor, fields: Fields) -> dict[str, Any]:
    """Where to GET a file: at the store when clients may go there, else here."""
    path = text.artifact_path(fields.required("path"))
    name, number = fields.required("name"), fields.required("version")
    file = version_file(actor, name, number, path)
    if store.is_direct():
        uri = direct.download_url(file, disposition=disposition(file.path))
    else:
        secret = links.signed(actor, queries.find_version(actor, name, number), file)
        uri = f"{settings.VOUCH_URL}/{SIGNED}/{secret}/{quote(file.path.rpartition('/')[2])}"
    return {"signed_uri": uri, "headers": []}


def get_signed(request: HttpRequest, secret: str, name: str) -> HttpResponseBase:
    """The file of a link of ours, for whoever holds it; its name is there for those who save it."""
    if request.method not in ("GET", "HEAD"):
        return errors.wrong_method(request, ["GET"])
    file = links.opened(secret)
    response = download(request, sha256=file.sha256, size=file.size, name=file.path)
    response["Cache-Control"] = "private, no-store"
    return response
