"""Who may do what: every route of the Databricks door by every role, in its own and another workspace."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client

from accounts.actor import Actor
from accounts.models import UserKind
from accounts.roles import Role
from registry.models import Comment, Model, Webhook
from registry.policy import Scope
from registry.services import discussion, promotions, webhooks
from tests import make
from web import waiting
from web.databricks.urls import urlpatterns

pytestmark = pytest.mark.django_db

ALL = frozenset(Role)
MAINTAINERS = frozenset({Role.MAINTAINER, Role.ADMINISTRATOR})
REVIEWERS = MAINTAINERS | {Role.REVIEWER}
ASKERS = REVIEWERS | {Role.CONTRIBUTOR}
OPEN = {".well-known/databricks-config", "signed/<str:secret>/<str:name>"}  # the second is signed itself
OF_ONES_OWN_UPLOADS = {"dbfs/<path:path>", "api/2.0/dbfs/list"}  # see test_dbfs

NOBODY: frozenset[Role] = frozenset()

_COMMENT = "01900000-0000-7000-8000-000000000000"
_MODEL = "01900000-0000-7000-8000-000000000001"
_PERMISSIONS = f"/permissions/registered-models/{_MODEL}"
_READER = {"access_control_list": [{"service_principal_name": "registrar", "permission_level": "CAN_READ"}]}
_HOOK = "01900000-0000-7000-8000-000000000002"
_WEBHOOK = {"events": ["COMMENT_CREATED"], "http_url_spec": {"url": "https://receiver.example/"}}
_VERSION = {"name": "churn", "version": "1"}
_ASKED = {**_VERSION, "stage": "Production"}


@dataclass(frozen=True)
class Row:
    """A request, and the roles that succeed with it; the others get 403, outsiders 404."""

    method: str
    fields: dict[str, Any]
    may: frozenset[Role]
    hidden: bool = False  # from who may not: he finds nothing
    found_by_nobody: bool = True  # by outsiders, that is: else they get an empty answer, or one about themselves


ROWS: dict[str, Row] = {
    "transition-requests/create": Row("POST", {**_VERSION, "stage": "Archived"}, ASKERS),
    "transition-requests/list": Row("GET", _VERSION, ALL),
    "transition-requests/approve": Row("POST", {**_ASKED, "archive_existing_versions": True}, REVIEWERS),
    "transition-requests/reject": Row("POST", {**_ASKED, "comment": "no"}, REVIEWERS),
    "transition-requests/delete": Row("DELETE", {**_ASKED, "creator": "registrar"}, MAINTAINERS),
    "comments/create": Row("POST", {**_VERSION, "comment": "well"}, ASKERS),
    "comments/update": Row("PATCH", {"id": _COMMENT, "comment": "well"}, NOBODY),  # only who wrote it
    "comments/delete": Row("DELETE", {"id": _COMMENT}, MAINTAINERS),
    "registered-models/list": Row("GET", {}, ALL, found_by_nobody=False),
    "databricks/registered-models/get": Row("GET", {"name": "churn"}, ALL),
    "databricks/model-versions/get": Row("GET", _VERSION, ALL),
    "model-versions/get-activities": Row("GET", _VERSION, ALL),
    "registry-webhooks/create": Row("POST", {**_WEBHOOK, "model_name": "churn"}, MAINTAINERS),
    "registry-webhooks/list": Row("GET", {}, ALL, found_by_nobody=False),  # those that one manages
    "registry-webhooks/update": Row("PATCH", {"id": _HOOK, "description": "x"}, MAINTAINERS, hidden=True),
    "registry-webhooks/delete": Row("DELETE", {"id": _HOOK}, MAINTAINERS, hidden=True),
    "registry-webhooks/test": Row("POST", {"id": _HOOK}, MAINTAINERS, hidden=True),
    "model-versions/list-artifacts": Row("GET", _VERSION, ALL),
    "model-versions/get-signed-download-uri": Row("GET", {**_VERSION, "path": "model.bin"}, ALL),
    "databricks/model-versions/transition-stage": Row("POST", {**_VERSION, "stage": "Staging"}, ASKERS),
    # With a slash before them: beside MLflow's part of the API.
    f"{_PERMISSIONS}": Row("GET", {}, MAINTAINERS),
    f"PUT {_PERMISSIONS}": Row("PUT", _READER, MAINTAINERS),
    f"PATCH {_PERMISSIONS}": Row("PATCH", _READER, MAINTAINERS),
    f"{_PERMISSIONS}/permissionLevels": Row("GET", {}, ALL),
    "/preview/scim/v2/Me": Row("GET", {}, ALL, found_by_nobody=False),  # oneself
}


def place(path: str) -> str:
    """Where a row's route is; the method before it only tells two rows apart."""
    path = path.rpartition(" ")[2]
    return f"/api/2.0{path}" if path.startswith("/") else f"/api/2.0/mlflow/{path}"


def test_every_route_has_a_row() -> None:
    routes = {str(route.pattern).replace("<str:model_id>", _MODEL) for route in urlpatterns}
    rows = {place(path)[1:] for path in ROWS}
    assert routes == OPEN | OF_ONES_OWN_UPLOADS | rows, "write who may use the new route into ROWS"


def account(username: str, *roles: Role, slug: str = "default") -> Actor:
    return make.actor(username, *roles, slug=slug, kind=UserKind.SERVICE)


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process sends here, so what a test of a webhook comes to is not waited for."""
    monkeypatch.setattr(waiting, "until", lambda *_, **__: False)


@pytest.fixture
def world() -> None:
    """churn with version 1 in no stage, and an open promotion that the registrar asked for; a comment and a webhook."""
    registrar = account("registrar", Role.CONTRIBUTOR)
    Model.objects.filter(pk=make.model(registrar).pk).update(id=_MODEL)
    make.version(registrar)
    promotions.request(registrar, "churn", 1, "Production")
    said = discussion.comment(registrar, "churn", 1, "first")
    Comment.objects.filter(pk=said.pk).update(id=_COMMENT)
    hook = webhooks.create(
        account("keeper", Role.MAINTAINER), url="https://receiver.example/", format="databricks", scope=Scope("churn")
    )
    Webhook.objects.filter(pk=hook.webhook.pk).update(id=_HOOK)


def send(token: str, path: str, row: Row) -> HttpResponse:
    """The request of a row; what it changes is undone."""
    headers = {"Authorization": f"Bearer {token}"}
    where, body = place(path), json.dumps(row.fields)
    if row.method not in ("POST", "PATCH", "PUT"):
        where, body = f"{where}?{urlencode(row.fields)}", ""
    undo = transaction.savepoint()
    try:
        return Client().generic(row.method, where, body, content_type="application/json", headers=headers)
    finally:
        transaction.savepoint_rollback(undo)


@pytest.mark.parametrize("path", ROWS)
def test_each_role_does_what_it_may_and_no_more(world: None, path: str) -> None:
    row = ROWS[path]
    for role in Role:
        answer = send(make.token(account(f"a-{role}", role)), path, row)
        refused = 404 if row.hidden else 403
        assert answer.status_code == (200 if role in row.may else refused), (role, answer.content)


@pytest.mark.parametrize("path", ROWS)
def test_who_has_no_role_here_finds_nothing(world: None, path: str) -> None:
    for stranger in (account("nobody"), account("outsider", *Role, slug="elsewhere")):
        answer = send(make.token(stranger), path, ROWS[path])
        if not ROWS[path].found_by_nobody:
            assert (answer.status_code, b"churn" in answer.content) == (200, False)
            continue
        assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
        assert "registrar" not in answer.content.decode()
