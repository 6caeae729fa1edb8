"""Sending what is owed to webhooks: at least once, never more than two at a time to one of them, none behind another.

A round leases webhooks that something is due for, sends in the order in which it fell due, and records each attempt by
itself as soon as it has ended. Whatever dies meanwhile, its leases run out and the rows are as they were: what was open
then is sent again, with the same `webhook-id`, and nothing else is.
"""

from __future__ import annotations

import datetime
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache, partial
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from django.db import connection
from django.utils import timezone

from core.http import Letter, Sender, Sent
from core.sealing import CannotOpen
from registry.delivery import call_sender, egress, letter_of
from registry.models import Delivery, Webhook
from registry.models.webhooks import DeliveryState
from registry.services.recording import Made, recorded

log = structlog.get_logger()

AT_ONCE = 2  # sends open to one webhook; one while it is in trouble
PLACES = 128  # webhooks that one process sends to at a time
_FOR_TROUBLED = PLACES // 2  # of them: those that answer must always find a place
LEASE = 30.0  # seconds; longer than a turn and the longest send together
_TURN = 12.0  # seconds after which a webhook is given back, so that others have their turn
_LOOK_AGAIN_AFTER = 0.1  # seconds between two looks for webhooks while some are being sent to
_BATCH = 100


def deliver_due(*, seconds: float = 20.0) -> int:
    """Send what is due, and what falls due meanwhile, for at most `seconds`; returns how many attempts were made.

    At most one round of a process takes on new work: a second call makes it look again, and returns. After its time a
    round hands over to the next, and only waits for the ends of what it has begun.
    """
    made = 0
    while True:
        _rung.set()
        if not _at_it.acquire(blocking=False):
            return made
        this = _Round(time.monotonic() + seconds)
        try:
            ran_dry = this.run()
        finally:
            _at_it.release()
        if not ran_dry:
            call_sender()
            this.finish()
            return made + this.made
        made += this.made
        if not _rung.is_set():  # else somebody called after the last look, and was sent away
            return made


_at_it = threading.Lock()
_rung = threading.Event()


@lru_cache(maxsize=1)
def _sender() -> Sender:
    return Sender(egress())


@dataclass
class _Turn:
    """A webhook that is ours for a while."""

    webhook: Webhook
    until: float  # by the monotonic clock: no send begins later
    due: deque[Delivery] = field(default_factory=deque)
    open: set[uuid.UUID] = field(default_factory=set)
    over: bool = False

    @property
    def at_once(self) -> int:
        return 1 if self.webhook.failures else AT_ONCE


_FAULT = "it could not be sent; the operator's log says why"


def _not_sent(error: str) -> Sent:
    return Sent(status=None, answer=b"", retry_after=None, seconds=0, address="", error=error)


class _Round:
    """What one call does: the thread that calls looks at the database and records, the sender's loop sends."""

    def __init__(self, until: float) -> None:
        self.turns: dict[uuid.UUID, _Turn] = {}
        self.made = 0
        self._until = until
        self._look_at = 0.0
        self._ended: SimpleQueue[Made] = SimpleQueue()

    def run(self) -> bool:
        """Send until nothing is due and nothing open, which returns True, or the time is over, which returns False."""
        while (now := time.monotonic()) < self._until:
            if _rung.is_set() or now >= self._look_at:
                self._look_at = now + _LOOK_AGAIN_AFTER
                _rung.clear()
                self._lease()
            for turn in list(self.turns.values()):
                self._go_on(turn)
            if not self.turns and not _rung.is_set():
                return time.monotonic() < self._until  # else the turns ended with the time, not with what was due
            self._record_ended(self._look_at - time.monotonic())
        return False

    def finish(self) -> None:
        """Record what is still open as it ends, and begin nothing."""
        for turn in list(self.turns.values()):
            turn.over = True
            self._go_on(turn)
        until = time.monotonic() + LEASE
        while self.turns and time.monotonic() < until:
            self._record_ended(until - time.monotonic())

    # --- Leases -------------------------------------------------------------------------------------------------------
    def _lease(self) -> None:
        troubled = sum(turn.webhook.failures > 0 for turn in self.turns.values())
        free = PLACES - len(self.turns)
        if free <= 0:
            return
        leased_at = time.monotonic()
        for webhook in lease(free, troubled=_FOR_TROUBLED - troubled):
            self.turns[webhook.pk] = _Turn(webhook, until=leased_at + _TURN)

    def _go_on(self, turn: _Turn) -> None:
        """Fill the places of a turn, or end it when there is nothing to fill them with."""
        turn.over = turn.over or time.monotonic() >= min(turn.until, self._until)
        if not turn.over and not turn.due and len(turn.open) < turn.at_once:
            turn.due.extend(due(turn.webhook, besides=turn.open))
            turn.over = not turn.due and not turn.open
        while not turn.over and turn.due and len(turn.open) < turn.at_once:
            self._send(turn, turn.due.popleft())
        if turn.over and not turn.open:
            release(turn.webhook)
            del self.turns[turn.webhook.pk]
            self._look_at = 0.0  # a place is free

    # --- Sends --------------------------------------------------------------------------------------------------------
    def _send(self, turn: _Turn, delivery: Delivery) -> None:
        turn.open.add(delivery.pk)
        at = timezone.now()
        try:
            letter = letter_of(turn.webhook, delivery, at)
        except (ValueError, CannotOpen) as error:
            final = isinstance(error, ValueError)
            self._ended.put(Made(turn.webhook, delivery, None, at, _not_sent(str(error)), final))
            return
        except Exception:  # a fault about one event must not keep those of all others waiting
            log.exception("delivery.not_written", delivery=str(delivery.pk))
            self._ended.put(Made(turn.webhook, delivery, None, at, _not_sent(_FAULT)))
            return
        _sender().send(letter).add_done_callback(partial(self._put, turn.webhook, delivery, letter, at))

    def _put(
        self, webhook: Webhook, delivery: Delivery, letter: Letter, at: datetime.datetime, future: Future[Sent]
    ) -> None:
        if error := future.exception():
            log.error("delivery.not_sent", delivery=str(delivery.pk), exc_info=error)
        sent = _not_sent(_FAULT) if error else future.result()
        self._ended.put(Made(webhook, delivery, letter, at, sent))

    def _record_ended(self, seconds: float) -> None:
        """Wait for the first that ends, and record it and all that have ended by then.

        Not those that end meanwhile: as each makes room for the next, there would always be one more, and nobody would
        look for other webhooks.
        """
        try:
            ended = [self._ended.get(timeout=max(0.0, seconds))]
        except Empty:
            return
        ended += [self._ended.get() for _ in range(self._ended.qsize())]
        for made, goes_on in zip(ended, recorded(ended), strict=True):
            turn = self.turns[made.webhook.pk]
            turn.open.discard(made.delivery.pk)
            turn.over = turn.over or not goes_on
            self.made += 1
        for turn in {made.webhook.pk: self.turns[made.webhook.pk] for made in ended}.values():
            self._go_on(turn)


# --- What is due ------------------------------------------------------------------------------------------------------

# Every webhook that owes something is found by one step through the index, however much it owes. Leases are told by the
# database's clock, which all senders share.
_LEASE = """
WITH RECURSIVE owing(id) AS (
    (SELECT webhook_id FROM registry_delivery WHERE state = 'pending' ORDER BY webhook_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.webhook_id FROM registry_delivery d
             WHERE d.state = 'pending' AND d.webhook_id > owing.id ORDER BY d.webhook_id LIMIT 1)
      FROM owing WHERE owing.id IS NOT NULL
), due AS (
    SELECT w.id, w.failures FROM owing JOIN registry_webhook w ON w.id = owing.id
     WHERE w.retired_at IS NULL
       AND (w.leased_until IS NULL OR w.leased_until <= statement_timestamp())
       AND EXISTS (
           SELECT FROM registry_delivery d
            WHERE d.webhook_id = w.id AND d.state = 'pending' AND d.due_at <= %(now)s
              AND (d.test OR (w.active AND (w.rests_until IS NULL OR w.rests_until <= %(now)s))))
), ranked AS (
    SELECT id, failures, row_number() OVER (PARTITION BY failures > 0 ORDER BY random()) AS place FROM due
), chosen AS (
    SELECT w.id FROM ranked JOIN registry_webhook w ON w.id = ranked.id
     WHERE (w.leased_until IS NULL OR w.leased_until <= statement_timestamp())
       AND (ranked.failures = 0 OR ranked.place <= %(troubled)s)
     ORDER BY ranked.failures > 0, ranked.place
     LIMIT %(most)s
       FOR NO KEY UPDATE OF w SKIP LOCKED
)
UPDATE registry_webhook w SET leased_until = statement_timestamp() + make_interval(secs => %(lease)s)
  FROM chosen WHERE w.id = chosen.id
RETURNING w.id, w.leased_until
"""


def lease(most: int, *, troubled: int) -> list[Webhook]:
    """At most so many webhooks that something is due for, and of those in trouble so many; each ours alone for LEASE
    seconds from now. Two queries."""
    with connection.cursor() as cursor:
        wanted: dict[str, Any] = {"now": timezone.now(), "most": most, "troubled": troubled, "lease": LEASE}
        cursor.execute(_LEASE, wanted)
        leased = dict(cursor.fetchall())
    webhooks = list(Webhook.objects.filter(pk__in=leased)) if leased else []
    for webhook in webhooks:
        webhook.leased_until = leased[webhook.pk]
    return webhooks


def release(webhook: Webhook) -> None:
    """Give a leased webhook back, unless the lease ran out and it is somebody else's by now."""
    Webhook.objects.filter(pk=webhook.pk, leased_until=webhook.leased_until).update(leased_until=None)


def due(webhook: Webhook, *, besides: Iterable[uuid.UUID] = ()) -> list[Delivery]:
    """What is due for a webhook, in the order in which it fell due, each with its entry. One query."""
    now = timezone.now()
    rows = Delivery.objects.filter(webhook=webhook, state=DeliveryState.PENDING, due_at__lte=now)
    if not webhook.active or (webhook.rests_until and webhook.rests_until > now):
        rows = rows.filter(test=True)
    rows = (
        rows.exclude(pk__in=list(besides)).select_related("entry__workspace", "entry__chain").order_by("due_at", "id")
    )
    return list(rows[:_BATCH])
