"""Artifacts: uploads into folders, and the manifests that freeze what a version is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.actor import Actor
from accounts.permissions import require, require_anywhere
from accounts.roles import Action
from core import text
from core.canonical import digest
from core.errors import Conflict
from lineage.errors import RunDeleted
from lineage.models import Folder, FolderFile, FolderSeal, LoggedModel, Manifest, ManifestFile, Run
from lineage.services import repeats
from lineage.storage import store
from lineage.storage.blobs import Blob


class FileSealed(Conflict):
    """The file {path!r} belongs to a registered version and is not written any more: upload under another name."""

    field = "path"


class FilesSealed(Conflict):
    """At or below {path!r} lie files that a version was registered from: they stay, and nothing was removed."""

    field = "path"


class DigestUnknown(Conflict):
    """The file {path!r} lies in the store and is being read to learn its SHA-256: register the version when the file is
    listed, in a minute or so."""

    field = "path"


class FileExists(Conflict):
    """A file with other content is at {path!r} already: use another path or another upload."""

    field = "path"


class PathIsDirectory(Conflict):
    """{path!r} is a directory there: a file cannot take its place."""

    field = "path"


class ParentIsFile(Conflict):
    """{parent!r} is a file there: {path!r} cannot lie below it."""

    field = "path"


@dataclass(frozen=True)
class Place:
    """Where an upload goes: the folder of a run, of a logged model, or one that the client names himself."""

    run: Run | None = None
    logged_model: LoggedModel | None = None
    upload_name: str = ""

    def folder(self, actor: Actor) -> Folder:
        """The folder, made on its first file. Who sends one to a run knows of it: see `repeats`."""
        if self.run:
            repeats.settle(self.run)
            return Folder.objects.get_or_create(workspace_id=actor.workspace_id, run=self.run)[0]
        if self.logged_model:
            return Folder.objects.get_or_create(workspace_id=actor.workspace_id, logged_model=self.logged_model)[0]
        return Folder.objects.get_or_create(
            workspace_id=actor.workspace_id,
            upload_owner_id=actor.user_id,
            upload_name=text.name("upload", self.upload_name),
        )[0]

    def existing_folder(self, actor: Actor) -> Folder | None:
        """The folder, or None when nothing was uploaded yet."""
        folders = Folder.objects.filter(workspace_id=actor.workspace_id)
        if self.run:
            return folders.filter(run=self.run).first()
        if self.logged_model:
            return folders.filter(logged_model=self.logged_model).first()
        return folders.filter(upload_owner_id=actor.user_id, upload_name=self.upload_name).first()


@dataclass(frozen=True)
class Content:
    """What lies in a folder below a path: path relative to it → blob, and who put it there."""

    files: dict[str, Blob]
    uploader_ids: frozenset[int]


def upload(
    actor: Actor,
    place: Place,
    path: str,
    chunks: Iterable[bytes],
    *,
    announced_sha256: str | None = None,
    announced_size: int | None = None,
    overwrite: bool = False,
) -> tuple[FolderFile, bool]:
    """Store a file at `path` of `place`; returns it and whether it is new there.

    Refuses before reading a byte what it can refuse then. The same bytes again change nothing; other bytes need
    `overwrite`. Raises BadPath, FileSealed, FileExists, PathIsDirectory, ParentIsFile, WrongDigest, WrongLength,
    FileTooLarge, RunDeleted; and then no file is there. (Bytes that came without `announced_sha256` and then found
    their path taken stay in the store, named by nothing.)
    """
    may_upload(actor, place, path)
    if announced_sha256 is not None:
        text.sha256("X-Content-SHA256", announced_sha256)
    folder = place.existing_folder(actor)
    there = folder.files.filter(path=path).first() if folder else None
    if there is None or there.sha256 != announced_sha256:
        if folder:
            _may_write(folder, path)
        if there and announced_sha256 and not overwrite:
            raise FileExists(path=path)
    blob = store.current().write(chunks, announced_sha256=announced_sha256, announced_size=announced_size)
    return record(place.folder(actor), path, blob, uploader_id=actor.user_id, overwrite=overwrite)


def may_upload(actor: Actor, place: Place, path: str) -> None:
    """Whether the actor may put files there, and `path` is one. Raises Denied, RunDeleted, BadPath, BadName."""
    if place.run or place.logged_model:
        require(actor, Action.UPLOAD_ARTIFACT)
    else:
        require_anywhere(actor, Action.UPLOAD_ARTIFACT)  # an upload of one's own, for whatever model one may fill
    if place.run and place.run.is_deleted:
        raise RunDeleted(run=place.run.pk.hex)
    text.artifact_path(path)
    if not (place.run or place.logged_model):
        text.name("upload", place.upload_name)


@transaction.atomic
def room_for(actor: Actor, place: Place, path: str) -> Folder:
    """The folder, in which a file may be put at `path` now. Raises FileSealed, PathIsDirectory, ParentIsFile."""
    folder = place.folder(actor)
    _may_write(folder, path)
    return folder


@transaction.atomic
def record(folder: Folder, path: str, blob: Blob, *, uploader_id: int, overwrite: bool) -> tuple[FolderFile, bool]:
    """Note what lies at `path` now, if the place may still be written to; see `upload`."""
    folder = Folder.objects.select_for_update(no_key=True).get(pk=folder.pk)
    there = folder.files.filter(path=path).first()
    if there and there.sha256 == blob.sha256:
        return there, False
    _may_write(folder, path)
    if there and not overwrite:
        raise FileExists(path=path)
    return FolderFile.objects.update_or_create(
        folder=folder,
        path=path,
        defaults={"sha256": blob.sha256, "size": blob.size, "uploaded_by_id": uploader_id},
    )


@transaction.atomic
def remove(actor: Actor, place: Place, path: str) -> int:
    """Take the file at `path`, or all below it ("" for all of the place), out of its folder; returns how many files.

    Nothing there is no mistake. Raises Denied, BadPath, and FilesSealed when a version was registered from any of it.
    """
    require(actor, Action.UPLOAD_ARTIFACT)
    text.artifact_path(path, empty=True)
    folder = place.existing_folder(actor)
    if folder is None:
        return 0
    folder = Folder.objects.select_for_update(no_key=True).get(pk=folder.pk)
    meant = folder.files.filter(_at_or_below(path)) if path else folder.files.all()
    above = ["", *_parents(path), path]
    sealed = folder.seals.filter(Q(prefix__in=above) | _at_or_below(path, "prefix") if path else Q())
    if sealed.exists() and meant.exists():
        raise FilesSealed(path=path or "/")
    folder.direct_uploads.filter(_at_or_below(path) if path else Q(), arrived_at__isnull=False).delete()
    return meant.delete()[0]


def _at_or_below(path: str, field: str = "path") -> Q:
    return Q(**{field: path}) | Q(**{f"{field}__startswith": f"{path}/"})


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _may_write(folder: Folder, path: str) -> None:
    parents = _parents(path)
    if folder.seals.filter(prefix__in=["", *parents, path]).exists():
        raise FileSealed(path=path)
    if parent := folder.files.filter(path__in=parents).values_list("path", flat=True).first():
        raise ParentIsFile(path=path, parent=parent)
    if folder.files.filter(path__startswith=f"{path}/").exists():
        raise PathIsDirectory(path=path)


def seal(folder: Folder, prefix: str) -> Content:
    """Freeze what lies under `prefix` ("" for all) and return it; nothing may be written there from now on.

    Must run in the transaction of the registration. The content may be empty: the caller decides what that means.
    Raises DigestUnknown when a file that belongs to it was not read yet.
    """
    folder = Folder.objects.select_for_update(no_key=True).get(pk=folder.pk)
    start = f"{prefix}/" if prefix else ""
    if late := folder.direct_uploads.to_take_in().filter(path__startswith=start, arrived_at__isnull=False).first():
        raise DigestUnknown(path=late.path)
    files = list(folder.files.filter(path__startswith=start))
    if files:
        FolderSeal.objects.get_or_create(folder=folder, prefix=prefix)
    return Content(
        files={file.path[len(start) :]: Blob(file.sha256, file.size) for file in files},
        uploader_ids=frozenset(file.uploaded_by_id for file in files),
    )


def manifest_of(workspace_id: int, files: dict[str, Blob]) -> Manifest:
    """The manifest of these files: the one that is there when the same set was frozen before in the workspace."""
    listed = [[path, blob.sha256, blob.size] for path, blob in sorted(files.items())]
    manifest, created = Manifest.objects.get_or_create(
        workspace_id=workspace_id,
        digest=digest(listed),
        defaults={
            "file_count": len(files),
            "size": sum(blob.size for blob in files.values()),
            "verified_at": timezone.now(),  # the bytes were hashed while they were written
        },
    )
    if created:
        ManifestFile.objects.bulk_create(
            ManifestFile(manifest=manifest, path=path, sha256=blob.sha256, size=blob.size)
            for path, blob in files.items()
        )
    return manifest
