"""Artifacts in a bucket: under their digest, hashed by us, and nothing left of what failed."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.actor import Actor
from core.text import sha256
from lineage.models import FolderFile, Manifest
from lineage.services import artifacts, manifests
from lineage.services.artifacts import Place
from lineage.storage import blobs, s3, store
from lineage.storage.address import Address, BadStore, address_of
from tests import make
from tests.fake_s3 import Kept

pytestmark = pytest.mark.django_db

HELLO = hashlib.sha256(b"hello").hexdigest()


def place(content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    return f"store/models/sha256/{digest[:2]}/{digest[2:4]}/{digest}"


def nothing_on_its_way(bucket: Kept) -> bool:
    return not bucket.parts and not [key for key in bucket.objects if "incoming" in key]


def test_a_short_file_is_one_request_to_the_place_of_its_digest(requester: Actor, bucket: Kept) -> None:
    file, _ = artifacts.upload(requester, Place(upload_name="b"), "f", [b"he", b"llo"], announced_sha256=HELLO)
    assert (file.sha256, file.size) == (HELLO, 5)
    assert bucket.seen == [f"PUT {place(b'hello')}"]
    assert bucket.objects == {place(b"hello"): b"hello"}


def test_a_long_file_goes_in_parts_and_then_to_its_digest(bucket: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PART", 1000)
    content = bytes(range(256)) * 40
    kept = store.current().write(iter([content[:700], content[700:4321], content[4321:]]))
    assert kept == blobs.Blob(hashlib.sha256(content).hexdigest(), len(content))
    assert bucket.objects == {place(content): content}
    assert nothing_on_its_way(bucket)
    bucket.seen.clear()
    store.current().write(iter([content]))
    assert not [line for line in bucket.seen if line == f"PUT {place(content)}"]  # it lies there already


def test_a_long_file_is_kept_when_the_answer_that_completes_it_is_lost(
    bucket: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "PART", 1000)
    finish = s3.Bucket.finish_parts

    def twice(*given: Any) -> None:
        finish(*given)
        finish(*given)

    monkeypatch.setattr(s3.Bucket, "finish_parts", twice)
    content = bytes(range(256)) * 40
    store.current().write(iter([content]))
    assert bucket.objects == {place(content): content}


def test_parts_grow_so_that_ten_thousand_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PART", 10)
    parts = [len(part) for part in s3._parts(bytes(100) for _ in range(400))]
    assert sum(parts) == 40_000
    assert (parts[:1000], parts[1000], parts[2000]) == ([10] * 1000, 20, 30)


def test_a_very_long_file_is_copied_in_parts(bucket: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PART", 6 * 1024**2)
    monkeypatch.setattr(s3, "_COPIED_AT_ONCE", 5 * 1024**2)
    content = bytes(13 * 1024**2)
    store.current().write(iter([content]))
    assert bucket.objects == {place(content): content}
    assert nothing_on_its_way(bucket)


@pytest.mark.parametrize("broken", ["digest", "length", "cut", "cap"])
def test_what_fails_on_its_way_leaves_nothing(
    bucket: Kept, monkeypatch: pytest.MonkeyPatch, settings: Any, broken: str
) -> None:
    monkeypatch.setattr(s3, "PART", 1000)
    more: dict[str, Any] = {"digest": {"announced_sha256": HELLO}, "length": {"announced_size": 5}}.get(broken, {})
    if broken == "cap":
        settings.VOUCH_MAX_FILE_BYTES = 5000

    def chunks() -> Iterator[bytes]:
        yield bytes(4500)
        if broken == "cut":
            raise ConnectionResetError
        yield bytes(4500)

    with pytest.raises((blobs.WrongDigest, blobs.WrongLength, blobs.FileTooLarge, ConnectionResetError)):
        store.current().write(chunks(), **more)
    assert bucket.objects == {}
    assert nothing_on_its_way(bucket)


def test_a_blob_is_read_whole_or_in_part(bucket: Kept) -> None:
    kept = store.current()
    kept.write([b"hello"])
    for first, length, wanted in ((0, None, b"hello"), (1, None, b"ello"), (1, 3, b"ell"), (0, 1, b"h")):
        with kept.open_blob(HELLO, first, length) as file:
            assert b"".join(blobs.pieces(file)) == wanted
    with kept.open_blob(kept.write([]).sha256) as file:
        assert file.read() == b""


def test_a_blob_that_is_gone_and_a_bucket_that_fails_are_told_apart(bucket: Kept) -> None:
    with pytest.raises(FileNotFoundError):
        store.current().open_blob(HELLO)
    bucket.broken = True
    with pytest.raises(blobs.StoreFails, match="InternalError"):
        store.current().open_blob(HELLO)


def test_frozen_files_in_a_bucket_are_verified_and_looked_into(requester: Actor, bucket: Kept) -> None:
    artifacts.upload(requester, Place(upload_name="b"), "MLmodel", [b"flavors: {sklearn: {}}\n"])
    make.model(requester)
    manifest = artifacts.manifest_of(
        requester.workspace_id, {row.path: blobs.Blob(row.sha256, row.size) for row in FolderFile.objects.all()}
    )
    seen = manifests.inspect(manifest)
    assert seen is not None
    assert seen.flavors == ("sklearn",)
    assert manifests.verify(manifest) == ""
    bucket.objects[next(iter(bucket.objects))] = b"flavors: {sklearn: {}}!"
    assert "where" in manifests.verify(manifest)
    bucket.objects.clear()
    assert "is missing" in manifests.verify(manifest)
    assert Manifest.objects.get().damage


def test_what_was_left_on_its_way_a_day_ago_is_swept(bucket: Kept) -> None:
    kept = store.direct()
    for age in (0, 2):
        key = f"store/models/incoming/{age}"
        bucket.objects[key] = b"x"
        bucket.written[key] = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=age)
    kept.write([b"hello"])
    bucket.written[place(b"hello")] = bucket.written["store/models/incoming/2"]
    assert kept.sweep_incoming(24 * 3600) == 1
    assert sorted(bucket.objects) == ["store/models/incoming/0", place(b"hello")]
    forgotten, recent = kept.begin_parts("incoming/forgotten"), kept.begin_parts("incoming/recent")
    bucket.written[forgotten] = bucket.written["store/models/incoming/2"]
    assert kept.sweep_incoming(24 * 3600) == 1
    assert list(bucket.parts) == [recent]


def test_an_address_says_all_there_is_to_know() -> None:
    told = address_of(
        "s3://b/some/where/?endpoint=http://minio:9000&region=eu-1&public=https://s3.example.org&direct=no"
    )
    assert (told.bucket, told.prefix, told.endpoint, told.region) == ("b", "some/where/", "http://minio:9000", "eu-1")
    assert (told.public, told.direct) == ("https://s3.example.org", False)
    assert address_of("s3://b") == Address("b")


@pytest.mark.parametrize(
    "value", ["s3:", "s3://", "/srv", "gs://b", "s3://b?endpoit=x", "s3://b?direct=maybe", "s3://b?endpoint=minio:9000"]
)
def test_an_address_that_is_none_says_how_to_write_one(value: str) -> None:
    with pytest.raises(BadStore, match="s3://BUCKET/PREFIX"):
        address_of(value)


def test_the_place_of_a_blob_is_made_of_its_digest() -> None:
    assert blobs.path_of(sha256("x", HELLO)) == f"sha256/2c/f2/{HELLO}"
