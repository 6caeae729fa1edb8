"""`emit`: one audit entry, and one delivery for each webhook that is owed it, in the transaction of the write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Event
from accounts.models import AuditChain, AuditEntry
from accounts.verbs import Verb
from registry.delivery import call_sender, tellable
from registry.models import Delivery, Model, Promotion, Version, Webhook


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
    named = [_named(event, model) for event in events]
    entries = audit.record_all(actor, named, chain_of=model.id if model else None)
    if model and _anybody_listens(model):
        owe(entries, webhooks_of(model))
    return entries


def _named(event: Event, model: Model | None) -> Event:
    return Event(event.verb, event.subject, {"model": model.name, **event.data}) if model else event


def webhooks_of(model: Model) -> QuerySet[Webhook]:
    """The webhooks to which what happens to `model` may matter, those that are switched off too."""
    return Webhook.objects.filter(Q(model=model) | Q(model__isnull=True), workspace_id=model.workspace_id)


def would_fire(model: Model, events: Sequence[Event], webhooks: Iterable[Webhook]) -> list[Webhook]:
    """Those of the webhooks, listening and with their workspace, that would be told of one of these events of `model`.

    The rule is that of `owe`. Nothing is written.
    """
    chain = AuditChain(subject_id=model.pk)
    drafts = [
        AuditEntry(chain=chain, verb=event.verb, subject=event.subject, data=event.data, at=timezone.now())
        for event in (_named(event, model) for event in events)
    ]
    return [webhook for webhook in webhooks if any(_concerns(webhook, draft) for draft in drafts)]


def _concerns(webhook: Webhook, entry: AuditEntry) -> bool:
    return webhook.hears(entry.verb, entry.data) and tellable(webhook, entry)


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
    listening_now = list(listening(webhooks))
    owed = [
        Delivery(webhook=webhook, entry=entry, verb=entry.verb, due_at=entry.at)
        for entry in entries
        for webhook in listening_now
        if _concerns(webhook, entry)
    ]
    if owed:
        Delivery.objects.bulk_create(owed)
        transaction.on_commit(call_sender, robust=True)


def listening(webhooks: QuerySet[Webhook]) -> QuerySet[Webhook]:
    """Those of the webhooks that are sent anything now, with their workspace."""
    return webhooks.filter(active=True, retired_at__isnull=True).select_related("workspace")


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


def of_transition(promotion: Promotion, version: Version, *, left: str, entered: str, previous: list[int]) -> Event:
    """The event of a version, its manifest loaded, that left the stage `left` for `entered` by a promotion.

    `previous` had to leave that for it.
    """
    return of_version(
        Verb.VERSION_TRANSITIONED,
        promotion.model,
        version.number,
        promotion=str(promotion.id),
        from_stage=left,
        stage=entered,
        previous=previous,
        **_bytes_of(version),
    )


def of_alias(model: Model, alias: str, version: Version, previous: int | None, **more: str) -> Event:
    """The event of an alias that points at `version`, whose manifest is loaded, from now on; before, at `previous`."""
    data = {
        "alias": alias,
        "version": version.number,
        "previous": [previous] if previous else [],
        **_bytes_of(version),
        **more,
    }
    return Event(Verb.ALIAS_SET, f"{model.name}@{alias}", data)


def _bytes_of(version: Version) -> dict[str, str | None]:
    """What an event tells of a version's bytes, so that whoever hears of it can fetch and compare them."""
    return {"manifest": version.manifest.digest if version.manifest else None, "source": version.lies_at}
