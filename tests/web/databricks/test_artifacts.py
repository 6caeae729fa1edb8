"""The files of a version on the Databricks wire: listed, and fetched by links that need no token."""

from __future__ import annotations

import datetime
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.actor import Actor
from config.logs import formatter
from lineage.models import ManifestFile
from lineage.services import artifacts
from lineage.services.artifacts import Place
from registry.models import Version
from registry.services import catalog
from registry.services.catalog import Origin
from tests import make
from tests.fake_s3 import Kept
from tests.web.mlflow.conftest import Door

pytestmark = pytest.mark.django_db

LIST = "mlflow/model-versions/list-artifacts"
SIGNED = "mlflow/model-versions/get-signed-download-uri"


@pytest.fixture
def version(requester: Actor) -> Version:
    """Version 1 of churn, with three files."""
    for path in ("MLmodel", "data/weights.bin", "data/ü.txt"):
        artifacts.upload(requester, Place(upload_name="b"), path, [path.encode()])
    make.model(requester)
    return catalog.register_version(requester, "churn", Origin("upload:b", place=Place(upload_name="b"))).version


@pytest.fixture
def reader(viewer: Actor) -> Door:
    return Door(make.token(viewer))


def link(reader: Door, path: str = "MLmodel") -> str:
    answer = reader.get(SIGNED, name="churn", version="1", path=path)
    assert (answer.status, answer.body["headers"]) == (200, [])
    return str(answer.body["signed_uri"])


def fetched(uri: str, **headers: str) -> tuple[int, bytes]:
    """What who has the link and no token gets."""
    answer = Client().get(urlsplit(uri).path, headers=headers)
    return answer.status_code, b"".join(answer) if answer.streaming else answer.content


def test_files_are_listed_by_level_relative_to_the_version(version: Version, reader: Door) -> None:
    def listed(path: str) -> list[tuple[str, bool, int | None]]:
        body = reader.get(LIST, name="churn", version="1", path=path).body
        assert body["root_uri"] == f"mlflow-artifacts:/versions/{version.pk.hex}"
        return [(file["path"], file["is_dir"], file.get("file_size")) for file in body.get("files", [])]

    assert listed("") == [("MLmodel", False, 7), ("data", True, None)]
    assert listed("data") == [("data/weights.bin", False, 16), ("data/ü.txt", False, 11)]
    assert listed("MLmodel") == [("MLmodel", False, 7)]
    assert listed("none") == []
    assert reader.get(LIST, name="churn", version="1", path="../x").status == 400
    assert reader.get(LIST, name="churn", version="2").status == 404


def test_a_version_whose_bytes_lie_elsewhere_has_no_files(requester: Actor, reader: Door) -> None:
    make.model(requester)
    catalog.register_version(requester, "churn", Origin("s3://theirs/model"))
    assert reader.get(LIST, name="churn", version="1").body == {"root_uri": "s3://theirs/model"}
    assert reader.get(SIGNED, name="churn", version="1", path="MLmodel").status == 404


def test_a_link_needs_no_token_and_gives_one_file(version: Version, reader: Door) -> None:
    uri = link(reader, "data/ü.txt")
    assert uri.startswith("http://127.0.0.1:8000/signed/")
    assert uri.endswith("/%C3%BC.txt")
    assert fetched(uri) == (200, "data/ü.txt".encode())
    assert fetched(uri, Range="bytes=0-3") == (206, b"data")
    answer = Client().get(urlsplit(link(reader)).path)
    assert answer["Content-Disposition"] == 'attachment; filename="MLmodel"'
    assert answer["Cache-Control"] == "private, no-store"
    assert "sandbox" in answer["Content-Security-Policy"]
    assert Client().post(urlsplit(uri).path).status_code == 405


def test_a_link_that_lives_is_not_in_the_log(version: Version, reader: Door, caplog: pytest.LogCaptureFixture) -> None:
    uri = link(reader)
    assert fetched(uri, Range="bytes=99-")[0] == 416
    logged = [formatter().format(record) for record in caplog.records if "/signed/" in record.getMessage()]
    assert logged
    assert all("/signed/[redacted]/MLmodel" in line for line in logged)
    assert not [line for line in logged if urlsplit(uri).path.split("/")[2] in line]


def test_a_link_dies_in_a_quarter_of_an_hour_and_with_its_version(
    version: Version, reader: Door, requester: Actor
) -> None:
    uri = link(reader)
    with time_machine.travel(timezone.now() + datetime.timedelta(minutes=14)):
        assert fetched(uri)[0] == 200
    with time_machine.travel(timezone.now() + datetime.timedelta(minutes=16)):
        assert fetched(uri)[0] == 403
    catalog.delete_version(requester, "churn", 1)
    assert fetched(uri)[0] == 403


def test_a_link_that_was_tampered_with_gives_nothing(version: Version, reader: Door) -> None:
    secret = urlsplit(link(reader)).path.split("/")[2]
    payload, rest = secret.split(":", 1)
    other = urlsplit(link(reader, "data/weights.bin")).path.split("/")[2].split(":", 1)[0]
    for bad in (f"{other}:{rest}", f"{payload[:-1]}A:{rest}", payload, "x", f"{payload}:{rest[:-1]}", "%00"):
        answer = Client().get(f"/signed/{bad}/MLmodel")
        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")


def test_a_link_is_for_the_bytes_that_were_there(version: Version, reader: Door) -> None:
    uri = link(reader)
    ManifestFile.objects.filter(path="MLmodel").update(sha256="0" * 64)
    assert fetched(uri)[0] == 403


def test_a_link_to_a_bucket_where_clients_may_not_go_outlives_that_it_fails(
    bucket: Kept, version: Version, reader: Door, settings: Any
) -> None:
    settings.VOUCH_ARTIFACTS += "&direct=no"
    uri = link(reader)
    bucket.broken = True
    answer = Client(raise_request_exception=False).get(urlsplit(uri).path)
    assert (answer.status_code, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert answer["Retry-After"] == "2"
    bucket.broken = False
    assert fetched(uri) == (200, b"MLmodel")


def test_who_cannot_see_the_version_gets_no_link(version: Version, outsider: Actor) -> None:
    stranger = Door(make.token(outsider))
    assert stranger.get(SIGNED, name="churn", version="1", path="MLmodel").status == 404
    assert stranger.get(LIST, name="churn", version="1").status == 404


def test_from_a_bucket_the_link_leads_to_the_store(bucket: Kept, version: Version, reader: Door) -> None:
    uri = link(reader)
    assert "X-Amz-Signature" in uri
    with urllib.request.urlopen(uri, timeout=10) as answer:
        assert answer.read() == b"MLmodel"
