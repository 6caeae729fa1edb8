"""The audit log over the native API: who reads what, by which filters and indexes, its export and its check."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from accounts.models import AuditEntry, Workspace
from accounts.roles import Role, Scope
from accounts.services import people
from core.canonical import digest
from registry.models import Model
from registry.services import audits, catalog
from tests import make
from tests.accounts.test_audit import as_superuser
from tests.web.api.conftest import Api, api_of

pytestmark = pytest.mark.django_db


def body(answer: Any) -> str:
    return b"".join(answer.streaming_content).decode()


@pytest.fixture
def log(requester: Actor, administrator: Actor) -> None:
    """Entries by two people, about two models and about accounts."""
    make.model(requester)
    make.version(requester)
    make.model(administrator, "fraud")
    make.token(requester)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?verb=version.registered", ["version.registered"]),
        ("?actor=REQUESTER&verb=model.created", ["model.created"]),
        ("?model=fraud", ["model.created"]),
        ("?model=churn&verb=model.created&actor=requester", ["model.created"]),
        ("?actor=nobody", []),
        ("?until=2020-01-01T00:00:00Z", []),
        ("?since=2020-01-01T00:00:00%2B01:00&model=churn", ["version.registered", "model.created"]),
    ],
)
def test_entries_are_found_by_model_verb_actor_and_time(query: str, found: list[str], log: None, admin: Api) -> None:
    assert [entry["verb"] for entry in admin("GET", f"audit{query}").json()["items"]] == found


def test_who_may_not_read_all_sees_his_own_doing(log: None, ci: Api, administrator: Actor) -> None:
    catalog.tag_model(administrator, "churn", "k", "v")
    for path in ("audit", "audit?model=churn"):
        items = ci("GET", path).json()["items"]
        assert {entry["actor"] for entry in items} == {"requester"}, path
    assert ci("GET", "audit?actor=administrator").json()["items"] == []


def test_a_token_bound_to_models_does_not_reach_the_whole_log(log: None, administrator: Actor) -> None:
    bound = Api(make.token(administrator, Scope.READ, model_glob="fraud*"))
    for path in ("audit", "audit/export", "audit/verify"):
        assert bound("GET", path).json()["code"] == "beyond-token", path
        assert bound("GET", f"{path}?model=churn").status_code == 404
        assert bound("GET", f"{path}?model=fraud").status_code == 200


def test_pages_go_through_the_log_without_gap_or_repetition(log: None, admin: Api, administrator: Actor) -> None:
    count = AuditEntry.objects.filter(workspace_id=administrator.workspace_id).count()
    seen: list[str] = []
    token = ""
    while True:
        page = admin("GET", f"audit?page_size=2{f'&page_token={token}' if token else ''}").json()
        seen += [entry["hash"] for entry in page["items"]]
        if not (token := page["next_page_token"]):
            break
    assert len(seen) == len(set(seen)) >= count


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("", "audit_by_time"),
        ("?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z", "audit_by_time"),
        ("?verb=model.deleted", "audit_by_verb"),
        ("?actor=administrator", "audit_by_actor"),
        ("?model=churn", "audit_by_chain_in_workspace"),
    ],
)
def test_each_list_follows_an_index(query: str, index: str, requester: Actor, administrator: Actor, admin: Api) -> None:
    make.model(requester)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_auditchain (subject_id, last_sequence, last_hash) "
            "SELECT gen_random_uuid(), 40, '' FROM generate_series(1, 500)"
        )
        cursor.execute(
            "INSERT INTO accounts_auditentry (chain_id, sequence, previous_hash, hash, at, workspace_id, verb, "
            "actor_user_id, actor_name, request_id, subject, data) "
            "SELECT c.id, n, '', md5(c.id::text || '/' || n), now() - n * interval '1 day', %s, "
            "'verb.' || n %% 20, CASE WHEN n %% 10 = 0 THEN %s ELSE %s END, '', '', '', '{}' "
            "FROM accounts_auditchain c, generate_series(100, 139) n",
            [requester.workspace_id, administrator.user_id, requester.user_id],
        )
        cursor.execute("ANALYZE accounts_auditentry, accounts_auditchain")
    with CaptureQueriesContext(connection) as queries:
        assert admin("GET", f"audit{query}").status_code == 200
    [statement] = [q["sql"] for q in queries if 'FROM "accounts_auditentry"' in q["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + statement)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert index in plan, plan
    assert "Sort" not in plan, plan


def test_an_export_holds_the_workspace_and_leaves_an_entry(log: None, admin: Api, outsider: Actor) -> None:
    make.model(outsider, "secret")
    told = admin("GET", "audit/export")
    assert told["Content-Type"] == "application/x-ndjson"
    assert told["Content-Disposition"] == 'attachment; filename="audit.jsonl"'
    lines = [json.loads(line) for line in body(told).splitlines()]
    assert all(line.pop("hash") == digest(line) for line in lines)
    home = Workspace.objects.get(slug="default").pk
    assert {line["workspace"] for line in lines} == {home}
    assert {line["data"].get("model") for line in lines} >= {"churn", "fraud"}
    entry = AuditEntry.objects.latest("id")
    assert (entry.verb, entry.actor_name, entry.data["format"]) == ("audit.exported", "administrator", "jsonl")


def test_an_export_of_a_model_leaves_its_entry_with_the_model(log: None, admin: Api) -> None:
    told = admin("GET", "audit/export?model=churn&format=csv&since=2020-01-01T00:00:00Z")
    assert told["Content-Type"] == "text/csv"
    assert len(body(told).splitlines()) == 1 + 3
    newest = admin("GET", "audit?model=churn").json()["items"][0]
    assert (newest["verb"], newest["data"]["since"]) == ("audit.exported", "2020-01-01T00:00:00+00:00")


def test_a_check_names_the_first_bad_entry(log: None, admin: Api) -> None:
    assert admin("GET", "audit/verify").json() == {"chains": 2, "entries": 3, "flaw": None}
    with as_superuser():
        AuditEntry.objects.filter(subject="churn v1").update(actor_name="eve")
    for path in ("audit/verify", "audit/verify?model=churn"):
        flaw = admin("GET", path).json()["flaw"]
        assert (flaw["sequence"], flaw["verb"], flaw["subject"]) == (2, "version.registered", "churn v1"), path
    assert admin("GET", "audit/verify?model=fraud").json()["flaw"] is None


def test_a_check_looks_at_nothing_of_another_workspace(log: None, outsider: Actor) -> None:
    make.model(outsider, "theirs")
    with as_superuser():
        AuditEntry.objects.filter(subject="churn v1").update(actor_name="eve")
    assert api_of(outsider)("GET", "audit/verify").json() == {"chains": 1, "entries": 1, "flaw": None}


def test_a_check_of_too_much_is_refused(log: None, admin: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audits, "MOST_ENTRIES", 2)
    refused = admin("GET", "audit/verify")
    assert (refused.status_code, refused.json()["code"]) == (409, "too-much-to-check")
    assert admin("GET", "audit/verify?model=churn").status_code == 200


def test_a_maintainer_of_one_model_has_its_log_and_no_other(log: None, administrator: Actor) -> None:
    keeper = make.actor("keeper", Role.VIEWER)
    people.give_by_name(
        administrator,
        Role.MAINTAINER,
        username="keeper",
        team_name="",
        model_id=Model.objects.get(name="churn").pk,
    )
    caller = api_of(keeper)
    for path in ("audit/export", "audit/verify"):
        assert caller("GET", f"{path}?model=churn").status_code == 200
        assert caller("GET", f"{path}?model=fraud").status_code == 403
        assert caller("GET", path).status_code == 403
    assert len(caller("GET", "audit?model=churn").json()["items"]) == 3
