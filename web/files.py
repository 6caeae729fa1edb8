"""Bytes in and out: request bodies as chunks, blobs as downloads that a browser never renders."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from typing import IO

from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.http import content_disposition_header, parse_etags

from core.errors import Invalid
from lineage.storage import store
from lineage.storage.blobs import CHUNK

_BINARY = "application/octet-stream"
_TEXT = frozenset(
    {"txt", "log", "err", "cfg", "conf", "cnf", "cf", "ini", "properties", "prop", "hocon", "toml", "yaml", "yml",
     "xml", "json", "js", "py", "py3", "csv", "tsv", "md", "rst", "ipynb", "mlmodel", "mlproject"}
)  # fmt: skip
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class BadLength(Invalid):
    """The Content-Length {value!r} is not a number of bytes."""

    field = "Content-Length"


class CutUnnoticed(Invalid):
    """A body sent in chunks may end early without anybody noticing: announce the file's length as Content-Length, or
    its SHA-256, 64 hexadecimal digits, as X-Content-SHA256."""

    field = "Transfer-Encoding"


def announced_size(request: HttpRequest) -> int | None:
    """The body's length in bytes as its sender announced it; None when it comes in chunks."""
    if _is_chunked(request):
        return None
    value = request.META.get("CONTENT_LENGTH") or "0"
    if not value.isdecimal():
        raise BadLength(value=value)
    return int(value)


def body_chunks(request: HttpRequest) -> Iterator[bytes]:
    """The request's body, a megabyte at a time.

    A chunked body has no Content-Length, which Django takes for an empty one, so it is read from the server's stream.
    """
    stream = request.META["wsgi.input"] if _is_chunked(request) else request
    while chunk := stream.read(CHUNK):
        yield chunk


def upload_chunks(request: HttpRequest) -> Iterator[bytes]:
    """The request's body as a file whose end can be told: CutUnnoticed for chunks without an announced SHA-256.

    A connection that breaks between two chunks looks to a WSGI application like the end of the body: granian's stream
    just ends. An empty file passes all the same: stock clients send those, and no others, in chunks.
    """
    unchecked = _is_chunked(request) and "X-Content-SHA256" not in request.headers
    for chunk in body_chunks(request):
        if unchecked:
            raise CutUnnoticed
        yield chunk


def _is_chunked(request: HttpRequest) -> bool:
    return "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()


def download(request: HttpRequest, *, sha256: str, size: int, name: str, guess_type: bool = False) -> HttpResponseBase:
    """The blob as an attachment called `name`; answers one byte range, If-Range and If-None-Match.

    Several ranges at once are answered with the whole. `guess_type` for clients that tell text from the rest by
    Content-Type; the answer is sandboxed all the same.
    """
    etag = f'"{sha256}"'
    if _names(request.headers.get("If-None-Match", ""), etag):
        return _dressed(HttpResponse(status=304), etag, name)
    kind = _kind(name) if guess_type else _BINARY
    wanted = _range(request.headers.get("Range", ""), size)
    if wanted is None or request.headers.get("If-Range", etag) != etag:
        response: HttpResponseBase = _Blob(store.current().open_blob(sha256), content_type=kind)
        response["Content-Length"] = str(size)
        return _dressed(response, etag, name)
    first, last = wanted
    if first > last:
        return _dressed(HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"}), etag, name)
    length = last - first + 1
    response = _Blob(store.current().open_blob(sha256, first, length), status=206, content_type=kind)
    response["Content-Length"] = str(length)
    response["Content-Range"] = f"bytes {first}-{last}/{size}"
    return _dressed(response, etag, name)


class _Blob(FileResponse):
    block_size = CHUNK  # Django's own is 4 KiB: a gigabyte would be a quarter of a million trips through the server


def disposition(name: str) -> str:
    """Content-Disposition of a file that a browser saves under the last part of `name` (RFC 6266)."""
    return content_disposition_header(True, name.rpartition("/")[2]) or "attachment"


def _names(header: str, etag: str) -> bool:
    return "*" in (told := parse_etags(header)) or etag in [one.removeprefix("W/") for one in told]


def _kind(name: str) -> str:
    """The media type of a file of this name as MLflow's clients expect it: text for all that is read as such."""
    last = name.rpartition("/")[2].lower()
    if last.rpartition(".")[2] in _TEXT:
        return "text/plain"
    return mimetypes.guess_type(last)[0] or _BINARY


def attachment(file: IO[bytes], *, name: str, size: int, kind: str) -> HttpResponseBase:
    """What was made for this caller, as a file to save: kept by no cache, rendered by no browser."""
    response = FileResponse(file, content_type=kind)
    response["Content-Length"] = str(size)
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    response["Cache-Control"] = "no-store"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _dressed(response: HttpResponseBase, etag: str, name: str) -> HttpResponseBase:
    response["ETag"] = etag
    response["Accept-Ranges"] = "bytes"
    response["Content-Disposition"] = disposition(name)
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _range(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte of a single range; None for no range or one to ignore; first > last if unsatisfiable."""
    found = _RANGE.fullmatch(header.strip())
    if not found or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        return (max(0, size - int(last)), size - 1) if int(last) else (1, 0)
    if int(first) >= size:
        return 1, 0
    return int(first), min(int(last), size - 1) if last else size - 1
