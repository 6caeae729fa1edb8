"""Which messages are due now, and to whom of those that they were written down for they may still go.

Taking a message moves its `due_at` on, and nothing is locked while it is sent. Whatever dies meanwhile, it is due again
then, and goes out under the same Message-ID.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q, QuerySet

from accounts.models import User
from registry.audience import Concerned, may_know, without_muted
from registry.models import Channel, MailWhen, Notification, NotificationSettings, NotificationState, Reason
from registry.models.notifications import NOT_FINISHED
from registry.services.notices import mail_is_on, next_digest

# Seconds to wait after each attempt that failed; five attempts in all. A message of yesterday helps nobody, so it is
# not as patient as for webhooks.
PAUSES = (60, 10 * 60, 3600, 6 * 3600)
LEASE = datetime.timedelta(minutes=5)
_AT_ONCE = 20  # messages taken at a time
_IN_A_DIGEST = 500  # events looked at for a digest; of those beyond only the number is told


@dataclass(frozen=True)
class Parcel:
    """What goes to one person on one channel: one event, or a digest of the `count` events that begin with `rows`."""

    rows: Sequence[Notification]
    digest: bool
    count: int
    slack_url: str  # sealed

    @property
    def channel(self) -> str:
        return self.rows[0].channel

    @property
    def user(self) -> User:
        return self.rows[0].user

    def taken(self) -> QuerySet[Notification]:
        """Its rows, unless somebody else has taken them since."""
        first = self.rows[0]
        if not self.digest:
            return Notification.objects.filter(pk=first.pk, state=NotificationState.PENDING, due_at=first.due_at)
        return Notification.objects.filter(
            user=self.user, channel=self.channel, state=NotificationState.GATHERED, due_at=first.due_at
        )


@transaction.atomic
def claim(now: datetime.datetime) -> list[Parcel] | None:
    """What is to be sent now, ours alone for LEASE; None when nothing is due that nobody else is at.

    What must not be sent is ended here: of those who have lost sight of the model or want it no more, and what was
    taken too often. What is beyond the daily cap waits for the digest.
    """
    due = Notification.objects.filter(state__in=NOT_FINISHED, due_at__lte=now)
    first = due.order_by("due_at").values_list("user", flat=True)[:_AT_ONCE]
    # The lock is on the person: so nobody gets two digests, or more than his cap, by two who send at once.
    users = list(User.objects.filter(pk__in=set(first)).order_by("pk").select_for_update(skip_locked=True, no_key=True))
    if not users:
        return None
    mine = (
        due.filter(user__in=users)
        .select_related("user", "entry__chain", "entry__workspace")
        .order_by("due_at", "entry")
    )
    chosen = NotificationSettings.objects.in_bulk([user.pk for user in users])
    lease = now + LEASE
    alone = _kept(list(mine.filter(state=NotificationState.PENDING)[:_AT_ONCE]), chosen, now)
    parcels = [
        Parcel([row], False, 1, _slack_url(row, chosen)) for row in _below_the_cap(_due_alone(alone, chosen, now), now)
    ]
    Notification.objects.filter(pk__in=[parcel.rows[0].pk for parcel in parcels]).update(
        due_at=lease, attempts=F("attempts") + 1
    )
    for user in users:
        for channel in Channel:
            gathered = mine.filter(user=user, channel=channel, state=NotificationState.GATHERED)
            rows = _kept(list(gathered[:_IN_A_DIGEST]), chosen, now)
            if rows:
                count = gathered.update(due_at=lease, attempts=F("attempts") + 1)
                parcels.append(Parcel(rows, True, count, _slack_url(rows[0], chosen)))
    for parcel in parcels:
        for row in parcel.rows:
            row.due_at, row.attempts = lease, row.attempts + 1
    return parcels


def _slack_url(row: Notification, chosen: dict[int, NotificationSettings]) -> str:
    return chosen[row.user_id].slack_url if row.user_id in chosen else ""


def _kept(
    rows: list[Notification], chosen: dict[int, NotificationSettings], now: datetime.datetime
) -> list[Notification]:
    """Those of the rows that are still to be sent; the others are ended, with why."""
    pairs = [Concerned(row.entry, row.user, Reason(row.reason)) for row in rows]
    knowing = may_know((row.entry, row.user) for row in rows)
    unmuted = {(each.entry.pk, each.user.pk) for each in without_muted(pairs)}
    ended: dict[tuple[NotificationState, str], list[Notification]] = defaultdict(list)
    kept = []
    for row in rows:
        key, wishes = (row.entry_id, row.user_id), chosen.get(row.user_id)
        if key not in knowing:
            ended[NotificationState.DROPPED, "cannot see it any more"].append(row)
        elif key not in unmuted:
            ended[NotificationState.DROPPED, "muted"].append(row)
        elif why := _unreachable(row, wishes):
            ended[NotificationState.DROPPED, why].append(row)
        elif row.attempts > len(PAUSES):
            ended[NotificationState.FAILED, row.error or "its sender died each time"].append(row)
        else:
            kept.append(row)
    for (state, why), over in ended.items():
        Notification.objects.filter(pk__in=[row.pk for row in over]).update(state=state, error=why, finished_at=now)
    return kept


def _unreachable(row: Notification, wishes: NotificationSettings | None) -> str:
    """Why somebody cannot be told on this channel any more, or nothing."""
    if row.channel == Channel.SLACK:
        return "" if wishes and wishes.slack_url else "the address of the chat was taken away"
    if not mail_is_on():
        return "mail is off"
    if not row.user.email:
        return "there is no address to mail to"
    return "no mail is wanted" if wishes and wishes.mail == MailWhen.NEVER else ""


def _due_alone(
    rows: Iterable[Notification], chosen: dict[int, NotificationSettings], now: datetime.datetime
) -> list[Notification]:
    """Without those who have chosen the digest since."""
    alone: list[Notification] = []
    later: list[Notification] = []
    for row in rows:
        wishes = chosen.get(row.user_id)
        wants_digest = row.channel == Channel.MAIL and wishes is not None and wishes.mail == MailWhen.DIGEST
        (later if wants_digest else alone).append(row)
    _gather(later, now)
    return alone


def _below_the_cap(rows: Sequence[Notification], now: datetime.datetime) -> list[Notification]:
    """Those that a person may still get today on their channel; what is beyond waits for the digest. Users are locked.

    What is on its way, or waits for another attempt, counts as well as what went out.
    """
    midnight = now.astimezone(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    today = Q(state=NotificationState.SENT, finished_at__gte=midnight)
    begun = Q(state=NotificationState.PENDING, attempts__gt=0)
    counted = Notification.objects.filter(today | begun, user__in={row.user_id for row in rows})
    counts = counted.values_list("user", "channel").annotate(count=Count("pk"))
    had = {(user, channel): count for user, channel, count in counts}
    cap, below, beyond, last = settings.VOUCH_MAILS_PER_DAY, [], [], []
    for row in rows:
        key = (row.user_id, row.channel)
        if row.attempts == 0 and had.get(key, 0) >= cap:
            beyond.append(row)
            continue
        if row.attempts == 0:
            had[key] = had.get(key, 0) + 1
            if had[key] == cap:
                row.fills_the_day = True
                last.append(row.pk)
        below.append(row)
    Notification.objects.filter(pk__in=last).update(fills_the_day=True)
    _gather(beyond, now)
    return below


def _gather(rows: Sequence[Notification], now: datetime.datetime) -> None:
    ids = [row.pk for row in rows]
    Notification.objects.filter(pk__in=ids).update(
        state=NotificationState.GATHERED, due_at=next_digest(now), attempts=0
    )
