"""The audit entries one after the other, for whoever reads all of them once: none is missed, though many write at once.

Ids are given out when an entry is written and are seen when its transaction commits, so a higher one may be seen before
a lower one. So entries are given only up to a horizon: each transaction that writes entries announces before its first
one above which id they will be (a trigger: migration 0005), and what lies above the lowest of those is not given yet.
No clock decides, and a long transaction that writes no entry holds nothing up.
"""

from __future__ import annotations

from django.db import connection
from django.db.models import QuerySet

from accounts.models import AuditEntry


def after(entry_id: int) -> QuerySet[AuditEntry]:
    """The entries that came after the one with this id (0: all of them), in their order.

    What is there now: no entry will ever appear before the last of them. One query now, one when they are read, which
    must see what has been committed by then: not in a transaction that reads from an older snapshot, nor on a replica.
    """
    return AuditEntry.objects.filter(pk__gt=entry_id, pk__lte=horizon()).order_by("pk")


def horizon() -> int:
    """The id up to which every entry has been committed, or never will be; those of the own transaction aside."""
    return _asked("SELECT accounts_audit_horizon()")


def newest_id() -> int:
    """The highest id that was ever given to an entry, committed or not; 0 when there was none."""
    return _asked("SELECT coalesce(pg_sequence_last_value('accounts_auditentry_id_seq'), 0)")


def _asked(statement: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found: int = cursor.fetchone()[0]
    return found
