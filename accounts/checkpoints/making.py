"""Making the next checkpoint: read the heads that have moved, sign them, write them, remember how far it came."""

from __future__ import annotations

import io
import itertools
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from django.db.models import F, Q
from django.utils import timezone

from accounts.checkpoints import files, keys, places
from accounts.checkpoints.files import Checkpoint, Point
from accounts.models import AuditChain, AuditCheckpoint, AuditWitness
from core.errors import Conflict

_AT_ONCE = 2000


class NotOurs(Conflict):
    """{name} at {place} is not the checkpoint that follows the last one: {why}. Nothing was written. Find out who can
    write there; `manage.py audit verify` tells more."""


class MadeMeanwhile(Conflict):
    """Another process is making this checkpoint at {place}: let it."""


def make(place: places.Place | None = None) -> Checkpoint | None:
    """Write the next checkpoint to `place` (None: that of the settings); None when no chain has moved.

    Not inside a transaction: disk and network may be slow. Killed after the file was written, the next call takes it
    up from there. Raises BadKey, KeyIsGone, BadPlace, NoBuckets, PlaceFails, NotOurs, MadeMeanwhile.
    """
    place = place or places.at()
    last = AuditCheckpoint.objects.order_by("-number").first()
    key = keys.own(known=last.public_key if last else "")
    last = _caught_up(place, last, {keys.public_hex(key), last.public_key if last else ""})
    moved = _moved()
    first = next(moved, None)
    if first is None:
        return None
    _publish(place, keys.public_hex(key))
    with tempfile.SpooledTemporaryFile(max_size=places.IN_MEMORY) as spooled:
        file = cast(BinaryIO, spooled)
        made = files.write(
            file,
            key,
            itertools.chain([first], moved),
            number=last.number + 1 if last else 1,
            previous=last.digest if last else files.FIRST_PREVIOUS,
            at=timezone.now(),
        )
        file.seek(0)
        try:
            place.write(files.name(made.number), file)
        except places.AlreadyThere:
            raise MadeMeanwhile(place=place) from None
        _remember(made, file)
    return made


def _moved() -> Iterator[Point]:
    """The heads that the last checkpoints do not name, by one statement: one moment, however many there are."""
    # A scan: heads are few and narrow, and an index on what each entry changes would cost more than this does.
    heads = AuditChain.objects.filter(
        Q(witness__isnull=True) | ~Q(witness__sequence=F("last_sequence")) | ~Q(witness__hash=F("last_hash")),
        last_sequence__gt=0,
    )
    told = heads.order_by("id").values_list("subject_id", "last_sequence", "last_hash")
    for subject_id, sequence, hash in told.iterator(chunk_size=_AT_ONCE):
        yield Point(str(subject_id) if subject_id else "", sequence, hash)


def _caught_up(place: places.Place, last: AuditCheckpoint | None, trusted: set[str]) -> AuditCheckpoint | None:
    """The last checkpoint at `place`: those that the database does not know are noted, if they follow from `last`.

    There is one after a crash between file and database, and many after the restore of an old backup.
    """
    while True:
        number, previous = (last.number + 1, last.digest) if last else (1, files.FIRST_PREVIOUS)
        file = place.open(files.name(number))
        if file is None:
            return last
        with file:
            try:
                found = files.check(file, number=number, trusted=trusted)
            except files.Unsound as error:
                raise NotOurs(name=files.name(number), place=place, why=error) from error
            if found.previous != previous:
                raise NotOurs(name=files.name(number), place=place, why="it follows another one")
            last = _remember(found, file)


def _remember(made: Checkpoint, file: BinaryIO) -> AuditCheckpoint:
    """Note the checkpoint and how far it follows each chain, some rows at a time."""
    note = AuditCheckpoint(number=made.number, digest=made.digest, at=made.at, public_key=made.public_key)
    AuditCheckpoint.objects.bulk_create([note], ignore_conflicts=True)
    points = files.points(file)
    while batch := list(itertools.islice(points, _AT_ONCE)):
        _follow(batch)
    return note


def _follow(points: list[Point]) -> None:
    chains = ids_of({point.chain for point in points})
    AuditWitness.objects.bulk_create(
        [
            AuditWitness(chain_id=chains[point.chain], sequence=point.sequence, hash=point.hash)
            for point in points
            if point.chain in chains
        ],
        update_conflicts=True,
        unique_fields=["chain"],
        update_fields=["sequence", "hash"],
    )


def ids_of(subjects: set[str]) -> dict[str, int]:
    """For each chain as a checkpoint names it: its row's id, if it has one."""
    wanted = Q(subject_id__in=[subject for subject in subjects if subject])
    if "" in subjects:
        wanted |= Q(subject_id__isnull=True)
    found = AuditChain.objects.filter(wanted).values_list("subject_id", "id")
    return {str(subject_id) if subject_id else "": pk for subject_id, pk in found}


def _publish(place: places.Place, public_key: str) -> None:
    """Lay the public key beside the checkpoints, once."""
    name = f"public-key-{public_key[:16]}.txt"
    if not place.names(name):
        try:
            place.write(name, io.BytesIO(f"{public_key}\n".encode()))
        except places.AlreadyThere:
            return
