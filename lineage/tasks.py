"""What lineage does by the clock."""

from celery import shared_task
from django.conf import settings

from lineage.services import direct, manifests
from lineage.storage import store


@shared_task
def sweep_incoming() -> None:
    """Remove uploads that a killed process left half-written a day ago or more."""
    store.current().sweep_incoming(older_than_seconds=24 * 3600, but=direct.awaited())


# As `verify_oldest`, since a file of a hundred gigabytes takes its time.
@shared_task(acks_late=False, time_limit=4 * 3600, soft_time_limit=4 * 3600 - 60)
def take_in_uploads() -> None:
    """Make files of what clients sent to the store by themselves."""
    direct.take_in_due(seconds=3 * 3600)


@shared_task
def inspect_new() -> None:
    """Look into the manifests that nobody looked into when they were frozen."""
    manifests.inspect_new(seconds=30)


# Acknowledged when it begins: the broker would take a long one for lost, and give it to a second worker.
@shared_task(acks_late=False, time_limit=4 * 3600, soft_time_limit=4 * 3600 - 60)
def verify_oldest() -> None:
    """Read again, and compare, the bytes that were longest not looked at."""
    manifests.verify_oldest(settings.VOUCH_VERIFY_BYTES_PER_HOUR)
