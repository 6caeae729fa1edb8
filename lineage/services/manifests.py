"""What lies in frozen files, and whether the bytes kept are still those that were frozen.

Both read the store, which may be slow: outside of any transaction.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Iterator

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from lineage.inspection import Contents, Listed, contents, wanted
from lineage.models import Manifest
from lineage.services import turns
from lineage.storage import store
from lineage.storage.blobs import Blob

VERIFIED_AGAIN_AFTER = datetime.timedelta(days=1)
_AT_ONCE = 200
_VERIFYING = 0x766F756368  # an advisory lock's number: verify_oldest runs once at a time

log = structlog.get_logger()


def inspect(manifest: Manifest) -> Contents | None:
    """Look into the files of a manifest, once; None when they are damaged, which is noted then.

    What was seen is kept with the manifest and does not change: the same files hold the same.
    """
    if manifest.contents:
        return manifest.contents
    files = _files(manifest)
    read = {}
    for file in wanted(files):
        try:
            data = store.read_blob(file.sha256, file.size + 1)
        except OSError as error:
            _note_damage(manifest, _unreadable(file, error))
            return None
        if wrong := _difference(file, Blob(hashlib.sha256(data).hexdigest(), len(data))):
            _note_damage(manifest, wrong)
            return None
        read[file.path] = data
    seen = contents(files, read).as_json()
    Manifest.objects.filter(pk=manifest.pk, inspected__isnull=True).update(inspected=seen)
    manifest.refresh_from_db(fields=["inspected"])
    return manifest.contents


def inspect_new(*, seconds: float) -> int:
    """Look into manifests that nobody looked into yet, oldest first, for about so long; returns how many."""
    until = time.monotonic() + seconds
    done = 0
    for manifest in Manifest.objects.filter(inspected__isnull=True, damage="").order_by("id")[:_AT_ONCE]:
        if time.monotonic() >= until:
            break
        inspect(manifest)
        done += 1
    return done


def verify(manifest: Manifest) -> str:
    """Read every byte of a manifest again and compare; returns what is wrong, empty when nothing is, and notes it.

    Names the first bad file in the order of paths and counts the others. Memory does not grow with the files. A damage
    that is gone is struck out, unless somebody noted another one meanwhile.
    """
    began, before = timezone.now(), Manifest.objects.values_list("damage", flat=True).get(pk=manifest.pk)
    wrong = [problem for file in _files(manifest) if (problem := _wrong(file))]
    damage = "; ".join(wrong[:1] + ([f"{len(wrong) - 1} more files are damaged"] if len(wrong) > 1 else []))
    if damage:
        _note_damage(manifest, damage)
        Manifest.objects.filter(pk=manifest.pk).update(verified_at=began)
    else:
        Manifest.objects.filter(pk=manifest.pk, damage=before).update(verified_at=began, damage="")
    manifest.refresh_from_db(fields=["verified_at", "damage"])
    return damage


def verify_oldest(budget: int) -> int:
    """Verify what was longest not verified, until `budget` bytes are read; returns how many manifests.

    The last one is finished even when it is larger than what is left. None is read again within a day, and a second
    call while one runs does nothing.
    """
    done = 0
    with turns.alone(_VERIFYING) as alone:
        while alone and budget > 0:
            due = Q(verified_at__isnull=True) | Q(verified_at__lt=timezone.now() - VERIFIED_AGAIN_AFTER)
            oldest = Manifest.objects.filter(due).order_by(F("verified_at").asc(nulls_first=True), "id").first()
            if oldest is None:
                break
            verify(oldest)
            budget -= max(oldest.size, 1)
            done += 1
    return done


def every(*, digest: str = "", damaged: bool = False) -> Iterator[Manifest]:
    """The manifests of all workspaces, oldest first: all, those of this digest, or those that are noted as damaged.

    One at a time, as whoever reads their bytes takes long.
    """
    rows = Manifest.objects.order_by("id")
    if digest:
        rows = rows.filter(digest=digest)
    if damaged:
        rows = rows.exclude(damage="")
    following = rows.first()
    while following:
        yield following
        following = rows.filter(id__gt=following.pk).first()


def _files(manifest: Manifest) -> list[Listed]:
    with transaction.atomic(durable=True):  # refuses to run inside another: its locks would wait for the disk
        return [Listed(*row) for row in manifest.files.order_by("path").values_list("path", "sha256", "size")]


def _note_damage(manifest: Manifest, damage: str) -> None:
    log.error("stored files are damaged", digest=manifest.digest, damage=damage)
    Manifest.objects.filter(pk=manifest.pk).update(damage=damage)
    manifest.damage = damage


def _wrong(file: Listed) -> str:
    try:
        return _difference(file, store.measure(file.sha256))
    except OSError as error:
        return _unreadable(file, error)


def _difference(file: Listed, found: Blob) -> str:
    if found.size != file.size:
        return f"{file.path} has {found.size} bytes where {file.size} were frozen"
    if found.sha256 != file.sha256:
        return f"{file.path} has the SHA-256 {found.sha256} where {file.sha256} was frozen"
    return ""


def _unreadable(file: Listed, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{file.path} is missing: its bytes {file.sha256} are not in the store"
    return f"{file.path} cannot be read: {error.strerror}"
