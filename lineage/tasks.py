"""What lineage does by the clock."""

from celery import shared_task

from lineage.storage import local


@shared_task
def sweep_incoming() -> None:
    """Remove uploads that a killed process left half-written a day ago or more."""
    local.sweep_incoming(older_than_seconds=24 * 3600)
