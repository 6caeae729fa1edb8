"""Opening a decided promotion again: a rejection is not walked around."""

from __future__ import annotations

import datetime

import pytest
import time_machine
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.roles import Role
from core.errors import Denied
from registry import errors
from registry.lifecycle import State
from registry.models import Promotion
from registry.outlook import outlook
from registry.policy import Scope
from registry.services import clock, policies, promotions
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def promotion(requester: Actor) -> Promotion:
    make.model(requester)
    make.version(requester)
    return promotions.request(requester, "churn", 1, "Production")


def as_it_is(promotion: Promotion) -> Promotion:
    return Promotion.objects.select_related("model", "version__manifest").get(pk=promotion.pk)


def test_what_was_approved_before_a_rejection_does_not_count_after_it(
    promotion: Promotion, requester: Actor, reviewer: Actor, second_reviewer: Actor, maintainer: Actor
) -> None:
    policies.write(maintainer, Scope(), "Production", {"approvals": 2})
    seen = make.evidence(as_it_is(promotion))
    with pytest.raises(errors.EvidenceChanged):  # the terms were tightened since
        promotions.approve(reviewer, promotion.pk, evidence="0" * 64)
    seen = make.evidence(as_it_is(promotion))
    promotions.approve(reviewer, promotion.pk, evidence=seen)
    promotions.reject(second_reviewer, promotion.pk, reason="it leaks the label")
    policies.write(maintainer, Scope(), "Production", {"approvals": 1})
    reopened = promotions.reopen(requester, promotion.pk, reason="the label is out of it")
    assert (reopened.state, reopened.round, reopened.terms.approvals) == (State.OPEN, 2, 1)
    look = outlook(as_it_is(promotion))
    assert (len(look.counting), len(look.stale), look.lacking) == (0, 1, 1)
    with pytest.raises(errors.EvidenceChanged):
        promotions.approve(reviewer, promotion.pk, evidence=seen)
    done = promotions.approve(reviewer, promotion.pk, evidence=make.evidence(as_it_is(promotion)))
    assert done.state == State.PROMOTED
    assert AuditEntry.objects.filter(verb="promotion.reopened", data__reason="the label is out of it").count() == 1


def test_whoever_reopens_it_asks_for_it_and_cannot_approve_it(
    promotion: Promotion, requester: Actor, reviewer: Actor
) -> None:
    promotions.reject(reviewer, promotion.pk, reason="no")
    promotions.reopen(reviewer, promotion.pk, reason="I was wrong")
    with pytest.raises(errors.SelfApproval, match="you asked for it too"):
        promotions.approve(reviewer, promotion.pk, evidence=make.evidence(as_it_is(promotion)))


def test_the_requester_reopens_what_he_withdrew_with_a_reason(promotion: Promotion, requester: Actor) -> None:
    promotions.withdraw(requester, promotion.pk)
    with pytest.raises(errors.ReasonMissing):
        promotions.reopen(requester, promotion.pk, reason=" ")
    reopened = promotions.reopen(requester, promotion.pk, reason="ready now")
    assert (reopened.state, reopened.decided_by_id, reopened.decided_at) == (State.OPEN, None, None)


def test_an_expired_one_has_a_lifetime_anew(promotion: Promotion, requester: Actor) -> None:
    later = timezone.now() + datetime.timedelta(days=31)
    with time_machine.travel(later):
        assert clock.expire_due(timezone.now()) == 1
        reopened = promotions.reopen(requester, promotion.pk, reason="still wanted")
        assert reopened.expires_at > later + datetime.timedelta(days=29)
        assert clock.expire_due(timezone.now()) == 0


def test_the_policy_that_is_in_force_now_holds_also_where_it_asks_for_less(
    promotion: Promotion, requester: Actor, maintainer: Actor
) -> None:
    promotions.withdraw(requester, promotion.pk)
    policies.write(maintainer, Scope(), "Production", {"approvals": 0})
    assert promotions.reopen(requester, promotion.pk, reason="direct now").state == State.PROMOTED


def test_what_is_open_asked_for_again_or_done_is_not_reopened(
    promotion: Promotion, requester: Actor, reviewer: Actor, viewer: Actor
) -> None:
    with pytest.raises(errors.PromotionClosed):
        promotions.reopen(requester, promotion.pk, reason="x")
    promotions.withdraw(requester, promotion.pk)
    with pytest.raises(Denied):
        promotions.reopen(viewer, promotion.pk, reason="x")
    other = promotions.request(requester, "churn", 1, "Production")
    with pytest.raises(errors.OpenAlready, match=str(other.pk)):
        promotions.reopen(requester, promotion.pk, reason="x")
    promotions.approve(reviewer, other.pk, evidence=make.evidence(other))
    with pytest.raises(errors.AlreadyThere):
        promotions.reopen(requester, promotion.pk, reason="x")
    with pytest.raises(errors.PromotionClosed):
        promotions.reopen(requester, other.pk, reason="x")


def test_somebody_who_lost_the_role_reopens_nothing(promotion: Promotion, requester: Actor) -> None:
    promotions.withdraw(requester, promotion.pk)
    with pytest.raises(Denied):
        promotions.reopen(make.actor("passer-by", Role.VIEWER), promotion.pk, reason="x")
    with pytest.raises(errors.PromotionNotFound):
        promotions.reopen(make.actor("elsewhere", *Role, slug="elsewhere"), promotion.pk, reason="x")
