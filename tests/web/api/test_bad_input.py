"""What is wrong is refused by name, leaves nothing behind and is never a 5xx."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import close_old_connections, connection, transaction

from accounts.actor import Actor
from accounts.models import Token, User
from lineage.models import FolderFile
from registry.models import Model, Version
from tests import make
from tests.web.api.conftest import Api, api_of

pytestmark = pytest.mark.django_db


def problem(answer: Any, status: int) -> dict[str, Any]:
    """The body of a refusal with this status, as problem+json."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "detail", "code", "instance", "request_id"} <= set(body)
    assert body["status"] == status
    assert body["request_id"] == answer["X-Request-ID"]
    return dict(body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"name": "a"', None),
        (b"[]", None),
        (b'"a"', None),
        (b"null", None),
        (b'{"name": NaN}', None),
        (b'{"name": "\xff"}', None),
        (b'{"name": "\\ud800"}', None),
        (b'{"name": "a", "tags": ' + b'{"a":' * 40 + b"1" + b"}" * 41, None),
        (b"[" * 100_000, None),
        (b"{}", "name"),
        (b'{"name": null}', "name"),
        (b'{"name": 1}', "name"),
        (b'{"name": ["a"]}', "name"),
        (b'{"name": "a", "nmae": 1}', "nmae"),
        (b'{"name": "a", "tags": []}', "tags"),
        (b'{"name": "a", "tags": {"k": 1}}', "tags.k"),
        (b'{"name": "a", "tags": {"": "v"}}', "tags.key"),
        (b'{"name": "a", "tags": {"\\u202e": "v"}}', "tags.key"),
        (b'{"name": "a", "description": "\\u0000"}', "description"),
        (b'{"name": "a", "description": "\\u001b[2J"}', "description"),
        (b'{"name": "a", "description": 123456789012345678901234567890}', "description"),
    ],
)
def test_a_body_that_is_wrong_is_refused(body: bytes, field: str | None, ci: Api) -> None:
    assert problem(ci("POST", "models", body), 400).get("field") == field
    assert not Model.objects.exists()


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "a.", ".a", "a/b", "a%2Fb", "\u202eabc", "а", "a\n", "a" * 256, "models:/a"]
)
def test_a_name_that_is_odd_is_refused(name: str, ci: Api) -> None:
    assert problem(ci("POST", "models", {"name": name}), 400)["field"] == "name"


def test_twins_by_case_are_refused(ci: Api, requester: Actor) -> None:
    make.model(requester, "Churn")
    assert problem(ci("POST", "models", {"name": "churn"}), 409)["code"] == "looks-like-another"


def test_a_body_that_is_too_large_is_refused(ci: Api) -> None:
    assert problem(ci("POST", "models", b'{"name": "' + b"a" * 2**20 + b'"}'), 413)["code"] == "body-too-large"


def test_another_media_type_is_refused(ci: Api) -> None:
    problem(ci("POST", "models", b"name=a", Content_Type="application/x-www-form-urlencoded"), 415)


@pytest.mark.parametrize(
    "path",
    [
        "models/churn%00",
        "models/churn%0A",
        "models/%FF",
        "models/nothing",
        "models/churn/versions/2",
        "models/churn/versions/1/files/nothing",
        "models/churn/versions/1/files/%00",
        "promotions/1",
        "promotions/00000000-0000-0000-0000-000000000000",
        "uploads/%00",
        "runs/%00",
        "runs/x",
        "nothing",
        "",
        "models/",
    ],
)
def test_what_is_not_there_is_404(path: str, ci: Api, requester: Actor) -> None:
    make.model(requester)
    make.version(requester)
    problem(ci("GET", path), 404)


@pytest.mark.parametrize("number", ["0", "-1", "1.0", "x", "%D9%A1", "9" * 30])
def test_a_version_number_that_is_none_is_refused(number: str, ci: Api, requester: Actor) -> None:
    make.model(requester)
    assert problem(ci("GET", f"models/churn/versions/{number}"), 400)["field"] == "version"


def test_what_is_not_there_is_404_whatever_the_method(ci: Api) -> None:
    problem(ci("POST", "nothing", {}), 404)
    problem(ci.upload("u", "a%0A", b"x"), 404)


def test_wrong_methods_are_told_which_are_right(ci: Api) -> None:
    for method, path, allowed in (
        ("DELETE", "models", "GET, HEAD, POST"),
        ("OPTIONS", "models", "GET, HEAD, POST"),
        ("POST", "resolve?uri=models:/a/1", "GET, HEAD"),
    ):
        answer = ci(method, path)
        problem(answer, 405)
        assert ", ".join(sorted(answer["Allow"].split(", "))) == allowed


@pytest.mark.parametrize(
    "path",
    [
        "../a",
        "a/../../b",
        "%2e%2e/a",
        "%252e%252e%252fa",
        "a//b",
        "a%5C..%5Cb",
        "a%00",
        "%E2%80%AEa",
        "a/.",
        "x" * 1001,
    ],
)
def test_a_path_that_climbs_or_deceives_is_refused(path: str, ci: Api, data_directory: Path) -> None:
    answer = ci.upload("u", path, b"x")
    assert answer.status_code in (400, 404), answer.content
    assert not FolderFile.objects.exists()
    assert not list(data_directory.rglob("sha256/**/*"))


@pytest.mark.parametrize(
    "source",
    [
        "",
        "model",
        "/etc/passwd",
        "file:///etc/passwd",
        "s3://bucket/../a",
        "s3://bucket/%2e%2e/a",
        "s3://",
        "https://user:secret@host/a",
        "runs:/0/a",
        "s3://bucket/a b\u202e",
        "s3://bucket/" + "a" * 1000,
    ],
)
def test_a_source_that_is_none_is_refused(source: str, ci: Api, requester: Actor) -> None:
    make.model(requester)
    assert problem(ci("POST", "models/churn/versions", {"source": source}), 400)["field"] == "source"
    assert not Version.objects.exists()


def test_an_upload_must_be_what_was_announced(ci: Api, data_directory: Path) -> None:
    content = b"twelve bytes"
    sent = {"Content_Type": "application/octet-stream"}
    missing = ci("PUT", "uploads/u/files/a", content, **sent)
    assert problem(missing, 400)["field"] == "X-Content-SHA256"
    other = ci.upload("u", "a", content, X_Content_SHA256=hashlib.sha256(b"other").hexdigest())
    assert problem(other, 400)["code"] == "wrong-digest"
    assert problem(ci.upload("u", "a", content, X_Content_SHA256="0" * 63), 400)["code"] == "bad-digest"
    assert not FolderFile.objects.exists()
    assert not [file for file in data_directory.rglob("*") if file.is_file()]


def test_a_file_and_a_directory_cannot_share_a_path(ci: Api) -> None:
    assert ci.upload("u", "a/b", b"x").status_code == 201
    assert problem(ci.upload("u", "a", b"x"), 409)["code"] == "path-is-directory"
    assert problem(ci.upload("u", "a/b/c", b"x"), 409)["code"] == "parent-is-file"


def test_tokens_that_are_wrong_are_401_and_say_why(ci: Api, requester: Actor) -> None:
    Token.objects.update(expires_at="2020-01-01T00:00:00Z")
    assert problem(ci("GET", "me"), 401)["code"] == "token-expired"
    Token.objects.update(expires_at="2099-01-01T00:00:00Z", revoked_at="2020-01-01T00:00:00Z")
    assert problem(ci("GET", "me"), 401)["code"] == "bad-token"
    Token.objects.update(revoked_at=None)
    assert ci("GET", "me").status_code == 200
    User.objects.update(is_active=False)
    for path in ("me", "resolve?uri=models:/a/1"):
        assert problem(ci("GET", path), 401)["code"] == "bad-token"
        assert problem(Api("vch-nonsense")("GET", path), 401)["code"] == "bad-token"
        assert problem(Api("")("GET", path), 401)["code"] == "no-token"


def test_a_session_is_no_token(requester: Actor) -> None:
    caller = Api("")
    caller.client.force_login(User.objects.get(pk=requester.user_id))
    problem(caller("GET", "me"), 401)


def test_another_workspace_cannot_be_named(ci: Api, outsider: Actor) -> None:
    assert ci("GET", "me", Vouch_Workspace="default").status_code == 200
    for path in ("me", "resolve?uri=models:/a/1"):
        assert problem(ci("GET", path, Vouch_Workspace="elsewhere"), 404)["code"] == "workspace-not-found"


def test_a_token_for_some_models_reaches_no_others(requester: Actor) -> None:
    make.model(requester, "fraud-eu")
    make.model(requester, "churn")
    caller = Api(make.token(requester, model_glob="fraud-*"))
    assert [model["name"] for model in caller("GET", "models").json()["items"]] == ["fraud-eu"]
    problem(caller("GET", "models/churn"), 404)
    problem(caller("PUT", "models/churn/tags/a", {"value": "b"}), 404)
    assert problem(caller("POST", "models", {"name": "sales"}), 403)["code"] == "outside-token"
    wider = caller("POST", "tokens", {"name": "wider", "scopes": ["read"], "model_glob": "*"})
    assert problem(wider, 400)["field"] == "model_glob"
    same = caller("POST", "tokens", {"name": "same", "scopes": ["read"]})
    assert same.json()["model_glob"] == "fraud-*"


def test_a_blocked_bypass_tells_what_is_missing(ci: Api, admin: Api, requester: Actor, monkeypatch: Any) -> None:
    from registry import policy

    strict = policy.Terms("strict", approvals=2, exclusive=True, bypass=False, lifetime_days=1)
    monkeypatch.setitem(policy.SHIPPED, policy.Stage.PRODUCTION, strict)
    make.model(requester)
    make.version(requester)
    asked = ci("POST", "promotions", {"model": "churn", "version": 1, "stage": "Production"}).json()
    refused = problem(admin("POST", f"promotions/{asked['id']}/bypass", {"reason": "hurry"}), 409)
    assert refused["code"] == "bypass-forbidden"
    assert "2 more approvals" in refused["detail"]


@pytest.mark.django_db(transaction=True)
def test_a_lock_that_somebody_holds_is_a_503_with_retry_after(requester: Actor) -> None:
    make.model(requester)
    caller = api_of(requester)
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Model.objects.select_for_update().get()
            held.set()
            over.wait(20)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    try:
        answer = caller("PUT", "models/churn/tags/a", {"value": "b"})
    finally:
        over.set()
        holder.join()
        close_old_connections()
    assert problem(answer, 503)["code"] == "busy"
    assert answer["Retry-After"] == "1"


def test_a_fault_of_ours_tells_nothing(ci: Api, monkeypatch: Any) -> None:
    from web.api import catalog

    def broken(*args: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(catalog.queries, "models", broken)
    answer = ci("GET", "models")
    assert answer.status_code == 500
    assert b"secret" not in answer.content
    assert answer["Content-Type"] == "application/problem+json"


def test_a_measured_value_beyond_64_bits_is_told_again_as_it_was(requester: Actor, ci: Api, admin: Api) -> None:
    """The database gives 1e51 back as a whole number of 52 digits."""
    make.model(requester)
    make.version(requester)
    report = {"check": "load", "state": "passed", "values": {"requests": 1e51}}
    path = "models/churn/versions/1/checks"
    first, again = (ci("POST", path, report, Idempotency_Key="build-7") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert [float(answer.json()["values"]["requests"]) for answer in (first, again)] == [1e51, 1e51]
    assert admin("GET", "audit?model=churn").status_code == 200
