"""The life of a promotion."""

from __future__ import annotations

import datetime

import pytest
import time_machine
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.roles import Role
from accounts.services import people
from registry import errors
from registry.lifecycle import Stage, State
from registry.models import Occupancy, Promotion
from registry.queries import find_version, resolve
from registry.references import parse
from registry.services import catalog, promotions
from tests import make

pytestmark = pytest.mark.django_db


def stage_of(actor: Actor, number: int) -> str:
    return find_version(actor, "churn", number).stage


@pytest.fixture
def churn(requester: Actor) -> None:
    make.model(requester)
    make.version(requester)
    make.version(requester)


def test_staging_and_archived_are_entered_directly(churn: None, requester: Actor) -> None:
    assert promotions.request(requester, "churn", 1, "staging").state == State.PROMOTED
    assert stage_of(requester, 1) == Stage.STAGING
    assert promotions.request(requester, "churn", 1, "Archived").state == State.PROMOTED
    assert stage_of(requester, 1) == Stage.ARCHIVED


def test_production_waits_for_an_approval_and_the_incumbent_is_archived(
    churn: None, requester: Actor, reviewer: Actor
) -> None:
    first = promotions.request(requester, "churn", 1, "Production")
    assert (first.state, stage_of(requester, 1)) == (State.OPEN, Stage.NONE)
    promotions.approve(reviewer, first.pk, evidence=make.evidence(first))
    assert stage_of(requester, 1) == Stage.PRODUCTION
    make.in_production(requester, reviewer, find_version(requester, "churn", 2))
    assert (stage_of(requester, 1), stage_of(requester, 2)) == (Stage.ARCHIVED, Stage.PRODUCTION)
    found = resolve(requester, parse("models:/churn/Production"))
    assert (found.version, found.approved_by, found.promoted_by) == (2, ["reviewer"], "reviewer")


def test_a_transition_that_needs_review_opens_the_promotion_and_says_what_is_missing(
    churn: None, requester: Actor
) -> None:
    with pytest.raises(errors.ReviewNeeded) as refused:
        promotions.transition(requester, "churn", 1, "Production")
    opened = Promotion.objects.get()
    assert opened.state == State.OPEN
    assert "1 more approval" in refused.value.message
    assert str(opened.pk) in refused.value.message
    with pytest.raises(errors.ReviewNeeded):
        promotions.transition(requester, "churn", 1, "Production")
    assert Promotion.objects.count() == 1


def test_an_administrators_transition_is_carried_out_and_marked_as_bypass(
    churn: None, requester: Actor, administrator: Actor
) -> None:
    version = promotions.transition(administrator, "churn", 1, "Production")
    assert version.stage == Stage.PRODUCTION
    assert Promotion.objects.get().bypass
    assert AuditEntry.objects.filter(verb="promotion.bypassed").count() == 1


def test_asking_for_the_stage_it_holds_changes_nothing(churn: None, requester: Actor) -> None:
    promotions.transition(requester, "churn", 1, "Staging")
    before = AuditEntry.objects.count()
    assert promotions.transition(requester, "churn", 1, "Staging").stage == Stage.STAGING
    assert AuditEntry.objects.count() == before


def test_the_requester_cannot_approve(churn: None) -> None:
    both = make.actor("both", Role.CONTRIBUTOR, Role.REVIEWER)
    promotion = promotions.request(both, "churn", 1, "Production")
    with pytest.raises(errors.SelfApproval, match="you asked for it"):
        promotions.approve(both, promotion.pk, evidence=make.evidence(promotion))


def test_the_registrar_cannot_approve_what_somebody_else_asked_for(requester: Actor) -> None:
    both = make.actor("both", Role.CONTRIBUTOR, Role.REVIEWER)
    make.model(requester)
    make.version(both)
    promotion = promotions.request(requester, "churn", 1, "Production")
    with pytest.raises(errors.SelfApproval, match="registered"):
        promotions.approve(both, promotion.pk, evidence=make.evidence(promotion))


def test_who_answers_for_the_account_that_registered_cannot_approve(requester: Actor, reviewer: Actor) -> None:
    from accounts.models import User

    User.objects.filter(pk=requester.user_id).update(responsible_id=reviewer.user_id)
    make.model(requester)
    make.version(requester)
    promotion = promotions.request(requester, "churn", 1, "Production")
    with pytest.raises(errors.SelfApproval, match="you answer for"):
        promotions.approve(reviewer, promotion.pk, evidence=make.evidence(promotion))


def test_an_approval_of_other_evidence_is_refused(churn: None, requester: Actor, reviewer: Actor) -> None:
    second = promotions.request(requester, "churn", 2, "Production")
    seen = make.evidence(second)
    make.in_production(requester, reviewer, find_version(requester, "churn", 1))
    with pytest.raises(errors.EvidenceChanged):
        promotions.approve(reviewer, second.pk, evidence=seen)
    assert promotions.approve(reviewer, second.pk, evidence=make.evidence(second)).state == State.PROMOTED


def test_a_reviewer_who_lost_the_role_no_longer_counts(
    churn: None, requester: Actor, reviewer: Actor, second_reviewer: Actor, administrator: Actor
) -> None:
    promotion = promotions.request(requester, "churn", 1, "Production")
    Promotion.objects.filter(pk=promotion.pk).update(policy={**promotion.policy, "approvals": 2})
    promotions.approve(reviewer, promotion.pk, evidence=make.evidence(promotion))
    people.set_active(administrator, "reviewer", False)
    promotion = promotions.approve(second_reviewer, promotion.pk, evidence=make.evidence(promotion))
    assert promotion.state == State.OPEN
    assert len(promotions.outlook(promotion).stale) == 1


def test_a_rejection_needs_a_reason_and_ends_it(churn: None, requester: Actor, reviewer: Actor) -> None:
    promotion = promotions.request(requester, "churn", 1, "Production")
    with pytest.raises(errors.ReasonMissing):
        promotions.reject(reviewer, promotion.pk, reason="  ")
    assert promotions.reject(reviewer, promotion.pk, reason="not enough data").state == State.REJECTED
    with pytest.raises(errors.PromotionClosed):
        promotions.approve(reviewer, promotion.pk, evidence=make.evidence(promotion))


def test_only_its_requester_or_a_maintainer_withdraws(
    churn: None, requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    first = promotions.request(requester, "churn", 1, "Production")
    second = promotions.request(requester, "churn", 2, "Production")
    with pytest.raises(errors.NotYourPromotion):
        promotions.withdraw(reviewer, first.pk)
    assert promotions.withdraw(requester, first.pk).state == State.WITHDRAWN
    assert promotions.withdraw(maintainer, second.pk).state == State.WITHDRAWN


def test_a_promotion_nobody_decides_expires(churn: None, requester: Actor) -> None:
    promotion = promotions.request(requester, "churn", 1, "Production")
    assert promotions.expire_due(timezone.now()) == 0
    with time_machine.travel(timezone.now() + datetime.timedelta(days=31)):
        assert promotions.expire_due(timezone.now()) == 1
    promotion.refresh_from_db()
    assert promotion.state == State.EXPIRED


def test_a_version_in_production_cannot_be_deleted_nor_its_model(
    churn: None, requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    make.in_production(requester, reviewer, find_version(requester, "churn", 1))
    with pytest.raises(errors.StageInUse):
        catalog.delete_version(maintainer, "churn", 1)
    with pytest.raises(errors.StageInUse):
        catalog.delete_model(maintainer, "churn")


def test_deleting_a_version_closes_its_promotions(churn: None, requester: Actor) -> None:
    promotion = promotions.request(requester, "churn", 1, "Production")
    catalog.delete_version(requester, "churn", 1)
    promotion.refresh_from_db()
    assert promotion.state == State.SUPERSEDED


def test_what_others_own_is_not_found(churn: None, requester: Actor, outsider: Actor) -> None:
    promotion = promotions.request(requester, "churn", 1, "Production")
    for attempt in (
        lambda: promotions.request(outsider, "churn", 1, "Staging"),
        lambda: promotions.approve(outsider, promotion.pk, evidence=make.evidence(promotion)),
        lambda: resolve(outsider, parse("models:/churn/1")),
    ):
        with pytest.raises((errors.ModelNotFound, errors.PromotionNotFound)):
            attempt()


def test_every_stage_change_leaves_occupancies_without_gaps(churn: None, requester: Actor, reviewer: Actor) -> None:
    promotions.request(requester, "churn", 1, "Staging")
    make.in_production(requester, reviewer, find_version(requester, "churn", 1))
    held = list(Occupancy.objects.filter(version__number=1).order_by("started_at"))
    assert [row.stage for row in held] == ["None", "Staging", "Production"]
    assert [row.ended_at for row in held[:-1]] == [row.started_at for row in held[1:]]


def test_the_audit_chains_of_all_this_are_whole(churn: None, requester: Actor, reviewer: Actor) -> None:
    make.in_production(requester, reviewer, find_version(requester, "churn", 1))
    verdicts = list(audit.verify())
    assert len(verdicts) == 2
    assert [flaw for _, flaw in verdicts] == [None, None]
