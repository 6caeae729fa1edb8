"""Files that clients send to the store and fetch from it by themselves, with URLs that we sign."""

from __future__ import annotations

import re
from typing import Any

from accounts.actor import Actor
from core import text
from core.errors import Invalid
from lineage.queries import file_at, find_run
from lineage.services import direct
from lineage.services.artifacts import Place
from lineage.storage import store
from lineage.storage.s3 import PARTS
from lineage.storage.store import NoDirectTransfers
from web.files import disposition
from web.mlflow import places
from web.mlflow.artifacts import file_of, writable
from web.mlflow.places import SCHEME, spot_at
from web.mlflow.wire import Fields


class NoMultipart(NoDirectTransfers):
    """Multipart upload is not supported for the current artifact repository: its files lie on a disk of the server. Use
    PUT."""


class NoPresigned(NoDirectTransfers):
    """Presigned download is not supported for the current artifact repository: its files lie on a disk of the server.
    Use GET."""


class Proxied(Invalid):
    """Presigned {what} is not supported for proxied artifact storage (artifact URI scheme: {scheme}) unless the files
    of this installation lie in a bucket: use the proxy at mlflow-artifacts."""

    field = "path"


class OneOwner(Invalid):
    """Exactly one of run_id and model_id must be provided."""

    field = "run_id"


class UnknownTag(Invalid):
    """The etag {value!r} of part {number} is none: send the header ETag that the store answered to the part."""

    field = "parts"


def create(actor: Actor, fields: Fields, path: str) -> dict[str, Any]:
    """Begin a file in parts; `path` in the body is its name, for which clients send where it lies on their disk."""
    _is_direct(NoMultipart)
    spot = spot_at(actor, f"{path.rstrip('/')}/{_name(fields)}")
    wanted = fields.whole("num_parts")
    begun = direct.begin_parts(actor, writable(spot), spot.path, 1 if wanted is None else wanted)
    credentials = [{"url": url, "part_number": number, "headers": {}} for number, url in enumerate(begun.urls, start=1)]
    return {"upload_id": begun.upload, "credentials": credentials}


def complete(actor: Actor, fields: Fields, path: str) -> dict[str, Any]:
    _is_direct(NoMultipart)
    spot = spot_at(actor, f"{path.rstrip('/')}/{_name(fields)}")
    parts = [_part(part) for part in fields.objects("parts", limit=PARTS)]
    direct.finish_parts(actor, writable(spot), spot.path, fields.required("upload_id"), parts)
    return {}


def abort(actor: Actor, fields: Fields, path: str) -> dict[str, Any]:
    _is_direct(NoMultipart)
    spot = spot_at(actor, f"{path.rstrip('/')}/{_name(fields)}")
    direct.abandon_parts(actor, writable(spot), spot.path, fields.required("upload_id"))
    return {}


def presigned(actor: Actor, fields: Fields, path: str) -> dict[str, Any]:
    """Where to GET a file of the proxy."""
    _is_direct(NoPresigned)
    file = file_of(actor, spot_at(actor, path))
    url = direct.download_url(file, disposition=disposition(file.path))
    return {"url": url, "headers": {}, "file_size": file.size}


def upload_url(actor: Actor, fields: Fields) -> dict[str, Any]:
    """Where to PUT a file of a run or a logged model."""
    run_id, model_id = fields.text("run_id"), fields.text("model_id")
    if bool(run_id) == bool(model_id):
        raise OneOwner
    path = text.artifact_path(fields.required("path"))
    if run_id:
        run = find_run(actor, run_id)
        place, root = Place(run=run), places.run_root(run)
    else:
        logged_model = places.logged_model_named(actor, model_id)
        place, root = Place(logged_model=logged_model), places.logged_model_root(logged_model)
    _is_ours(root, "upload")
    return {"presigned_url": direct.begin_whole(actor, place, path, _seconds(fields)), "headers": {}}


def download_url(actor: Actor, fields: Fields) -> dict[str, Any]:
    """Where to GET a file of a run."""
    run_id, path, seconds = fields.required("run_id"), text.artifact_path(fields.required("path")), _seconds(fields)
    run = find_run(actor, run_id)
    _is_ours(places.run_root(run), "download")
    file = file_at(direct.folder_of(actor, Place(run=run)), path)
    url = direct.download_url(file, disposition=disposition(file.path), seconds=seconds)
    return {"presigned_url": url, "headers": {}, "file_size": file.size}


def _is_direct(otherwise: type[NoDirectTransfers]) -> None:
    if not store.is_direct():
        raise otherwise


def _is_ours(root: str, what: str) -> None:
    scheme = root.partition(":")[0]
    if f"{scheme}:" != SCHEME or not store.is_direct():
        raise Proxied(what=what, scheme=scheme)


def _seconds(fields: Fields) -> int:
    seconds = fields.whole("expiration")
    return direct.life(direct.LIFE if seconds is None else seconds)


def _name(fields: Fields) -> str:
    return re.split(r"[/\\]", fields.required("path"))[-1]


def _part(part: Fields) -> tuple[int, str]:
    number, etag = part.required_whole("part_number"), part.required("etag")
    if number not in range(1, PARTS + 1):
        raise direct.TooManyParts(value=number, limit=PARTS)
    if not re.fullmatch(r'"?[\x21\x23-\x7e]{1,200}"?', etag):
        raise UnknownTag(value=etag, number=number)
    return number, etag
