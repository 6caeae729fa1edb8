"""The events feed over the native API: who hears what, in which order, how it goes on and waits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry, User
from accounts.roles import Role, Scope
from accounts.services import people
from registry import events
from registry.models import Model
from registry.services import catalog, promotions
from tests import make
from tests.web.api.conftest import Api, api_of
from web.api.bodies.events import EventBody


def read(caller: Api, query: str = "", **params: str) -> list[dict[str, Any]]:
    """Everything that is there for this caller, page by page."""
    found: list[dict[str, Any]] = []
    after, more = params.get("after", "0"), True
    while more:
        answer = caller("GET", f"events?after={after}&limit=3{query}")
        assert answer.status_code == 200, answer.content
        body = answer.json()
        found, more = found + body["items"], body["more"]
        assert int(body["after"]) >= int(after)
        after = body["after"]
    return found


def types(items: list[dict[str, Any]]) -> set[tuple[str | None, str]]:
    return {(item["model"], item["type"]) for item in items}


@pytest.fixture
def log(requester: Actor, administrator: Actor) -> None:
    """Two people's doing on two models, and on accounts."""
    make.model(requester)
    make.version(requester)
    promotions.request(requester, "churn", 1, "Production")
    make.model(administrator, "fraud")
    catalog.tag_model(administrator, "churn", "team", "risk")
    make.version(administrator, "fraud")
    promotions.request(administrator, "fraud", 1, "Production")


CATALOGUE = {("churn", "model.created"), ("churn", "version.registered"), ("churn", "model.tagged")}
MINE = {(None, "token.created"), (None, "token.used_from_new_address")}
FRAUD = {("fraud", "model.created"), ("fraud", "version.registered")}


@pytest.mark.django_db
def test_whoever_reads_all_of_the_log_hears_every_event_once_in_order(log: None, admin: Api) -> None:
    items = read(admin)
    entries = list(AuditEntry.objects.filter(workspace=make.workspace()).order_by("id"))
    assert [(item["id"], item["hash"], item["sequence"]) for item in items] == [
        (str(entry.pk), entry.hash, entry.sequence) for entry in entries
    ]
    [asked] = [item for item in items if item["type"] == "promotion.requested" and item["model"] == "fraud"]
    assert list(asked) == list(EventBody().fields)
    assert (asked["actor"], asked["data"]["version"], asked["sequence"]) == ("administrator", 1, 3)


@pytest.mark.django_db
def test_others_hear_what_the_catalogue_shows_and_their_own_doing(log: None, viewer: Actor, ci: Api) -> None:
    seen = types(read(api_of(viewer)))
    assert seen == CATALOGUE | FRAUD | MINE
    own = types(read(ci))
    assert own == CATALOGUE | FRAUD | MINE | {("churn", "promotion.requested")}


@pytest.mark.django_db
def test_roles_for_one_model_and_tokens_bound_to_names_hear_of_those(log: None, administrator: Actor) -> None:
    def keeper_of(role: Role, name: str) -> Actor:
        user = User.objects.get(pk=make.actor("keeper").user_id)
        people.give(administrator, role, user=user, model_id=Model.objects.get(name=name).pk)
        return make.actor("keeper")

    assert types(read(api_of(keeper_of(Role.VIEWER, "fraud")))) == FRAUD | MINE
    heard = types(read(api_of(keeper_of(Role.MAINTAINER, "churn"))))
    assert heard == FRAUD | MINE | CATALOGUE | {("churn", "promotion.requested")}
    bound = Api(make.token(administrator, Scope.READ, model_glob="fraud*"))
    assert types(read(bound)) == FRAUD | {("fraud", "promotion.requested")}
    assert bound("GET", "events?model=churn").status_code == 404


@pytest.mark.django_db
def test_another_workspace_is_not_heard_of(log: None, outsider: Actor) -> None:
    items = read(api_of(outsider))
    assert {item["workspace"] for item in items} == {"elsewhere"}
    last = api_of(outsider)("GET", "events?type=model.deleted").json()
    assert int(last["after"]) <= AuditEntry.objects.filter(workspace=make.workspace("elsewhere")).latest("pk").pk


@pytest.mark.django_db
def test_events_are_found_by_model_type_and_time(log: None, admin: Api) -> None:
    assert types(read(admin, "&model=fraud")) == FRAUD | {("fraud", "promotion.requested")}
    by_type = CATALOGUE - {("churn", "model.tagged")} | FRAUD
    assert types(read(admin, "&type=model.created,version.registered")) == by_type
    assert types(read(admin, "&type=model.created&type=version.registered")) == by_type
    assert types(read(admin, "&type=model.created&model=churn")) == {("churn", "model.created")}
    tagged = AuditEntry.objects.get(verb="model.tagged")
    body = admin("GET", f"events?since={tagged.at:%Y-%m-%dT%H:%M:%S.%fZ}").json()
    assert body["items"][0]["id"] == str(tagged.pk)
    assert read(admin, after=body["after"]) == []


@pytest.mark.django_db
def test_a_receiver_finds_the_events_that_it_missed_by_their_sequence(log: None, admin: Api) -> None:
    whole = read(admin, "&model=churn")
    assert [item["sequence"] for item in whole] == [1, 2, 3, 4]
    missed = admin("GET", f"events?model=churn&after={whole[0]['id']}").json()["items"]
    assert missed == whole[1:]


@pytest.mark.django_db
def test_what_was_looked_through_in_vain_is_not_looked_through_again(
    log: None, admin: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOKED_AT", 4)
    first = admin("GET", "events?type=model.tagged").json()
    assert (first["items"], first["more"]) == ([], True)
    assert int(first["after"]) > 0
    assert types(read(admin, "&type=model.tagged")) == {("churn", "model.tagged")}
    end = admin("GET", f"events?type=model.deleted&after={read(admin)[-1]['id']}").json()
    assert (end["items"], end["more"], end["after"]) == ([], False, read(admin)[-1]["id"])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("", "audit_in_order"),
        ("&type=model.deleted", "audit_by_verb"),
        ("&model=churn", "audit_by_chain_in_workspace"),
    ],
)
def test_each_page_follows_an_index(query: str, index: str, requester: Actor, viewer: Actor, admin: Api) -> None:
    model = make.model(requester)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_auditchain (subject_id, last_sequence, last_hash) "
            "SELECT gen_random_uuid(), 40, '' FROM generate_series(1, 500)"
        )
        cursor.execute(
            "INSERT INTO accounts_auditentry (chain_id, sequence, previous_hash, hash, at, workspace_id, verb, "
            "actor_user_id, actor_name, request_id, subject, data) "
            "SELECT c.id, n, '', md5(c.id::text || '/' || n), now() - n * interval '1 day', "
            "CASE WHEN c.subject_id = %s OR c.id %% 100 = 0 THEN %s ELSE %s END, "
            "'model.updated', %s, '', '', '', '{}' "
            "FROM generate_series(100, 139) n, accounts_auditchain c",
            [model.pk, requester.workspace_id, make.workspace("elsewhere").pk, requester.user_id],
        )
        cursor.execute("ANALYZE accounts_auditentry, accounts_auditchain")
    middle = AuditEntry.objects.filter(chain__subject_id=model.pk).order_by("sequence")[20].pk
    for caller in (admin, api_of(viewer)):
        with CaptureQueriesContext(connection) as queries:
            assert caller("GET", f"events?after={middle}{query}").status_code == 200
        for sql in [q["sql"] for q in queries if 'FROM "accounts_auditentry"' in q["sql"]]:
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + sql)
                plan = "\n".join(line for (line,) in cursor.fetchall())
            assert index in plan or "audit_in_order" in plan, plan
            assert "Seq Scan on accounts_auditentry" not in plan, plan


@pytest.mark.django_db(transaction=True)
def test_a_call_that_waits_answers_when_something_further_happens(requester: Actor, viewer: Actor) -> None:
    make.model(requester)
    caller = api_of(viewer)
    after = read(caller)[-1]["id"]

    def wait(query: str) -> Any:
        try:
            return caller("GET", f"events?after={after}&wait={query}").json()
        finally:
            connections.close_all()

    begun = timezone.now()
    assert wait("1")["items"] == []
    with ThreadPoolExecutor(2) as pool:
        all_of_it, of_churn = pool.submit(wait, "30"), pool.submit(wait, "30&model=churn&type=version.registered")
        catalog.tag_model(requester, "churn", "k", "v")
        assert types(all_of_it.result(20)["items"]) == {("churn", "model.tagged")}
        assert not of_churn.done()
        make.version(requester)
        assert types(of_churn.result(20)["items"]) == {("churn", "version.registered")}
    assert (timezone.now() - begun).total_seconds() < 20
