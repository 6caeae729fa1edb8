"""Models, versions and their tags."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import IntegrityError, transaction
from django.db.models import F, Manager, Q
from django.db.models.functions import Greatest, Lower
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Token
from accounts.permissions import OutsideToken, reaches, require
from accounts.queries import folds_repeated_creates
from accounts.roles import Action
from accounts.verbs import Verb
from core import text
from core.canonical import digest
from lineage.models import LoggedModel, Manifest, Run
from lineage.services import artifacts, manifests
from lineage.services.artifacts import Place
from registry.errors import (
    LooksLikeAnother,
    ModelExists,
    NoFiles,
    NotYourVersion,
    StageInUse,
    Stale,
    TooManyTags,
)
from registry.lifecycle import Stage
from registry.models import Model, ModelTag, Occupancy, Pointing, Version, VersionTag
from registry.outbox import emit
from registry.references import model_name
from registry.ruling import rulings
from registry.services.aliases import refuse_protected
from registry.services.carrying import settle_all
from registry.services.closing import supersede
from registry.services.locks import edited, hold_policies, locked_model, moment, ruled, version_of

DESCRIPTION_LIMIT = 100_000
TAG_VALUE_LIMIT = 5000
TAGS_LIMIT = 100
_SERVING = (Stage.STAGING, Stage.PRODUCTION)
REPEATED_WITHIN = datetime.timedelta(minutes=10)


def _same_revision(row: Model | Version, expected: int | None) -> None:
    if expected is not None and row.revision != expected:
        raise Stale


def _version_edited(version: Version, *changed: str) -> None:
    version.updated_at = timezone.now()
    version.revision += 1
    version.save(update_fields=["updated_at", "revision", *changed])


# --- Models -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def create_model(actor: Actor, *, name: object, description: str = "", tags: Mapping[str, str] | None = None) -> Model:
    """A new model without versions. Raises BadName, ModelExists, LooksLikeAnother."""
    require(actor, Action.CREATE_MODEL)
    name = model_name("name", name)
    if not reaches(actor, name):
        raise OutsideToken(glob=actor.model_glob, name=name)
    _name_is_free(actor, name)
    model = Model(
        workspace_id=actor.workspace_id,
        name=name,
        description=text.free_text("description", description, limit=DESCRIPTION_LIMIT),
        created_by_id=actor.user_id,
    )
    try:
        with transaction.atomic():
            model.save(force_insert=True)
    except IntegrityError:
        _name_is_free(actor, name)
        raise
    ModelTag.objects.bulk_create(ModelTag(model=model, key=key, value=value) for key, value in _tags(tags))
    emit(actor, Verb.MODEL_CREATED, model, description=model.description, tags=dict(tags or {}))
    return model


def _name_is_free(actor: Actor, name: str) -> None:
    here = Model.objects.living().filter(workspace_id=actor.workspace_id)
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
    _same_revision(model, expected)
    model.description = text.free_text("description", description, limit=DESCRIPTION_LIMIT)
    edited(model, "description")
    emit(actor, Verb.MODEL_UPDATED, model, description=model.description)
    settle_all(actor, model)
    return model


@transaction.atomic
def tag_model(actor: Actor, name: object, key: str, value: str | None) -> Model:
    """Set a tag of a model, or remove it (`value` None; removing an absent one is harmless)."""
    model = locked_model(actor, name)
    require(actor, Action.EDIT_MODEL, model)
    _change_tag(model.tags, key, value)
    edited(model)
    emit(actor, Verb.MODEL_TAGGED, model, key=key, value=value)
    return model


@transaction.atomic
def delete_model(actor: Actor, name: object, *, expected: int | None = None) -> None:
    """Delete a model with its versions; refused while one of them holds an exclusive stage (StageInUse), or a protected
    alias (AliasInUse)."""
    model = locked_model(actor, name)
    require(actor, Action.DELETE_MODEL, model)
    _same_revision(model, expected)
    hold_policies(model.workspace_id)
    alone = [stage for stage, now in rulings(model, _SERVING).items() if now.terms.exclusive]
    held = Occupancy.objects.filter(Q(exclusive=True) | Q(stage__in=alone), model=model, ended_at__isnull=True)
    for occupancy in held:
        raise StageInUse(name=model.name, version=occupancy.number, stage=occupancy.stage)
    refuse_protected(model, dict(model.aliases.values_list("name", "version__number")))
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


# --- Versions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Origin:
    """Where a version comes from.

    `source` is what the registrar called the place. `place` and `path` find the files in our own store, `copy_of` in
    another version; with neither, the bytes lie elsewhere and have no digest. `run_ref` names a run, known or not.
    """

    source: str
    place: Place | None = None
    path: str = ""
    copy_of: Version | None = None
    run: Run | None = None
    run_ref: str = ""
    logged_model: LoggedModel | None = None


@dataclass(frozen=True)
class Registered:
    """A version, and whether an identical request made it a moment before."""

    version: Version
    repeated: bool


@dataclass(frozen=True)
class _Bytes:
    manifest: Manifest | None = None
    contributor_ids: frozenset[int] = field(default_factory=frozenset)


@transaction.atomic
def register_version(
    actor: Actor,
    name: object,
    origin: Origin,
    *,
    description: str = "",
    run_link: str = "",
    tags: Mapping[str, str] | None = None,
    files_required: bool = False,
) -> Registered:
    """The next version of a model, with its files frozen.

    An identical request of the same token inside ten minutes gives the version that the first one made: stock clients
    repeat their POSTs (a workspace can turn that off). Raises NoFiles when `files_required` and there are none.
    """
    model = locked_model(actor, name)
    require(actor, Action.REGISTER_VERSION, model)
    source = text.free_text("source", origin.source, limit=1000, lines=False, empty=False)
    description = text.free_text("description", description, limit=DESCRIPTION_LIMIT)
    run_link = text.free_text("run_link", run_link, limit=1000, lines=False)
    run_ref = text.free_text("run_id", origin.run_ref, limit=64, lines=False)
    tagged = _tags(tags)
    frozen = _frozen(actor, origin)
    if files_required and frozen.manifest is None:
        raise NoFiles(origin=source)
    if frozen.manifest:
        _inspect_later(frozen.manifest)
    request = digest(
        {
            "source": source,
            "path": origin.path,
            "manifest": frozen.manifest.digest if frozen.manifest else None,
            "copy_of": str(origin.copy_of.pk) if origin.copy_of else None,
            "run": run_ref,
            "logged_model": str(origin.logged_model.pk) if origin.logged_model else None,
            "description": description,
            "run_link": run_link,
            "tags": tagged,
            "user": actor.user_id,
            "token": str(actor.token_id),
        }
    )
    if earlier := _repeated(actor, model, request):
        emit(actor, Verb.VERSION_REPEATED, model, subject=str(earlier), version=earlier.number)
        return Registered(earlier, True)
    model.last_version += 1
    version = Version.objects.create(
        model=model,
        number=model.last_version,
        description=description,
        source=source,
        manifest=frozen.manifest,
        run=origin.run,
        run_ref=run_ref,
        run_link=run_link,
        logged_model=origin.logged_model,
        registrar_id=actor.user_id,
        registrar_token=actor.token_id,
        request_digest=request,
    )
    version.contributors.set(frozen.contributor_ids)
    VersionTag.objects.bulk_create(VersionTag(version=version, key=key, value=value) for key, value in tagged)
    Occupancy.objects.create(
        model=model, version=version, number=version.number, stage=Stage.NONE, started_at=version.created_at
    )
    edited(model, "last_version", resolves_anew=True)
    emit(
        actor,
        Verb.VERSION_REGISTERED,
        model,
        subject=str(version),
        version=version.number,
        source=source,
        manifest=frozen.manifest.digest if frozen.manifest else None,
        run=version.run_ref,
        description=description,
        tags=dict(tagged),
    )
    version.stage = Stage.NONE
    return Registered(version, False)


def _inspect_later(manifest: Manifest) -> None:
    """Look into new files once they are registered; what fails then is logged, and a sweep does it again."""
    if manifest.inspected is None:
        # No `partial`: what logs a failure asks for the function's name, and fails where there is none.
        transaction.on_commit(lambda: manifests.inspect(manifest), robust=True)


def _repeated(actor: Actor, model: Model, request: str) -> Version | None:
    if not folds_repeated_creates(actor.workspace_id):
        return None
    since = timezone.now() - REPEATED_WITHIN
    return (
        Version.objects.with_stage()
        .select_related("model", "manifest")
        .filter(model=model, request_digest=request, created_at__gte=since, deleted_at__isnull=True)
        .order_by("-created_at")
        .first()
    )


def _frozen(actor: Actor, origin: Origin) -> _Bytes:
    if origin.copy_of:
        original = origin.copy_of
        contributors = {original.registrar_id, *original.contributors.values_list("pk", flat=True)}
        if original.registrar_token:
            made = Token.objects.filter(pk=original.registrar_token)
            contributors.update(made.values_list("created_by", flat=True))
        return _Bytes(original.manifest, frozenset(contributors))
    folder = origin.place.existing_folder(actor) if origin.place else None
    if folder is None:
        return _Bytes()
    content = artifacts.seal(folder, origin.path)
    if not content.files:
        return _Bytes()
    return _Bytes(artifacts.manifest_of(actor.workspace_id, content.files), content.uploader_ids)


@transaction.atomic
def describe_version(
    actor: Actor, name: object, number: object, description: str, *, expected: int | None = None
) -> Version:
    """Give a version another description. `expected`: the revision it must still have, or Stale."""
    model = locked_model(actor, name)
    version = version_of(model, number)
    require(actor, Action.EDIT_VERSION, model)
    _same_revision(version, expected)
    version.description = text.free_text("description", description, limit=DESCRIPTION_LIMIT)
    _version_edited(version, "description")
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
    _change_tag(version.tags, key, value)
    _version_edited(version)
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
    _same_revision(version, expected)
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
    _version_edited(version, "deleted_at")
    edited(model, resolves_anew=True)
    emit(actor, Verb.VERSION_DELETED, model, subject=str(version), version=version.number)


# --- Tags -------------------------------------------------------------------------------------------------------------


def _tags(tags: Mapping[str, str] | None) -> list[tuple[str, str]]:
    if tags and len(tags) > TAGS_LIMIT:
        raise TooManyTags(limit=TAGS_LIMIT)
    return [
        (text.key("tags.key", key), text.free_text("tags.value", value, limit=TAG_VALUE_LIMIT))
        for key, value in (tags or {}).items()
    ]


def _change_tag(tags: Manager[ModelTag] | Manager[VersionTag], key: str, value: str | None) -> None:
    text.key("key", key)
    if value is None:
        tags.filter(key=key).delete()
        return
    text.free_text("value", value, limit=TAG_VALUE_LIMIT)
    if not tags.filter(key=key).exists() and tags.count() >= TAGS_LIMIT:
        raise TooManyTags(limit=TAGS_LIMIT)
    tags.update_or_create(key=key, defaults={"value": value})
