"""What happens to promotions because time passes: they expire, gates open, the word for them lapses."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable

import structlog
from django.db import OperationalError, transaction
from django.db.models import QuerySet

from accounts.actor import Actor
from accounts.queries import system_actor
from accounts.verbs import Verb
from core.errors import Refusal
from registry.lifecycle import Act, State
from registry.models import Promotion
from registry.outbox import emit_promotion
from registry.services.carrying import settle
from registry.services.closing import OVERDUE, close
from registry.services.locks import locked_promotion

log = structlog.get_logger()

_AT_ONCE = 500


def expire_due(now: datetime.datetime) -> int:
    """Close open promotions whose lifetime is over, the oldest first; returns how many. A transaction each."""
    return _each(Promotion.objects.open().filter(expires_at__lte=now).order_by("expires_at"), now, _expire)


def look_again(now: datetime.datetime) -> int:
    """Carry out the promotions that lack nothing any more though nobody acted on them; returns how many."""
    due = Promotion.objects.open().filter(look_again_at__lte=now).order_by("look_again_at")
    return _each(due, now, _look_again)


def announce_lapsed(now: datetime.datetime) -> int:
    """Tell of versions that are where they are on a word that does not hold any more; returns how many.

    Nothing is demoted: somebody has to vouch anew, or to move something else there.
    """
    due = Promotion.objects.filter(valid_until__lte=now, lapsed_at__isnull=True).order_by("valid_until")
    return _each(due, now, _lapse)


def _each(
    due: QuerySet[Promotion],
    now: datetime.datetime,
    act: Callable[[Actor, uuid.UUID, datetime.datetime], bool],
) -> int:
    done = 0
    for promotion in due.select_related("model__workspace")[:_AT_ONCE]:
        try:
            done += act(system_actor(promotion.model.workspace), promotion.pk, now)
        except (Refusal, OperationalError):  # it is gone, or busy; the next sweep looks again
            log.warning("promotion not swept yet", promotion=str(promotion.pk), exc_info=True)
        except Exception:  # a fault about one promotion must not keep those of all others waiting
            log.exception("promotion not swept", promotion=str(promotion.pk))
    return done


@transaction.atomic
def _expire(actor: Actor, promotion_id: uuid.UUID, now: datetime.datetime) -> bool:
    promotion = locked_promotion(actor, promotion_id)
    if promotion.state != State.OPEN or promotion.expires_at > now:
        return False
    close(actor, promotion, Act.EXPIRE, OVERDUE)
    return True


@transaction.atomic
def _look_again(actor: Actor, promotion_id: uuid.UUID, now: datetime.datetime) -> bool:
    promotion = locked_promotion(actor, promotion_id)
    if promotion.state != State.OPEN or promotion.expires_at <= now:
        return False
    return settle(actor, promotion).state == State.PROMOTED


@transaction.atomic
def _lapse(actor: Actor, promotion_id: uuid.UUID, now: datetime.datetime) -> bool:
    promotion = locked_promotion(actor, promotion_id)
    if promotion.lapsed_at or promotion.valid_until is None or promotion.valid_until > now:
        return False
    promotion.lapsed_at = now
    promotion.save(update_fields=["lapsed_at"])
    if not promotion.in_place:
        return False
    emit_promotion(actor, Verb.PROMOTION_LAPSED, promotion, valid_until=promotion.valid_until.isoformat())
    return True
