"""Renaming, describing, tagging and deleting on the MLflow wire; the very bodies of models, versions and errors."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from registry.models import Model, Version
from tests.web.mlflow.conftest import Answer, Door

pytestmark = pytest.mark.django_db

MODELS, VERSIONS = "mlflow/registered-models", "mlflow/model-versions"


@pytest.fixture
def churn(ci: Door) -> None:
    ci.post(f"{MODELS}/create", {"name": "churn", "description": "who leaves"})
    body = {"name": "churn", "source": "s3://bucket/churn", "description": "first"}
    assert ci.post(f"{VERSIONS}/create", body).status == 200


def model(door: Door, name: str = "churn") -> dict[str, Any]:
    return door.get(f"{MODELS}/get", name=name).body["registered_model"]


def version(door: Door, name: str = "churn", number: str = "1") -> dict[str, Any]:
    return door.get(f"{VERSIONS}/get", name=name, version=number).body["model_version"]


# --- Golden bodies ----------------------------------------------------------------------------------------------------

MOMENT = datetime.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=datetime.UTC)
MILLIS = 1772366400123
# Sent → (status, body), without the id of the request and the details, which have tests of their own.
GOLDEN: list[tuple[str, str, dict[str, Any], int, dict[str, Any]]] = [
    (
        "POST",
        f"{MODELS}/create",
        {"name": "iris", "tags": [{"key": "a", "value": "1"}, {"key": "b"}, {"key": "a", "value": "2"}]},
        200,
        {
            "registered_model": {
                "name": "iris",
                "creation_timestamp": MILLIS,
                "last_updated_timestamp": MILLIS,
                "user_id": "requester",
                "description": "",
                "tags": [{"key": "a", "value": "2"}, {"key": "b", "value": ""}],
            }
        },
    ),
    (
        "POST",
        f"{VERSIONS}/create",
        {
            "name": "iris",
            "source": "s3://bucket/iris",
            "tags": [{"key": "k", "value": "v"}, {"key": "k", "value": "w"}],
        },
        200,
        {
            "model_version": {
                "name": "iris",
                "version": "1",
                "creation_timestamp": MILLIS,
                "last_updated_timestamp": MILLIS,
                "user_id": "requester",
                "current_stage": "None",
                "description": "",
                "source": "s3://bucket/iris",
                "run_id": "",
                "run_link": "",
                "status": "READY",
                "tags": [{"key": "k", "value": "w"}],
            }
        },
    ),
    ("POST", f"{MODELS}/set-tag", {"name": "iris", "key": "c", "value": ""}, 200, {}),
    ("DELETE", f"{MODELS}/delete-tag", {"name": "iris", "key": "c"}, 200, {}),
    ("DELETE", f"{MODELS}/delete-tag", {"name": "iris", "key": "never there"}, 200, {}),
    ("POST", f"{VERSIONS}/set-tag", {"name": "iris", "version": "1", "key": "c", "value": "x"}, 200, {}),
    ("DELETE", f"{VERSIONS}/delete-tag", {"name": "iris", "version": "1", "key": "c"}, 200, {}),
    (
        "POST",
        f"{MODELS}/create",
        {"name": "iris"},
        400,
        {
            "error_code": "RESOURCE_ALREADY_EXISTS",
            "message": "Registered Model (name=iris) already exists. A model named 'iris' exists already: register "
            "versions with it, or choose another name.",
        },
    ),
    (
        "GET",
        f"{MODELS}/get",
        {"name": "nobody"},
        404,
        {
            "error_code": "RESOURCE_DOES_NOT_EXIST",
            "message": "Registered Model with name=nobody not found. There is no model named 'nobody' that you can "
            "see.",
        },
    ),
    (
        "GET",
        f"{VERSIONS}/get",
        {"name": "iris", "version": "2"},
        404,
        {
            "error_code": "RESOURCE_DOES_NOT_EXIST",
            "message": "Model Version (name=iris, version=2) not found. The model 'iris' has no version 2.",
        },
    ),
    (
        "GET",
        f"{VERSIONS}/get",
        {"name": "iris", "version": "abc"},
        400,
        {
            "error_code": "INVALID_PARAMETER_VALUE",
            "message": "Parameter 'version' must be an integer, got 'abc'. 'abc' is not a version: use a whole number "
            "from 1.",
        },
    ),
    (
        "GET",
        f"{MODELS}/alias",
        {"name": "iris", "alias": "best"},
        400,
        {
            "error_code": "INVALID_PARAMETER_VALUE",
            "message": "Registered model alias best not found. The model 'iris' has no alias 'best'.",
        },
    ),
    (
        "POST",
        f"{VERSIONS}/transition-stage",
        {"name": "iris", "version": "1", "stage": "QA"},
        400,
        {
            "error_code": "INVALID_PARAMETER_VALUE",
            "message": "Invalid Model Version stage: QA. Value must be one of None, Staging, Production, Archived. "
            "stage 'QA' is not a stage: use one of None, Staging, Production, Archived.",
        },
    ),
    (
        "POST",
        f"{MODELS}/rename",
        {"name": "iris"},
        400,
        {
            "error_code": "INVALID_PARAMETER_VALUE",
            "message": "Missing value for required parameter 'new_name'. See the API docs for more information about "
            "request parameters.",
        },
    ),
]


def test_bodies_are_these_to_the_letter(ci: Door) -> None:
    with time_machine.travel(MOMENT, tick=False):
        token_is_good = Door(ci.token)
        for method, path, sent, status, body in GOLDEN:
            answer = asked(token_is_good, method, path, sent)
            for ours in ("request_id", "details"):
                answer.body.pop(ours, None)
            assert (answer.status, answer.body) == (status, body), path


def asked(door: Door, method: str, path: str, sent: dict[str, Any]) -> Answer:
    return door.get(path, **sent) if method == "GET" else door.post(path, sent, method=method)


# --- Edits ------------------------------------------------------------------------------------------------------------


def test_a_model_is_renamed_with_all_it_has(churn: None, ci: Door, root: Door) -> None:
    ci.post(f"{MODELS}/alias", {"name": "churn", "alias": "best", "version": "1"})
    renamed = root.post(f"{MODELS}/rename", {"name": "churn", "new_name": "leavers"}).body["registered_model"]
    assert renamed == model(ci, "leavers")
    assert renamed["aliases"] == [{"alias": "best", "version": "1"}]
    assert version(ci, "leavers")["name"] == "leavers"
    assert ci.get(f"{MODELS}/get", name="churn").status == 404
    again = root.post(f"{MODELS}/rename", {"name": "churn", "new_name": "leavers"})
    assert (again.status, again.body["registered_model"]) == (200, renamed)  # clients repeat their POSTs


def test_a_rename_is_refused_by_the_codes_that_clients_know(churn: None, ci: Door, root: Door) -> None:
    ci.post(f"{MODELS}/create", {"name": "taken"})
    for door, name, new_name, status, code in (
        (root, "churn", "taken", 400, "RESOURCE_ALREADY_EXISTS"),
        (root, "nobody", "x", 404, "RESOURCE_DOES_NOT_EXIST"),
        (root, "churn", "a/b", 400, "INVALID_PARAMETER_VALUE"),
        (ci, "churn", "x", 403, "PERMISSION_DENIED"),
    ):
        answer = door.post(f"{MODELS}/rename", {"name": name, "new_name": new_name})
        assert (answer.status, answer.code) == (status, code)


def test_a_description_that_is_left_out_is_taken_away(churn: None, ci: Door) -> None:
    said = {"name": "churn", "version": "1", "description": "better"}
    assert ci.post(f"{MODELS}/update", said, method="PATCH").body["registered_model"]["description"] == "better"
    assert ci.post(f"{VERSIONS}/update", said, method="PATCH").body["model_version"]["description"] == "better"
    del said["description"]
    assert ci.post(f"{MODELS}/update", said, method="PATCH").body["registered_model"]["description"] == ""
    assert ci.post(f"{VERSIONS}/update", said, method="PATCH").body["model_version"]["description"] == ""


def test_a_deleted_number_is_never_given_out_again(churn: None, ci: Door) -> None:
    ci.post(f"{MODELS}/alias", {"name": "churn", "alias": "best", "version": "1"})
    assert ci.post(f"{VERSIONS}/delete", {"name": "churn", "version": "1"}, method="DELETE").body == {}
    assert ci.post(f"{VERSIONS}/delete", {"name": "churn", "version": "1"}, method="DELETE").status == 404
    assert ci.get(f"{MODELS}/alias", name="churn", alias="best").status == 400
    made = ci.post(f"{VERSIONS}/create", {"name": "churn", "source": "s3://bucket/churn"}).body["model_version"]
    assert made["version"] == "2"


def test_a_deleted_models_name_is_free(churn: None, ci: Door, root: Door) -> None:
    assert ci.post(f"{MODELS}/delete", {"name": "churn"}, method="DELETE").code == "PERMISSION_DENIED"
    assert root.post(f"{MODELS}/delete", {"name": "churn"}, method="DELETE").body == {}
    assert ci.get(f"{MODELS}/get", name="churn").status == 404
    assert ci.version("churn")["version"] == "1"


def test_what_changes_the_times_of_a_model_and_of_a_version(churn: None, ci: Door, root: Door) -> None:
    """As on the reference server: tags, aliases and a version's description are no change of the model."""
    number = {"name": "churn", "version": "1"}
    for path, method, sent, model_moves, version_moves in (
        (f"{MODELS}/set-tag", "POST", {"name": "churn", "key": "a", "value": "b"}, False, False),
        (f"{MODELS}/delete-tag", "DELETE", {"name": "churn", "key": "a"}, False, False),
        (f"{MODELS}/alias", "POST", {**number, "alias": "best"}, False, False),
        (f"{MODELS}/alias", "DELETE", {"name": "churn", "alias": "best"}, False, False),
        (f"{VERSIONS}/set-tag", "POST", {**number, "key": "a", "value": "b"}, False, False),
        (f"{VERSIONS}/update", "PATCH", {**number, "description": "x"}, False, True),
        (f"{MODELS}/update", "PATCH", {"name": "churn", "description": "x"}, True, False),
        (f"{VERSIONS}/create", "POST", {"name": "churn", "source": "s3://bucket/another"}, True, False),
        (f"{VERSIONS}/transition-stage", "POST", {**number, "stage": "Staging"}, True, True),
        (f"{VERSIONS}/delete", "DELETE", {"name": "churn", "version": "2"}, True, False),
    ):
        before = Model.objects.get().updated_at, Version.objects.get(number=1).updated_at
        assert ci.post(path, sent, method=method).status == 200, path
        now = Model.objects.get().updated_at, Version.objects.get(number=1).updated_at
        assert (now[0] > before[0], now[1] > before[1]) == (model_moves, version_moves), path
    before = version(ci)["last_updated_timestamp"]
    with time_machine.travel(timezone.now() + datetime.timedelta(minutes=1)):
        root.post(f"{MODELS}/rename", {"name": "churn", "new_name": "leavers"})
    assert version(ci, "leavers")["last_updated_timestamp"] > before
    assert model(ci, "leavers")["last_updated_timestamp"] == version(ci, "leavers")["last_updated_timestamp"]


def test_a_tag_holds_100_000_characters_and_all_tags_twice_that(churn: None, ci: Door) -> None:
    def put(key: str, length: int, path: str = VERSIONS) -> Answer:
        return ci.post(f"{path}/set-tag", {"name": "churn", "version": "1", "key": key, "value": "x" * length})

    for path in (MODELS, VERSIONS):
        assert put("a" * 250, 100_000, path).status == 200
        assert put("a" * 251, 1, path).code == "INVALID_PARAMETER_VALUE"
        assert put("b", 100_001, path).code == "INVALID_PARAMETER_VALUE"
        assert put("b", 100_000, path).status == 200
        refused = put("c", 1, path)
        assert (refused.code, "200001" in refused.message) == ("INVALID_PARAMETER_VALUE", True)
        assert put("b", 99_999, path).status == 200  # its own former value does not count


def test_a_version_is_copied_with_its_bytes_its_run_and_what_the_client_sends_empty(ci: Door) -> None:
    first = ci.version()
    ci.post(f"{MODELS}/create", {"name": "copy"})
    body = {"name": "copy", "source": "models:/churn/1", "run_id": first["run_id"], "run_link": "", "description": ""}
    made = ci.post(f"{VERSIONS}/create", body).body["model_version"]
    assert (made["manifest_digest"], made["run_id"]) == (first["manifest_digest"], first["run_id"])
    gone = ci.post(f"{VERSIONS}/create", {**body, "source": "models:/churn/9"})
    assert (gone.status, gone.code) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_prompt_is_a_model_without_files(ci: Door) -> None:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}, {"key": "mlflow.prompt.text", "value": "Hi {{x}}"}]
    ci.post(f"{MODELS}/create", {"name": "greeting", "tags": tags[:1]})
    made = ci.post(f"{VERSIONS}/create", {"name": "greeting", "source": "dummy-source", "tags": tags})
    assert made.body["model_version"]["version"] == "1"
    refused = ci.post(f"{VERSIONS}/create", {"name": "greeting", "source": "s3://bucket/x", "tags": tags})
    assert (refused.status, "prompt" in refused.message) == (400, True)
    assert ci.post(f"{VERSIONS}/create", {"name": "greeting", "source": "dummy-source"}).status == 400
