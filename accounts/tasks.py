"""What accounts do by the clock."""

from celery import shared_task

from accounts.services import idempotency


@shared_task
def prune_idempotency_keys() -> None:
    """Forget remembered answers older than a day."""
    idempotency.prune()
