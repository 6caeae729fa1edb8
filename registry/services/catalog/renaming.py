"""Renaming a model: everything moves with it, and no policy loses it."""

from __future__ import annotations

import copy

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.actor import Actor
from accounts.permissions import OutsideToken, reaches, require
from accounts.queries import REPEATED_WITHIN
from accounts.roles import Action
from accounts.verbs import Verb
from core import text
from registry.errors import LoosensPolicy, ModelNotFound
from registry.models import FormerName, Model
from registry.outbox import emit
from registry.policy import tightened
from registry.references import model_name
from registry.ruling import rulings
from registry.services.catalog.models import refuse_serving, refuse_taken_name
from registry.services.catalog.said import same_revision
from registry.services.locks import edited, locked_model
from registry.services.policies import hold_open_promotions

_AT_ONCE = 5000  # versions in one statement, which has to end in time


def rename_model(actor: Actor, name: object, new_name: object, *, expected: int | None = None) -> Model:
    """Give a model another name: its versions, tags, aliases, policies, webhooks and history stay with it.

    `models:/OLD/…` finds nothing from now on, so it is refused while a version serves: StageInUse, AliasInUse. So is a
    name to which looser policies apply, LoosensPolicy; open promotions are held to stricter ones at once. A request
    that is repeated within ten minutes, as stock clients do, gives the renamed model. `expected`: the revision it must
    still have, or Stale. Raises BadName, ModelExists, LooksLikeAnother, OutsideToken.
    """
    model, renamed = _rename(actor, name, new_name, expected)
    if renamed:
        hold_open_promotions(model.workspace_id, model_id=model.pk)
    return model


@transaction.atomic
def _rename(actor: Actor, name: object, new_name: object, expected: int | None) -> tuple[Model, bool]:
    try:
        model = locked_model(actor, name)
    except ModelNotFound:
        if renamed := _just_renamed(actor, name, new_name):
            return renamed, False
        raise
    require(actor, Action.RENAME_MODEL, model)
    same_revision(model, expected)
    wanted, former = model_name("new_name", new_name), model.name
    if wanted == former:
        return model, False
    if not reaches(actor, wanted):
        raise OutsideToken(glob=actor.model_glob, name=wanted)
    refuse_taken_name(actor, wanted, but=model)
    refuse_serving(model)
    _refuse_loosening(model, wanted)
    model.name = wanted
    try:
        with transaction.atomic():
            edited(model, "name", resolves_anew=True)
    except IntegrityError:  # somebody else took it just now
        refuse_taken_name(actor, wanted, but=model)
        raise
    _remember(model, former)
    _rename_versions(model)
    emit(actor, Verb.MODEL_RENAMED, model, subject=f"model {former}", previous_name=former)
    return model, True


def _refuse_loosening(model: Model, name: str) -> None:
    """A policy for a pattern of names, or for all, must not lose a model because it is called otherwise."""
    before, renamed = rulings(model), copy.copy(model)
    renamed.name = name
    after = rulings(renamed, list(before))
    for target, now in before.items():
        if lost := tightened(after[target].terms, now.terms):
            raise LoosensPolicy(name=name, target=target, policy=now.terms.name, lost=", ".join(lost))


def _remember(model: Model, former: str) -> None:
    """Keep what the model was called until now: the past is asked for by the names of then."""
    before = model.former_names.order_by("-ended_at").first()
    FormerName.objects.create(
        model=model,
        workspace_id=model.workspace_id,
        name=former,
        started_at=before.ended_at if before else model.created_at,
        ended_at=model.updated_at,
    )


def _rename_versions(model: Model) -> None:
    """Deleted ones too: the constraint that keeps their name right spares none."""
    for first in range(1, model.last_version + 1, _AT_ONCE):
        some = model.versions.filter(number__gte=first, number__lt=first + _AT_ONCE)
        some.update(model_name=model.name, updated_at=model.updated_at, revision=F("revision") + 1)


def _just_renamed(actor: Actor, name: object, new_name: object) -> Model | None:
    since = timezone.now() - REPEATED_WITHIN
    former = FormerName.objects.filter(name=text.searchable(name), ended_at__gte=since)
    seen = Model.objects.visible_to(actor).filter(name=text.searchable(new_name), former_names__in=former)
    model = seen.first()
    if model:
        require(actor, Action.RENAME_MODEL, model)
    return model
