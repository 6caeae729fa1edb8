"""Pages for what went wrong: each with its status, the request id, and a way on."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory

from accounts.actor import Actor
from core.errors import Conflict
from tests.web.ui.conftest import signed_in, text_of
from web import errors
from web.ui import policies
from web.ui.errors import refused

pytestmark = pytest.mark.django_db
NAMED = {"HTTP_X_REQUEST_ID": "named-by-me"}


def looks_right(page: Any, status: int) -> str:
    """The words of an error page, which has what each of them has."""
    assert page.status_code == status
    words = text_of(page)
    assert f" {status} " in words
    assert "Request id named-by-me" in words
    markup = page.content.decode()
    assert markup.count("<h1>") == 1
    assert 'class="button primary"' in markup
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|style=", markup)
    return words


def test_a_path_that_is_nothing_and_a_query_that_is_not_ours(viewer: Actor) -> None:
    assert "No page or endpoint answers GET" in looks_right(Client().get("/nothing", **NAMED), 404)
    assert "holds no role" not in looks_right(signed_in(viewer).get("/models/nothing", **NAMED), 404)
    looks_right(signed_in(viewer).get("/policies?page=forged", **NAMED), 400)


def test_a_page_asked_for_in_another_way(viewer: Actor) -> None:
    client = signed_in(viewer)
    page = client.post("/models", **NAMED)
    assert 'href="/models"' in page.content.decode()
    assert "Nothing answers POST here" in looks_right(page, 405)
    assert page["Allow"] == "GET, HEAD"
    gone = client.get("/workspace", **NAMED)
    assert "It is where a form is sent to" in looks_right(gone, 405)
    assert 'href="/workspace"' not in gone.content.decode()


def test_a_form_of_another_session_and_a_browser_without_cookies(viewer: Actor) -> None:
    client = signed_in(viewer, enforce_csrf_checks=True)
    sent = {"csrfmiddlewaretoken": "x" * 64}
    assert "The form has expired" in looks_right(client.post("/workspace", sent, **NAMED), 403)
    nothing = Client(enforce_csrf_checks=True).post("/sign-in?next=/models", sent, **NAMED)
    assert "Your browser sent no cookie" in looks_right(nothing, 403)
    assert 'href="/sign-in?next=/models"' in nothing.content.decode()


def test_more_than_a_form_may_hold(viewer: Actor, settings: Any) -> None:
    client = signed_in(viewer)
    assert "larger than a form may be" in looks_right(
        client.post("/workspace", {"workspace": "x" * 2**20}, **NAMED), 413
    )
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 3
    looks_right(client.post("/workspace", {f"f{n}": "" for n in range(5)}, **NAMED), 413)


def test_a_refusal_is_told_in_its_words() -> None:
    request = RequestFactory().get("/models")
    request.request_id = "named-by-me"  # type: ignore[attr-defined]
    assert "The present state does not allow this" in looks_right(refused(request, Conflict()), 409)


@pytest.mark.parametrize(("failure", "status"), [(RuntimeError("secret"), 500), (OperationalError("secret"), 503)])
def test_our_own_mistakes_and_a_database_that_is_gone(
    viewer: Actor, monkeypatch: Any, failure: Exception, status: int, django_assert_num_queries: Any
) -> None:
    def fails(*_: object) -> None:
        raise failure

    client = signed_in(viewer)
    client.raise_request_exception = False
    monkeypatch.setattr(policies.queries, "policies", fails)
    words = looks_right(client.get("/policies", **NAMED), status)
    assert "secret" not in words
    assert "tell an operator the request id" in words
    request = RequestFactory().get("/policies")
    request.request_id = "named-by-me"  # type: ignore[attr-defined]
    with django_assert_num_queries(0):
        looks_right(errors.server_error(request), 500)


def test_the_doors_of_clients_speak_their_own_language() -> None:
    client = Client(raise_request_exception=False)
    assert client.get("/api/v1/nothing").json()["status"] == 404
    assert client.get("/api/2.0/mlflow/nothing").json()["error_code"] == "ENDPOINT_NOT_FOUND"
    assert client.delete("/readyz").status_code in (200, 405, 503)
