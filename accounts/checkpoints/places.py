"""Where checkpoints lie: a directory or a bucket. Written once, never overwritten, never deleted."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import IO, BinaryIO, Protocol, cast
from urllib.parse import unquote, urlsplit

from django.conf import settings

from core import buckets
from core.errors import Conflict, Invalid

IN_MEMORY = 1024**2  # bytes of a checkpoint; a larger one goes through a temporary file


class BadPlace(Invalid):
    """{value!r} is no place for checkpoints: use file:///DIRECTORY or s3://BUCKET/PREFIX."""


class PlaceFails(Conflict):
    """The checkpoints at {place} cannot be reached: {why}"""


class AlreadyThere(Exception):
    """Something of this name lies there, and stays."""


class Place(Protocol):
    """A flat set of small files."""

    def names(self, prefix: str) -> list[str]:
        """Of all files whose name begins like this, sorted. Raises PlaceFails."""

    def open(self, name: str) -> BinaryIO | None:
        """The file, seekable; None when there is none. Raises PlaceFails."""

    def write(self, name: str, content: BinaryIO) -> None:
        """A new file, whole or not at all. Raises AlreadyThere, PlaceFails."""


def at(address: str = "") -> Place:
    """The place with this address, or the one of the settings. Raises BadPlace, NoBuckets."""
    address = address or settings.VOUCH_CHECKPOINTS or str(Path(settings.VOUCH_DATA).absolute() / "checkpoints")
    if address.startswith("/"):
        return Directory(Path(address))
    parts = urlsplit(address)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return Directory(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        return Bucket(parts.netloc, parts.path.strip("/"))
    raise BadPlace(field="VOUCH_CHECKPOINTS", value=address)


class Directory:
    """A directory of this machine, or one that is mounted."""

    def __init__(self, path: Path):
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def names(self, prefix: str) -> list[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self.path) if entry.name.startswith(prefix))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise PlaceFails(place=self, why=error.strerror) from error

    def open(self, name: str) -> BinaryIO | None:
        try:
            return (self.path / name).open("rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PlaceFails(place=self, why=error.strerror) from error

    def write(self, name: str, content: BinaryIO) -> None:
        new = self.path / f".{name}.{secrets.token_hex(8)}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "wb") as file:
                shutil.copyfileobj(content, file)
                file.flush()
                os.fsync(file.fileno())
            os.link(new, self.path / name)  # unlike a rename it never replaces
            self._flush()
        except FileExistsError:
            raise AlreadyThere(name) from None
        except OSError as error:
            raise PlaceFails(place=self, why=error.strerror) from error
        finally:
            new.unlink(missing_ok=True)

    def _flush(self) -> None:
        """Make the new name as durable as the bytes."""
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class Bucket:
    """A bucket of S3 or of what speaks like it; credentials, region and endpoint by AWS's usual variables."""

    def __init__(self, bucket: str, prefix: str):
        connection = buckets.connect(field="VOUCH_CHECKPOINTS")
        self.client, self.refused, self.failed = connection.client, connection.refused, connection.failed
        self.bucket, self.prefix = bucket, f"{prefix}/" if prefix else ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def names(self, prefix: str) -> list[str]:
        found: list[str] = []
        try:
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix
            )
            for page in pages:
                found += [one["Key"].removeprefix(self.prefix) for one in page.get("Contents", [])]
        except (self.refused, self.failed) as error:
            raise PlaceFails(place=self, why=error) from error
        return sorted(found)

    def open(self, name: str) -> BinaryIO | None:
        kept: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # the caller closes it
        try:
            body = self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"]
            shutil.copyfileobj(body, kept)
        except self.refused as error:
            if buckets.missing(error):
                return None
            raise PlaceFails(place=self, why=error) from error
        except self.failed as error:
            raise PlaceFails(place=self, why=error) from error
        kept.seek(0)
        return cast(BinaryIO, kept)

    def write(self, name: str, content: BinaryIO) -> None:
        try:
            self.client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=content, IfNoneMatch="*")
        except self.refused as error:
            if buckets.code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict", "412"):
                raise AlreadyThere(name) from None
            raise PlaceFails(place=self, why=error) from error
        except self.failed as error:
            raise PlaceFails(place=self, why=error) from error
