"""Bytes in and out: request bodies as chunks, blobs as downloads that a browser never renders."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from typing import IO, BinaryIO

from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.http import content_disposition_header

from core.errors import Invalid
from lineage.storage import local

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
    while chunk := stream.read(local.CHUNK):
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
    """The blob as an attachment called `name`; answers one byte range and If-None-Match.

    `guess_type` for clients that tell text from the rest by Content-Type; the answer is sandboxed all the same.
    """
    etag = f'"{sha256}"'
    if request.headers.get("If-None-Match") == etag:
        return _dressed(HttpResponse(status=304), etag, name)
    kind = (mimetypes.guess_type(name)[0] if guess_type else None) or "application/octet-stream"
    wanted = _range(request.headers.get("Range", ""), size)
    if wanted is None:
        response: HttpResponseBase = FileResponse(local.open_blob(sha256), content_type=kind)
        response["Content-Length"] = str(size)
        return _dressed(response, etag, name)
    first, last = wanted
    if first > last:
        return _dressed(HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"}), etag, name)
    file = local.open_blob(sha256)
    file.seek(first)
    response = FileResponse(_Part(file, last - first + 1), status=206, content_type=kind)
    response["Content-Length"] = str(last - first + 1)
    response["Content-Range"] = f"bytes {first}-{last}/{size}"
    return _dressed(response, etag, name)


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
    response["Content-Disposition"] = content_disposition_header(True, name.rpartition("/")[2]) or "attachment"
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


class _Part:
    """The next `length` bytes of a file, for a response to stream and close."""

    def __init__(self, file: BinaryIO, length: int):
        self.file, self.left = file, length

    def read(self, size: int = -1) -> bytes:
        chunk = self.file.read(min(size, self.left) if size >= 0 else self.left)
        self.left -= len(chunk)
        return chunk

    def close(self) -> None:
        self.file.close()
