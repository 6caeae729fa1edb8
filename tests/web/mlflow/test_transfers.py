"""Signed URLs on the wire: only where the files lie in a bucket, and in the forms that the clients read."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest
from django.test import Client

from lineage.models import FolderFile
from tests.fake_s3 import Kept
from tests.web.mlflow.conftest import Answer, Door

pytestmark = pytest.mark.django_db

MPU = "mlflow-artifacts/mpu"


def put(url: str, content: bytes) -> str:
    request = urllib.request.Request(url, data=content, method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.headers["ETag"])


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def send(door: Door, directory: str, name: str, *parts: bytes) -> tuple[Answer, Answer]:
    begun = door.post(f"{MPU}/create/{directory}", {"path": name, "num_parts": len(parts)})
    sent = [
        {"part_number": one["part_number"], "etag": put(one["url"], part), "url": one["url"]}
        for one, part in zip(begun.body["credentials"], parts, strict=True)
    ]
    body = {"path": name, "upload_id": begun.body["upload_id"], "parts": sent}
    return begun, door.post(f"{MPU}/complete/{directory}", body)


def test_a_file_in_parts_lies_below_the_directory_under_the_last_part_of_its_name(ci: Door, bucket: Kept) -> None:
    run_id = ci.run()
    begun, done = send(ci, f"0/{run_id}/artifacts/model", "/home/me/weights.bin", b"one", b"two")
    assert [(one["part_number"], one["headers"]) for one in begun.body["credentials"]] == [(1, {}), (2, {})]
    assert (done.status, done.body) == (200, {})
    assert ci.get(f"mlflow-artifacts/artifacts/0/{run_id}/artifacts/model/weights.bin").content == b"onetwo"
    listed = ci.get("mlflow/artifacts/list", run_id=run_id, path="model").body["files"]
    assert listed == [{"path": "model/weights.bin", "is_dir": False, "file_size": 6}]


def test_an_upload_is_given_up(ci: Door, bucket: Kept) -> None:
    run_id = ci.run()
    where = f"0/{run_id}/artifacts"
    begun = ci.post(f"{MPU}/create/{where}", {"path": "f", "num_parts": 1}).body
    put(begun["credentials"][0]["url"], b"x")
    for _ in range(2):
        given_up = ci.post(f"{MPU}/abort/{where}", {"path": "f", "upload_id": begun["upload_id"]})
        assert (given_up.status, given_up.body) == (200, {})
    assert not bucket.parts


def test_a_file_is_fetched_from_the_store_by_who_may_read_it(ci: Door, stranger: Door, bucket: Kept) -> None:
    version = ci.version()
    uri = ci.get("mlflow/model-versions/get-download-uri", name="churn", version="1").body["artifact_uri"]
    path = f"mlflow-artifacts/presigned/{uri.removeprefix('mlflow-artifacts:/')}/MLmodel"
    told = ci.get(path)
    assert get(told.body["url"]) == version["run_id"].encode()
    assert (told.body["headers"], told.body["file_size"]) == ({}, 32)
    assert "sha256" in told.body["url"]
    assert stranger.get(path).status == 404
    asked = {"run_id": version["run_id"], "path": "model/MLmodel", "expiration": 60}
    told = ci.post("mlflow/artifacts/presigned-download-url", asked)
    assert get(told.body["presigned_url"]) == version["run_id"].encode()
    assert "X-Amz-Expires=60" in told.body["presigned_url"]
    assert stranger.post("mlflow/artifacts/presigned-download-url", asked).status == 404


def test_a_file_that_nobody_has_listed_yet_does_not_come_back_after_it_was_deleted(ci: Door, bucket: Kept) -> None:
    run_id = ci.run()
    asked = {"run_id": run_id, "path": "model/w"}
    put(ci.post("mlflow/artifacts/presigned-upload-url", asked).body["presigned_url"], b"weights")
    assert ci.raw("DELETE", f"mlflow-artifacts/artifacts/0/{run_id}/artifacts/model", b"").status == 200
    assert "files" not in ci.get("mlflow/artifacts/list", run_id=run_id).body


def test_a_file_of_a_run_or_a_logged_model_is_sent_by_one_put(ci: Door, bucket: Kept) -> None:
    run_id = ci.run()
    model_id = ci.post("mlflow/logged-models", {"experiment_id": "0"}).body["model"]["info"]["model_id"]
    for owner, where in (
        ({"run_id": run_id}, f"0/{run_id}/artifacts"),
        ({"model_id": model_id}, f"0/models/{model_id}/artifacts"),
    ):
        told = ci.post("mlflow/artifacts/presigned-upload-url", {**owner, "path": "deep/f.bin"})
        put(told.body["presigned_url"], b"sent")
        assert ci.get(f"mlflow-artifacts/artifacts/{where}/deep/f.bin").content == b"sent"


def test_a_version_is_made_of_what_was_sent_a_moment_ago(ci: Door, bucket: Kept) -> None:
    run_id = ci.run()
    put(ci.post("mlflow/artifacts/presigned-upload-url", {"run_id": run_id, "path": "m/a"}).body["presigned_url"], b"a")
    ci.post("mlflow/registered-models/create", {"name": "churn"})
    source = f"mlflow-artifacts:/0/{run_id}/artifacts/m"
    made = ci.post("mlflow/model-versions/create", {"name": "churn", "source": source, "run_id": run_id})
    assert made.status == 200
    assert "manifest_digest" in made.body["model_version"]


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("mlflow/artifacts/presigned-upload-url", {"path": "a"}, "Exactly one of run_id and model_id"),
        ("mlflow/artifacts/presigned-upload-url", {"path": "a", "run_id": "R", "model_id": "m"}, "Exactly one"),
        ("mlflow/artifacts/presigned-upload-url", {"path": "../a", "run_id": "R"}, "Invalid path"),
        ("mlflow/artifacts/presigned-upload-url", {"run_id": "R"}, "'path'"),
        (
            "mlflow/artifacts/presigned-upload-url",
            {"path": "a", "run_id": "R", "expiration": 0},
            "between 1 and 604800",
        ),
        ("mlflow/artifacts/presigned-download-url", {"path": "a", "run_id": "R", "expiration": 604801}, "604800"),
        ("mlflow/artifacts/presigned-download-url", {"path": "a"}, "'run_id'"),
        ("mlflow-artifacts/mpu/create/0/R/artifacts", {"path": "a", "num_parts": 0}, "no number of parts"),
        ("mlflow-artifacts/mpu/create/0/R/artifacts", {"path": "a", "num_parts": 10001}, "no number of parts"),
        ("mlflow-artifacts/mpu/create/0/R/artifacts", {"num_parts": 1}, "'path'"),
        ("mlflow-artifacts/mpu/create/0/R/artifacts", {"path": "..", "num_parts": 1}, "Invalid path"),
        ("mlflow-artifacts/mpu/complete/0/R/artifacts", {"path": "a"}, "'upload_id'"),
        (
            "mlflow-artifacts/mpu/complete/0/R/artifacts",
            {"path": "a", "upload_id": "x", "parts": [{"part_number": 1, "etag": "a b\n"}]},
            "etag",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named(ci: Door, bucket: Kept, path: str, body: dict[str, Any], told: str) -> None:
    run_id = ci.run()
    answer = ci.post(path.replace("R", run_id), {k: run_id if v == "R" else v for k, v in body.items()})
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert told in answer.message
    assert not bucket.objects


def test_frozen_and_unknown_places_take_nothing(ci: Door, bucket: Kept) -> None:
    ci.version()
    uri = ci.get("mlflow/model-versions/get-download-uri", name="churn", version="1").body["artifact_uri"]
    frozen = uri.removeprefix("mlflow-artifacts:/")
    assert ci.post(f"{MPU}/create/{frozen}", {"path": "a", "num_parts": 1}).status == 409
    assert ci.post(f"{MPU}/create/nowhere", {"path": "a", "num_parts": 1}).status == 404
    answer = ci.post(f"{MPU}/complete/0/{ci.run()}/artifacts", {"path": "a", "upload_id": "0" * 32, "parts": []})
    assert (answer.status, answer.code) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_on_a_disk_clients_are_told_to_use_the_proxy(ci: Door) -> None:
    run_id = ci.run()
    ci.put(f"0/{run_id}/artifacts/f", b"x")
    for call in ("create", "complete", "abort"):
        answer = ci.post(f"{MPU}/{call}/0/{run_id}/artifacts", {"path": "g", "num_parts": 1})
        assert (answer.status, answer.code) == (501, "NOT_IMPLEMENTED")
        assert answer.message.startswith("Multipart upload is not supported for the current artifact repository")
    answer = ci.get(f"mlflow-artifacts/presigned/0/{run_id}/artifacts/f")
    assert (answer.status, answer.code) == (501, "NOT_IMPLEMENTED")
    for what in ("upload", "download"):
        answer = ci.post(f"mlflow/artifacts/presigned-{what}-url", {"run_id": run_id, "path": "f"})
        assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
        assert f"Presigned {what} is not supported for proxied artifact storage" in answer.message


def test_the_capabilities_are_those_of_the_store(bucket: Kept, settings: Any, db: None) -> None:
    def told() -> set[bool]:
        body = Client().get("/api/3.0/mlflow/server-info").json()
        names = ("multipart_uploads_enabled", "multipart_downloads_enabled", "presigned_upload_run_id_supported")
        return {body[name] for name in names}

    assert told() == {True}
    settings.VOUCH_ARTIFACTS += "&direct=no"
    assert told() == {False}
    settings.VOUCH_ARTIFACTS = ""
    assert told() == {False}


def test_a_store_that_does_not_answer_is_503_with_a_time_to_come_again(ci: Door, bucket: Kept) -> None:
    run_id = ci.run()
    bucket.broken = True
    answer = ci.put(f"0/{run_id}/artifacts/f", b"x")
    assert (answer.status, answer.code) == (503, "TEMPORARILY_UNAVAILABLE")
    assert answer.headers["Retry-After"] == "2"
    assert not FolderFile.objects.exists()
    bucket.broken = False
    assert ci.put(f"0/{run_id}/artifacts/f", b"x").status == 200
