"""Files that clients send to the bucket by themselves: there once we have read them, and never what we have not."""

from __future__ import annotations

import datetime
import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from django.utils import timezone

from accounts.actor import Actor
from accounts.permissions import RoleMissing
from lineage import tasks
from lineage.errors import RunDeleted
from lineage.models import DirectUpload, FolderFile, Run
from lineage.services import artifacts, direct, experiments, runs
from lineage.services.artifacts import Place
from lineage.storage import store
from lineage.storage.blobs import FileTooLarge, StoreFails
from lineage.storage.s3 import BadParts, Bucket
from registry.services import catalog
from registry.services.catalog import Origin
from tests import make
from tests.fake_s3 import Kept

pytestmark = pytest.mark.django_db

Sent = list[tuple[int, str]]


@pytest.fixture
def run(requester: Actor) -> Run:
    return runs.create(requester, experiments.default(requester), tags={})


def put(url: str, content: bytes) -> str:
    """Send it as a client does, without a token; the ETag."""
    request = urllib.request.Request(url, data=content, method="PUT", headers={"Content-Type": "x/y"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.headers["ETag"])


def send(actor: Actor, place: Place, path: str, *parts: bytes) -> tuple[str, Sent]:
    begun = direct.begin_parts(actor, place, path, len(parts))
    return begun.upload, [(n, put(url, part)) for n, (url, part) in enumerate(zip(begun.urls, parts, strict=True), 1)]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def only_blobs(bucket: Kept, *contents: bytes) -> bool:
    found = {key.rpartition("/")[2]: content for key, content in bucket.objects.items()}
    return found == {digest(content): content for content in contents} and not bucket.parts


def test_parts_become_a_file_under_the_digest_of_the_whole(requester: Actor, bucket: Kept, run: Run) -> None:
    place = Place(run=run)
    upload, parts = send(requester, place, "model/weights.bin", b"one ", b"two ", b"three")
    assert not FolderFile.objects.exists()
    direct.finish_parts(requester, place, "model/weights.bin", upload, parts)
    file = FolderFile.objects.get()
    assert (file.path, file.sha256, file.size) == ("model/weights.bin", digest(b"one two three"), 13)
    assert file.uploaded_by_id == requester.user_id
    assert only_blobs(bucket, b"one two three")
    direct.finish_parts(requester, place, "model/weights.bin", upload, parts)  # as clients repeat it
    assert FolderFile.objects.count() == 1


def test_one_put_becomes_a_file_when_it_is_looked_for(requester: Actor, bucket: Kept, run: Run) -> None:
    place = Place(run=run)
    url = direct.begin_whole(requester, place, "a.bin")
    folder = direct.folder_of(requester, place)
    assert folder is not None
    assert not folder.files.exists()
    put(url, b"hello")
    direct.folder_of(requester, place)
    assert folder.files.get().sha256 == digest(b"hello")
    assert only_blobs(bucket, b"hello")


def test_what_nobody_looks_for_is_taken_in_by_the_clock(requester: Actor, bucket: Kept, run: Run) -> None:
    put(direct.begin_whole(requester, Place(run=run), "a.bin"), b"hello")
    tasks.take_in_uploads()
    assert FolderFile.objects.get().sha256 == digest(b"hello")
    DirectUpload.objects.update(expires_at="2020-01-01T00:00:00Z")
    tasks.take_in_uploads()
    assert not DirectUpload.objects.exists()


def test_what_arrived_while_no_worker_ran_is_not_swept_away(requester: Actor, bucket: Kept, run: Run) -> None:
    put(direct.begin_whole(requester, Place(run=run), "a.bin"), b"hello")
    bucket.objects["store/models/incoming/nobodys"] = b"x"
    for key in bucket.objects:
        bucket.written[key] = timezone.now() - datetime.timedelta(days=2)
    tasks.sweep_incoming()
    tasks.take_in_uploads()
    assert FolderFile.objects.get().sha256 == digest(b"hello")
    assert only_blobs(bucket, b"hello")


def test_bytes_that_change_while_they_are_read_are_not_taken_for_those_that_were(
    requester: Actor, bucket: Kept, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = direct.begin_whole(requester, Place(run=run), "a.bin")
    put(url, b"good")
    measured = Bucket.measure

    def and_meanwhile(self: Bucket, key: str, *, until: float) -> Any:
        found = measured(self, key, until=until)
        put(url, b"evil")
        return found

    monkeypatch.setattr(Bucket, "measure", and_meanwhile)
    direct.folder_of(requester, Place(run=run))
    for key, content in bucket.objects.items():
        if "sha256" in key:
            assert key.endswith(digest(content))
    assert FolderFile.objects.get().sha256 == digest(b"good")


def test_nothing_is_registered_before_it_was_read(
    requester: Actor, bucket: Kept, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(run=run)
    artifacts.upload(requester, place, "model/MLmodel", [b"x"])
    upload, parts = send(requester, place, "model/weights.bin", b"weights")
    monkeypatch.setattr(direct, "READING", -1)
    direct.finish_parts(requester, place, "model/weights.bin", upload, parts)
    make.model(requester)
    origin = Origin(source="runs:/x/model", place=place, path="model")
    with pytest.raises(artifacts.DigestUnknown, match=r"model/weights\.bin"):
        catalog.register_version(requester, "churn", origin)
    tasks.take_in_uploads()
    version = catalog.register_version(requester, "churn", origin).version
    assert version.manifest
    assert version.manifest.files.get(path="weights.bin").sha256 == digest(b"weights")


@pytest.mark.parametrize("why", ["too little time", "another reads it"])
def test_nothing_is_registered_while_one_put_was_not_read(
    requester: Actor, bucket: Kept, run: Run, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    place = Place(run=run)
    artifacts.upload(requester, place, "model/MLmodel", [b"x"])
    put(direct.begin_whole(requester, place, "model/weights.bin"), b"weights")
    if why == "too little time":
        monkeypatch.setattr(direct, "READING", -1)
    else:
        DirectUpload.objects.update(read_until="2100-01-01T00:00:00Z")
    make.model(requester)
    direct.take_in(requester, place)
    with pytest.raises(artifacts.DigestUnknown, match=r"model/weights\.bin"):
        catalog.register_version(requester, "churn", Origin(source="runs:/x/model", place=place, path="model"))


def test_what_arrived_is_not_forgotten_when_nobody_found_the_time_to_read_it(
    requester: Actor, bucket: Kept, run: Run
) -> None:
    put(direct.begin_whole(requester, Place(run=run), "a.bin"), b"hello")
    DirectUpload.objects.update(expires_at="2020-01-01T00:00:00Z")
    assert direct.take_in_due(seconds=-1) == 1
    assert direct.take_in_due(seconds=10) == 1
    assert FolderFile.objects.get().sha256 == digest(b"hello")


def test_a_repeated_completion_that_the_first_overtakes_is_no_mistake(
    requester: Actor, bucket: Kept, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(run=run)
    upload, parts = send(requester, place, "f", b"content")
    finish = Bucket.finish_parts

    def overtaken(*given: Any) -> None:
        monkeypatch.setattr(Bucket, "finish_parts", finish)
        direct.finish_parts(requester, place, "f", upload, parts)
        finish(*given)

    monkeypatch.setattr(Bucket, "finish_parts", overtaken)
    direct.finish_parts(requester, place, "f", upload, parts)
    assert FolderFile.objects.get().sha256 == digest(b"content")


def test_what_arrives_after_registering_is_refused_and_its_bytes_go(requester: Actor, bucket: Kept, run: Run) -> None:
    place = Place(run=run)
    artifacts.upload(requester, place, "model/MLmodel", [b"x"])
    upload, parts = send(requester, place, "model/weights.bin", b"weights")
    late = direct.begin_whole(requester, place, "model/late.bin")
    make.model(requester)
    catalog.register_version(requester, "churn", Origin(source="runs:/x/model", place=place, path="model"))
    with pytest.raises(artifacts.FileSealed):
        direct.finish_parts(requester, place, "model/weights.bin", upload, parts)
    put(late, b"late")
    direct.folder_of(requester, place)
    assert FolderFile.objects.get().path == "model/MLmodel"
    assert not DirectUpload.objects.exists()
    assert not [key for key in bucket.objects if "incoming" in key]
    with pytest.raises(artifacts.FileSealed):
        direct.begin_parts(requester, place, "model/more", 1)


def test_a_file_that_takes_too_long_to_read_is_read_by_the_clock(
    requester: Actor, bucket: Kept, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, parts = send(requester, Place(run=run), "big", b"big")
    monkeypatch.setattr(direct, "READING", -1)
    direct.finish_parts(requester, Place(run=run), "big", upload, parts)
    assert not FolderFile.objects.exists()
    assert DirectUpload.objects.get().read_until is None
    tasks.take_in_uploads()
    assert FolderFile.objects.get().sha256 == digest(b"big")


def test_what_another_reads_just_now_is_left_to_him(requester: Actor, bucket: Kept, run: Run) -> None:
    put(direct.begin_whole(requester, Place(run=run), "a"), b"hello")
    DirectUpload.objects.update(read_until="2100-01-01T00:00:00Z")
    direct.folder_of(requester, Place(run=run))
    assert not FolderFile.objects.exists()


def test_a_crash_after_the_store_made_one_file_of_the_parts_is_made_good(
    requester: Actor, bucket: Kept, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(run=run)
    upload, parts = send(requester, place, "f", b"content")
    row = DirectUpload.objects.get()
    store.direct().finish_parts(row.key, row.parts, parts)
    direct.finish_parts(requester, place, "f", upload, parts)
    assert FolderFile.objects.get().sha256 == digest(b"content")


def test_at_whatever_step_the_store_fails_the_repeated_call_finishes(
    requester: Actor, bucket: Kept, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, steps = Place(run=run), 7
    for step in range(steps + 1):
        path, content = f"{step}", f"content {step}".encode()
        upload, parts = send(requester, place, path, content)
        left = iter(range(step))
        monkeypatch.setattr(bucket, "broken", Until(left))
        with pytest.raises(StoreFails) if step < steps else nullcontext():
            direct.finish_parts(requester, place, path, upload, parts)
        bucket.broken = False
        direct.finish_parts(requester, place, path, upload, parts)
        assert FolderFile.objects.get(path=path).sha256 == digest(content)


class Until:
    """False as many times as there are things left, then true."""

    def __init__(self, left: Iterator[object]):
        self._left = left

    def __bool__(self) -> bool:
        return next(self._left, None) is None


def test_an_upload_that_is_abandoned_leaves_nothing(requester: Actor, bucket: Kept, run: Run) -> None:
    place = Place(run=run)
    upload, parts = send(requester, place, "f", b"content")
    direct.abandon_parts(requester, place, "f", upload)
    direct.abandon_parts(requester, place, "f", upload)
    assert only_blobs(bucket)
    with pytest.raises(direct.NoSuchUpload):
        direct.finish_parts(requester, place, "f", upload, parts)


def test_other_parts_than_were_sent_are_refused_and_the_right_ones_pass(
    requester: Actor, bucket: Kept, run: Run
) -> None:
    place = Place(run=run)
    upload, parts = send(requester, place, "f", b"one", b"two")
    with pytest.raises(BadParts):
        direct.finish_parts(requester, place, "f", upload, [(1, '"0"')])
    direct.finish_parts(requester, place, "f", upload, parts)
    assert FolderFile.objects.get().sha256 == digest(b"onetwo")


def test_an_upload_belongs_to_who_began_it_and_to_its_path(
    requester: Actor, administrator: Actor, outsider: Actor, bucket: Kept, run: Run
) -> None:
    place = Place(run=run)
    upload, parts = send(requester, place, "f", b"content")
    for who, path in ((administrator, "f"), (requester, "g"), (outsider, "f")):
        with pytest.raises(direct.NoSuchUpload):
            direct.finish_parts(who, place, path, upload, parts)


def test_who_may_not_upload_gets_no_url(viewer: Actor, requester: Actor, bucket: Kept, run: Run) -> None:
    for begin in (
        lambda: direct.begin_parts(viewer, Place(run=run), "f", 1),
        lambda: direct.begin_whole(viewer, Place(run=run), "f"),
    ):
        with pytest.raises(RoleMissing):
            begin()
    Run.objects.update(deleted_at=timezone.now())
    with pytest.raises(RunDeleted):
        direct.begin_parts(requester, Place(run=Run.objects.get()), "f", 1)
    assert bucket.seen == []


@pytest.mark.parametrize("count", [0, -1, 10_001])
def test_a_number_of_parts_that_no_store_takes_is_refused(requester: Actor, bucket: Kept, run: Run, count: int) -> None:
    with pytest.raises(direct.TooManyParts):
        direct.begin_parts(requester, Place(run=run), "f", count)


def test_a_file_over_the_limit_is_not_taken_in(requester: Actor, bucket: Kept, run: Run, settings: Any) -> None:
    settings.VOUCH_MAX_FILE_BYTES = 5
    upload, parts = send(requester, Place(run=run), "f", b"six by")
    with pytest.raises(FileTooLarge):
        direct.finish_parts(requester, Place(run=run), "f", upload, parts)
    assert only_blobs(bucket)


def test_a_url_is_for_one_key_one_method_and_a_short_time(requester: Actor, bucket: Kept, run: Run) -> None:
    file, _ = artifacts.upload(requester, Place(run=run), "a", [b"mine"])
    other, _ = artifacts.upload(requester, Place(run=run), "b", [b"other"])
    url = direct.download_url(file, disposition='attachment; filename="a"', seconds=604_800)
    assert "X-Amz-Expires=3600" in url
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"mine"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="a"'
        assert answer.headers["Content-Type"] == "application/octet-stream"
    stolen = url.replace(file.sha256, other.sha256).replace(f"/{file.sha256[:2]}/", f"/{other.sha256[:2]}/")
    for method, tried in (("GET", stolen), ("PUT", url), ("DELETE", url), ("GET", url.replace("3600", "3601"))):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(tried, method=method), timeout=10)
    short = direct.download_url(file, disposition="attachment", seconds=1)
    time.sleep(2.1)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(short, timeout=10)


def test_clients_are_sent_to_the_address_that_they_can_reach(
    requester: Actor, bucket: Kept, run: Run, settings: Any
) -> None:
    settings.VOUCH_ARTIFACTS += "&public=https://s3.example.org"
    assert direct.begin_whole(requester, Place(run=run), "f").startswith(
        "https://s3.example.org/store/models/incoming/"
    )


def test_nothing_is_removed_that_a_version_was_registered_from(requester: Actor, run: Run) -> None:
    place = Place(run=run)
    for path in ("model/MLmodel", "model/data/w", "notes/a", "notes/b", "model2"):
        artifacts.upload(requester, place, path, [path.encode()])
    make.model(requester)
    catalog.register_version(requester, "churn", Origin(source="runs:/x/model/data", place=place, path="model/data"))
    for sealed in ("", "model", "model/data", "model/data/w"):
        with pytest.raises(artifacts.FilesSealed):
            artifacts.remove(requester, place, sealed)
    assert artifacts.remove(requester, place, "model/MLmodel") == 1
    assert artifacts.remove(requester, place, "notes") == 2
    assert artifacts.remove(requester, place, "notes") == 0
    assert artifacts.remove(requester, place, "model/data/absent") == 0
    assert sorted(FolderFile.objects.values_list("path", flat=True)) == ["model/data/w", "model2"]


def test_a_viewer_removes_nothing(viewer: Actor, requester: Actor, run: Run) -> None:
    artifacts.upload(requester, Place(run=run), "a", [b"x"])
    with pytest.raises(RoleMissing):
        artifacts.remove(viewer, Place(run=run), "a")
