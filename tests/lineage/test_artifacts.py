"""Uploads: what arrives is what was announced, and what a version is made of stays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.actor import Actor
from core.text import BadDigest, BadPath
from lineage.models import Folder, FolderFile
from lineage.queries import files_under, listing
from lineage.services import artifacts, experiments, runs
from lineage.services.artifacts import Place
from lineage.storage import blobs, local, store
from registry.errors import NoFiles
from registry.services import catalog
from registry.services.catalog import Origin
from tests import make

pytestmark = pytest.mark.django_db

HELLO = hashlib.sha256(b"hello").hexdigest()


def put(actor: Actor, path: str, content: bytes = b"hello", upload: str = "build-7", **more: Any) -> FolderFile:
    return artifacts.upload(actor, Place(upload_name=upload), path, [content], **more)[0]


def nothing_left(data: Path) -> bool:
    return not [file for file in data.rglob("*") if file.is_file()] and not FolderFile.objects.exists()


def test_a_file_is_stored_under_its_digest_and_read_back(requester: Actor, data_directory: Path) -> None:
    file = put(requester, "model/MLmodel", announced_sha256=HELLO, announced_size=5)
    assert (file.sha256, file.size) == (HELLO, 5)
    assert local.path_of(HELLO) == data_directory / "artifacts" / "sha256" / HELLO[:2] / HELLO[2:4] / HELLO
    assert store.current().open_blob(HELLO).read() == b"hello"


def test_bytes_come_in_chunks_and_are_hashed_as_one(requester: Actor) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"he"
        yield b"llo"

    assert artifacts.upload(requester, Place(upload_name="b"), "f", chunks())[0].sha256 == HELLO


@pytest.mark.parametrize(
    "path",
    [
        "../etc/passwd",
        "a/../../b",
        "a/..",
        "..",
        ".",
        "/etc/passwd",
        "a//b",
        "a/",
        "",
        "a\\..\\b",
        "%2e%2e/b",
        "a/%2E%2e/b",
        "..%2fb",
        "%252e%252e/b",
        "a%5c..%5cb",
        "a\x00b",
        "a\nb",
        "a\u202eb",
        "a\u200bb",
        "\ud800",
        "a" * 1001,
        "%2525252e%2525252e/x",
    ],
)
def test_paths_that_could_climb_out_or_deceive_are_refused_before_a_byte_is_read(
    requester: Actor, data_directory: Path, path: str
) -> None:
    def untouched() -> Iterator[bytes]:
        raise AssertionError("read before the path was judged")
        yield b""

    with pytest.raises(BadPath):
        artifacts.upload(requester, Place(upload_name="b"), path, untouched())
    assert nothing_left(data_directory)


@pytest.mark.parametrize("path", ["model.bin", "a b/ü.txt", "100%.txt", "a..b/c...", "-rf", "COM1"])
def test_ordinary_paths_pass_as_they_are(requester: Actor, path: str) -> None:
    assert put(requester, path).path == path


def test_another_digest_than_announced_leaves_nothing(requester: Actor, data_directory: Path) -> None:
    with pytest.raises(blobs.WrongDigest, match="2cf24dba"):
        put(requester, "f", announced_sha256="0" * 64)
    assert nothing_left(data_directory)


@pytest.mark.parametrize("announced", [4, 6, 0])
def test_a_short_or_long_upload_leaves_nothing(requester: Actor, data_directory: Path, announced: int) -> None:
    with pytest.raises(blobs.WrongLength, match=f"5 bytes were received where {announced}"):
        put(requester, "f", announced_size=announced)
    assert nothing_left(data_directory)


def test_an_upload_that_breaks_off_leaves_nothing(requester: Actor, data_directory: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"he"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        artifacts.upload(requester, Place(upload_name="b"), "f", broken())
    assert nothing_left(data_directory)


def test_the_cap_counts_the_bytes_read(requester: Actor, data_directory: Path, settings: Any) -> None:
    settings.VOUCH_MAX_FILE_BYTES = 4
    with pytest.raises(blobs.FileTooLarge):
        put(requester, "f", announced_size=3)
    assert nothing_left(data_directory)


@pytest.mark.parametrize("announced", ["", "xyz", HELLO.upper(), HELLO + "0"])
def test_what_is_no_digest_is_refused(requester: Actor, data_directory: Path, announced: str) -> None:
    with pytest.raises(BadDigest):
        put(requester, "f", announced_sha256=announced)
    assert nothing_left(data_directory)


def test_the_same_bytes_again_change_nothing_and_others_are_refused(requester: Actor) -> None:
    put(requester, "f")
    assert artifacts.upload(requester, Place(upload_name="build-7"), "f", [b"hello"])[1] is False
    with pytest.raises(artifacts.FileExists):
        put(requester, "f", b"other")
    with pytest.raises(artifacts.FileExists):
        put(requester, "f", b"other", announced_sha256=hashlib.sha256(b"other").hexdigest())
    assert FolderFile.objects.get().sha256 == HELLO


def test_a_file_and_a_directory_do_not_share_a_path(requester: Actor) -> None:
    put(requester, "a/b")
    with pytest.raises(artifacts.PathIsDirectory):
        put(requester, "a")
    with pytest.raises(artifacts.ParentIsFile):
        put(requester, "a/b/c")


def test_each_users_uploads_are_his_own(requester: Actor, administrator: Actor) -> None:
    put(requester, "f")
    put(administrator, "f", b"other")
    assert Folder.objects.count() == 2


def test_what_a_version_was_registered_from_is_not_written_any_more(requester: Actor) -> None:
    run = runs.create(requester, experiments.default(requester), tags={})
    place = Place(run=run)
    artifacts.upload(requester, place, "model/MLmodel", [b"one"])
    artifacts.upload(requester, place, "notes.txt", [b"one"])
    make.model(requester)
    catalog.register_version(requester, "churn", Origin(source="runs:/x/model", place=place, path="model"))
    for path in ("model/MLmodel", "model/more.bin"):
        with pytest.raises(artifacts.FileSealed):
            artifacts.upload(requester, place, path, [b"two"], overwrite=True)
    same = hashlib.sha256(b"one").hexdigest()
    assert artifacts.upload(requester, place, "model/MLmodel", [b"one"], announced_sha256=same)[1] is False
    artifacts.upload(requester, place, "notes.txt", [b"two"], overwrite=True)


def test_a_version_holds_exactly_the_files_below_its_path(requester: Actor) -> None:
    for path in ("model/a", "model/sub/b", "model2/c", "d"):
        put(requester, path, path.encode())
    make.model(requester)
    origin = Origin(source="upload:build-7", place=Place(upload_name="build-7"), path="model")
    version = catalog.register_version(requester, "churn", origin).version
    assert version.manifest
    assert sorted(version.manifest.files.values_list("path", flat=True)) == ["a", "sub/b"]
    assert (version.manifest.file_count, version.manifest.size) == (2, len("model/a") + len("model/sub/b"))


def test_the_same_files_have_the_same_manifest_whatever_the_upload(requester: Actor) -> None:
    make.model(requester)
    digests = set()
    for upload in ("one", "two"):
        put(requester, "f", upload=upload)
        origin = Origin(source=f"upload:{upload}", place=Place(upload_name=upload))
        version = catalog.register_version(requester, "churn", origin).version
        assert version.manifest
        digests.add(version.manifest.digest)
    assert len(digests) == 1


def test_registering_from_an_empty_upload_is_refused_and_leaves_no_version(requester: Actor) -> None:
    model = make.model(requester)
    origin = Origin(source="upload:none", place=Place(upload_name="none"))
    with pytest.raises(NoFiles):
        catalog.register_version(requester, "churn", origin, files_required=True)
    model.refresh_from_db()
    assert (model.last_version, model.versions.count()) == (0, 0)


def test_a_listing_shows_one_level(requester: Actor) -> None:
    for path in ("model/a", "model/sub/b", "model/sub/c", "d"):
        put(requester, path)
    files = [(file.path, file.size) for file in files_under(Folder.objects.get(), "")]
    assert listing(files, "") == [("d", 5), ("model", None)]
    assert listing(files, "model") == [("a", 5), ("sub", None)]
    assert listing(files, "mod") == []


def test_a_viewer_uploads_nothing(viewer: Actor, data_directory: Path) -> None:
    from accounts.permissions import RoleMissing

    with pytest.raises(RoleMissing):
        put(viewer, "f")
    assert nothing_left(data_directory)
