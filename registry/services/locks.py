"""The lock that every write takes first, and the marks that a write leaves on what it locked."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from accounts.actor import Actor
from accounts.permissions import reaches, require
from accounts.roles import Action
from core import text
from registry.errors import ModelNotFound, PromotionNotFound, VersionNotFound, WebhookNotFound
from registry.models import Model, Occupancy, Promotion, Version, Webhook
from registry.references import version_number
from registry.ruling import Ruling, ruling
from registry.wakeups import wake

_POLICIES = 0x504F4C  # our number for the advisory locks on the policies of a workspace


def locked_model(actor: Actor, name: object) -> Model:
    """The visible model of this name, its row locked until the transaction ends; ModelNotFound.

    This is the lock that every write to a model, its versions and its promotions takes first.
    """
    visible = Model.objects.visible_to(actor).filter(name=text.searchable(name))
    model = _locked(visible)
    if model is None:
        raise ModelNotFound(name=name)
    return model


def locked_model_by_id(actor: Actor, model_id: uuid.UUID) -> Model:
    """`locked_model`, by the model's id."""
    model = _locked(Model.objects.visible_to(actor).filter(pk=model_id))
    if model is None:
        raise ModelNotFound(name=str(model_id))
    return model


def _locked(visible: QuerySet[Model]) -> Model | None:
    return visible.select_for_update(of=("self",), no_key=True).first()


def version_of(model: Model, number: object) -> Version:
    """The living version of a locked model; VersionNotFound."""
    version = (
        Version.objects.with_stage()
        .filter(model=model, number=version_number(number), deleted_at__isnull=True)
        .select_related("manifest")
        .first()
    )
    if version is None:
        raise VersionNotFound(name=model.name, version=number)
    version.model = model
    return version


def locked_promotion(actor: Actor, promotion_id: uuid.UUID) -> Promotion:
    """The promotion as it is once its model's row is locked; PromotionNotFound."""
    visible = Model.objects.visible_to(actor).filter(promotions=promotion_id)
    model = _locked(visible)
    if model is None:
        raise PromotionNotFound(promotion=promotion_id)
    promotion = Promotion.objects.select_related("version__manifest").get(pk=promotion_id)
    promotion.model = promotion.version.model = model
    return promotion


def locked_for_webhooks(actor: Actor, name: object) -> Model:
    """The model of this name, locked, if its webhooks are the actor's to manage. Raises ModelNotFound, Denied.

    A token for webhooks alone reads no model, and may name those whose webhooks it manages.
    """
    here = Model.objects.living().filter(workspace_id=actor.workspace_id, name=text.searchable(name))
    model = _locked(here)
    if model is None or not (
        (reaches(actor, model.name) and actor.may(Action.EDIT_WEBHOOK, model.id))
        or Model.objects.visible_to(actor).filter(pk=model.pk).exists()
    ):
        raise ModelNotFound(name=name)
    require(actor, Action.EDIT_WEBHOOK, model)
    return model


def locked_webhook(actor: Actor, webhook_id: uuid.UUID) -> Webhook:
    """The living webhook as it is once its row is locked, and before it that of its model; WebhookNotFound."""
    seen = Webhook.objects.living().visible_to(actor).filter(pk=webhook_id).first()
    if seen is None:
        raise WebhookNotFound(webhook=webhook_id)
    if seen.model_id:
        Model.objects.select_for_update(no_key=True).get(pk=seen.model_id)
    rows = Webhook.objects.living().select_for_update(of=("self",), no_key=True)
    webhook = rows.select_related("model", "workspace", "owner").filter(pk=webhook_id).first()
    if webhook is None:  # deleted meanwhile
        raise WebhookNotFound(webhook=webhook_id)
    require(actor, Action.EDIT_WEBHOOK, webhook.model)
    return webhook


def ruled(model: Model, target: str) -> Ruling:
    """What is in force for promotions of a locked model into `target`; it stays so until the transaction ends.

    Whatever decides by a policy asks here: one that is written meanwhile waits, even if it is for many models and so
    takes no model's lock. Else a promotion could be carried out under a policy that was replaced just before.
    """
    hold_policies(model.workspace_id)
    return ruling(model, target)


def hold_policies(workspace_id: int) -> None:
    """Let nobody edit the workspace's policies until the transaction ends; taken after the model's lock."""
    _advise("SELECT pg_advisory_xact_lock_shared(%s, %s)", workspace_id)


def edit_policies(workspace_id: int) -> None:
    """Be the only one to edit the workspace's policies, or decide by them, until the transaction ends.

    Taken after the locks of the models that the edit is about.
    """
    _advise("SELECT pg_advisory_xact_lock(%s, %s)", workspace_id)


def _advise(statement: str, workspace_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [_POLICIES, workspace_id])


def moment(*held: Occupancy) -> datetime.datetime:
    """Now, but not before any of `held` began: the clocks of two machines may differ, an interval never runs back."""
    return max([timezone.now(), *(occupancy.started_at for occupancy in held)])


def edited(
    model: Model, *changed: str, resolves_anew: bool = False, labelled: bool = False, also: Sequence[uuid.UUID] = ()
) -> None:
    """Save a locked model as edited now; `resolves_anew` when one of its URIs may point elsewhere from now on.

    Whoever waits for the model is told then, and whoever waits for `also`, promotions that changed with it. Tags and
    aliases are labels (`labelled`): they leave the time of the last change as it is, which stock clients count on.
    """
    if not labelled:
        model.updated_at = timezone.now()
    model.revision += 1
    if resolves_anew:
        model.generation += 1  # by which the database wakes those who wait for the model (migration 0013)
    if also:
        wake(*also)
    model.save(update_fields=["updated_at", "revision", "generation", *changed])
