"""What accounts do by the clock."""

from celery import shared_task

from accounts.checkpoints import making
from accounts.services import idempotency


@shared_task
def prune_idempotency_keys() -> None:
    """Forget remembered answers older than a day."""
    idempotency.prune()


@shared_task
def checkpoint_audit() -> None:
    """Witness outside the database how far the audit log has come."""
    making.make()
