"""Models: create, describe, tag, delete."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest, Lower
from django.utils import timezone

from accounts.actor import Actor
from accounts.permissions import OutsideToken, reaches, require
from accounts.roles import Action
from accounts.verbs import Verb
from registry.errors import LooksLikeAnother, ModelExists, StageInUse
from registry.lifecycle import Stage
from registry.models import Model, ModelTag, Occupancy, Pointing
from registry.outbox import emit
from registry.references import model_name
from registry.ruling import rulings
from registry.services.aliases import refuse_protected
from registry.services.carrying import settle_all
from registry.services.catalog.said import change_tag, description_of, same_revision, tags_of
from registry.services.closing import supersede
from registry.services.locks import edited, hold_policies, locked_model

_SERVING = (Stage.STAGING, Stage.PRODUCTION)


@transaction.atomic
def create_model(actor: Actor, *, name: object, description: str = "", tags: Mapping[str, str] | None = None) -> Model:
    """A new model without versions. Raises BadName, ModelExists, LooksLikeAnother."""
    require(actor, Action.CREATE_MODEL)
    name = model_name("name", name)
    if not reaches(actor, name):
        raise OutsideToken(glob=actor.model_glob, name=name)
    refuse_taken_name(actor, name)
    model = Model(
        workspace_id=actor.workspace_id,
        name=name,
        description=description_of(description),
        created_by_id=actor.user_id,
    )
    try:
        with transaction.atomic():
            model.save(force_insert=True)
    except IntegrityError:
        refuse_taken_name(actor, name)
        raise
    ModelTag.objects.bulk_create(ModelTag(model=model, key=key, value=value) for key, value in tags_of(tags))
    emit(actor, Verb.MODEL_CREATED, model, description=model.description, tags=dict(tags or {}))
    return model


def refuse_taken_name(actor: Actor, name: str, *, but: Model | None = None) -> None:
    """Raise ModelExists or LooksLikeAnother when a model, other than `but`, has this name or one of other case."""
    here = Model.objects.living().filter(workspace_id=actor.workspace_id)
    if but:
        here = here.exclude(pk=but.pk)
    taken = here.alias(folded=Lower("name")).filter(folded=name.lower()).first()
    if taken and taken.name == name:
        raise ModelExists(name=name)
    if taken:
        raise LooksLikeAnother(name=name, other=taken.name)


@transaction.atomic
def describe_model(actor: Actor, name: object, description: str, *, expected: int | None = None) -> Model:
    """Give a model another description. `expected`: the revision it must still have, or Stale."""
    model = locked_model(actor, name)
    require(actor, Action.EDIT_MODEL, model)
    same_revision(model, expected)
    model.description = description_of(description)
    edited(model, "description")
    emit(actor, Verb.MODEL_UPDATED, model, description=model.description)
    settle_all(actor, model)
    return model


@transaction.atomic
def tag_model(actor: Actor, name: object, key: str, value: str | None) -> Model:
    """Set a tag of a model, or remove it (`value` None; removing an absent one is harmless)."""
    model = locked_model(actor, name)
    require(actor, Action.EDIT_MODEL, model)
    change_tag(model.tags, key, value)
    edited(model, labelled=True)
    emit(actor, Verb.MODEL_TAGGED, model, key=key, value=value)
    return model


@transaction.atomic
def delete_model(actor: Actor, name: object, *, expected: int | None = None) -> None:
    """Delete a model with its versions; refused while one of them holds an exclusive stage (StageInUse), or a protected
    alias (AliasInUse)."""
    model = locked_model(actor, name)
    require(actor, Action.DELETE_MODEL, model)
    same_revision(model, expected)
    refuse_serving(model)
    now = timezone.now()
    supersede(actor, model, model.promotions.open(), why="the model was deleted")
    now_held = Occupancy.objects.filter(model=model, ended_at__isnull=True)
    now_held.update(ended_at=Greatest(now, F("started_at")))
    model.aliases.all().delete()
    pointing = Pointing.objects.filter(model=model, ended_at__isnull=True)
    pointing.update(ended_at=Greatest(now, F("started_at")))
    model.policies.living().update(retired_at=now)
    model.versions.filter(deleted_at__isnull=True).update(deleted_at=now)
    model.deleted_at = now
    edited(model, "deleted_at", resolves_anew=True)
    emit(actor, Verb.MODEL_DELETED, model)


def refuse_serving(model: Model) -> None:
    """Raise StageInUse while a version of a locked model holds an exclusive stage, AliasInUse while a protected alias
    points at one: somebody loads it by them."""
    hold_policies(model.workspace_id)
    alone = [stage for stage, now in rulings(model, _SERVING).items() if now.terms.exclusive]
    held = Occupancy.objects.filter(Q(exclusive=True) | Q(stage__in=alone), model=model, ended_at__isnull=True)
    for occupancy in held:
        raise StageInUse(name=model.name, version=occupancy.number, stage=occupancy.stage)
    refuse_protected(model, dict(model.aliases.values_list("name", "version__number")))
