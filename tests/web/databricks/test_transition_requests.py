"""Transition requests: asking, deciding, what is told of them, and what a repeated call finds."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.verbs import Verb
from registry.models import Approval, Promotion, Version
from registry.policy import Scope
from registry.services import policies, promotions
from tests import make
from tests.web.databricks.conftest import REQUESTS, Databricks, named

pytestmark = pytest.mark.django_db

AUC: dict[str, Any] = {"gate": "metric_threshold", "metric": "auc", "at_least": 0.9}
ALL_ACTIONS = ["APPROVE_TRANSITION_REQUEST", "REJECT_TRANSITION_REQUEST"]


def policy(administrator: Actor, target: str = "Production", **rules: Any) -> None:
    policies.write(administrator, Scope(), target, rules)


def stage() -> str:
    return Version.objects.with_stage().get(number=1).stage


def code_and_reason(answer: Any) -> tuple[int, str, str]:
    return answer.status, answer.code, answer.body["details"][0]["reason"]


# --- Golden pairs -----------------------------------------------------------------------------------------------------


def test_each_call_is_answered_as_the_wire_has_it(requester: Actor, ci: Databricks, judge: Databricks) -> None:
    with time_machine.travel("2026-03-01T12:00:00Z", tick=False):
        make.model(requester)
        make.version(requester)
        asked = ci.ask(comment="please").body["request"]
        promotion = Promotion.objects.get()
        digest = make.evidence(promotion)
    open_now = {
        "id": str(promotion.pk),
        "activity_type": "REQUESTED_TRANSITION",
        "user_id": "requester",
        "comment": "please",
        "from_stage": "None",
        "to_stage": "Production",
        "system_comment": "Version 1 is not in Production yet. It needs: 1 more approval by a reviewer who had no part "
        "in it.",
        "creation_timestamp": 1772366400000,
        "last_updated_timestamp": 1772366400000,
        "available_actions": ["CANCEL_TRANSITION_REQUEST"],
        "state": "open",
        "missing": ["1 more approval by a reviewer who had no part in it"],
        "evidence": digest,
        "promotion": str(promotion.pk),
        "page": f"{settings.VOUCH_URL}/promotions/{promotion.pk}",
    }
    assert asked == open_now
    assert ci.listed() == [open_now]
    assert judge.listed() == [{**open_now, "available_actions": ALL_ACTIONS}]

    with time_machine.travel("2026-03-01T12:00:05Z", tick=False):
        approved = judge.approve(comment="fine").body["activity"]
    assert approved == {
        **open_now,
        "id": str(Approval.objects.get().pk),
        "activity_type": "APPROVED_REQUEST",
        "user_id": "reviewer",
        "comment": "fine",
        "system_comment": "Version 1 was moved to Production.",
        "creation_timestamp": 1772366405000,
        "last_updated_timestamp": 1772366405000,
        "available_actions": [],
        "state": "promoted",
        "missing": [],
    }
    assert stage() == "Production"
    assert ci.listed() == []


def test_a_rejection_and_a_withdrawal_are_told_with_who_did_it_and_why(
    churn: Version, ci: Databricks, judge: Databricks
) -> None:
    ci.ask()
    rejected = judge.reject(comment="too slow").body["activity"]
    assert (rejected["activity_type"], rejected["user_id"], rejected["comment"], rejected["state"]) == (
        "REJECTED_REQUEST",
        "reviewer",
        "too slow",
        "rejected",
    )
    assert rejected["system_comment"] == "Version 1 was not moved: its promotion is rejected."
    ci.ask()
    deleted = ci.delete(creator="Requester", comment="never mind").body["activity"]
    assert (deleted["activity_type"], deleted["user_id"], deleted["comment"], deleted["state"]) == (
        "CANCELLED_REQUEST",
        "requester",
        "never mind",
        "withdrawn",
    )
    assert stage() == "None"


def test_a_delete_is_read_from_a_body_as_well(churn: Version, ci: Databricks) -> None:
    ci.ask()
    answer = ci.post(f"{REQUESTS}/delete", named(creator="requester"), method="DELETE")
    assert answer.body["activity"]["activity_type"] == "CANCELLED_REQUEST"


def test_a_stage_that_asks_for_nothing_is_entered_at_once_and_the_answer_says_so(
    churn: Version, ci: Databricks
) -> None:
    asked = ci.ask(stage="staging").body["request"]
    assert (asked["activity_type"], asked["to_stage"], asked["available_actions"]) == (
        "APPLIED_TRANSITION",
        "Staging",
        [],
    )
    assert stage() == "Staging"


def test_a_transition_answers_with_the_version_and_its_open_requests(churn: Version, ci: Databricks) -> None:
    ci.ask()
    moved = ci.move(stage="Staging", comment="try it").body["model_version_databricks"]
    assert (moved["name"], moved["version"], moved["current_stage"]) == ("churn", "1", "Staging")
    assert [request["to_stage"] for request in moved["open_requests"]] == ["Production"]
    assert Promotion.objects.get(target="Staging").comment == "try it"


def test_what_waits_for_an_alias_is_not_listed(churn: Version, ci: Databricks, administrator: Actor) -> None:
    policy(administrator, "@champion")
    ci.post("mlflow/registered-models/alias", {"name": "churn", "alias": "champion", "version": "1"})
    assert Promotion.objects.get().target == "@champion"
    assert ci.listed() == []


# --- Who may, and what is missing -------------------------------------------------------------------------------------


def test_who_asked_cannot_approve_or_reject_and_is_told_why(churn: Version, judge: Databricks, ci: Databricks) -> None:
    ci.ask()
    judge.ask()  # finds the open one, and asks for it as well
    for answer in (judge.approve(), judge.reject(comment="no")):
        assert code_and_reason(answer) == (403, "PERMISSION_DENIED", "SELF_APPROVAL")
    assert "you" in judge.approve().message
    assert ci.approve().code == "PERMISSION_DENIED"
    assert judge.listed()[0]["available_actions"] == []
    assert not Approval.objects.exists()


def test_a_transition_that_needs_review_names_each_gate_and_approval_in_its_details(
    churn: Version, ci: Databricks, administrator: Actor
) -> None:
    answer = ci.move()
    promotion = str(Promotion.objects.get().pk)
    assert code_and_reason(answer) == (403, "PERMISSION_DENIED", "APPROVAL_MISSING")
    policy(administrator, approvals=1, gates=[AUC])
    answer = ci.move()
    assert code_and_reason(answer) == (403, "PERMISSION_DENIED", "GATE_FAILED")
    info, failure, help_ = answer.body["details"]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert (info["domain"], info["metadata"]["promotion"]) == ("vouch", promotion)
    approval, gate = failure["violations"]
    assert (approval["type"], gate["type"]) == ("APPROVAL", "GATE")
    assert "auc" in gate["subject"]
    assert gate["subject"] == info["metadata"]["gates"]
    assert help_["links"][0]["url"].endswith(f"/promotions/{promotion}")


def test_an_approval_that_gates_hold_is_taken_and_says_what_holds_it(
    churn: Version, ci: Databricks, judge: Databricks, administrator: Actor
) -> None:
    policy(administrator, gates=[AUC])
    ci.ask()
    approved = judge.approve()
    assert (approved.status, approved.body["activity"]["state"]) == (200, "open")
    assert "auc" in approved.body["activity"]["system_comment"]
    assert judge.listed()[0]["available_actions"] == ["REJECT_TRANSITION_REQUEST"]
    assert stage() == "None"


def test_a_rejection_needs_a_reason_and_the_refusal_names_the_field(
    churn: Version, ci: Databricks, judge: Databricks
) -> None:
    ci.ask()
    for more in ({}, {"comment": " "}):
        answer = judge.reject(**more)
        assert code_and_reason(answer) == (400, "INVALID_PARAMETER_VALUE", "REASON_MISSING")
        assert "comment" in answer.message
        assert answer.body["details"][1]["field_violations"][0]["field"] == "comment"


def test_deleting_names_the_one_who_asked(churn: Version, ci: Databricks, judge: Databricks, maintainer: Actor) -> None:
    ci.ask()
    assert code_and_reason(ci.delete(creator="somebody")) == (404, "RESOURCE_DOES_NOT_EXIST", "ASKED_BY_ANOTHER")
    assert code_and_reason(judge.delete(creator="requester")) == (403, "PERMISSION_DENIED", "NOT_YOUR_PROMOTION")
    assert Databricks(make.token(maintainer)).delete(creator="requester").status == 200


@pytest.mark.parametrize("act", ["approve", "reject", "delete"])
def test_what_nobody_asked_for_cannot_be_decided(churn: Version, judge: Databricks, act: str) -> None:
    answer = getattr(judge, act)(comment="x", creator="requester")
    assert code_and_reason(answer) == (404, "RESOURCE_DOES_NOT_EXIST", "NOBODY_ASKED")


@pytest.mark.parametrize(
    ("more", "named_field"),
    [
        ({"version": 1}, "version"),
        ({"version": "0"}, "version"),
        ({"version": None}, "version"),
        ({"stage": "QA"}, "stage"),
        ({"stage": "@champion"}, "stage"),
        ({"name": ""}, "name"),
        ({"comment": 5}, "comment"),
        ({"comment": "a\0b"}, "comment"),
        ({"comment": "x" * 10_001}, "comment"),
    ],
)
def test_bad_input_is_a_400_that_names_the_field(churn: Version, ci: Databricks, more: Any, named_field: str) -> None:
    for answer in (ci.ask(**more), ci.move(**{"stage": "Production", **more})):
        assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
        assert named_field in answer.message
    assert not Promotion.objects.exists()


# --- What the wire has no word for ------------------------------------------------------------------------------------


def test_an_approval_counts_for_the_evidence_of_its_moment_and_the_log_says_that_no_digest_was_sent(
    churn: Version, ci: Databricks, judge: Databricks, administrator: Actor
) -> None:
    policy(administrator, approvals=2)
    ci.ask()
    judge.approve()
    entry = AuditEntry.objects.get(verb=Verb.PROMOTION_APPROVED)
    digest = make.evidence(Promotion.objects.get())
    assert (entry.data["evidence"], entry.data["digest_posted"]) == (digest, False)
    assert Approval.objects.get().evidence == digest


def test_a_caller_who_sends_the_digest_is_held_to_it(churn: Version, ci: Databricks, judge: Databricks) -> None:
    digest = ci.ask().body["request"]["evidence"]
    assert code_and_reason(judge.approve(evidence="0" * 64)) == (409, "RESOURCE_CONFLICT", "EVIDENCE_CHANGED")
    assert judge.approve(evidence=digest).body["activity"]["state"] == "promoted"
    assert "digest_posted" not in AuditEntry.objects.get(verb=Verb.PROMOTION_APPROVED).data


def test_who_approved_what_has_changed_since_must_look_before_he_approves_again(
    churn: Version, ci: Databricks, judge: Databricks, requester: Actor, second_reviewer: Actor, administrator: Actor
) -> None:
    policy(administrator, approvals=2)
    ci.ask()
    assert judge.approve().status == 200
    policy(administrator, approvals=2, gates=[])  # the same again: nothing changes
    assert judge.approve().status == 200
    policy(administrator, approvals=3)
    again = judge.approve()
    assert code_and_reason(again) == (409, "RESOURCE_CONFLICT", "LOOK_AGAIN")
    assert "3 approvals instead of 2" in again.message
    digest = judge.listed()[0]["evidence"]
    assert judge.approve(evidence=digest).status == 200
    assert Approval.objects.count() == 2


def test_archiving_the_others_is_evidence_that_earlier_approvals_were_not_given_for(
    churn: Version, ci: Databricks, judge: Databricks, other_judge: Databricks, requester: Actor, administrator: Actor
) -> None:
    make.version(requester)
    assert ci.move(version="2", stage="Staging").status == 200
    policy(administrator, "Staging", approvals=2, exclusive=False)
    ci.ask(stage="Staging")
    judge.approve(stage="Staging")
    approved = other_judge.approve(stage="Staging", archive_existing_versions=True).body["activity"]
    assert (approved["state"], len(approved["missing"])) == ("open", 1)
    third = Databricks(make.token(make.actor("third", *administrator.roles)))
    assert third.approve(stage="Staging").body["activity"]["state"] == "promoted"
    assert Version.objects.with_stage().get(number=2).stage == "Archived"


def test_archiving_makes_no_sense_for_a_stage_that_does_not_serve(
    churn: Version, ci: Databricks, judge: Databricks, administrator: Actor
) -> None:
    policy(administrator, "Archived", approvals=1)
    ci.ask(stage="Archived")
    answer = judge.approve(stage="Archived", archive_existing_versions=True)
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")


# --- Repeated calls ---------------------------------------------------------------------------------------------------


def test_a_repeated_call_is_answered_as_the_first_and_does_nothing_more(
    churn: Version, ci: Databricks, judge: Databricks
) -> None:
    def twice(call: Any, **more: Any) -> None:
        first = call(**more)
        entries = AuditEntry.objects.count()
        second = call(**more)
        assert (first.status, second.status) == (200, 200)
        assert first.body == second.body
        assert AuditEntry.objects.count() == entries

    twice(ci.ask, stage="Staging", comment="a")
    twice(ci.ask, comment="b")
    twice(judge.reject, comment="no")
    twice(ci.ask, comment="c")
    twice(ci.delete, creator="requester")
    ci.ask()
    twice(judge.approve, comment="yes")
    assert Promotion.objects.count() == 4
    assert Approval.objects.count() == 1


def test_after_ten_minutes_and_for_others_it_is_no_repetition(
    churn: Version, ci: Databricks, judge: Databricks, other_judge: Databricks
) -> None:
    ci.ask()
    judge.approve()
    assert other_judge.approve().status == 404
    assert (other_judge.ask().status, ci.ask().status) == (409, 200)
    with time_machine.travel(timezone.now() + datetime.timedelta(minutes=11)):
        assert judge.approve().status == 404
        assert ci.ask().code == "RESOURCE_CONFLICT"


# --- The door itself --------------------------------------------------------------------------------------------------


def test_the_configuration_that_the_sdk_asks_for_needs_no_token(client: Client) -> None:
    response = client.get("/.well-known/databricks-config")
    assert (response.status_code, response.json()) == (200, {})


def test_the_workspace_header_must_name_the_tokens_own(churn: Version, ci: Databricks) -> None:
    def status(workspace: str) -> int:
        headers = {"Authorization": f"Bearer {ci.token}", "X-Databricks-Workspace-Id": workspace}
        return Client().get(f"/api/2.0/{REQUESTS}/list?name=churn&version=1", headers=headers).status_code

    make.workspace("elsewhere")
    assert (status("default"), status("elsewhere"), status("1234567890")) == (200, 404, 404)


def test_a_list_costs_as_many_queries_for_three_requests_as_for_one(
    churn: Version,
    ci: Databricks,
    judge: Databricks,
    requester: Actor,
    administrator: Actor,
    django_assert_num_queries: Any,
) -> None:
    for target in ("Production", "Staging", "Archived"):
        policy(administrator, target, approvals=2)
    path, query = f"{REQUESTS}/list", {"name": "churn", "version": "1"}
    judge.get(path, **query)  # the token's use is noted now, and not again within a minute
    promotions.request(requester, "churn", 1, "Staging")
    with django_assert_num_queries(6):
        assert len(judge.get(path, **query).body["requests"]) == 1
    for target in ("Production", "Archived"):
        promotions.request(requester, "churn", 1, target)
    with django_assert_num_queries(6):
        assert len(judge.get(path, **query).body["requests"]) == 3
