"""Who is to be told of what happens: the log is followed, and a message is written down for each person and channel.

Never in the transaction of what happened, which holds locks that others wait for: a task follows soon after.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from django.conf import settings
from django.utils import timezone

from accounts.models import AuditEntry
from registry.audience import Concerned, concerned
from registry.models import (
    Channel,
    MailWhen,
    Notification,
    NotificationSettings,
    NotificationState,
)
from registry.models.notifications import NOT_FINISHED
from registry.services.following import read_on

BOOKMARK = "notifications"
_AT_A_TIME = 5000


def note(*, seconds: float = 4.0) -> int:
    """Write down who is to be told of the events since the last call; returns how many events were read.

    Goes on for at most `seconds`. A second call meanwhile does nothing. The very first one begins at the present end.
    """
    return read_on(BOOKMARK, _note, seconds=seconds)


def _note(entries: Sequence[AuditEntry]) -> None:
    Notification.objects.bulk_create(_messages(concerned(entries)), ignore_conflicts=True, batch_size=_AT_A_TIME)


def _messages(found: list[Concerned]) -> list[Notification]:
    """One message for each event and person on each channel that he is told on."""
    chosen = NotificationSettings.objects.in_bulk({each.user.pk for each in found})
    now = timezone.now()
    messages = []
    for each in found:
        wishes = chosen.get(each.user.pk) or NotificationSettings(user=each.user)
        told = {"entry": each.entry, "user": each.user, "reason": each.reason, "created_at": now}
        if mail_is_on() and each.user.email and wishes.mail == MailWhen.AT_ONCE:
            messages.append(Notification(channel=Channel.MAIL, due_at=now, **told))
        if mail_is_on() and each.user.email and wishes.mail == MailWhen.DIGEST:
            gathered = {"state": NotificationState.GATHERED, "due_at": next_digest(now)}
            messages.append(Notification(channel=Channel.MAIL, **gathered, **told))
        if wishes.slack_url:
            messages.append(Notification(channel=Channel.SLACK, due_at=now, **told))
    return messages


def mail_is_on() -> bool:
    """Whether the operator named a mail server."""
    return bool(settings.VOUCH_EMAIL_URL)


def next_digest(now: datetime.datetime) -> datetime.datetime:
    """The next time of day, after `now`, at which digests go out."""
    today = now.astimezone(datetime.UTC).replace(hour=settings.VOUCH_DIGEST_HOUR, minute=0, second=0, microsecond=0)
    return today if today > now else today + datetime.timedelta(days=1)


def prune(before: datetime.datetime) -> int:
    """Delete the messages that were sent, folded, dropped or given up before that time; returns how many."""
    ended = Notification.objects.exclude(state__in=NOT_FINISHED).filter(finished_at__lt=before).order_by("finished_at")
    pruned = 0
    while batch := list(ended.values_list("pk", flat=True)[:_AT_A_TIME]):
        pruned += Notification.objects.filter(pk__in=batch).delete()[0]
    return pruned
