"""What every endpoint of the MLflow door has in common: the token, methods, fields, the form of refusals."""

from __future__ import annotations

import base64
import datetime
import json
from typing import Any

import psycopg
import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Token, User
from accounts.queries import session_actor, system_actor
from accounts.roles import Role, Scope
from accounts.services import people, tokens
from registry.models import Model, Version
from tests import make
from tests.web.mlflow.conftest import Door

pytestmark = pytest.mark.django_db

CREATE = "mlflow/registered-models/create"
GET = "mlflow/registered-models/get"


def test_health_and_the_capability_probe_need_no_token(client: Client) -> None:
    assert (client.get("/health").content, client.get("/health")["Content-Type"]) == (b"OK", "text/plain")
    probed = client.get("/api/3.0/mlflow/server-info").json()
    assert probed["multipart_uploads_enabled"] is probed["multipart_downloads_enabled"] is False
    assert client.post("/api/3.0/mlflow/server-info").status_code == 405


def test_the_version_is_that_of_the_wire_spoken(requester: Actor) -> None:
    headers = {"Authorization": f"Bearer {make.token(requester)}"}
    assert Client().get("/version", headers=headers).content == b"3.17.2"


def test_a_token_is_taken_as_basic_password_too(requester: Actor) -> None:
    credentials = base64.b64encode(f"anybody:{make.token(requester)}".encode()).decode()
    response = Client().get("/version", headers={"Authorization": f"Basic {credentials}"})
    assert response.status_code == 200


def test_revoked_expired_mistyped_and_garbled_tokens_are_401(requester: Actor, ci: Door) -> None:
    plain = make.token(requester)
    tokens.revoke(requester, Token.objects.get(public_id=plain[4:12]).pk)
    for bad in (plain, ci.token[:-1] + ("a" if ci.token[-1] != "a" else "b"), "vch-" + "0" * 40, "x", "ü"):
        answer = Door(bad).get(GET, name="x")
        assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
    with time_machine.travel(timezone.now() + datetime.timedelta(days=91)):
        answer = ci.get(GET, name="x")
        assert answer.status == 401
        assert "expired" in answer.message
    response = Client().get("/version", headers={"Authorization": "Basic !!!"})
    assert response.status_code == 401


def test_the_workspace_header_must_name_the_tokens_own(ci: Door) -> None:
    def status(workspace: str) -> int:
        headers = {"Authorization": f"Bearer {ci.token}", "X-MLFLOW-WORKSPACE": workspace}
        return Client().get("/version", headers=headers).status_code

    make.workspace("elsewhere")
    assert (status("default"), status("elsewhere"), status("no such")) == (200, 404, 404)


def test_a_token_without_the_scope_is_denied_by_name(requester: Actor) -> None:
    answer = Door(make.token(requester, Scope.READ)).post(CREATE, {"name": "churn"})
    assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")
    assert "register" in answer.message


def test_what_others_own_is_not_there(ci: Door, stranger: Door) -> None:
    version = ci.version()
    run_id = version["run_id"]
    for answer in (
        stranger.get(GET, name="churn"),
        stranger.get("mlflow/runs/get", run_id=run_id),
        stranger.get("mlflow/model-versions/get", name="churn", version="1"),
        stranger.post("mlflow/registered-models/get-latest-versions", {"name": "churn"}),
        stranger.post("mlflow/runs/log-parameter", {"run_id": run_id, "key": "a", "value": "b"}),
        stranger.post("mlflow/runs/delete", {"run_id": run_id}),
        stranger.post("mlflow/runs/restore", {"run_id": run_id}),
        stranger.post("mlflow/runs/delete-tag", {"run_id": run_id, "key": "mlflow.runName"}),
        stranger.post("mlflow/runs/log-batch", {"run_id": run_id}),
        stranger.post("mlflow/runs/log-inputs", {"run_id": run_id}),
        stranger.put(f"0/{run_id}/artifacts/model/MLmodel", b"mine"),
        stranger.get(f"mlflow-artifacts/artifacts/0/{run_id}/artifacts/model/MLmodel"),
        stranger.post("mlflow/model-versions/transition-stage", {"name": "churn", "version": "1", "stage": "Staging"}),
    ):
        assert (answer.status, answer.code) == (404, "RESOURCE_DOES_NOT_EXIST")
    uri = ci.get("mlflow/model-versions/get-download-uri", name="churn", version="1").body["artifact_uri"]
    place = uri.removeprefix("mlflow-artifacts:/")
    assert ci.get(f"mlflow-artifacts/artifacts/{place}/MLmodel").status == 200
    assert stranger.get(f"mlflow-artifacts/artifacts/{place}/MLmodel").status == 404
    assert stranger.get("mlflow-artifacts/artifacts", path=place).body == {}


def reads_of(name: str, version_id: str) -> list[tuple[str, dict[str, str]]]:
    """Every read on the way of a model that is loaded."""
    return [
        ("mlflow/registered-models/get-latest-versions", {"name": name}),
        (GET, {"name": name}),
        ("mlflow/registered-models/alias", {"name": name, "alias": "latest"}),
        ("mlflow/model-versions/get", {"name": name, "version": "1"}),
        ("mlflow/model-versions/get-download-uri", {"name": name, "version": "1"}),
        (f"mlflow-artifacts/artifacts/versions/{version_id}/MLmodel", {}),
    ]


def test_a_token_bound_to_some_models_does_not_reach_others(ci: Door, requester: Actor) -> None:
    ci.version("churn")
    bound = Door(make.token(requester, model_glob="credit-*"))
    for path, query in reads_of("churn", Version.objects.get().pk.hex):
        assert ci.get(path, **query).status == 200
        assert (bound.get(path, **query).status, bound.get(path, **query).code) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_role_for_one_model_is_enough_to_load_it_and_no_other(ci: Door) -> None:
    ci.version("churn")
    ci.version("credit")
    user = User.objects.get(pk=make.actor("serving").user_id)
    people.give(system_actor(make.workspace()), Role.VIEWER, user=user, model_id=Model.objects.get(name="churn").pk)
    serving = Door(make.token(session_actor(user, make.workspace())))
    for name, status in (("churn", 200), ("credit", 404)):
        version_id = Version.objects.get(model__name=name).pk.hex
        for path, query in reads_of(name, version_id):
            assert serving.get(path, **query).status == status
        listed = serving.get("mlflow-artifacts/artifacts", path=f"versions/{version_id}")
        assert (listed.status, "files" in listed.body) == (200, status == 200)


@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/mlflow/scorers/list",
        "/ajax-api/2.0/mlflow/issues/search",
        "/api/2.0/mlflow/registered-models/get/",
        "/api/3.0/mlflow/traces",
        "/api/2.0/mlflow-artifacts/mpu/list/x",
        "/api/2.0/preview/mlflow/runs/get",
    ],
)
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_what_is_not_served_is_404_in_mlflows_form(nobody: Door, path: str, method: str) -> None:
    response = getattr(Client(), method)(path)
    assert response.status_code == 404
    assert response.json()["error_code"] == "ENDPOINT_NOT_FOUND"


def test_the_wrong_method_is_405_in_mlflows_form(ci: Door) -> None:
    answer = ci.post(GET, {"name": "x"})
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    assert "use GET" in answer.message
    assert ci.post("mlflow-artifacts/artifacts/x", method="PATCH").status == 405


def test_both_prefixes_answer(ci: Door) -> None:
    headers = {"Authorization": f"Bearer {ci.token}"}
    for prefix in ("api", "ajax-api"):
        response = Client().get(f"/{prefix}/2.0/mlflow/experiments/get?experiment_id=0", headers=headers)
        assert response.json()["experiment"]["name"] == "Default"


def test_a_body_without_content_type_is_refused_and_with_charset_taken(ci: Door) -> None:
    answer = ci.raw("POST", CREATE, '{"name": "a"}', content_type="text/plain")
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert "Content-Type" in answer.message
    assert ci.raw("POST", CREATE, '{"name": "a"}', content_type="application/json; charset=utf-8").status == 200


def test_json_inside_a_json_string_is_read(ci: Door) -> None:
    assert ci.raw("POST", CREATE, json.dumps('{"name": "inside"}')).status == 200
    assert Model.objects.get().name == "inside"


def test_a_get_without_query_may_carry_a_json_body(ci: Door) -> None:
    ci.post(CREATE, {"name": "churn"})
    answer = Client().generic(
        "GET",
        f"/api/2.0/{GET}",
        '{"name": "churn"}',
        content_type="application/json",
        headers={"Authorization": f"Bearer {ci.token}"},
    )
    assert answer.json()["registered_model"]["name"] == "churn"


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        "5",
        "null",
        '"text"',
        b"\xff\xfe",
        "[" * 100_000,
        '{"name": ' + "[" * 40 + "]" * 40 + "}",
        '{"name": ' + "9" * 5000 + "}",
        '{"name": "' + "x" * 1024 * 1024 + '"}',
    ],
    ids=["open", "list", "number", "null", "string", "not utf-8", "abyss", "deep", "huge number", "too large"],
)
def test_malformed_json_is_400_and_says_so(ci: Door, body: bytes | str) -> None:
    answer = ci.raw("POST", CREATE, body)
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert "body" in answer.message.lower()
    assert not Model.objects.exists()


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        (CREATE, {}, "'name'"),
        (CREATE, {"name": ""}, "'name'"),
        (CREATE, {"name": None}, "'name'"),
        (CREATE, {"name": 5}, "'int'"),
        (CREATE, {"name": ["a"]}, "'list'"),
        (CREATE, {"name": {"a": 1}}, "'dict'"),
        (CREATE, {"name": True}, "'bool'"),
        (CREATE, {"name": "a\0b"}, "NUL"),
        (CREATE, {"name": "a\ud800b"}, "surrogate"),
        (CREATE, {"name": "ok", "tags": {"a": "b"}}, "'tags'"),
        (CREATE, {"name": "ok", "tags": ["a"]}, "'tags'"),
        (CREATE, {"name": "ok", "tags": [{"value": "b"}]}, "'tags[0].key'"),
        (CREATE, {"name": "ok", "tags": [{"key": "a", "value": 1}]}, "'tags[0].value'"),
        (CREATE, {"name": "ok", "tags": [{"key": "a", "value": "\0"}]}, "'tags[0].value'"),
        (CREATE, {"name": "ok", "description": 7}, "'description'"),
        ("mlflow/registered-models/alias", {"name": "m", "alias": "a", "version": 1}, "'version'"),
        ("mlflow/registered-models/get-latest-versions", {"name": "m", "stages": "Production"}, "'stages'"),
        ("mlflow/registered-models/get-latest-versions", {"name": "m", "stages": [3]}, "'stages'"),
        ("mlflow/model-versions/transition-stage", {"name": "m", "version": "1"}, "'stage'"),
        (
            "mlflow/model-versions/transition-stage",
            {"name": "m", "version": "1", "stage": "Staging", "archive_existing_versions": "true"},
            "'archive_existing_versions'",
        ),
        ("mlflow/runs/log-metric", {"run_id": "r", "key": "k", "timestamp": 1}, "'value'"),
        ("mlflow/runs/log-metric", {"run_id": "r", "key": "k", "value": "much", "timestamp": 1}, "'value'"),
        ("mlflow/runs/log-metric", {"run_id": "r", "key": "k", "value": 1}, "'timestamp'"),
        ("mlflow/runs/log-metric", {"run_id": "r", "key": "k", "value": 1, "timestamp": "2026-01-01"}, "'timestamp'"),
        ("mlflow/runs/log-metric", {"run_id": "r", "key": "k", "value": 1, "timestamp": 1.5}, "'timestamp'"),
        ("mlflow/runs/log-metric", {"run_id": "r", "key": "k", "value": 1, "timestamp": 2**63}, "'timestamp'"),
        ("mlflow/runs/log-metric", {"run_id": "r", "key": "k", "value": True, "timestamp": 1}, "'value'"),
        ("mlflow/runs/log-batch", {"run_id": "r", "metrics": [{"key": "k", "value": 1}]}, "'metrics[0].timestamp'"),
        ("mlflow/runs/log-batch", {}, "'run_id'"),
        ("mlflow/runs/log-inputs", {"run_id": "r", "datasets": [{}]}, "'datasets[0].dataset'"),
        ("mlflow/logged-models", {}, "'experiment_id'"),
        ("mlflow/logged-models/search", {}, "'experiment_ids'"),
    ],
)
def test_missing_and_mistyped_fields_are_named(ci: Door, path: str, body: Any, named: str) -> None:
    answer = ci.post(path, body)
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert named in answer.message


def test_a_field_is_read_in_either_spelling_but_not_in_both(ci: Door) -> None:
    run_id = ci.run()
    assert ci.post("mlflow/runs/set-tag", {"runId": run_id, "key": "a", "value": "b"}).status == 200
    answer = ci.post("mlflow/runs/set-tag", {"runId": run_id, "run_id": run_id, "key": "a", "value": "b"})
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert "'runId'" in answer.message


def test_unknown_fields_and_unknown_names_of_enums_are_ignored(ci: Door) -> None:
    run_id = ci.run(surprise=1)
    answer = ci.post("mlflow/runs/update", {"run_id": run_id, "status": "NOPE", "end_time": "1700000000000"})
    assert answer.status == 200
    assert answer.body["run_info"]["status"] == "RUNNING"
    assert answer.body["run_info"]["end_time"] == 1700000000000


@pytest.mark.parametrize("query", ["name=a%00b", "name=%ff", "name=" + "x" * 5000, "name=..%2f..", "name=%F0%9F%92%A9"])
def test_odd_names_in_a_query_are_a_4xx(ci: Door, query: str) -> None:
    headers = {"Authorization": f"Bearer {ci.token}"}
    assert Client().get(f"/api/2.0/{GET}?{query}", headers=headers).status_code in (400, 404)


@pytest.mark.django_db(transaction=True)
def test_a_lock_that_is_not_given_in_time_is_503_with_a_time_to_come_again(ci: Door) -> None:
    ci.post(CREATE, {"name": "churn"})
    parameters = connection.get_connection_params()
    reach = {name: parameters[name] for name in ("host", "port", "user", "password", "dbname") if name in parameters}
    with psycopg.connect(**reach) as other:
        other.execute("SELECT * FROM registry_model FOR UPDATE")
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        try:
            answer = ci.post("mlflow/registered-models/alias", {"name": "churn", "alias": "a", "version": "1"})
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '3s'")
    assert (answer.status, answer.code) == (503, "TEMPORARILY_UNAVAILABLE")
    assert answer.headers["Retry-After"] == "1"
