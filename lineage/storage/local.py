"""Blobs on a local disk: `sha256/ab/cd/abcd…`, written once, hashed while written."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from core.errors import Invalid

CHUNK = 1024 * 1024


class FileTooLarge(Invalid):
    """The file is larger than the {limit} bytes that this installation takes."""


class WrongDigest(Invalid):
    """The bytes received have the SHA-256 {found}, not {announced} as announced: send the file again."""

    field = "X-Content-SHA256"


class WrongLength(Invalid):
    """{found} bytes were received where {announced} were announced: send the file again."""

    field = "Content-Length"


@dataclass(frozen=True)
class Blob:
    sha256: str
    size: int


def write(chunks: Iterable[bytes], *, announced_sha256: str | None = None, announced_size: int | None = None) -> Blob:
    """Store the bytes of `chunks` and return what they are; memory use does not grow with them.

    Raises WrongDigest, WrongLength or FileTooLarge, and then leaves nothing behind. Storing the same bytes again is
    harmless. Not to be called inside a transaction.
    """
    limit = settings.VOUCH_MAX_FILE_BYTES
    hasher, size = hashlib.sha256(), 0
    incoming = _root() / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=incoming)
    try:
        with open(descriptor, "wb") as file:
            for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise FileTooLarge(limit=limit)
                hasher.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        found = hasher.hexdigest()
        if announced_size is not None and size != announced_size:
            raise WrongLength(found=size, announced=announced_size)
        if announced_sha256 is not None and found != announced_sha256:
            raise WrongDigest(found=found, announced=announced_sha256)
        place = path_of(found)
        _make_directory(place.parent)
        os.chmod(temporary, 0o440)
        os.replace(temporary, place)
        _sync_directory(place.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return Blob(found, size)


def open_blob(sha256: str) -> BinaryIO:
    """The blob's bytes, for reading; FileNotFoundError when the disk has lost it."""
    return path_of(sha256).open("rb")


def read_blob(sha256: str, limit: int) -> bytes:
    """The first `limit` bytes of a blob; OSError when the disk does not give them."""
    with open_blob(sha256) as file:
        return file.read(limit)


def measure(sha256: str) -> Blob:
    """What the bytes kept under this digest are now: all read again, in flat memory. OSError as `read_blob`."""
    hasher, size = hashlib.sha256(), 0
    with open_blob(sha256) as file:
        while chunk := file.read(CHUNK):
            size += len(chunk)
            hasher.update(chunk)
    return Blob(hasher.hexdigest(), size)


def path_of(sha256: str) -> Path:
    """Where the blob lies: made from the digest alone, never from a caller's name."""
    return _root() / "sha256" / sha256[:2] / sha256[2:4] / sha256


def _root() -> Path:
    return Path(settings.VOUCH_DATA) / "artifacts"


def sweep_incoming(older_than_seconds: float) -> int:
    """Remove what a killed process left half-written; returns how many files."""
    removed = 0
    for file in (_root() / "incoming").glob("*"):
        with suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime > older_than_seconds:
                file.unlink()
                removed += 1
    return removed


def _make_directory(directory: Path) -> None:
    """Make it with its parents, each surviving a power cut: a new entry is safe once its parent is flushed."""
    if not directory.exists():
        _make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
