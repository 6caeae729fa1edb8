"""The audit entries one after the other, for whoever reads all of them once: none is missed, though many write at once.

Ids are given out when an entry is written and are seen when its transaction commits, so a higher one may be seen before
a lower one. So entries are given only up to a horizon: the start of the oldest transaction that is still writing.
"""

from __future__ import annotations

import datetime

from django.db import connection
from django.db.models import QuerySet

from accounts.models import AuditEntry

# Whoever writes entries has locked their chain before, and so has a transaction id before the entry has its own. Of
# those that have none yet, every entry will be younger than this statement.
_HORIZON = """
SELECT least(statement_timestamp(), min(xact_start)) FROM pg_stat_activity
 WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
"""


def after(entry_id: int) -> QuerySet[AuditEntry]:
    """The entries that came after the one with this id (0: all of them), in their order.

    What is there now: no entry will ever appear before the last of them. One query now, one when they are read.
    """
    return AuditEntry.objects.filter(pk__gt=entry_id, written_at__lt=horizon()).order_by("pk")


def horizon() -> datetime.datetime:
    """Every entry written before this time has been committed, or never will be."""
    with connection.cursor() as cursor:
        cursor.execute(_HORIZON)
        found: datetime.datetime = cursor.fetchone()[0]
    return found
