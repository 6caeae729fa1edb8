"""`emit`: one audit entry, and one delivery for each webhook that is owed it, in the transaction of the write."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from accounts import audit
from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.verbs import Verb
from registry.models import Delivery, Model, Promotion, Webhook


def emit(actor: Actor, verb: Verb, model: Model, *, subject: str = "", **data: Any) -> AuditEntry:
    """Record what `actor` did to `model` in its chain, and owe it to the webhooks that listen.

    `subject` defaults to the model's name; `data` is JSON and goes into the entry and every payload.
    """
    entry = audit.record(
        actor, verb, chain_of=model.id, subject=subject or f"model {model.name}", data={"model": model.name, **data}
    )
    listening = Webhook.objects.filter(
        Q(model=model) | Q(model__isnull=True),
        Q(verbs__contains=[verb]) | Q(verbs=[]),
        workspace_id=model.workspace_id,
        active=True,
    )
    Delivery.objects.bulk_create(Delivery(webhook=webhook, entry=entry, due_at=entry.at) for webhook in listening)
    return entry


def emit_promotion(actor: Actor, verb: Verb, promotion: Promotion, **data: Any) -> AuditEntry:
    """`emit` for an event in the life of a promotion, whose model and version are loaded."""
    return emit(
        actor,
        verb,
        promotion.model,
        subject=f"{promotion.model.name} v{promotion.version.number} to {promotion.stage}",
        promotion=str(promotion.id),
        version=promotion.version.number,
        stage=promotion.stage,
        **data,
    )
