"""What is kept sealed, sealed anew with the first of the keys, so that an operator can drop the others."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db import transaction

from core.sealing import CannotOpen, sealed_anew
from registry.models import Webhook


@dataclass(frozen=True)
class Resealed:
    """How many webhooks' secrets were sealed anew, and the ids of those whose key is not there."""

    count: int
    unopened: tuple[uuid.UUID, ...]


def reseal() -> Resealed:
    """Seal the secrets of all webhooks anew, each in a transaction of its own."""
    count, unopened = 0, []
    for pk in Webhook.objects.exclude(secret="").order_by("pk").values_list("pk", flat=True):
        try:
            _reseal(pk)
            count += 1
        except CannotOpen:
            unopened.append(pk)
    return Resealed(count, tuple(unopened))


@transaction.atomic
def _reseal(pk: uuid.UUID) -> None:
    webhook = Webhook.objects.select_for_update(no_key=True).get(pk=pk)
    for field in ("secret", "previous_secret"):
        if kept := getattr(webhook, field):
            setattr(webhook, field, sealed_anew(kept))
    webhook.save(update_fields=["secret", "previous_secret"])
