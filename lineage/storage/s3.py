"""Blobs in a bucket: `sha256/ab/cd/abcd…` below a prefix, hashed by us before they get there.

Nothing is written under a digest but by this process, which has read every byte: what clients send to the bucket by
themselves goes to a key that nobody can guess, and is copied from there once it was read.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import secrets
import time
from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.utils import timezone

from core import buckets
from core.buckets import missing
from core.errors import Invalid
from lineage.storage.address import Address
from lineage.storage.blobs import CHUNK, Blob, FileTooLarge, Measured, StoreFails, path_of

PART = 8 * 1024 * 1024  # bytes of the first thousand parts of a long file; those of later ones are longer
AT_A_TIME = 3  # parts of one file, each held in memory
PARTS = 10_000  # that S3 takes of one file
_NOT_THOSE_PARTS = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML", "InvalidRequest"})
_COPIED_AT_ONCE = 256 * 1024 * 1024  # bytes; each call that copies is then short


class BadParts(Invalid):
    """The store does not make a file of these parts ({why}): list each part that was sent, in order, with the ETag that
    the store answered."""

    field = "parts"


class TooSlow(Exception):
    """There was not enough time to read all of it."""


@dataclass(frozen=True)
class Sent:
    """What lies at an incoming key."""

    size: int
    etag: str


class Bucket:
    """A bucket of S3 or of what speaks like it, as a store of blobs."""

    def __init__(self, address: Address):
        self.address = address
        self._connection = buckets.connect(
            field="VOUCH_ARTIFACTS", endpoint=address.endpoint, region=address.region, read_timeout=60
        )
        self._client = self._connection.client

    # --- Blobs ---

    def write(
        self, chunks: Iterable[bytes], *, announced_sha256: str | None = None, announced_size: int | None = None
    ) -> Blob:
        measured = Measured(announced_sha256, announced_size)
        parts = _parts(measured.through(chunks))
        first = next(parts, b"")
        second = next(parts, None)
        if second is None:
            blob = measured.blob()
            with self._asking():
                self._client.put_object(Body=first, **self._at(path_of(blob.sha256)))
            return blob
        return self._write_long(chain([first, second], parts), measured)

    def _write_long(self, parts: Iterable[bytes], measured: Measured) -> Blob:
        """The digest, and so the key, is known at the end alone: parts go to another key, from which it is copied."""
        key = new_key()
        upload = self.begin_parts(key)
        try:
            etags = self._send(key, upload, parts)
            blob = measured.blob()
        except BaseException:
            with suppress(OSError):
                self.abandon_parts(key, upload)
            raise
        try:
            self.finish_parts(key, upload, list(enumerate(etags, start=1)))
        except FileNotFoundError as error:  # boto3 repeats a call whose answer was lost
            if self.sent(key) is None:
                raise StoreFails(error) from error
        self.keep(key, blob)
        self.drop(key)
        return blob

    def _send(self, key: str, upload: str, parts: Iterable[bytes]) -> list[str]:
        """Send the parts, some of them at a time while the next arrives; their ETags."""
        etags: list[str] = []
        sending: deque[Future[str]] = deque()
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            for number, part in enumerate(parts, start=1):
                if len(sending) == AT_A_TIME:
                    etags.append(sending.popleft().result())
                sending.append(pool.submit(self._send_part, key, upload, number, part))
            etags += [sent.result() for sent in sending]
        return etags

    def _send_part(self, key: str, upload: str, number: int, part: bytes) -> str:
        with self._asking():
            sent = self._client.upload_part(UploadId=upload, PartNumber=number, Body=part, **self._at(key))
        return str(sent["ETag"])

    def open_blob(self, sha256: str, first: int = 0, length: int | None = None) -> BinaryIO:
        wanted = {}
        if first or length is not None:
            wanted["Range"] = f"bytes={first}-{'' if length is None else first + length - 1}"
        with self._asking():
            body = self._client.get_object(**wanted, **self._at(path_of(sha256)))["Body"]
        return cast(BinaryIO, _Body(self, body))

    def sweep_incoming(self, older_than_seconds: float, *, but: Container[str] = ()) -> int:
        before = timezone.now() - datetime.timedelta(seconds=older_than_seconds)
        below, removed = {"Bucket": self.address.bucket, "Prefix": f"{self.address.prefix}incoming/"}, 0
        with self._asking():
            for page in self._client.get_paginator("list_objects_v2").paginate(**below):
                for found in page.get("Contents", []):
                    if found["LastModified"] < before and found["Key"].removeprefix(self.address.prefix) not in but:
                        self._client.delete_object(Bucket=self.address.bucket, Key=found["Key"])
                        removed += 1
            for page in self._client.get_paginator("list_multipart_uploads").paginate(**below):
                for found in page.get("Uploads", []):
                    if found["Initiated"] < before:
                        self.abandon_parts(found["Key"].removeprefix(self.address.prefix), found["UploadId"])
                        removed += 1
        return removed

    # --- What is on its way ---

    def begin_parts(self, key: str) -> str:
        """Begin a file in parts; the store's name for it."""
        with self._asking():
            return str(self._client.create_multipart_upload(**self._at(key))["UploadId"])

    def finish_parts(self, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> None:
        """Make one file of the parts (number, ETag). Raises BadParts, and FileNotFoundError when it was finished or
        abandoned before."""
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        with self._asking():
            try:
                self._client.complete_multipart_upload(
                    UploadId=upload, MultipartUpload={"Parts": listed}, **self._at(key)
                )
            except self._connection.refused as error:
                if (why := buckets.code_of(error)) in _NOT_THOSE_PARTS:
                    raise BadParts(why=why) from error
                raise

    def abandon_parts(self, key: str, upload: str) -> None:
        """Forget the parts; harmless when there are none."""
        with suppress(FileNotFoundError), self._asking():
            self._client.abort_multipart_upload(UploadId=upload, **self._at(key))

    def sent(self, key: str) -> Sent | None:
        """What lies at a key; None for nothing."""
        with suppress(FileNotFoundError), self._asking():
            found = self._client.head_object(**self._at(key))
            return Sent(found["ContentLength"], found["ETag"])
        return None

    def put_aside(self, key: str) -> str:
        """Copy a file to a key that no signed URL names, so that it cannot change while it is read; that key."""
        aside = new_key()
        with self._asking():
            self._copy(key, aside)
        return aside

    def measure(self, key: str, *, until: float) -> Blob:
        """Read what lies at a key, in flat memory. Raises FileTooLarge, OSError, and TooSlow when the monotonic clock
        passes `until`."""
        found = self.sent(key)
        if found and found.size > settings.VOUCH_MAX_FILE_BYTES:
            raise FileTooLarge(limit=settings.VOUCH_MAX_FILE_BYTES)
        hasher, size = hashlib.sha256(), 0
        with self._asking():
            body = self._client.get_object(**self._at(key))["Body"]
        with closing(_Body(self, body)) as file:
            while chunk := file.read(CHUNK):
                if time.monotonic() > until:
                    raise TooSlow
                size += len(chunk)
                hasher.update(chunk)
        return Blob(hasher.hexdigest(), size)

    def keep(self, key: str, blob: Blob) -> None:
        """Give what lies at a key its place under its digest. Nobody may be able to write there any more, and its bytes
        must be known to be those of `blob`."""
        place = path_of(blob.sha256)
        there = self.sent(place)
        with self._asking():
            if there is None or there.size != blob.size:
                self._copy(key, place)

    def drop(self, key: str) -> None:
        """Remove what lies at an incoming key; harmless when nothing does."""
        with self._asking():
            self._client.delete_object(**self._at(key))

    # --- Signed URLs: one key, one method, a short life ---

    def part_url(self, key: str, upload: str, number: int, *, seconds: int) -> str:
        """Where to PUT one part."""
        return self._signed("upload_part", seconds, UploadId=upload, PartNumber=number, **self._at(key))

    def upload_url(self, key: str, *, seconds: int) -> str:
        """Where to PUT a whole file."""
        return self._signed("put_object", seconds, **self._at(key))

    def download_url(self, sha256: str, *, disposition: str, seconds: int) -> str:
        """Where to GET a blob, which a browser saves as `disposition` says and never renders."""
        return self._signed(
            "get_object",
            seconds,
            ResponseContentDisposition=disposition,
            ResponseContentType="application/octet-stream",
            **self._at(path_of(sha256)),
        )

    def _signed(self, call: str, seconds: int, **parameters: Any) -> str:
        return str(self._signer.generate_presigned_url(call, Params=parameters, ExpiresIn=seconds))

    @cached_property
    def _signer(self) -> Any:
        if not self.address.public:
            return self._client
        address = self.address
        return buckets.connect(field="VOUCH_ARTIFACTS", endpoint=address.public, region=address.region).client

    # --- Plumbing ---

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self.address.bucket, "Key": self.address.prefix + key}

    def _copy(self, key: str, place: str) -> None:
        from boto3.s3.transfer import TransferConfig

        in_parts = TransferConfig(multipart_threshold=_COPIED_AT_ONCE, multipart_chunksize=_COPIED_AT_ONCE)
        self._client.copy(self._at(key), **self._at(place), Config=in_parts)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """What goes wrong, as the system's errors: FileNotFoundError for what is not there, StoreFails for the rest."""
        try:
            yield
        except self._connection.refused as error:
            if missing(error):
                raise FileNotFoundError(2, "there is no such object in the bucket") from error
            raise StoreFails(error) from error
        except self._connection.failed as error:
            raise StoreFails(error) from error


class _Body(io.RawIOBase):
    """An object as it is read, whose failures are OSErrors."""

    def __init__(self, bucket: Bucket, body: Any):
        self._bucket, self._body = bucket, body

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        with self._bucket._asking():
            return bytes(self._body.read(None if size < 0 else size))

    def close(self) -> None:
        self._body.close()
        super().close()


def new_key() -> str:
    """A key for what is on its way, which nobody can guess."""
    return f"incoming/{secrets.token_hex(20)}"


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks joined to parts of PART bytes, the last one shorter; after each thousand parts, PART longer."""
    number, size = 0, 0
    held: list[bytes] = []
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        while size >= (wanted := PART * (1 + number // 1000)):
            joined = b"".join(held)
            yield joined[:wanted]
            held, size, number = [joined[wanted:]], size - wanted, number + 1
    if size:
        yield b"".join(held)
