"""Every route of every door: none answers without credentials, and a workspace that is not the token's is refused."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.actor import Actor
from tests import make
from web.api.authentication import WORKSPACE_HEADER
from web.mlflow.door import DATABRICKS_WORKSPACE_HEADER
from web.mlflow.door import WORKSPACE_HEADER as MLFLOW_WORKSPACE_HEADER

pytestmark = pytest.mark.django_db

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# What answers anybody: probes, capabilities, and what the native API says about itself.
OPEN = {
    "/livez",
    "/readyz",
    "/health",
    "/.well-known/databricks-config",
    "/api/3.0/mlflow/server-info",
    "/ajax-api/3.0/mlflow/server-info",
    "/api/v1/openapi.yaml",
    "/api/v1/docs",
}
GAP = re.compile(r"<(?:(?P<kind>\w+):)?\w+>")
MARKS = re.compile(r"\(\?:[^)]*\)\?|[\^$]")  # of a regular expression: what may be there, the beginning, the end
FILLED = {"uuid": str(uuid.UUID(int=0)), "int": "1"}
NATIVE = "/api/v1/"
WIRES = ("/api/2.0/", "/api/3.0/", "/ajax-api/", "/version", "/get-artifact", "/model-versions/", "/dbfs/")


def routes(resolver: URLResolver | None = None, before: str = "/") -> Iterator[str]:
    """Every path of the URLconf, something put into its gaps."""
    for pattern in (resolver or get_resolver()).url_patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, path)
        elif isinstance(pattern, URLPattern):
            yield GAP.sub(lambda gap: FILLED.get(gap["kind"], "x"), MARKS.sub("", path))


ALL = [path for path in routes() if not path.startswith("/admin/") and path != NATIVE]
TOKENS = [path for path in ALL if path.startswith((NATIVE, *WIRES)) and path not in OPEN]


def test_every_route_is_a_page_or_a_probe_or_needs_a_token() -> None:
    """Guards the walk itself: gaps that nothing was put into would be taken for routes that are not there."""
    assert set(ALL) >= OPEN
    assert not [path for path in ALL if "<" in path or "^" in path]
    assert len(TOKENS) > 100


def test_without_credentials_no_route_answers_whatever_the_method() -> None:
    client = Client()
    for path, method in itertools.product(TOKENS, METHODS):
        answer = client.generic(method, path, "{}", content_type="application/json")
        if path == "/api/v1/resolve" and method not in ("GET", "HEAD"):  # looks at the method before the token
            assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")
            continue
        refused(answer, path, 401, body=method != "HEAD")
        assert answer["WWW-Authenticate"].startswith(("Basic", "Bearer"))


def test_another_workspace_than_the_tokens_is_refused_at_every_door(administrator: Actor) -> None:
    make.workspace("elsewhere")
    client, token = Client(), make.token(administrator)
    for path in TOKENS:
        wires = (MLFLOW_WORKSPACE_HEADER, DATABRICKS_WORKSPACE_HEADER)
        for header in (WORKSPACE_HEADER,) if path.startswith(NATIVE) else wires:
            for other in ("elsewhere", "0"):
                sent = {"Authorization": f"Bearer {token}", header: other}
                refused(client.get(path, headers=sent), path, 404)


def refused(answer: Any, path: str, status: int, *, body: bool = True) -> None:
    """Refused in the form of the door that `path` belongs to."""
    assert answer.status_code == status, (path, answer.content)
    if not body:
        return
    told = answer.json()
    if path.startswith(NATIVE):
        assert answer["Content-Type"] == "application/problem+json"
        assert (told["status"], bool(told["code"]), bool(told["detail"])) == (status, True, True)
    else:
        assert told["error_code"] == {401: "UNAUTHENTICATED", 404: "RESOURCE_DOES_NOT_EXIST"}[status]
        assert told["message"]
