"""Writing an evidence pack: the same bytes for the same state, but for the time in README.txt and its checksum."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, cast

from django.template.loader import render_to_string
from django.utils import timezone

from accounts import export
from accounts.actor import Actor
from accounts.export import Format
from accounts.models import AuditEntry
from accounts.permissions import require
from accounts.roles import Action
from lineage.models import Manifest, ManifestFile
from registry.errors import VersionNotFound
from registry.models import Model, Version
from registry.pack.contents import Contents, contents, entries, newest_checkpoint, time, with_tags
from registry.past import find_past_model
from registry.references import version_number

_IN_MEMORY = 4 * 1024**2  # bytes of a pack; a larger one goes through a temporary file
_AT_ONCE = 1000
_FILES_ON_PAGE = 200
# The earliest that a zip can tell: times of a pack are in what it holds.
_ALWAYS = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Packed:
    """A pack as an open file at its beginning, which is gone once it is closed; `size` in bytes."""

    file: IO[bytes]
    name: str
    size: int


def packed(actor: Actor, name: object, number: object) -> Packed:
    """The pack of a version, which may be deleted. Memory stays flat however many files and entries there are.

    For those who may read all of the model's audit log: raises Denied for others who can see the model, and
    ModelNotFound, VersionNotFound, BadVersionNumber.
    """
    version = _readable(actor, name, number)
    file = cast(IO[bytes], tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115  # the caller closes it
    _write(file, version)
    size = file.tell()
    file.seek(0)
    return Packed(file, f"{version.model.name} v{version.number} evidence.zip".replace(" ", "-"), size)


def shown(actor: Actor, name: object, number: object) -> dict[str, Any]:
    """What the page of a pack tells, for the same people; at most twelve queries."""
    return _told(contents(_readable(actor, name, number)))


def _readable(actor: Actor, name: object, number: object) -> Version:
    model = find_past_model(actor, name)
    require(actor, Action.READ_AUDIT, None if model.deleted_at else model)
    return _version(model, number)


def _version(model: Model, number: object) -> Version:
    rows = Version.objects.filter(model=model, number=version_number(number))
    version = with_tags(rows.select_related("model", "manifest", "registrar")).first()
    if version is None:
        raise VersionNotFound(name=model.name, version=number)
    return version


def _write(file: IO[bytes], version: Version) -> None:
    told = contents(version)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        pack = _Pack(archive)
        concerned = _Counted(entries(told))
        pack.add("entries.jsonl", export.written(concerned, Format.JSONL))
        pack.add("version.json", _pretty(told.about))
        pack.add("promotions.json", _pretty(told.promotions))
        pack.add("policy.json", _pretty(told.policies))
        pack.add("checks.json", _pretty(told.checks))
        pack.add("lineage.json", _pretty(told.lineage))
        pack.add("manifest.json", _manifest(version.manifest))
        pack.add("chain.json", _pretty({**told.place, "newest_checkpoint": newest_checkpoint()}))
        pack.add("index.html", _page(told, concerned.count))
        pack.add("README.txt", _readme(told))
        pack.add("SHA256SUMS", [f"{digest}  {name}\n".encode() for name, digest in sorted(pack.sums.items())])


class _Pack:
    """A zip whose files are written a piece at a time, with the SHA-256 of each."""

    def __init__(self, archive: zipfile.ZipFile):
        self.archive = archive
        self.sums: dict[str, str] = {}

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        entry = zipfile.ZipInfo(name, date_time=_ALWAYS)
        entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        hashing = hashlib.sha256()
        # Its length is not known yet, and may be more than 2 GiB.
        with self.archive.open(entry, "w", force_zip64=True) as inside:
            for piece in pieces:
                hashing.update(piece)
                inside.write(piece)
        self.sums[name] = hashing.hexdigest()


class _Counted:
    """Entries on their way, and how many they were."""

    def __init__(self, rows: Iterator[AuditEntry]):
        self.rows, self.count = rows, 0

    def __iter__(self) -> Iterator[AuditEntry]:
        for entry in self.rows:
            self.count += 1
            yield entry


def _pretty(value: Any) -> list[bytes]:
    return [json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"]


def _manifest(manifest: Manifest | None) -> Iterator[bytes]:
    """The manifest as JSON, its files in the order that the digest is made in."""
    if manifest is None:
        yield b"null\n"
        return
    head = {"digest": manifest.digest, "file_count": manifest.file_count, "size": manifest.size}
    yield json.dumps(head).encode()[:-1] + b', "files": ['
    for position, file in enumerate(_files(manifest)):
        line = json.dumps({"path": file.path, "sha256": file.sha256, "size": file.size}, ensure_ascii=False)
        yield (b",\n  " if position else b"\n  ") + line.encode()
    yield b"\n]}\n"


def _files(manifest: Manifest) -> Iterator[ManifestFile]:
    """Its files a page at a time, by path in the order of code points, as `manifest_of` sorts them."""
    rows = ManifestFile.objects.filter(manifest=manifest).order_by("path")
    reached = ""
    while page := list(rows.filter(path__gt=reached)[:_AT_ONCE]):
        yield from page
        reached = page[-1].path


def _page(told: Contents, entries_written: int) -> list[bytes]:
    context = {**_told(told), "entries": entries_written}
    return [render_to_string("registry/evidence_pack.html", context).encode()]


def _told(told: Contents) -> dict[str, Any]:
    manifest = told.version.manifest
    files = list(ManifestFile.objects.filter(manifest=manifest).order_by("path")[:_FILES_ON_PAGE]) if manifest else []
    return {
        "told": told,
        "version": told.version,
        "about": told.about,
        "lineage": told.lineage,
        "manifest": manifest,
        "files": files,
        "files_more": manifest.file_count - len(files) if manifest else 0,
        "place": told.place,
    }


def _readme(told: Contents) -> list[bytes]:
    context = {"version": told.version, "at": time(timezone.now())}
    return [render_to_string("registry/evidence_pack.txt", context).encode()]
