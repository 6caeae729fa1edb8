"""Registering versions: where they come from, and their files frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import connection, transaction
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Token
from accounts.permissions import require
from accounts.queries import REPEATED_WITHIN, folds_repeated_creates
from accounts.roles import Action
from accounts.verbs import Verb
from core import text
from core.canonical import digest
from lineage.models import LoggedModel, Manifest, Run
from lineage.services import artifacts, manifests
from lineage.services.artifacts import Place
from registry.errors import NoFiles
from registry.lifecycle import Stage
from registry.models import Model, Occupancy, Version, VersionTag
from registry.outbox import emit
from registry.services.catalog.said import description_of, tags_of
from registry.services.locks import edited, locked_model


@dataclass(frozen=True)
class Origin:
    """Where a version comes from.

    `source` is what the registrar called the place. `place` and `path` find the files in our own store, `copy_of` in
    another version; with neither, the bytes lie elsewhere and have no digest. `run_ref` names a run, known or not.
    `note` is what there is to say of it to whoever looks at the version.
    """

    source: str
    place: Place | None = None
    path: str = ""
    copy_of: Version | None = None
    run: Run | None = None
    run_ref: str = ""
    logged_model: LoggedModel | None = None
    note: str = ""


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
    description = description_of(description)
    run_link = text.free_text("run_link", run_link, limit=1000, lines=False)
    run_ref = text.free_text("run_id", origin.run_ref, limit=64, lines=False)
    tagged = tags_of(tags)
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
        workspace_id=model.workspace_id,
        model_name=model.name,
        number=model.last_version,
        description=description,
        source=source,
        location=origin.copy_of.lies_at if origin.copy_of and not frozen.manifest else "",
        manifest=frozen.manifest,
        run=origin.run,
        run_ref=run_ref,
        run_link=run_link,
        logged_model=origin.logged_model,
        status_message=origin.note,
        registrar_id=actor.user_id,
        registrar_token=actor.token_id,
        request_digest=request,
    )
    version.contributors.add(*frozen.contributor_ids)
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


_SAME = """
SELECT id FROM registry_version
 WHERE model_id = %s AND request_digest = %s AND created_at >= %s AND deleted_at IS NULL
 ORDER BY created_at DESC LIMIT 1
"""


def _repeated(actor: Actor, model: Model, request: str) -> Version | None:
    with connection.cursor() as cursor:
        cursor.execute(_SAME, [model.pk, request, timezone.now() - REPEATED_WITHIN])
        earlier = cursor.fetchone()
    # Nearly always there is none: nothing else is asked of the database then.
    if earlier is None or not folds_repeated_creates(actor.workspace_id):
        return None
    return Version.objects.with_stage().select_related("model", "manifest").get(pk=earlier[0])


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
