"""The page of what held a stage or an alias when, and the evidence pack as a download."""

from __future__ import annotations

import datetime
import re
from typing import Any

import pytest
from django.utils import timezone

from accounts.actor import Actor
from registry.services import aliases, catalog
from tests import make
from tests.web.ui.conftest import signed_in, text_of

pytestmark = pytest.mark.django_db
PAGE = "/models/churn/history"


@pytest.fixture
def two(requester: Actor, reviewer: Actor) -> None:
    """churn: v1 went to Production, then v2; @champion points at v2."""
    make.model(requester)
    for _ in range(2):
        make.in_production(requester, reviewer, make.version(requester))
    aliases.set_alias(requester, "churn", "champion", 2)


def test_the_page_tells_who_was_there_on_whose_word(two: None, viewer: Actor) -> None:
    browser = signed_in(viewer)
    assert f'href="{PAGE}"' in browser.get("/models/churn").content.decode()
    said = text_of(browser.get(PAGE))
    assert "v2 came" in said
    assert "reviewer" in said
    assert said.index("v2") < said.index("v1")
    today = f"{timezone.now():%Y-%m-%d}"
    answer = text_of(browser.get(PAGE, {"target": "Production", "on": today}))
    assert "promoted by reviewer and approved by reviewer; then v2 from" in answer
    pointing = text_of(browser.get(PAGE, {"target": "@champion", "on": today}))
    assert "@champion pointed at v2 from" in pointing
    assert "no promotion" in pointing


def test_a_day_that_cannot_be_answered_is_said_at_the_field(two: None, viewer: Actor) -> None:
    browser = signed_in(viewer)
    tomorrow = timezone.now() + datetime.timedelta(days=1)
    for day, said in (("next week", "is not a day"), (f"{tomorrow:%Y-%m-%d}", "has not come yet")):
        page = browser.get(PAGE, {"on": day})
        assert page.status_code == 400
        assert said in text_of(page)
        assert 'aria-invalid="true"' in page.content.decode()
    assert "nothing was in Production" in text_of(browser.get(PAGE, {"on": "2020-01-01"}))
    assert browser.get(PAGE, {"target": "Prod"}).status_code == 400


def test_an_empty_history_says_so(requester: Actor, viewer: Actor) -> None:
    make.model(requester)
    browser = signed_in(viewer)
    assert "No version was ever in Production" in text_of(browser.get(PAGE))
    assert "The alias never pointed at anything" in text_of(browser.get(PAGE, {"target": "@champion"}))
    assert browser.get("/models/nobody/history").status_code == 404


def test_deleted_models_and_versions_are_not_linked(
    requester: Actor, maintainer: Actor, viewer: Actor, outsider: Actor
) -> None:
    make.model(requester)
    make.version(requester)
    catalog.delete_model(maintainer, "churn")
    page = signed_in(viewer).get(PAGE, {"target": "None"})
    assert page.content.decode().count(">deleted</span>") == 3
    assert 'href="/models/churn/versions/1"' not in page.content.decode()
    assert signed_in(outsider).get(PAGE).status_code == 404


def test_the_page_costs_the_same_however_long_the_history_is(
    two: None, requester: Actor, reviewer: Actor, viewer: Actor, django_assert_num_queries: Any
) -> None:
    browser = signed_in(viewer)
    browser.get(PAGE)  # the first page of a session notes that it goes on
    with django_assert_num_queries(8):
        browser.get(PAGE)
    for _ in range(4):
        make.in_production(requester, reviewer, make.version(requester))
    with django_assert_num_queries(8):
        browser.get(PAGE)


def test_those_who_may_read_the_audit_log_save_the_evidence_pack(two: None, maintainer: Actor, viewer: Actor) -> None:
    link = '<a href="/models/churn/versions/2/evidence" download>'
    manager, other = signed_in(maintainer), signed_in(viewer)
    assert link in manager.get("/models/churn/versions/2").content.decode()
    assert link not in other.get("/models/churn/versions/2").content.decode()
    saved = manager.get("/models/churn/versions/2/evidence")
    assert (saved.status_code, saved["Content-Type"]) == (200, "application/zip")
    assert saved["Content-Disposition"].startswith("attachment")
    assert other.get("/models/churn/versions/2/evidence").status_code == 403


def test_the_evidence_is_a_page_that_can_be_printed(
    two: None, maintainer: Actor, viewer: Actor, django_assert_max_num_queries: Any
) -> None:
    client, path = signed_in(maintainer), "/models/churn/versions/1/evidence/page"
    client.get(path)  # the first page of a session notes that it goes on
    with django_assert_max_num_queries(15):
        page = client.get(path)
    told, markup = text_of(page), page.content.decode()
    assert "churn v1: who vouched for what" in told
    assert "Approved by When Looking at Counted Comment reviewer" in told
    assert "at http://testserver/models/churn/versions/1/evidence/page by maintainer" in told
    assert 'href="/promotions/' in markup
    assert "evidence.css" in markup
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|style=", markup)
    assert signed_in(viewer).get(path).status_code == 403
    assert client.get("/models/churn/versions/99/evidence/page").status_code == 404
    assert path in signed_in(maintainer).get("/models/churn/versions/1").content.decode()
