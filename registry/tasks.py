"""What the registry does by the clock."""

import datetime

from celery import shared_task
from django.utils import timezone

from registry.services import clock, policies


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
