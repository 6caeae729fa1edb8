"""`emit`: one audit entry, and one delivery for each webhook that is owed it, in the transaction of the write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Event
from accounts.models import AuditEntry
from accounts.verbs import Verb
from registry.delivery import call_sender, tellable
from registry.models import Delivery, Model, Promotion, Webhook


def emit(actor: Actor, verb: Verb, model: Model, *, subject: str = "", **data: Any) -> AuditEntry:
    """Record what `actor` did to `model` in its chain, and owe it to the webhooks that listen.

    `subject` defaults to the model's name; `data` is JSON and goes into the entry and every payload.
    """
    return emit_all(actor, model, [Event(verb, subject or f"model {model.name}", data)])[0]


def emit_all(actor: Actor, model: Model | None, events: Sequence[Event]) -> list[AuditEntry]:
    """The same for several events of one model, in their order. Three queries when nobody listens, six at most.

    None: of no model. What is owed of those is written down by whoever follows the log (`registry.services.following`),
    as it is for the writes of accounts, which know nothing of webhooks.
    """
    named = [Event(e.verb, e.subject, {"model": model.name, **e.data} if model else e.data) for e in events]
    entries = audit.record_all(actor, named, chain_of=model.id if model else None)
    if model and _anybody_listens(model):
        owe(entries, Webhook.objects.filter(Q(model=model) | Q(model__isnull=True), workspace_id=model.workspace_id))
    return entries


# Most models have no webhook, and every write asks: as cheaply as can be.
_LISTENS = """
SELECT EXISTS (SELECT FROM registry_webhook
                WHERE workspace_id = %s AND active AND retired_at IS NULL AND (model_id = %s OR model_id IS NULL))
"""


def _anybody_listens(model: Model) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_LISTENS, [model.workspace_id, model.pk])
        return bool(cursor.fetchone()[0])


def owe(entries: Sequence[AuditEntry], webhooks: QuerySet[Webhook]) -> None:
    """Write down a delivery of each entry for each of the webhooks that asked for it, and have them sent at the commit.

    At most two queries.
    """
    listening = list(webhooks.filter(active=True, retired_at__isnull=True).select_related("workspace"))
    owed = [
        Delivery(webhook=webhook, entry=entry, verb=entry.verb, due_at=entry.at)
        for entry in entries
        for webhook in listening
        if webhook.hears(entry.verb, entry.data) and tellable(webhook, entry)
    ]
    if owed:
        Delivery.objects.bulk_create(owed)
        transaction.on_commit(call_sender, robust=True)


def emit_promotion(actor: Actor, verb: Verb, promotion: Promotion, **data: Any) -> AuditEntry:
    """`emit` for an event in the life of a promotion, whose model and version are loaded."""
    return emit_all(actor, promotion.model, [of_promotion(verb, promotion, **data)])[0]


def of_promotion(verb: Verb, promotion: Promotion, **data: Any) -> Event:
    """An event in the life of a promotion, whose model and version are loaded."""
    target = {"alias": promotion.alias} if promotion.alias else {"stage": promotion.target}
    return Event(
        verb,
        f"{promotion.model.name} v{promotion.version.number} to {promotion.target}",
        {"promotion": str(promotion.id), "version": promotion.version.number, **target, **data},
    )


def of_version(verb: Verb, model: Model, number: int, **data: Any) -> Event:
    """An event of one version of `model`."""
    return Event(verb, f"{model.name} v{number}", {"version": number, **data})
