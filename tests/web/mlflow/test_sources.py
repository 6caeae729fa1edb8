"""Which source URIs become versions, and of whose bytes."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from lineage.models import Experiment, LoggedModel
from registry.models import Model, Version
from tests.web.mlflow.conftest import Answer, Door

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def churn(ci: Door) -> None:
    ci.post("mlflow/registered-models/create", {"name": "churn"})


def register(door: Door, source: str, **more: str) -> Answer:
    return door.post("mlflow/model-versions/create", {"name": "churn", "source": source, **more})


def logged_model(door: Door, run_id: str = "", name: str = "model") -> str:
    body = {"experiment_id": "0", "name": name, "source_run_id": run_id}
    model_id = door.post("mlflow/logged-models", body).body["model"]["info"]["model_id"]
    assert door.put(f"0/models/{model_id}/artifacts/MLmodel", model_id.encode()).status == 200
    return model_id


CLIMBING = [
    "s3://bucket/../other",
    "s3://bucket/%2e%2e/other",
    "s3://bucket/%252e%252e/other",
    "s3://bucket/..%2fother",
    "s3://bucket/a\\..\\b",
    "s3://bucket/a\x00b",
    "s3://bucket/a\nb",
    "s3://bucket/a\u202eb",
    "mlflow-artifacts:/0/../versions/x",
    "mlflow-artifacts:/0/{run}/artifacts/../../secret",
    "mlflow-artifacts:/0/{run}/artifacts/%2e%2e/secret",
    "runs:/{run}/../x",
    "models:/churn/../x",
    "file:///etc/passwd",
    "FILE:/etc/passwd",
    "/etc/passwd",
    "etc/passwd",
    "C:\\model",
    "",
]
ELSEWHERE = [
    "http://example.org/model",
    "https://example.org/model",
    "ftp://example.org/model",
    "hdfs://example.org/model",
    "abfss://a@example.org/model",
    "mlflow-artifacts://example.org/0/{run}/artifacts/model",
]
NOT_THEIRS = [
    "mlflow-artifacts:/0",
    "mlflow-artifacts:/",
    "mlflow-artifacts:/1/{run}/artifacts/model",
    "mlflow-artifacts:/versions/00000000000000000000000000000000",
    "models:/m-00000000000000000000000000000000",
    "models:/churn",
    "models:/churn/1",
    "models:/churn@nobody",
    "models:/nothing/1",
    "runs:/00000000000000000000000000000000/model",
    "runs:/",
    "runs:/{run}/nothing",
    "mlflow-artifacts:/0/{run}/artifacts/nothing",
]


@pytest.mark.parametrize("source", CLIMBING + ELSEWHERE + NOT_THEIRS)
def test_a_source_that_will_not_do_is_a_4xx_and_makes_no_version(ci: Door, source: str) -> None:
    run_id, _ = ci.run_with_model()
    answer = register(ci, source.format(run=run_id), run_id=run_id)
    assert answer.status in (400, 404)
    assert answer.code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
    assert not Version.objects.exists()
    assert Model.objects.get().last_version == 0


def test_a_place_in_a_runs_folder_needs_that_run(ci: Door) -> None:
    run_id, source = ci.run_with_model()
    other = ci.run()
    for sent in ({}, {"run_id": other}):
        answer = register(ci, source, **sent)
        assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
        assert "run_id" in answer.message
    assert register(ci, f"runs:/{run_id}/model", run_id=other).status == 400
    assert register(ci, source, run_id=run_id).body["model_version"]["run_id"] == run_id


def test_runs_uris_name_the_same_bytes_as_the_place_itself(ci: Door) -> None:
    run_id, source = ci.run_with_model()
    one, two = (register(ci, uri, run_id=run_id) for uri in (source, f"runs:/{run_id}/model"))
    assert one.body["model_version"]["manifest_digest"] == two.body["model_version"]["manifest_digest"]


def test_a_logged_model_brings_its_run_along(ci: Door) -> None:
    run_id = ci.run()
    model_id = logged_model(ci, run_id)
    made = register(ci, f"models:/{model_id}", model_id=model_id).body["model_version"]
    assert (made["run_id"], made["model_id"], made["source"]) == (run_id, model_id, f"models:/{model_id}")
    for sent in ({}, {"model_id": "m-" + "0" * 32}, {"model_id": model_id, "run_id": ci.run()}):
        assert register(ci, f"models:/{model_id}", **sent).status == 400


def test_a_logged_models_own_folder_is_a_source_too(ci: Door) -> None:
    model_id = logged_model(ci)
    uri = f"mlflow-artifacts:/0/models/{model_id}/artifacts"
    assert register(ci, uri).status == 400
    assert register(ci, uri, model_id=model_id).body["model_version"]["model_id"] == model_id


def test_a_deleted_logged_model_is_not_there_and_not_elsewhere(ci: Door) -> None:
    mine = logged_model(ci)
    LoggedModel.objects.update(deleted_at=timezone.now())
    assert register(ci, f"models:/{mine}", model_id=mine).status == 404


def test_a_copy_of_a_version_has_its_bytes_and_its_run(ci: Door) -> None:
    run_id, source = ci.run_with_model()
    first = register(ci, source, run_id=run_id).body["model_version"]
    ci.post("mlflow/registered-models/alias", {"name": "churn", "alias": "champion", "version": "1"})
    ci.post("mlflow/registered-models/create", {"name": "copy"})
    for reference in ("models:/churn/1", "models:/churn@champion", "models:/churn/None"):
        body = {"name": "copy", "source": reference, "description": reference}
        made = ci.post("mlflow/model-versions/create", body).body["model_version"]
        assert (made["source"], made["run_id"]) == ("models:/churn/1", run_id)
        assert made["manifest_digest"] == first["manifest_digest"]
    wrong = {"name": "copy", "source": "models:/churn/1", "run_id": ci.run()}
    assert ci.post("mlflow/model-versions/create", wrong).status == 400


# --- On another tracking server ---------------------------------------------------------------------------------------

THEIRS = "0123456789abcdef0123456789abcdef"
ON_ANOTHER_SERVER = [
    (f"models:/m-{THEIRS}", {"model_id": f"m-{THEIRS}"}),
    (f"models:/m-{THEIRS}", {"model_id": f"m-{THEIRS}", "run_id": THEIRS}),
    (f"runs:/{THEIRS}/model", {"run_id": THEIRS}),
    ("runs:/a-run-of-theirs/some dir/model", {"run_id": "a-run-of-theirs"}),
    (f"mlflow-artifacts:/8/{THEIRS}/artifacts/model", {"run_id": THEIRS}),
    (f"mlflow-artifacts:/some/root/{THEIRS}/artifacts/model", {"run_id": THEIRS}),
    (f"mlflow-artifacts:/8/models/m-{THEIRS}/artifacts", {"model_id": f"m-{THEIRS}"}),
]


@pytest.mark.parametrize(("source", "sent"), ON_ANOTHER_SERVER)
def test_what_is_not_here_lies_on_another_tracking_server(ci: Door, source: str, sent: dict[str, str]) -> None:
    made = register(ci, source, **sent).body["model_version"]
    assert (made["source"], made["run_id"], made["status"]) == (source, sent.get("run_id", ""), "READY")
    assert "manifest_digest" not in made
    assert "This server does not know" in made["status_message"]
    uri = ci.get("mlflow/model-versions/get-download-uri", name="churn", version="1").body["artifact_uri"]
    assert uri == source


def test_what_others_logged_here_is_told_from_nothing_by_nobody(ci: Door, stranger: Door) -> None:
    theirs, run_id = logged_model(stranger), stranger.run_with_model()[0]
    for source, sent in (
        (f"models:/{theirs}", {"model_id": theirs}),
        (f"runs:/{run_id}/model", {"run_id": run_id}),
        (f"mlflow-artifacts:/0/{run_id}/artifacts/model", {"run_id": run_id}),
    ):
        made = register(ci, source, **sent).body["model_version"]
        assert made["status_message"].startswith("This server does not know")
    assert not Version.objects.filter(manifest__isnull=False).exists()


@pytest.mark.parametrize(
    "source",
    [
        "mlflow-artifacts:/0/{run}/artifacts/{theirs}/model",  # a folder here that is written to
        "mlflow-artifacts:/0/{run}/artifacts?/{theirs}/model",
        "mlflow-artifacts:/0/{run}/artifacts#/{theirs}/model",
        "mlflow-artifacts:/0/{coded}/artifacts/{theirs}/model",
        "mlflow-artifacts:/0/{theirs}/artifacts/model%2fa",
        "mlflow-artifacts:/8/artifacts/model",
        "runs:/{theirs}/model?x",
        "runs:/{theirs}/%6dodel",
        "runs://{theirs}/{run}/model",  # a client skips the host
    ],
)
def test_a_folder_here_is_not_hidden_behind_a_run_elsewhere(ci: Door, source: str) -> None:
    run_id, _ = ci.run_with_model()
    assert ci.put(f"0/{run_id}/artifacts/{THEIRS}/model/MLmodel", b"to be written over").status == 200
    coded = f"%{ord(run_id[0]):02x}{run_id[1:]}"
    answer = register(ci, source.format(run=run_id, theirs=THEIRS, coded=coded), run_id=THEIRS)
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert not Version.objects.exists()


# --- Conformance ------------------------------------------------------------------------------------------------------


def test_in_conformance_runs_a_source_need_not_hold_files_nor_be_in_our_store(ci: Door, settings: Any) -> None:
    run_id = ci.run()
    assert register(ci, f"runs:/{run_id}/model", run_id=run_id).status == 400
    settings.VOUCH_CONFORMANCE = True
    assert register(ci, f"runs:/{run_id}/model", run_id=run_id).status == 200
    assert register(ci, f"mlflow-artifacts:/0/{run_id}/artifacts/model", run_id=run_id).status == 200
    Experiment.objects.update(artifact_location="file:///tmp/shared")
    local = f"/tmp/shared/{run_id}/artifacts/model"
    for source in (local, f"file://{local}"):
        assert register(ci, source, run_id=run_id).body["model_version"]["source"] == source
        assert "To use a local path as a model version source" in register(ci, source).message
    assert register(ci, f"/tmp/shared/{run_id}-2/artifacts/model", run_id=run_id).status == 400
    settings.VOUCH_CONFORMANCE = False
    assert register(ci, local, run_id=run_id).status == 400


def test_a_copy_of_a_version_whose_bytes_lie_elsewhere_says_where_they_lie(ci: Door) -> None:
    for name in ("first", "second", "third"):
        ci.post("mlflow/registered-models/create", {"name": name})
    ci.post("mlflow/model-versions/create", {"name": "first", "source": "s3://bucket/model"})
    copy = ci.post("mlflow/model-versions/create", {"name": "second", "source": "models:/first/1"})
    ci.post("mlflow/model-versions/create", {"name": "third", "source": "models:/second/1"})
    assert copy.body["model_version"]["source"] == "models:/first/1"
    for name in ("second", "third"):
        where = ci.get("mlflow/model-versions/get-download-uri", name=name, version="1")
        assert where.body == {"artifact_uri": "s3://bucket/model"}
    native = Client().get("/api/v1/resolve?uri=models:/third/1", headers={"Authorization": f"Bearer {ci.token}"})
    assert native.json()["source"] == "s3://bucket/model"
