"""Versions that are there: describe, tag, delete."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from accounts.actor import Actor
from accounts.permissions import require
from accounts.roles import Action
from accounts.verbs import Verb
from registry.errors import NotYourVersion, StageInUse
from registry.models import Version
from registry.outbox import emit
from registry.services.aliases import refuse_protected
from registry.services.carrying import settle_all
from registry.services.catalog.said import change_tag, description_of, same_revision
from registry.services.closing import supersede
from registry.services.locks import edited, locked_model, moment, ruled, version_of


@transaction.atomic
def describe_version(
    actor: Actor, name: object, number: object, description: str, *, expected: int | None = None
) -> Version:
    """Give a version another description. `expected`: the revision it must still have, or Stale."""
    model = locked_model(actor, name)
    version = version_of(model, number)
    require(actor, Action.EDIT_VERSION, model)
    same_revision(version, expected)
    version.description = description_of(description)
    _edited(version, "description")
    emit(
        actor,
        Verb.VERSION_UPDATED,
        model,
        subject=str(version),
        version=version.number,
        description=version.description,
    )
    settle_all(actor, model, version)
    return version


@transaction.atomic
def tag_version(actor: Actor, name: object, number: object, key: str, value: str | None) -> Version:
    """Set a tag of a version, or remove it (`value` None; removing an absent one is harmless)."""
    model = locked_model(actor, name)
    version = version_of(model, number)
    require(actor, Action.EDIT_VERSION, model)
    change_tag(version.tags, key, value)
    _edited(version, labelled=True)
    emit(actor, Verb.VERSION_TAGGED, model, subject=str(version), version=version.number, key=key, value=value)
    settle_all(actor, model, version)
    return version


@transaction.atomic
def delete_version(actor: Actor, name: object, number: object, *, expected: int | None = None) -> None:
    """Delete a version: its own registrar or a maintainer may, unless it holds an exclusive stage (StageInUse)."""
    model = locked_model(actor, name)
    version = version_of(model, number)
    if not actor.may(Action.DELETE_VERSION, model.id):
        require(actor, Action.DELETE_OWN_VERSION, model)
        if version.registrar_id != actor.user_id:
            raise NotYourVersion
    same_revision(version, expected)
    held = version.occupancies.get(ended_at__isnull=True)
    if held.exclusive or ruled(model, held.stage).terms.exclusive:
        raise StageInUse(name=model.name, version=version.number, stage=held.stage)
    refuse_protected(model, dict(version.aliases.values_list("name", "version__number")))
    now = moment(held)
    supersede(actor, model, version.promotions.open(), why="the version was deleted")
    held.ended_at = now
    held.save(update_fields=["ended_at"])
    version.aliases.all().delete()
    pointing = version.pointings.filter(ended_at__isnull=True)
    pointing.update(ended_at=Greatest(now, F("started_at")))
    version.deleted_at = now
    _edited(version, "deleted_at")
    edited(model, resolves_anew=True)
    emit(actor, Verb.VERSION_DELETED, model, subject=str(version), version=version.number)


def _edited(version: Version, *changed: str, labelled: bool = False) -> None:
    if not labelled:  # as with models: a tag is none of the changes whose time is told
        version.updated_at = timezone.now()
    version.revision += 1
    version.save(update_fields=["updated_at", "revision", *changed])
