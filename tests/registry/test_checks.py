"""Checks that jobs outside report: what they hold, and the last one that passes carries it out."""

from __future__ import annotations

import math
import uuid
from typing import Any

import pytest

from accounts import verification
from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.roles import Role
from core.errors import Denied, Refusal
from core.text import BadCharacter, WrongType
from registry import errors, queries
from registry.lifecycle import State
from registry.models import Check, Promotion
from registry.outlook import outlook
from registry.policy import Scope
from registry.queries import find_version
from registry.services import catalog, checks, policies, promotions
from tests import make

pytestmark = pytest.mark.django_db


def required(maintainer: Actor, *names: str, approvals: int = 0, **more: Any) -> None:
    """Production needs these checks."""
    gate = {"gate": "required_checks", "names": list(names), **more}
    policies.write(maintainer, Scope(), "Production", {"approvals": approvals, "gates": [gate]})


def report(actor: Actor, check: str, state: str = "passed", **more: Any) -> checks.Reported:
    return checks.report(actor, "churn", 1, check=check, state=state, **more)


@pytest.fixture
def churn(requester: Actor, maintainer: Actor) -> None:
    make.model(requester)
    make.version(requester)


@pytest.fixture
def robot(db: None) -> Actor:
    return make.actor("robot", Role.CONTRIBUTOR)


def test_the_last_required_check_that_passes_carries_it_out(
    churn: None, requester: Actor, maintainer: Actor, robot: Actor
) -> None:
    required(maintainer, "tests", "evaluation")
    promotion = promotions.request(requester, "churn", 1, "Production")
    assert "nobody has reported the check tests" in outlook(promotion).missing[0]
    first = report(robot, "tests")
    assert [p.state for p in first.promotions] == [State.OPEN]
    last = report(robot, "evaluation", values={"auc": 0.93})
    assert [(p.pk, p.state) for p in last.promotions] == [(promotion.pk, State.PROMOTED)]
    assert find_version(requester, "churn", 1).stage == "Production"
    promotion = Promotion.objects.select_related("decided_by").get()
    assert promotion.decided_by
    assert promotion.decided_by.username == "robot"
    assert promotion.reason == "the check evaluation passed, and nothing was missing any more"
    told = list(AuditEntry.objects.order_by("-sequence").filter(chain__subject_id=promotion.model_id)[:3])
    assert [entry.verb for entry in told][::-1] == ["check.reported", "promotion.promoted", "version.transitioned"]
    assert told[1].data["reason"] == promotion.reason
    assert told[2].data == {"model": "churn", "version": 1, "check": "evaluation", "state": "passed", "summary": "",
                            "link": "", "values": {"auc": "0.93"}}  # fmt: skip


@pytest.mark.parametrize("state", ["failed", "pending", "skipped"])
def test_a_required_check_that_did_not_pass_holds_it_until_it_does(
    state: str, churn: None, requester: Actor, maintainer: Actor, robot: Actor
) -> None:
    required(maintainer, "tests")
    promotion = promotions.request(requester, "churn", 1, "Production")
    report(robot, "tests", state)
    report(robot, "another")  # nobody asked for this one
    promotion.refresh_from_db()
    assert promotion.state == State.OPEN
    report(robot, "tests")
    promotion.refresh_from_db()
    assert promotion.state == State.PROMOTED


def test_the_newest_report_is_the_one_that_counts(
    churn: None, requester: Actor, maintainer: Actor, reviewer: Actor, robot: Actor
) -> None:
    required(maintainer, "tests", approvals=1)
    promotion = promotions.request(requester, "churn", 1, "Production")
    report(robot, "tests")
    report(robot, "tests", "failed", summary="x" * 10_000)
    assert len(outlook(promotion).missing[1]) < 300  # the reason quotes its beginning
    report(robot, "tests", "failed", summary="2 of 80 failed")
    promotion = promotions.approve(reviewer, promotion.pk, evidence=make.evidence(promotion))
    assert promotion.state == State.OPEN
    assert outlook(promotion).missing == ("checks tests passed: the check tests has failed: 2 of 80 failed",)
    assert len(outlook(promotion).counting) == 1
    assert [p.state for p in report(robot, "tests").promotions] == [State.PROMOTED]


def test_a_check_does_not_stand_in_for_an_approval(
    churn: None, requester: Actor, maintainer: Actor, reviewer: Actor, robot: Actor
) -> None:
    required(maintainer, "tests", approvals=1)
    promotion = promotions.request(requester, "churn", 1, "Production")
    assert [p.state for p in report(robot, "tests").promotions] == [State.OPEN]
    assert promotions.approve(reviewer, promotion.pk, evidence=make.evidence(promotion)).state == State.PROMOTED


def test_the_word_of_an_account_that_is_not_named_does_not_count(
    churn: None, requester: Actor, maintainer: Actor, robot: Actor
) -> None:
    required(maintainer, "tests", reported_by=["robot"])
    promotion = promotions.request(requester, "churn", 1, "Production")
    report(requester, "tests")
    assert "reported by requester, whose word does not count" in outlook(promotion).missing[0]
    assert [p.state for p in report(robot, "tests").promotions] == [State.PROMOTED]


def test_only_promotions_of_the_version_with_gates_are_concerned(
    churn: None, requester: Actor, maintainer: Actor, robot: Actor
) -> None:
    make.version(requester)
    required(maintainer, "tests")
    policies.write(maintainer, Scope(), "@champion", {"approvals": 1})
    first = promotions.request(requester, "churn", 1, "Production")
    second = promotions.request(requester, "churn", 2, "Production")
    ungated = promotions.request(requester, "churn", 1, "@champion")
    assert [p.pk for p in report(robot, "tests").promotions] == [first.pk]
    for other in (second, ungated):
        other.refresh_from_db()
        assert other.state == State.OPEN


def test_the_same_report_again_writes_nothing_and_says_what_became_of_it(
    churn: None, requester: Actor, maintainer: Actor, robot: Actor
) -> None:
    required(maintainer, "tests")
    promotion = promotions.request(requester, "churn", 1, "Production")
    said: dict[str, Any] = {"summary": "80 passed", "link": "https://ci.example/1", "values": {"big": 1e23, "n": 80}}
    first = report(robot, "tests", **said)
    before = AuditEntry.objects.count()
    again = report(robot, "tests", **said)
    assert (again.repeated, again.check.pk) == (True, first.check.pk)
    assert (Check.objects.count(), AuditEntry.objects.count()) == (1, before)
    assert [(p.pk, p.state) for p in again.promotions] == [(promotion.pk, State.PROMOTED)]
    assert not report(requester, "tests", **said).repeated  # on another's word
    assert not report(robot, "tests", **said).repeated
    assert [flaw for _, flaw in verification.verify() if flaw] == []


def test_a_clock_that_is_behind_does_not_make_a_report_the_older_one(churn: None, robot: Actor) -> None:
    ahead = report(robot, "tests", "failed").check
    Check.objects.filter(pk=ahead.pk).update(id=uuid.UUID("ffffffff-0000-7000-8000-000000000000"))
    report(robot, "tests")
    assert [check.state for check in queries.checks(ahead.version)] == ["passed"]


def test_a_version_that_is_gone_takes_no_report(churn: None, requester: Actor, maintainer: Actor, robot: Actor) -> None:
    required(maintainer, "tests")
    promotion = promotions.request(requester, "churn", 1, "Production")
    catalog.delete_version(requester, "churn", 1)
    with pytest.raises(errors.VersionNotFound):
        report(robot, "tests")
    promotion.refresh_from_db()
    assert promotion.state == State.SUPERSEDED


def test_who_may_only_look_or_review_reports_nothing(
    churn: None, viewer: Actor, reviewer: Actor, outsider: Actor
) -> None:
    for actor, refusal in ((viewer, Denied), (reviewer, Denied), (outsider, errors.ModelNotFound)):
        with pytest.raises(refusal):
            report(actor, "tests")
    assert not Check.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "refusal", "field"),
    [
        ({"check": ""}, WrongType, "check"),
        ({"check": "a\nb"}, BadCharacter, "check"),
        ({"check": "a\u202eb"}, BadCharacter, "check"),
        ({"check": "a" * 101}, Refusal, "check"),
        ({"state": "green"}, errors.UnknownCheckState, "state"),
        ({"state": None}, errors.UnknownCheckState, "state"),
        ({"summary": "a" * 10_001}, Refusal, "summary"),
        ({"summary": "\x1b[2J"}, BadCharacter, "summary"),
        ({"link": "javascript:alert(1)"}, errors.BadLink, "link"),
        ({"link": "https://ci.example@evil.example/"}, errors.BadLink, "link"),
        ({"link": "//ci.example/1"}, errors.BadLink, "link"),
        ({"link": "https://ci.example/\n"}, errors.BadLink, "link"),
        ({"link": "https://"}, errors.BadLink, "link"),
        ({"link": "https://ci.example/" + "a" * 2000}, errors.BadLink, "link"),
        ({"values": [1]}, errors.BadValues, "values"),
        ({"values": {"auc": "0.9"}}, errors.BadValues, "values.auc"),
        ({"values": {"auc": True}}, errors.BadValues, "values.auc"),
        ({"values": {"auc": math.nan}}, errors.BadValues, "values.auc"),
        ({"values": {"auc": 10**400}}, errors.BadValues, "values.auc"),
        ({"values": {"": 1}}, WrongType, "values.key"),
        ({"values": {str(n): n for n in range(101)}}, errors.BadValues, "values"),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    wrong: dict[str, Any], refusal: type[Refusal], field: str, churn: None, robot: Actor
) -> None:
    with pytest.raises(refusal) as refused:
        checks.report(robot, "churn", 1, **{"check": "tests", "state": "passed", **wrong})
    assert refused.value.at_field == field
    assert not Check.objects.exists()


def test_a_version_has_a_hundred_checks_at_most(churn: None, robot: Actor) -> None:
    for n in range(100):
        Check.objects.create(
            version=find_version(robot, "churn", 1), name=f"check-{n}", state="passed", reporter_id=robot.user_id
        )
    with pytest.raises(errors.TooManyChecks):
        report(robot, "one-more")
    assert report(robot, "check-7", "failed").check.state == "failed"
