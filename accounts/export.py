"""The audit log as a stream: JSON lines with exactly what each hash covers, or CSV that no spreadsheet takes for
formulas."""

from __future__ import annotations

import csv
import datetime
import io
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from enum import StrEnum
from typing import Any

from accounts.audit import content
from accounts.models import AuditChain, AuditEntry
from core.canonical import canonical_json

_AT_ONCE = 1000
_COLUMNS = (
    "chain",
    "sequence",
    "at",
    "workspace",
    "verb",
    "actor",
    "actor_name",
    "token",
    "address",
    "request_id",
    "subject",
    "data",
    "previous_hash",
    "hash",
)
# What begins a formula in a spreadsheet (OWASP, CSV injection), also in full width; and the apostrophe itself, so that
# taking one off the front of a cell always gives back what was there.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")


class Format(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"


def entries(
    *,
    workspace_id: int | None = None,
    subjects: Collection[uuid.UUID | None] | None = None,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
) -> Iterator[AuditEntry]:
    """Entries chain by chain, each in its order: of one workspace or all, of these subjects or all, from `since` to
    before `until`.

    A page at a time, each page one short statement on an index. Since every chain is written in order, none of its
    entries is skipped however many are written meanwhile.
    """
    rows = AuditEntry.objects.select_related("chain").order_by("chain_id", "sequence")
    if workspace_id is not None:
        rows = rows.filter(workspace_id=workspace_id)
    if subjects is not None:
        chains = AuditChain.objects.filter(subject_id__in=[subject for subject in subjects if subject])
        rows = rows.filter(chain_id__in=list(chains.values_list("id", flat=True)))
    chain_id, sequence = 0, 0
    while True:
        page = list(
            rows.extra(  # the text is ours; a row comparison is what the index can follow
                where=["(accounts_auditentry.chain_id, accounts_auditentry.sequence) > (%s, %s)"],
                params=[chain_id, sequence],
            )[:_AT_ONCE]
        )
        # Times are looked at here: in the statement they could make it search through the whole table for a page.
        yield from (e for e in page if (since is None or e.at >= since) and (until is None or e.at < until))
        if len(page) < _AT_ONCE:
            return
        chain_id, sequence = page[-1].chain_id, page[-1].sequence


def written(rows: Iterable[AuditEntry], form: Format) -> Iterator[bytes]:
    """`rows`, each with its chain, as the bytes of a file in UTF-8, some kilobytes at a time."""
    return _in_pieces(_FORMS[form](rows))


def _as_jsonl(rows: Iterable[AuditEntry]) -> Iterator[bytes]:
    for entry in rows:
        yield canonical_json(content(entry) | {"hash": entry.hash}) + b"\n"


def _as_csv(rows: Iterable[AuditEntry]) -> Iterator[bytes]:
    yield _csv_line(_COLUMNS)
    for entry in rows:
        told = content(entry) | {"hash": entry.hash, "data": canonical_json(entry.data).decode()}
        yield _csv_line([_cell(told[column]) for column in _COLUMNS])


def _csv_line(cells: Iterable[Any]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _in_pieces(lines: Iterator[bytes], size: int = 64 * 1024) -> Iterator[bytes]:
    piece = bytearray()
    for line in lines:
        piece += line
        if len(piece) >= size:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


_FORMS: dict[Format, Callable[[Iterable[AuditEntry]], Iterator[bytes]]] = {
    Format.JSONL: _as_jsonl,
    Format.CSV: _as_csv,
}
