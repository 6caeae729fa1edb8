"""The one writer of audit entries, and their verification.

Each entry carries a sequence, the hash of the entry before it and the hash of its own canonical JSON, so that a
changed, dropped or moved entry breaks the chain at its place.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditChain, AuditEntry
from accounts.verbs import Verb
from core.canonical import digest

FIRST_PREVIOUS = "0" * 64


@dataclass(frozen=True)
class Event:
    """Something that happened: `subject` says in words to what, `data` is JSON."""

    verb: Verb
    subject: str
    data: dict[str, Any]


def record(
    actor: Actor, verb: Verb, *, subject: str, data: dict[str, Any], chain_of: uuid.UUID | None = None
) -> AuditEntry:
    """Append one entry to the chain of the model `chain_of` (None: the chain of what belongs to no model).

    `subject` says in words what was acted on; `data` is JSON. Must run in the transaction of the write it records.
    """
    return record_all(actor, [Event(verb, subject, data)], chain_of=chain_of)[0]


def record_all(actor: Actor, events: Sequence[Event], *, chain_of: uuid.UUID | None = None) -> list[AuditEntry]:
    """The same for several at once, in their order. Three queries, however many."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("an audit entry is written in the transaction of what it records")
    chain = _locked_chain(chain_of)
    entries = [_next(chain, actor, event) for event in events]
    AuditEntry.objects.bulk_create(entries)
    chain.save(update_fields=["last_sequence", "last_hash"])
    return entries


def _next(chain: AuditChain, actor: Actor, event: Event) -> AuditEntry:
    """The entry that follows the chain's head, which moves on to it."""
    entry = AuditEntry(
        chain=chain,
        sequence=chain.last_sequence + 1,
        previous_hash=chain.last_hash,
        at=timezone.now(),
        workspace_id=actor.workspace_id,
        verb=event.verb,
        actor_id=actor.user_id,
        actor_name=actor.username,
        token_id=actor.token_id,
        address=actor.address,
        request_id=actor.request_id,
        subject=event.subject[:512],
        data=event.data,
    )
    entry.hash = digest(_content(entry))
    chain.last_sequence, chain.last_hash = entry.sequence, entry.hash
    return entry


def _locked_chain(chain_of: uuid.UUID | None) -> AuditChain:
    heads = AuditChain.objects.select_for_update().filter(subject_id=chain_of)
    head = heads.first()
    if head is None:
        AuditChain.objects.bulk_create([AuditChain(subject_id=chain_of)], ignore_conflicts=True)
        head = heads.get()
    return head


def _content(entry: AuditEntry) -> dict[str, Any]:
    """What the hash covers: every field but the row's own id and the hash itself."""
    return {
        "chain": str(entry.chain.subject_id) if entry.chain.subject_id else "",
        "sequence": entry.sequence,
        "previous_hash": entry.previous_hash,
        "at": entry.at.isoformat(timespec="microseconds"),
        "workspace": entry.workspace_id,
        "verb": str(entry.verb),
        "actor": entry.actor_id,
        "actor_name": entry.actor_name,
        "token": str(entry.token_id) if entry.token_id else None,
        "address": entry.address,
        "request_id": entry.request_id,
        "subject": entry.subject,
        "data": entry.data,
    }


@dataclass(frozen=True)
class Flaw:
    """The first bad entry of a chain and what is wrong with it."""

    chain: str
    sequence: int
    problem: str


def verify() -> Iterator[tuple[AuditChain, Flaw | None]]:
    """Every chain with its first flaw, or None when it is whole; writes may go on meanwhile."""
    for chain in AuditChain.objects.order_by("id").iterator():
        yield chain, _first_flaw(chain)


_AT_ONCE = 2000


def _first_flaw(chain: AuditChain) -> Flaw | None:
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
            if wrong := _flaw(entry, sequence, previous):
                return Flaw(str(chain), sequence, wrong)
            previous = entry.hash
    if previous != head.last_hash:
        return Flaw(str(chain), sequence, "the chain's head names another hash")
    if _has_more_than_its_head(chain):
        return Flaw(str(chain), sequence + 1, "an entry stands behind the chain's head")
    return None


def _flaw(entry: AuditEntry, sequence: int, previous: str) -> str | None:
    if entry.sequence != sequence:
        return f"entry {sequence} is missing: the next one is {entry.sequence}"
    if entry.previous_hash != previous:
        return "it does not follow the entry before it"
    if digest(_content(entry)) != entry.hash:
        return "its content is not what was written"
    return None


def _has_more_than_its_head(chain: AuditChain) -> bool:
    # One statement, so one moment: an entry and its head are written together.
    return chain.entries.filter(sequence__gt=F("chain__last_sequence")).exists()
