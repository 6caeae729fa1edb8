"""What every store of bytes has in common: blobs under their SHA-256, and how a stream becomes one."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

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


class StoreFails(OSError):
    """The store does not do what it was asked for now; `strerror` says why, for operators."""

    def __init__(self, why: object):
        super().__init__(5, str(why))


@dataclass(frozen=True)
class Blob:
    sha256: str
    size: int


class Store(Protocol):
    """Where blobs lie. A blob is written once, whole or not at all, and never changed."""

    def write(
        self, chunks: Iterable[bytes], *, announced_sha256: str | None = None, announced_size: int | None = None
    ) -> Blob:
        """Keep the bytes of `chunks` and return what they are; memory use does not grow with them.

        Raises WrongDigest, WrongLength, FileTooLarge or OSError, and then leaves nothing behind. Keeping the same bytes
        again is harmless. Not to be called inside a transaction.
        """

    def open_blob(self, sha256: str, first: int = 0, length: int | None = None) -> BinaryIO:
        """The blob's bytes for reading, from the one numbered `first` on, `length` of them or all.

        FileNotFoundError when the store has lost them, another OSError when it does not give them.
        """

    def sweep_incoming(self, older_than_seconds: float, *, but: Container[str] = ()) -> int:
        """Remove what was left half-written so long ago, `but` the keys that somebody waits for; how many files."""


class Measured:
    """Counts and hashes the chunks that pass through; then says what they are, if that is what was announced."""

    def __init__(self, announced_sha256: str | None = None, announced_size: int | None = None):
        self._announced_sha256, self._announced_size = announced_sha256, announced_size
        self._hasher, self._limit = hashlib.sha256(), settings.VOUCH_MAX_FILE_BYTES
        self.size = 0

    def through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks, until they are more than a file may have: FileTooLarge."""
        for chunk in chunks:
            self.size += len(chunk)
            if self.size > self._limit:
                raise FileTooLarge(limit=self._limit)
            self._hasher.update(chunk)
            yield chunk

    def blob(self) -> Blob:
        """What went through. Raises WrongLength, WrongDigest."""
        found = self._hasher.hexdigest()
        if self._announced_size is not None and self.size != self._announced_size:
            raise WrongLength(found=self.size, announced=self._announced_size)
        if self._announced_sha256 is not None and found != self._announced_sha256:
            raise WrongDigest(found=found, announced=self._announced_sha256)
        return Blob(found, self.size)


def path_of(sha256: str) -> str:
    """Where a blob lies in its store: made from the digest alone, never from a caller's name."""
    return f"sha256/{sha256[:2]}/{sha256[2:4]}/{sha256}"


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """The rest of a file, a chunk at a time."""
    while chunk := file.read(CHUNK):
        yield chunk
