"""Is the audit log what was written? Its chains from the first entry to the head, and against the checkpoints."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice

from django.db.models import F, Q

from accounts.audit import FIRST_PREVIOUS, content
from accounts.checkpoints import files
from accounts.checkpoints.files import Point
from accounts.checkpoints.places import Place
from accounts.models import AuditChain, AuditCheckpoint, AuditEntry
from core.canonical import digest

_AT_ONCE = 2000
# An entry so much older than the newest checkpoint must be in one; clocks of machines may differ by less.
_OVERDUE = datetime.timedelta(hours=1)

Subjects = Collection[uuid.UUID | None]


@dataclass(frozen=True)
class Flaw:
    """The first bad entry of a chain and what is wrong with it; verb and subject as they stand there now, if at all."""

    chain: str
    sequence: int
    problem: str
    verb: str = ""
    subject: str = ""


@dataclass(frozen=True)
class BadCheckpoint:
    """A checkpoint that is missing or not what it should be."""

    number: int
    problem: str


@dataclass
class Witnesses:
    """What the checkpoints confirm and what they contradict, after one pass over all of them."""

    sound: int = 0
    newest: datetime.datetime | None = None
    bad: list[BadCheckpoint] = field(default_factory=list)
    gone: dict[str, Flaw] = field(default_factory=dict)  # chains that are not in the database any more
    flaws: dict[int, Flaw] = field(default_factory=dict)  # by the id of the chain's row
    named: dict[int, int] = field(default_factory=dict)  # the highest sequence named, by the id of the chain's row


def verify(
    subjects: Subjects | None = None, witnesses: Witnesses | None = None
) -> Iterator[tuple[AuditChain, Flaw | None]]:
    """Every chain, or those of the `subjects`, with its first flaw, None when it is whole; writes may go on meanwhile.

    With `witnesses` also what contradicts the checkpoints. Chains that are gone are in `witnesses.gone` alone.
    """
    chains = AuditChain.objects.order_by("id")
    if subjects is not None:
        chains = chains.filter(_among(subjects))
    for chain in chains.iterator():
        found = [_first_flaw(chain, witnesses)]
        if witnesses:
            found.append(witnesses.flaws.get(chain.pk))
        flaws = sorted((flaw for flaw in found if flaw), key=lambda flaw: flaw.sequence)
        yield chain, flaws[0] if flaws else None


def _among(subjects: Subjects) -> Q:
    wanted = Q(subject_id__in=[subject for subject in subjects if subject])
    return wanted | Q(subject_id__isnull=True) if None in subjects else wanted


# --- One chain --------------------------------------------------------------------------------------------------------


def _first_flaw(chain: AuditChain, witnesses: Witnesses | None) -> Flaw | None:
    head = AuditChain.objects.get(pk=chain.pk)  # later than the list of chains, earlier than the entries
    sequence, previous = 0, FIRST_PREVIOUS
    while sequence < head.last_sequence:
        following = chain.entries.filter(sequence__gt=sequence, sequence__lte=head.last_sequence)
        entries = list(following.order_by("sequence")[:_AT_ONCE])
        if not entries:
            problem = f"the chain ends at {sequence} but {head.last_sequence} were written"
            return Flaw(str(chain), sequence + 1, problem)
        for entry in entries:
            entry.chain = chain
            sequence += 1
            if wrong := _wrong(entry, sequence, previous) or (witnesses and _overdue(entry, witnesses)):
                return _flaw(chain, sequence, wrong, entry)
            previous = entry.hash
    if previous != head.last_hash:
        return _flaw(chain, sequence, "the chain's head names another hash")
    # One statement, so one moment: an entry and its head are written together.
    behind = chain.entries.filter(sequence__gt=F("chain__last_sequence")).order_by("sequence").first()
    return _flaw(chain, behind.sequence, "an entry stands behind the chain's head", behind) if behind else None


def _flaw(chain: AuditChain, sequence: int, problem: str, entry: AuditEntry | None = None) -> Flaw:
    entry = entry or chain.entries.filter(sequence=sequence).first()
    if entry is None or entry.sequence != sequence:
        return Flaw(str(chain), sequence, problem)
    return Flaw(str(chain), sequence, problem, entry.verb, entry.subject)


def _wrong(entry: AuditEntry, sequence: int, previous: str) -> str | None:
    if entry.sequence != sequence:
        return f"entry {sequence} is missing: the next one is {entry.sequence}"
    if entry.previous_hash != previous:
        return "it does not follow the entry before it"
    if digest(content(entry)) != entry.hash:
        return "its content is not what was written"
    return None


def _overdue(entry: AuditEntry, witnesses: Witnesses) -> str | None:
    """Somebody has kept the chain out of the checkpoints, or dated the entry back."""
    # With checkpoints missing it may have been in one of those, which is reported already.
    if witnesses.bad or witnesses.newest is None or entry.sequence <= witnesses.named.get(entry.chain_id, 0):
        return None
    if entry.at > witnesses.newest - _OVERDUE:
        return None
    return f"it is dated {entry.at:%Y-%m-%d %H:%M} UTC, and none of the checkpoints made since names it"


# --- All checkpoints --------------------------------------------------------------------------------------------------


def read_checkpoints(
    place: Place,
    trusted: Collection[str],
    subjects: Subjects | None = None,
    tell: Callable[[str], None] = lambda progress: None,
) -> Witnesses:
    """Compare every checkpoint at `place` with its neighbours, with the notes in the database and with the entries.

    `trusted` are public keys in hex; `subjects` limits which chains are compared; `tell` gets lines of progress.
    Raises PlaceFails.
    """
    known = AuditCheckpoint.objects.order_by("-number").first()  # before the list: files are written first
    witnesses = Witnesses()
    wanted = None if subjects is None else {str(subject) if subject else "" for subject in subjects}
    points = _sound_points(place, trusted, known.number if known else 0, witnesses, tell)
    chosen = (told for told in points if wanted is None or told[1].chain in wanted)
    while batch := list(islice(chosen, _AT_ONCE)):
        _compare(batch, witnesses)
    return witnesses


def _sound_points(
    place: Place, trusted: Collection[str], known: int, witnesses: Witnesses, tell: Callable[[str], None]
) -> Iterator[tuple[int, Point]]:
    """(number of the checkpoint, point) of all that are sound; the others go into `witnesses.bad`."""
    numbers = {files.number_of(name) for name in place.names("checkpoint-") if _is_name(name)}
    previous: str | None = files.FIRST_PREVIOUS  # None: the one before is unknown, so nothing can be said of the link
    for number in range(1, max([known, *numbers]) + 1):
        file = place.open(files.name(number)) if number in numbers else None
        if file is None:
            whence = "; the database knows of it" if number <= known else ""
            witnesses.bad.append(BadCheckpoint(number, f"it is missing{whence}"))
            previous = None
            continue
        with file:
            try:
                found = files.check(file, number=number, trusted=trusted)
            except files.Unsound as error:
                witnesses.bad.append(BadCheckpoint(number, str(error)))
                previous = None
                continue
            if previous not in (None, found.previous):
                witnesses.bad.append(BadCheckpoint(number, f"it does not follow checkpoint {number - 1} as it is now"))
            noted = AuditCheckpoint.objects.filter(pk=number).values_list("digest", flat=True).first()
            if noted not in (None, found.digest):
                witnesses.bad.append(BadCheckpoint(number, "it is another one than the database knows of"))
            previous = found.digest
            witnesses.sound += 1
            witnesses.newest = found.at
            yield from ((number, point) for point in files.points(file))
        tell(f"{number} of {max([known, *numbers])} checkpoints")


def _is_name(name: str) -> bool:
    digits = name.removeprefix("checkpoint-").removesuffix(".jsonl")
    return digits.isascii() and digits.isdecimal() and name == files.name(int(digits))


def _compare(told: list[tuple[int, Point]], witnesses: Witnesses) -> None:
    """Look these points up in the database. Two queries, whatever their number."""
    named = {point.chain for _, point in told}
    wanted = _among({uuid.UUID(chain) if chain else None for chain in named})
    chains = {str(chain.subject_id) if chain.subject_id else "": chain for chain in AuditChain.objects.filter(wanted)}
    pairs = [(chains[point.chain].pk, point.sequence) for _, point in told if point.chain in chains]
    found = AuditEntry.objects.extra(  # the text is ours; ORM has no row values over arrays
        where=["(accounts_auditentry.chain_id, sequence) IN (SELECT * FROM unnest(%s::bigint[], %s::bigint[]))"],
        params=[[pk for pk, _ in pairs], [sequence for _, sequence in pairs]],
    )
    entries = {
        (entry.chain_id, entry.sequence): entry
        for entry in found.only("chain_id", "sequence", "hash", "verb", "subject")
    }
    for number, point in told:
        chain = chains.get(point.chain)
        if chain is None:
            subject = f"model {point.chain}" if point.chain else "accounts"
            gone = Flaw(
                subject, 1, f"the whole chain is gone; checkpoint {number} names {point.sequence} entries of it"
            )
            witnesses.gone.setdefault(subject, gone)
            continue
        entry = entries.get((chain.pk, point.sequence))
        _judge(number, point, chain, entry, witnesses)
        witnesses.named[chain.pk] = max(point.sequence, witnesses.named.get(chain.pk, 0))


def _judge(number: int, point: Point, chain: AuditChain, entry: AuditEntry | None, witnesses: Witnesses) -> None:
    if entry is not None and entry.hash == point.hash:
        return
    sequence = point.sequence
    if entry is None:
        sequence = min(sequence, chain.last_sequence + 1)
        problem = f"checkpoint {number} names {point.sequence} entries, the chain has {chain.last_sequence}"
    else:
        confirmed = witnesses.named.get(chain.pk, 0)
        since = f"the last before it that one confirms is {confirmed}" if confirmed else "none before it is confirmed"
        problem = f"checkpoint {number} names another hash for it; {since}"
    flaw = _flaw(chain, sequence, problem, entry)
    earlier = witnesses.flaws.get(chain.pk)
    if earlier is None or flaw.sequence < earlier.sequence:
        witnesses.flaws[chain.pk] = flaw
