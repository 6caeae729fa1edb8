"""The page of the audit log: who reads it, what it says, the check and the export."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client

from accounts.actor import Actor
from accounts.models import AuditEntry, User
from accounts.roles import Role
from accounts.services import people
from registry.models import Model, Promotion
from registry.services import audits, catalog, promotions
from tests import make
from tests.accounts.test_audit import as_superuser
from tests.web.ui.conftest import signed_in, text_of
from tests.web.ui.test_pages import HOSTILE

pytestmark = pytest.mark.django_db
UNSAFE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|style=")


@pytest.fixture
def page(asked: Promotion, maintainer: Actor) -> Client:
    return signed_in(maintainer)


@pytest.mark.parametrize("role", list(Role))
def test_maintainers_read_check_and_export_it_and_others_do_not(role: Role, asked: Promotion) -> None:
    client = signed_in(make.actor("somebody", role))
    may = role in (Role.MAINTAINER, Role.ADMINISTRATOR)
    before = AuditEntry.objects.count()
    answers = [client.get("/audit"), client.post("/audit/verify"), client.post("/audit/export", {"format": "csv"})]
    assert [answer.status_code for answer in answers] == ([200] * 3 if may else [403] * 3)
    if not may:
        assert "needs the role administrator or maintainer" in text_of(answers[0])
        assert AuditEntry.objects.count() == before


def test_entries_are_told_in_words_with_their_subject_linked(asked: Promotion, page: Client) -> None:
    html = page.get("/audit").content.decode()
    assert "<bdi>requester</bdi> asked for the promotion of <bdi>churn</bdi> v<bdi>2</bdi>" in html
    assert f'href="{asked.page}"' in html
    assert 'href="/models/churn/versions/2"' in html
    assert 'href="/members/accounts/reviewer"' in html
    entry = AuditEntry.objects.get(verb="promotion.requested", data__version=2)
    assert f'title="{entry.hash}"' in html
    assert f"entry {entry.sequence} of the chain of model" in text_of(page.get("/audit"))
    assert not UNSAFE.search(html)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("what=versions&model=churn", {"version.registered", "version.transitioned"}),
        ("what=version.registered", {"version.registered"}),
        ("by=REVIEWER&what=promotions", {"promotion.approved", "promotion.promoted"}),
        ("bypasses=1", set()),
        ("until=2020-01-01", set()),
        ("since=2020-01-01&until=9999-12-31&what=model.created", {"model.created"}),
        ("since=0001-01-01&what=model.created", {"model.created"}),
    ],
)
def test_it_is_narrowed_down(query: str, said: set[str], page: Client) -> None:
    html = page.get(f"/audit?{query}").content.decode()
    assert set(re.findall(r'class="about"><span class="verb">([^<]+)', html)) == said
    assert said or "No entry is like that" in html


@pytest.mark.parametrize(
    ("query", "status", "href"),
    [("since=yesterday", 400, "#since"), ("until=2026-13-01", 400, "#until"), ("what=nonsense", 400, "#what"),
     ("model=nope", 404, "#model"), ("model=%00", 404, "#model"), ("page=forged", 400, ""),
     ("by=%00&model=" + "x" * 9000, 404, "#model")],
)  # fmt: skip
def test_what_cannot_be_read_is_told_at_its_field(query: str, status: int, href: str, page: Client) -> None:
    response = page.get(f"/audit?{query}")
    assert response.status_code == status
    assert not href or f'<a href="{href}">' in response.content.decode()


def test_pages_follow_one_another_with_the_filter_kept(page: Client, requester: Actor) -> None:
    for n in range(60):
        catalog.tag_model(requester, "churn", f"k{n}", "v")
    html = page.get("/audit?what=models").content.decode()
    following = re.search(r'rel="next" href="(\?[^"]+)"', html)
    assert following
    assert "what=models" in following[1]
    second = page.get("/audit" + following[1].replace("&amp;", "&")).content.decode()
    assert (html.count('class="about"'), second.count('class="about"')) == (50, 11)


def test_a_page_costs_the_same_however_long_the_log_is(
    page: Client, requester: Actor, django_assert_max_num_queries: Any
) -> None:
    for n in range(60):
        model = make.model(requester, f"model-{n}")
        catalog.tag_model(requester, model.name, "k", "v")
    for query in ("", "?what=promotions", "?model=churn&bypasses=1&by=requester", "?bypasses=1&since=2026-01-01"):
        with django_assert_max_num_queries(12):
            assert page.get(f"/audit{query}").status_code == 200


def test_hostile_words_are_shown_as_words(page: Client, asked: Promotion, requester: Actor, reviewer: Actor) -> None:
    catalog.describe_model(requester, "churn", HOSTILE + "x" * 9_900)
    promotions.reject(reviewer, asked.pk, reason=HOSTILE)
    html = page.get("/audit").content.decode()
    assert "<script>alert" not in html
    assert "<img" not in html
    assert "\u202e" not in html
    assert "more characters are in the export" in text_of(page.get("/audit"))
    assert not UNSAFE.search(html.replace("onerror=alert(1)", ""))


def test_a_deleted_model_is_no_link_and_a_renamed_one_leads_to_where_it_is(page: Client, maintainer: Actor) -> None:
    make.model(maintainer, "former")
    catalog.rename_model(maintainer, "former", "present")
    assert 'href="/models/present"' in page.get("/audit").content.decode()
    make.model(maintainer, "gone")
    catalog.delete_model(maintainer, "gone")
    html = page.get("/audit?model=gone").content.decode()
    assert "deleted the model <bdi>gone</bdi>" in html
    assert 'href="/models/gone"' not in html


# --- The check --------------------------------------------------------------------------------------------------------


def test_a_check_says_what_was_checked_and_up_to_where(page: Client, requester: Actor) -> None:
    make.model(requester, "fraud")
    newest = AuditEntry.objects.filter(chain__subject_id=Model.objects.get(name="churn").pk).latest("sequence")
    whole = text_of(page.post("/audit/verify"))
    assert f"The log is whole {newest.sequence + 1} entries in the chains of 2 models" in whole
    assert newest.hash in whole
    one = text_of(page.post("/audit/verify", {"model": "churn", "what": "models"}))
    assert f"{newest.sequence} entries in the chain of churn" in one
    assert f"Up to {newest.hash}" in one
    assert "manage audit verify --model &quot;churn&quot;" in one
    assert page.get("/audit/verify")["Location"] == "/audit"


def test_a_check_names_where_a_tampered_log_breaks_and_what_to_do(page: Client, requester: Actor) -> None:
    with as_superuser():
        AuditEntry.objects.filter(verb="version.registered", data__version=1).update(
            actor_name="<b>eve", data=[HOSTILE]
        )
    response = page.post("/audit/verify")
    said = text_of(response)
    assert (
        "The log is not what was written The chain of churn breaks at entry 2 : its content is not what was written. "
        "The entry that stands there now says version.registered of churn v1 ." in said
    )
    assert "Keep a copy of the database as it is now" in said
    assert "manage audit verify" in said
    assert "<b>eve" not in response.content.decode()
    assert "The log is not what was written" in text_of(page.post("/audit/verify", {"model": "churn"}))


def test_a_log_that_is_too_long_is_left_to_the_operator(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audits, "MOST_ENTRIES", 2)
    response = page.post("/audit/verify")
    assert response.status_code == 409
    assert "are more than are checked within a request" in text_of(response)
    assert "<code>manage audit verify</code>" in response.content.decode()


def test_a_maintainer_of_one_model_is_led_to_its_log(asked: Promotion, administrator: Actor, requester: Actor) -> None:
    make.model(requester, "fraud")
    keeper = make.actor("keeper", Role.VIEWER)
    model = Model.objects.get(name="churn")
    people.give_by_name(administrator, Role.MAINTAINER, username="keeper", model_id=model.pk)
    client = signed_in(keeper)
    first = client.get("/audit")
    assert 'href="/audit?model=churn"' in first.content.decode()
    assert "promotion.requested" not in text_of(first).partition("Whose log?")[2]
    assert "asked for the promotion" in text_of(client.get("/audit?model=churn"))
    assert client.get("/audit?model=fraud").status_code == 403
    for path, status in (("/audit/verify", 200), ("/audit/export", 200)):
        assert client.post(path, {"model": "churn", "format": "jsonl"}).status_code == status
        assert client.post(path, {"model": "fraud", "format": "jsonl"}).status_code == 403
        assert client.post(path, {"format": "jsonl"}).status_code == 403


# --- The export -------------------------------------------------------------------------------------------------------


def test_an_export_is_a_file_of_all_entries_and_is_recorded(page: Client) -> None:
    answer = page.post("/audit/export", {"format": "jsonl", "model": "churn", "what": "checks", "since": "2020-01-01"})
    lines = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
    assert {line["data"]["model"] for line in lines} == {"churn"}
    assert answer["Content-Disposition"] == 'attachment; filename="audit-default.jsonl"'
    entry = AuditEntry.objects.latest("id")
    assert (entry.verb, entry.actor_name, entry.data["format"]) == ("audit.exported", "maintainer", "jsonl")
    assert b"".join(page.post("/audit/export", {"format": "csv"}).streaming_content).startswith(b"chain,sequence,at")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"format": "xml"}, 400),
        ({}, 400),
        ({"format": "csv", "since": "x"}, 400),
        ({"format": "csv", "model": "n"}, 404),
    ],
)
def test_an_export_of_nothing_known_is_refused_on_the_page(sent: dict[str, str], status: int, page: Client) -> None:
    response = page.post("/audit/export", sent)
    assert response.status_code == status
    assert "This cannot be shown" in text_of(response)
    assert not AuditEntry.objects.filter(verb="audit.exported").exists()


def test_forms_are_guarded_against_other_sites(asked: Promotion, maintainer: Actor) -> None:
    client = signed_in(maintainer, enforce_csrf_checks=True)
    for path in ("/audit/verify", "/audit/export", "/members", "/profile"):
        assert client.post(path, {"format": "csv"}).status_code == 403


def test_of_a_deleted_model_no_check_is_offered_that_would_not_find_it(requester: Actor, maintainer: Actor) -> None:
    make.model(requester, "gone")
    catalog.delete_model(maintainer, "gone")
    client = signed_in(maintainer)
    page = client.get("/audit?model=gone").content.decode()
    assert "model.created" in page
    assert "of a model that was deleted" in page
    assert "Verify" not in page
    make.model(requester, "gone")
    assert "Verify" in client.get("/audit?model=gone").content.decode()


def test_whoever_reads_the_log_of_one_model_stays_in_it(requester: Actor) -> None:
    model = make.model(requester)
    reader = make.actor("reader", Role.VIEWER)
    people.give(make.actor("root", Role.ADMINISTRATOR), Role.MAINTAINER, user=User.objects.get(pk=reader.user_id),
                model_id=model.pk)  # fmt: skip
    assert 'href="/audit?by=requester&amp;model=churn"' in signed_in(reader).get("/audit?model=churn").content.decode()
