"""The audit log as its page asks for it: groups of verbs, bypasses, models that are gone, each on an index."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.permissions import RoleMissing
from accounts.roles import Role
from accounts.services import people
from accounts.verbs import Verb
from registry import trail
from registry.errors import ModelNotFound, UnknownVerb
from registry.policy import Scope
from registry.services import aliases, catalog, policies, promotions
from registry.trail import Asked
from tests import make
from tests.accounts.test_audit import as_superuser

pytestmark = pytest.mark.django_db


def verbs(actor: Actor, asked: Asked, **more: Any) -> list[str]:
    """What a page through all of the list shows, three at a time."""
    found, token = [], ""
    while True:
        page = trail.page(actor, asked, size=3, token=token, **more)
        found += [entry.verb for entry in page.items]
        if not (token := page.next_token):
            return found


@pytest.fixture
def log(requester: Actor, administrator: Actor) -> None:
    """churn v1 is in Production by a bypass, which also took a protected alias away."""
    make.model(requester)
    make.version(requester)
    policies.write(administrator, Scope(), "@champion", {"approvals": 1})
    asked = promotions.request(requester, "churn", 1, "Production")
    promotions.bypass(administrator, asked.pk, reason="incident")
    aliases.set_alias(requester, "churn", "plain", 1)
    aliases.remove_alias(requester, "churn", "plain")


def test_every_verb_is_in_one_group() -> None:
    grouped = [verb for group in trail.GROUPS.values() for verb in group]
    assert sorted(grouped) == sorted(Verb)


def test_a_group_is_what_its_verbs_are_together(log: None, administrator: Actor) -> None:
    everything = verbs(administrator, Asked())
    for group in trail.GROUPS:
        wanted = [verb for verb in everything if verb in trail.GROUPS[group]]
        assert verbs(administrator, Asked(group)) == wanted, group
        assert verbs(administrator, Asked(group, by="requester")) == [
            entry.verb
            for entry in AuditEntry.objects.filter(actor_name="requester", verb__in=trail.GROUPS[group]).order_by(
                "-at", "-id"
            )
        ]
    assert verbs(administrator, Asked("model.created", model="churn")) == ["model.created"]
    assert verbs(administrator, Asked("promotions", model="churn")) == ["promotion.bypassed", "promotion.requested"]
    with pytest.raises(UnknownVerb):
        trail.page(administrator, Asked("model.%s"), size=3)


def test_bypasses_are_found_by_whatever_way(log: None, requester: Actor, administrator: Actor) -> None:
    aliases.set_alias(administrator, "churn", "champion", 1)
    aliases.remove_alias(administrator, "churn", "champion")
    found = verbs(administrator, Asked(bypasses=True))
    assert found == ["alias.removed", "promotion.bypassed", "promotion.bypassed"]
    assert verbs(administrator, Asked("aliases", bypasses=True)) == ["alias.removed"]
    assert verbs(administrator, Asked("checks", bypasses=True)) == []
    assert verbs(administrator, Asked(bypasses=True, model="churn")) == found
    assert verbs(administrator, Asked(bypasses=True, by="requester")) == []


def test_the_log_of_a_model_goes_on_behind_its_deletion(requester: Actor, maintainer: Actor, viewer: Actor) -> None:
    for _ in range(2):
        make.model(requester)
        catalog.delete_model(maintainer, "churn")
    make.model(requester)
    assert verbs(maintainer, Asked(model="churn")) == [
        "model.created", "model.deleted", "model.created", "model.deleted", "model.created",
    ]  # fmt: skip
    with pytest.raises(RoleMissing):
        trail.page(viewer, Asked(model="churn"), size=3)
    catalog.delete_model(maintainer, "churn")
    with pytest.raises(ModelNotFound):
        trail.page(viewer, Asked(model="churn"), size=3)


def test_a_maintainer_of_one_model_reads_of_that_alone(requester: Actor, administrator: Actor, outsider: Actor) -> None:
    churn, _ = make.model(requester), make.model(requester, "fraud")
    make.actor("keeper", Role.VIEWER)
    people.give_by_name(administrator, Role.MAINTAINER, username="keeper", model_id=churn.pk)
    keeper = make.actor("keeper")
    assert trail.readable_models(keeper) == ["churn"]
    assert verbs(keeper, Asked(model="churn")) == ["model.created"]
    for asked in (Asked(), Asked(model="fraud")):
        with pytest.raises(RoleMissing):
            trail.page(keeper, asked, size=3)
    with pytest.raises(ModelNotFound):
        trail.page(outsider, Asked(model="churn"), size=3)


@pytest.mark.parametrize(
    "data", [[1], "text", None, {"version": [{}], "previous": 7, "reason": {"a": 1}, "members": 3}]
)
def test_an_entry_that_somebody_changed_is_shown_nevertheless(data: object, log: None, administrator: Actor) -> None:
    with as_superuser(), connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_auditentry SET data = %s::jsonb", [json.dumps(data)])
        cursor.execute("UPDATE accounts_auditentry SET verb = 'x' WHERE verb = 'model.created'")
    rows = trail.rows(administrator, trail.page(administrator, Asked(), size=100).items)
    assert {row.told is None for row in rows} == ({True, False} if isinstance(data, dict) else {True})


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (Asked(), "audit_by_time"),
        (Asked("checks"), "audit_by_verb"),
        (Asked("promotions"), "audit_by_verb"),
        (Asked(bypasses=True), "audit_by_verb"),
        (Asked(by="administrator"), "audit_by_actor"),
        (Asked(model="churn"), "audit_by_chain_in_workspace"),
    ],
    ids=str,
)
def test_no_list_sorts_what_it_does_not_show(asked: Asked, index: str, requester: Actor, administrator: Actor) -> None:
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
            "(%s::text[])[1 + (n + c.id) %% %s], CASE WHEN n %% 10 = 0 THEN %s ELSE %s END, '', '', '', '{}' "
            "FROM accounts_auditchain c, generate_series(100, 139) n",
            [requester.workspace_id, list(Verb), len(Verb), administrator.user_id, requester.user_id],
        )
        cursor.execute("ANALYZE accounts_auditentry, accounts_auditchain")
    with CaptureQueriesContext(connection) as queries:
        trail.page(administrator, asked, size=50)
    assert len(queries) <= 4
    [statement] = [q["sql"] for q in queries if 'FROM "accounts_auditentry"' in q["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) " + statement)
        plan = [line for (line,) in cursor.fetchall()]
    assert any(index in line for line in plan), "\n".join(plan)
    read = [
        int(line.rpartition("rows=")[2].split(".")[0].split()[0]) for line in plan if "Scan" in line and "rows=" in line
    ]
    assert max(read) <= 51, "\n".join(plan)


def test_who_did_it_is_found_by_name_whatever_the_case(log: None, administrator: Actor) -> None:
    assert verbs(administrator, Asked("model.created", by="REQUESTER")) == ["model.created"]
    assert verbs(administrator, Asked(by="nobody\0")) == []
