"""The store that the settings name, and what is done alike on each."""

from __future__ import annotations

import hashlib
from functools import cache

from django.conf import settings

from core.errors import Invalid
from lineage.storage import local
from lineage.storage.address import address_of
from lineage.storage.blobs import Blob, Store, pieces
from lineage.storage.s3 import Bucket


class NoDirectTransfers(Invalid):
    """The files of this installation do not lie where clients can send and fetch them by themselves: use the proxy at
    /api/2.0/mlflow-artifacts."""


def current() -> Store:
    """A bucket when VOUCH_ARTIFACTS names one, else the disk. Raises BadStore, NoBuckets."""
    return _bucket(settings.VOUCH_ARTIFACTS) if settings.VOUCH_ARTIFACTS else local.Disk()


def direct() -> Bucket:
    """The store, if clients may be sent there with a signed URL; NoDirectTransfers."""
    there = current()
    if not isinstance(there, Bucket) or not there.address.direct:
        raise NoDirectTransfers
    return there


def is_direct() -> bool:
    """Whether clients may be sent to the store; opens no connection."""
    return bool(settings.VOUCH_ARTIFACTS) and address_of(settings.VOUCH_ARTIFACTS).direct


@cache
def _bucket(address: str) -> Bucket:
    # One for the process: a client of boto3 takes a tenth of a second to make, and keeps its connections.
    return Bucket(address_of(address))


def read_blob(sha256: str, limit: int) -> bytes:
    """The first `limit` bytes of a blob; OSError when the store does not give them."""
    with current().open_blob(sha256) as file:
        return file.read(limit)


def measure(sha256: str) -> Blob:
    """What the bytes kept under this digest are now: all read again, in flat memory. OSError as `read_blob`."""
    hasher, size = hashlib.sha256(), 0
    with current().open_blob(sha256) as file:
        for chunk in pieces(file):
            size += len(chunk)
            hasher.update(chunk)
    return Blob(hasher.hexdigest(), size)
