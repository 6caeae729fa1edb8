"""What the registry does by the clock."""

import datetime

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from registry.services import clock, following, notices, notices_sending, policies, redelivery, sending


@shared_task
def expire_promotions() -> None:
    """Close the promotions that nobody decided in time."""
    clock.expire_due(timezone.now())


@shared_task
def look_again_at_promotions() -> None:
    """Carry out what lacks nothing any more, though nobody acted on it."""
    clock.look_again(timezone.now())


@shared_task
def announce_lapsed_promotions() -> None:
    """Tell of versions that are in place on a word that does not hold any more."""
    clock.announce_lapsed(timezone.now())


@shared_task
def hold_promotions_to_policies() -> None:
    """Hold open promotions to policies of the last hour, should the edit have been cut short."""
    policies.hold_after_edits(timezone.now() - datetime.timedelta(hours=1))


# Acknowledged when it begins, since the rows are the truth: the broker must not give it to another when it is lost.
@shared_task(acks_late=False)
def deliver_due() -> None:
    """Send what is due to webhooks."""
    sending.deliver_due()


@shared_task
def prune_deliveries() -> None:
    """Forget deliveries that ended long ago."""
    redelivery.prune(timezone.now() - datetime.timedelta(days=settings.VOUCH_KEEP_DELIVERIES_DAYS))


@shared_task
def follow_log() -> None:
    """Owe webhooks what the log has new and belongs to no model."""
    following.follow()


@shared_task(acks_late=False)
def note_notifications() -> None:
    """Write down who is to be told of what has happened."""
    notices.note()


@shared_task(acks_late=False)
def send_notifications() -> None:
    """Mail and post what people are to be told."""
    notices_sending.send()


@shared_task
def prune_notifications() -> None:
    """Forget messages that ended long ago."""
    notices.prune(timezone.now() - datetime.timedelta(days=settings.VOUCH_KEEP_DELIVERIES_DAYS))
