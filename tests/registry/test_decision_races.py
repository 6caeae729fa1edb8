"""Whatever people, jobs and the clock do to one promotion at the same moment: one verdict, and the log agrees."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable

import pytest
from django.utils import timezone

from accounts import verification
from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.roles import Role
from registry import errors
from registry.gates import CheckState
from registry.lifecycle import Stage, State
from registry.models import Check, Occupancy, Promotion, Version
from registry.policy import Scope
from registry.services import clock, policies, promotions
from tests import make
from tests.registry.test_races import CLIENTS, at_once

pytestmark = pytest.mark.django_db(transaction=True)

VERDICTS = {
    "promotion.promoted": State.PROMOTED,
    "promotion.bypassed": State.PROMOTED,
    "promotion.rejected": State.REJECTED,
    "promotion.withdrawn": State.WITHDRAWN,
    "promotion.expired": State.EXPIRED,
}


@pytest.fixture
def decided_by(
    requester: Actor, reviewer: Actor, second_reviewer: Actor, maintainer: Actor, administrator: Actor
) -> dict[str, Callable[[Promotion], object]]:
    """Ways in which a promotion ends that lacks one approval of two; its check has passed, as the sweep would find."""

    def carry_out(promotion: Promotion) -> object:
        return clock.look_again(timezone.now() + datetime.timedelta(days=1))

    return {
        "approve": lambda promotion: promotions.approve(
            second_reviewer, promotion.pk, evidence=make.evidence(promotion)
        ),
        "reject": lambda promotion: promotions.reject(maintainer, promotion.pk, reason="no"),
        "withdraw": lambda promotion: promotions.withdraw(requester, promotion.pk),
        "bypass": lambda promotion: promotions.bypass(administrator, promotion.pk, reason="now"),
        "expire": lambda promotion: clock.expire_due(timezone.now() + datetime.timedelta(days=60)),
        "carry out": carry_out,
    }


PAIRS = list(itertools.combinations(["approve", "reject", "withdraw", "bypass", "expire", "carry out"], 2))


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=" and ".join)
def test_two_decisions_at_once_give_one_verdict(
    decided_by: dict[str, Callable[[Promotion], object]],
    requester: Actor,
    reviewer: Actor,
    second_reviewer: Actor,
    administrator: Actor,
    one: str,
    other: str,
) -> None:
    make.model(requester)
    before, candidate = make.version(requester), make.version(requester)
    promotions.transition(administrator, "churn", before.number, "Production")
    gate = {"gate": "required_checks", "names": ["tests"]}
    policies.write(administrator, Scope(), "Production", {"approvals": 2, "gates": [gate]})
    promotion = promotions.request(requester, "churn", candidate.number, "Production")
    promotions.approve(reviewer, promotion.pk, evidence=make.evidence(promotion))
    if "carry out" in (one, other):
        promotions.approve(second_reviewer, promotion.pk, evidence=make.evidence(promotion))
    report(candidate, requester)
    if one == "approve" and other == "carry out":
        second = make.actor("third-reviewer", Role.REVIEWER)
        acts = [
            lambda: promotions.approve(second, promotion.pk, evidence=make.evidence(promotion)),
            lambda: decided_by[other](promotion),
        ]
    else:
        acts = [lambda way=way: decided_by[way](promotion) for way in (one, other)]
    at_once(*acts)
    promotion.refresh_from_db()
    told = list(AuditEntry.objects.filter(verb__in=VERDICTS, data__promotion=str(promotion.pk)))
    assert [VERDICTS[entry.verb] for entry in told] == [promotion.state]
    assert promotion.entry_hash == told[0].hash
    held = Occupancy.objects.get(stage=Stage.PRODUCTION, ended_at__isnull=True)
    assert held.number == (candidate.number if promotion.state == State.PROMOTED else before.number)
    assert [flaw for _, flaw in verification.verify() if flaw] == []


def report(version: Version, reporter: Actor) -> None:
    """The row alone, without what the service does then: that is left to the sweep."""
    Check.objects.create(version=version, name="tests", state=CheckState.PASSED, reporter_id=reporter.user_id)


def test_32_reviewers_race_for_the_last_seat(requester: Actor, administrator: Actor) -> None:
    make.model(requester)
    make.version(requester)
    policies.write(administrator, Scope(), "Production", {"approvals": 5})
    promotion = promotions.request(requester, "churn", 1, "Production")
    reviewers = [make.actor(f"reviewer-{number}", Role.REVIEWER) for number in range(CLIENTS)]
    seen = make.evidence(promotion)
    results = at_once(*(lambda who=who: promotions.approve(who, promotion.pk, evidence=seen) for who in reviewers))
    refused = [type(result) for result in results if isinstance(result, Exception)]
    assert refused == [errors.PromotionClosed] * (CLIENTS - 5)
    assert promotion.approvals.count() == 5
    assert AuditEntry.objects.filter(verb="promotion.approved").count() == 5
    assert AuditEntry.objects.filter(verb="promotion.promoted").count() == 1
    assert AuditEntry.objects.filter(verb="version.transitioned").count() == 1


@pytest.mark.parametrize("round_", range(3))
def test_a_policy_that_is_tightened_while_the_last_approval_is_given_is_kept_to(
    requester: Actor, reviewer: Actor, administrator: Actor, round_: int
) -> None:
    make.model(requester)
    make.version(requester)
    promotion = promotions.request(requester, "churn", 1, "Production")
    seen = make.evidence(promotion)
    at_once(
        lambda: promotions.approve(reviewer, promotion.pk, evidence=seen),
        lambda: policies.write(administrator, Scope(), "Production", {"approvals": 2}),
    )
    promotion.refresh_from_db()
    if promotion.state == State.PROMOTED:
        entry = AuditEntry.objects.get(verb="promotion.promoted")
        assert promotion.terms.approvals == 1  # it was carried out before the edit, under what held then
        assert entry.at <= AuditEntry.objects.get(verb="policy.changed").at + datetime.timedelta(seconds=1)
    else:
        assert promotion.terms.approvals == 2
        assert len(make.outlook_of(promotion).missing) == 1
