"""What the registry does by the clock."""

from celery import shared_task
from django.utils import timezone

from registry.services import promotions


@shared_task
def expire_promotions() -> None:
    """Close the promotions that nobody decided in time."""
    promotions.expire_due(timezone.now())
