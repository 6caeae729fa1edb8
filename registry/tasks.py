"""What the registry does by the clock."""

from celery import shared_task
from django.utils import timezone

from registry.services import clock


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
