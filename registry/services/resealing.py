"""What is kept sealed, sealed anew with the first of the keys, so that an operator can drop the others."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db import transaction

from core.sealing import CannotOpen, sealed_anew
from registry.models import NotificationSettings, Webhook


@dataclass(frozen=True)
class Resealed:
    """How many secrets were sealed anew, and what has one whose key is not there: a webhook's id, or a user's chat."""

    count: int
    unopened: tuple[str, ...]


def reseal() -> Resealed:
    """Seal the secrets of all webhooks and the addresses of people's chats anew, each in a transaction of its own."""
    count = 0
    unopened: list[str] = []
    for pk in Webhook.objects.exclude(secret="", authorization="").order_by("pk").values_list("pk", flat=True):
        try:
            _reseal(pk)
            count += 1
        except CannotOpen:
            unopened.append(str(pk))
    chats = NotificationSettings.objects.exclude(slack_url="").order_by("pk").values_list("pk", "user__username")
    for user_id, username in chats:
        try:
            _reseal_chat(user_id)
            count += 1
        except CannotOpen:
            unopened.append(f"the chat of {username}")
    return Resealed(count, tuple(unopened))


@transaction.atomic
def _reseal(pk: uuid.UUID) -> None:
    webhook = Webhook.objects.select_for_update(no_key=True).get(pk=pk)
    sealed = ("secret", "previous_secret", "authorization")
    for field in sealed:
        if kept := getattr(webhook, field):
            setattr(webhook, field, sealed_anew(kept))
    webhook.save(update_fields=sealed)


@transaction.atomic
def _reseal_chat(user_id: int) -> None:
    kept = NotificationSettings.objects.select_for_update(no_key=True).get(pk=user_id)
    if kept.slack_url:
        kept.slack_url = sealed_anew(kept.slack_url)
        kept.save(update_fields=["slack_url"])
