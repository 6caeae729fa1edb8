"""What reads the log behind those who write it: it owes webhooks the events that belong to no model.

Those of a model are owed in the transaction of the write (`registry.outbox`). The writes of accounts know nothing of
webhooks, and nothing that is for the whole workspace should make writers wait for each other: so they are owed from
here, a few seconds later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from django.db import transaction

from accounts import feed
from accounts.models import AuditEntry
from accounts.verbs import Verb
from registry.models import Bookmark, Webhook
from registry.outbox import owe

DELIVERIES = "deliveries"
# Entries that one transaction reads. A hundred webhooks can be owed each of them, and thousands may follow a model that
# all of them are about: what one batch writes down has to be done long before the database ends an idle transaction.
_BATCH = 50


def follow(*, seconds: float = 4.0) -> int:
    """Owe what the log has new; goes on for at most `seconds`. Returns how many entries were read."""
    return read_on(DELIVERIES, _owe, seconds=seconds)


def read_on(name: str, act: Callable[[Sequence[AuditEntry]], None], *, seconds: float) -> int:
    """Hand `act` the entries after the bookmark `name`, in their order, each once; returns how many it were.

    In batches, each in one transaction with the move of the bookmark: what `act` writes is there exactly once. A second
    call meanwhile finds the bookmark locked, and returns. The first call ever only lays it at the present end: what was
    before is told to nobody. `act` gets each entry with its chain and workspace loaded.
    """
    until, read = time.monotonic() + seconds, 0
    while True:
        count = _read_batch(name, act)
        read += count
        if count < _BATCH or time.monotonic() >= until:
            return read


@transaction.atomic
def _read_batch(name: str, act: Callable[[Sequence[AuditEntry]], None]) -> int:
    bookmark = Bookmark.objects.select_for_update(skip_locked=True).filter(name=name).first()
    if bookmark is None:
        Bookmark.objects.get_or_create(name=name, defaults={"entry": feed.horizon()})
        return 0
    entries = list(feed.after(bookmark.entry).select_related("chain", "workspace")[:_BATCH])
    if entries:
        act(entries)
        bookmark.entry = entries[-1].pk
        bookmark.save(update_fields=["entry"])
    return len(entries)


def _owe(entries: Sequence[AuditEntry]) -> None:
    """Owe the entries of no model to the webhooks of their workspaces that listen to more than models.

    A test is for one webhook alone, which its service has seen to.
    """
    by_workspace: dict[int, list[AuditEntry]] = {}
    for entry in entries:
        if entry.workspace_id and entry.chain.subject_id is None and entry.verb != Verb.WEBHOOK_TESTED:
            by_workspace.setdefault(entry.workspace_id, []).append(entry)
    for workspace_id, those in by_workspace.items():
        owe(those, Webhook.objects.filter(workspace_id=workspace_id, model__isnull=True, pattern=""))
