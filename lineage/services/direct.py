"""Files that clients send to the store by themselves: signed URLs, and taking in what arrived.

A file is not there before its bytes were read and hashed by us, whatever the store says of them. Then it is copied to
the place of its digest and noted in its folder, as one that came through the proxy. All of this talks to the store, so
never in a transaction; the row of an upload says how far it came, and whoever finds it carries on.
"""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.actor import Actor
from core.errors import Invalid, NotFound, Refusal
from lineage.models import DirectUpload, DirectUploadQuerySet, Folder, FolderFile, ManifestFile
from lineage.queries import as_uuid
from lineage.services import artifacts, turns
from lineage.services.artifacts import Place
from lineage.storage import s3, store
from lineage.storage.blobs import Blob
from lineage.storage.s3 import PARTS, Bucket, TooSlow

LIFE = 900  # seconds of a signed URL, when nobody says how many
LONGEST = 3600  # that any lives, and those of parts do
READING = 60  # seconds that a request spends on reading what arrived; stock clients wait for 120
_TAKING_IN = 0x766F756369  # an advisory lock's number: take_in_due runs once at a time

log = structlog.get_logger()


class TooManyParts(Invalid):
    """{value} is no number of parts: a file is sent in 1 to {limit}."""

    field = "num_parts"


class BadLife(Invalid):
    """expiration must be between 1 and 604800 seconds (got {value}); a URL lives for an hour at most."""

    field = "expiration"


class NoSuchUpload(NotFound):
    """There is no upload {upload!r} of yours to this path: it was abandoned, or is older than a day."""


@dataclass(frozen=True)
class InParts:
    """An upload in parts: our name for it, and where to PUT each part, from the first on."""

    upload: str
    urls: list[str]


def begin_parts(actor: Actor, place: Place, path: str, count: int) -> InParts:
    """Let a client send a file in `count` parts. Raises what an upload does, NoDirectTransfers, TooManyParts."""
    if count not in range(1, PARTS + 1):
        raise TooManyParts(value=count, limit=PARTS)
    bucket, row = _begun(actor, place, path, LONGEST)
    row.parts = bucket.begin_parts(row.key)
    row.save(force_insert=True)
    urls = [bucket.part_url(row.key, row.parts, number, seconds=LONGEST) for number in range(1, count + 1)]
    return InParts(row.pk.hex, urls)


def begin_whole(actor: Actor, place: Place, path: str, seconds: int = LIFE) -> str:
    """Where a client may PUT a file, once. It is there when it is next looked for. Raises as `begin_parts`, BadLife."""
    seconds = life(seconds)
    bucket, row = _begun(actor, place, path, seconds)
    row.save(force_insert=True)
    return bucket.upload_url(row.key, seconds=seconds)


def life(seconds: int) -> int:
    """How long a URL may live for which `seconds` are asked. Raises BadLife."""
    if seconds not in range(1, 604_801):
        raise BadLife(value=seconds)
    return min(seconds, LONGEST)


def _begun(actor: Actor, place: Place, path: str, seconds: int) -> tuple[Bucket, DirectUpload]:
    artifacts.may_upload(actor, place, path)
    bucket = store.direct()
    row = DirectUpload(
        folder=artifacts.room_for(actor, place, path),
        path=path,
        key=s3.new_key(),
        uploaded_by_id=actor.user_id,
        expires_at=timezone.now() + datetime.timedelta(seconds=seconds),
    )
    return bucket, row


def finish_parts(actor: Actor, place: Place, path: str, upload: str, parts: Sequence[tuple[int, str]]) -> None:
    """The parts (number, ETag) are all there: take the file in. Repeating it is harmless.

    One that takes longer to read than READING seconds is taken in later; until then it is not listed, and nothing is
    registered from it. Raises what an upload does, NoSuchUpload, BadParts, NoDirectTransfers.
    """
    artifacts.may_upload(actor, place, path)
    bucket, row = store.direct(), _mine(actor, place, path, upload)
    if row.taken_at:
        return
    if row.arrived_at is None:
        try:
            bucket.finish_parts(row.key, row.parts, parts)
        except FileNotFoundError:
            if bucket.sent(row.key) is None:
                if DirectUpload.objects.filter(pk=row.pk, taken_at__isnull=False).exists():
                    return  # a repeated call, overtaken by the first
                raise NoSuchUpload(upload=upload) from None
        DirectUpload.objects.filter(pk=row.pk).update(arrived_at=timezone.now())
    _take_in(bucket, row.pk, seconds=READING)


def abandon_parts(actor: Actor, place: Place, path: str, upload: str) -> None:
    """Forget an upload in parts and what arrived of it; harmless when it is forgotten, or was taken in."""
    artifacts.may_upload(actor, place, path)
    bucket = store.direct()
    try:
        row = _mine(actor, place, path, upload)
    except NoSuchUpload:
        return
    if row.taken_at is None:
        DirectUpload.objects.filter(pk=row.pk).delete()
        bucket.abandon_parts(row.key, row.parts)
        bucket.drop(row.key)


def _mine(actor: Actor, place: Place, path: str, upload: str) -> DirectUpload:
    key, folder = as_uuid(upload), place.existing_folder(actor)
    rows = DirectUpload.objects.filter(folder=folder, path=path, uploaded_by_id=actor.user_id).exclude(parts="")
    row = rows.filter(pk=key).first() if key and folder else None
    if row is None:
        raise NoSuchUpload(upload=upload)
    return row


def download_url(file: FolderFile | ManifestFile, *, disposition: str, seconds: int = LIFE) -> str:
    """Where to GET these bytes, for somebody who may read them. Raises NoDirectTransfers, BadLife."""
    return store.direct().download_url(file.sha256, disposition=disposition, seconds=life(seconds))


def take_in(actor: Actor, place: Place | None) -> None:
    """Take in what arrived for a place, before anything is registered from it: that runs in a transaction.

    What was not read in time is known to have arrived by then, so `artifacts.seal` refuses.
    """
    if place and store.is_direct():
        folder_of(actor, place)


def folder_of(actor: Actor, place: Place) -> Folder | None:
    """The folder of a place, after what arrived for it was taken in; None when there is none yet."""
    folder = place.existing_folder(actor)
    if folder and store.is_direct():
        _take_in_all(folder.direct_uploads.to_take_in(), seconds=READING / 2)
    return folder


def take_in_due(*, seconds: float) -> int:
    """Take in what arrived, the oldest first, for about so long, and forget uploads that are over; returns how many
    had arrived. A second call while one runs does nothing."""
    with turns.alone(_TAKING_IN) as alone:
        if not (alone and store.is_direct()):
            return 0
        count = _take_in_all(DirectUpload.objects.to_take_in(), seconds=seconds)
        over = DirectUpload.objects.filter(expires_at__lt=timezone.now() - datetime.timedelta(hours=1))
        over.filter(Q(taken_at__isnull=False) | Q(arrived_at__isnull=True)).delete()
        return count


def awaited() -> set[str]:
    """The keys of what arrived and was not taken in yet, however long ago."""
    return set(DirectUpload.objects.to_take_in().values_list("key", flat=True))


def _take_in_all(rows: DirectUploadQuerySet, *, seconds: float) -> int:
    """Look what of these arrived, all of it, and take it in, the oldest first, for about so long; how much arrived."""
    bucket, until = store.direct(), time.monotonic() + seconds
    for key, sent_to in rows.filter(arrived_at__isnull=True, parts="").values_list("pk", "key"):
        if bucket.sent(sent_to):
            DirectUpload.objects.filter(pk=key, arrived_at__isnull=True).update(arrived_at=timezone.now())
    waiting = list(rows.filter(arrived_at__isnull=False).order_by("begun_at").values_list("pk", flat=True))
    for key in waiting:
        if time.monotonic() > until:
            break
        try:
            _take_in(bucket, key, seconds=until - time.monotonic())
        except Refusal as refusal:
            log.warning("a file that was sent to the store is not taken in", upload=str(key), why=refusal.message)
    return len(waiting)


def _take_in(bucket: Bucket, key: uuid.UUID, *, seconds: float) -> None:
    """Read what arrived and make it a file of its folder, unless somebody does, or it takes too long."""
    now = timezone.now()
    free = Q(read_until__isnull=True) | Q(read_until__lt=now)
    mine = DirectUpload.objects.to_take_in().filter(free, pk=key)
    # A minute more than the time to read, for copying.
    if not mine.update(read_until=now + datetime.timedelta(seconds=seconds + 60)):
        return
    row = DirectUpload.objects.get(pk=key)
    try:
        _read_and_note(bucket, row, until=time.monotonic() + seconds)
    except Refusal:
        DirectUpload.objects.filter(pk=key).delete()
        bucket.drop(row.key)
        raise
    except FileNotFoundError:
        DirectUpload.objects.filter(pk=key).delete()
        raise NoSuchUpload(upload=key.hex) from None
    finally:
        DirectUpload.objects.filter(pk=key).update(read_until=None)


def _read_and_note(bucket: Bucket, row: DirectUpload, *, until: float) -> None:
    read = row.key
    if not row.parts:
        # Its URL may still be alive: what it names could change between our reading and our copying.
        read = bucket.put_aside(row.key)
    try:
        blob = bucket.measure(read, until=until)
        bucket.keep(read, blob)
    except TooSlow:
        return
    finally:
        if read != row.key:
            bucket.drop(read)
    if _note(row, blob):
        bucket.drop(row.key)


@transaction.atomic
def _note(row: DirectUpload, blob: Blob) -> bool:
    """Make it a file of its folder; False when the upload was abandoned meanwhile."""
    if not DirectUpload.objects.select_for_update().filter(pk=row.pk).exists():
        return False
    artifacts.record(row.folder, row.path, blob, uploader_id=row.uploaded_by_id, overwrite=True)
    DirectUpload.objects.filter(pk=row.pk).update(taken_at=timezone.now())
    return True
