"""The one writer of audit entries.

Each entry carries a sequence, the hash of the entry before it and the hash of its own canonical JSON, so that a
changed, dropped or moved entry breaks the chain at its place.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

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
    """The same for several at once, in their order. Two queries, however many."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("an audit entry is written in the transaction of what it records")
    chain = _locked_chain(chain_of)
    entries = [_next(chain, actor, event) for event in events]
    if entries:
        _append(chain, entries)
    return entries


_COLUMNS = {
    "sequence": "bigint", "previous_hash": "text", "hash": "text", "at": "timestamptz", "workspace_id": "bigint",
    "verb": "text", "actor_id": "bigint", "actor_name": "text", "token_id": "uuid", "address": "inet",
    "request_id": "text", "subject": "text", "data": "jsonb",
}  # fmt: skip
# One statement for the entries and the head of their chain, in the columns' order.
_APPEND = f"""
WITH head AS (UPDATE accounts_auditchain SET last_sequence = %s, last_hash = %s WHERE id = %s)
INSERT INTO accounts_auditentry (chain_id, {", ".join(_COLUMNS).replace("actor_id", "actor_user_id")})
SELECT %s, * FROM unnest({", ".join(f"%s::{kind}[]" for kind in _COLUMNS.values())})
RETURNING sequence, id
"""  # noqa: S608 - columns and their types are ours


def _append(chain: AuditChain, entries: Sequence[AuditEntry]) -> None:
    columns = [[getattr(entry, name) for entry in entries] for name in list(_COLUMNS)[:-1]]
    data = [Jsonb(entry.data) for entry in entries]
    with connection.cursor() as cursor:
        cursor.execute(_APPEND, [chain.last_sequence, chain.last_hash, chain.pk, chain.pk, *columns, data])
        ids = dict(cursor.fetchall())
    for entry in entries:
        entry.pk = ids[entry.sequence]
        entry._state.adding = False


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
        data=_as_stored(event.data),
    )
    entry.hash = digest(content(entry))
    chain.last_sequence, chain.last_hash = entry.sequence, entry.hash
    return entry


def _as_stored(value: Any) -> Any:
    """`value` as PostgreSQL gives it back, since the hash must be that of what will be read.

    jsonb keeps decimal numbers: 1e16 comes back as an integer of 17 digits, and -0.0 has lost its sign.
    """
    if isinstance(value, float):
        return int(Decimal(repr(value))) if abs(value) >= 1e16 else value + 0.0
    if isinstance(value, dict):
        return {key: _as_stored(item) for key, item in value.items()}
    return [_as_stored(item) for item in value] if isinstance(value, list | tuple) else value


# Each write comes by here: prepared once for each connection.
_HEAD = "SELECT id, subject_id, last_sequence, last_hash FROM accounts_auditchain WHERE subject_id {} FOR UPDATE"


def _locked_chain(chain_of: uuid.UUID | None) -> AuditChain:
    statement, wanted = (_HEAD.format("= %s"), [chain_of]) if chain_of else (_HEAD.format("IS NULL"), [])
    with connection.cursor() as cursor:
        cursor.execute(statement, wanted)
        head = cursor.fetchone()
        if head is None:
            AuditChain.objects.bulk_create([AuditChain(subject_id=chain_of)], ignore_conflicts=True)
            cursor.execute(statement, wanted)
            head = cursor.fetchone()
    return AuditChain.from_db(connection.alias, ["id", "subject_id", "last_sequence", "last_hash"], head)


def content(entry: AuditEntry) -> dict[str, Any]:
    """What the hash covers: every field but the row's own id and the hash itself. The entry's chain is loaded."""
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
