"""Blobs on a local disk: `sha256/ab/cd/abcd…`, written once, hashed while written."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import FileIO, RawIOBase
from pathlib import Path
from typing import BinaryIO, cast

from django.conf import settings

from lineage.storage import blobs
from lineage.storage.blobs import Blob, Measured

FLUSHED = 32 * 1024 * 1024  # bytes


class Disk:
    """The directory `artifacts` of VOUCH_DATA."""

    def write(
        self, chunks: Iterable[bytes], *, announced_sha256: str | None = None, announced_size: int | None = None
    ) -> Blob:
        measured = Measured(announced_sha256, announced_size)
        incoming = _root() / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=incoming)
        try:
            with open(descriptor, "wb", buffering=0) as file:
                _written(file, measured.through(chunks))
                os.fsync(file.fileno())
            blob = measured.blob()
            place = path_of(blob.sha256)
            _make_directory(place.parent)
            os.chmod(temporary, 0o440)
            os.replace(temporary, place)
            _sync_directory(place.parent)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return blob

    def open_blob(self, sha256: str, first: int = 0, length: int | None = None) -> BinaryIO:
        file = path_of(sha256).open("rb")
        if first:
            file.seek(first)
        return file if length is None else cast(BinaryIO, _Part(file, length))

    def sweep_incoming(self, older_than_seconds: float, *, but: Container[str] = ()) -> int:
        removed = 0
        for file in (_root() / "incoming").glob("*"):
            with suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime > older_than_seconds:
                    file.unlink()
                    removed += 1
        return removed


def _written(file: FileIO, chunks: Iterable[bytes]) -> None:
    """Write the chunks, and have the disk begin with the first while the next arrive: at the end there is less to wait
    for. What goes wrong there is raised here, since a later fsync does not tell again."""
    with ThreadPoolExecutor(1) as beside:
        flushing, waiting = None, 0
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                rest = rest[file.write(rest) :]
            waiting += len(chunk)
            if waiting >= FLUSHED and (flushing is None or flushing.done()):
                if flushing:
                    flushing.result()
                flushing, waiting = beside.submit(os.fdatasync, file.fileno()), 0
        if flushing:
            flushing.result()


class _Part(RawIOBase):
    """The next `length` bytes of a file."""

    def __init__(self, file: BinaryIO, length: int):
        self._file, self._left = file, length

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        self._file.close()
        super().close()


def path_of(sha256: str) -> Path:
    """The file that holds the blob."""
    return _root() / blobs.path_of(sha256)


def _root() -> Path:
    return Path(settings.VOUCH_DATA) / "artifacts"


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
