"""The life of a promotion."""

from __future__ import annotations

import datetime

import pytest
import time_machine
from django.db.models import F
from django.utils import timezone

from accounts import verification
from accounts.actor import Actor
from accounts.models import AuditEntry, User, UserKind
from accounts.queries import session_actor
from accounts.roles import Role
from accounts.services import people, tokens
from registry import errors
from registry.lifecycle import Stage, State
from registry.models import Occupancy, Promotion
from registry.outlook import outlook
from registry.policy import Scope
from registry.queries import find_version
from registry.references import parse
from registry.resolving import resolve
from registry.services import catalog, clock, policies, promotions
from registry.services.catalog import Origin
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


def robot_of(person: Actor, administrator: Actor, name: str) -> Actor:
    """A service account that `person` answers for, contributor and reviewer."""
    user = people.create_user(
        administrator, username=name, kind=UserKind.SERVICE, responsible=User.objects.get(pk=person.user_id)
    )
    for role in (Role.CONTRIBUTOR, Role.REVIEWER):
        people.give(administrator, role, user=user)
    return session_actor(user, make.workspace())


def refused_as_own(actor: Actor, promotion: Promotion, why: str) -> None:
    with pytest.raises(errors.SelfApproval, match=why):
        promotions.approve(actor, promotion.pk, evidence=make.evidence(promotion))


def test_nobody_approves_his_own_work_under_another_account(administrator: Actor) -> None:
    alice = make.actor("alice", Role.CONTRIBUTOR, Role.REVIEWER)
    first, second = (robot_of(alice, administrator, name) for name in ("first-robot", "second-robot"))
    make.model(alice)
    for requester, others in ((alice, (first, second)), (first, (alice, second))):
        version = make.version(requester)
        promotion = promotions.request(requester, "churn", version.number, "Production")
        for other in others:
            refused_as_own(other, promotion, "answer for")


def test_two_accounts_of_one_person_count_once(requester: Actor, reviewer: Actor, administrator: Actor) -> None:
    make.model(requester)
    make.version(requester)
    promotion = promotions.request(requester, "churn", 1, "Production")
    Promotion.objects.update(policy={**promotion.policy, "approvals": 2})
    robot = robot_of(reviewer, administrator, "robot")
    for voter in (reviewer, robot):
        promotion = promotions.approve(voter, promotion.pk, evidence=make.evidence(promotion))
    assert promotion.state == State.OPEN


def test_who_made_the_token_that_asked_cannot_approve(administrator: Actor, requester: Actor) -> None:
    make.model(requester)
    make.version(requester)
    robot = people.create_user(
        administrator, username="robot", kind=UserKind.SERVICE, responsible=User.objects.get(pk=requester.user_id)
    )
    people.give(administrator, Role.CONTRIBUTOR, user=robot)
    plain = tokens.create(administrator, name="x", owner=robot).plain
    by_robot = tokens.authenticate(plain, address=None, request_id="")
    promotion = promotions.request(by_robot, "churn", 1, "Production")
    refused_as_own(administrator, promotion, "made the token")


def test_who_asks_for_what_is_asked_already_cannot_approve_it_either(
    churn: None, requester: Actor, maintainer: Actor
) -> None:
    promotion = promotions.request(requester, "churn", 1, "Production")
    promotions.request(maintainer, "churn", 1, "Production")
    refused_as_own(maintainer, promotion, "asked for it too")


def test_who_registered_the_original_cannot_approve_its_copy(requester: Actor, maintainer: Actor) -> None:
    make.model(requester)
    make.model(requester, "copies")
    original = make.version(maintainer)
    catalog.register_version(requester, "copies", Origin(source="models:/churn/1", copy_of=original))
    promotion = promotions.request(requester, "copies", 1, "Production")
    refused_as_own(maintainer, promotion, "copy of")


def test_an_overdue_promotion_is_neither_approved_nor_found_again(
    churn: None, requester: Actor, reviewer: Actor
) -> None:
    overdue = promotions.request(requester, "churn", 1, "Production")
    Promotion.objects.update(expires_at=timezone.now())
    with pytest.raises(errors.PromotionOverdue):
        promotions.approve(reviewer, overdue.pk, evidence=make.evidence(overdue))
    fresh = promotions.request(requester, "churn", 1, "Production")
    overdue.refresh_from_db()
    assert (overdue.state, fresh.state, fresh.pk != overdue.pk) == (State.EXPIRED, State.OPEN, True)


def test_a_clock_that_is_behind_makes_no_interval_run_back(churn: None, administrator: Actor, requester: Actor) -> None:
    promotions.request(requester, "churn", 1, "Staging")
    with time_machine.travel(timezone.now() - datetime.timedelta(minutes=5)):
        promotions.transition(administrator, "churn", 1, "Production")
        catalog.delete_version(requester, "churn", 2)
    assert not Occupancy.objects.filter(ended_at__lt=F("started_at")).exists()
    assert stage_of(requester, 1) == Stage.PRODUCTION


def test_an_approval_of_other_evidence_is_refused(churn: None, requester: Actor, reviewer: Actor) -> None:
    second = promotions.request(requester, "churn", 2, "Production")
    seen = make.evidence(second)
    make.in_production(requester, reviewer, find_version(requester, "churn", 1))
    with pytest.raises(errors.EvidenceChanged):
        promotions.approve(reviewer, second.pk, evidence=seen)
    assert promotions.approve(reviewer, second.pk, evidence=make.evidence(second)).state == State.PROMOTED


def test_approvals_of_different_evidence_do_not_add_up(
    churn: None, requester: Actor, reviewer: Actor, second_reviewer: Actor, administrator: Actor
) -> None:
    policies.write(administrator, Scope(), "Production", {"approvals": 2})
    promotion = promotions.request(requester, "churn", 1, "Production")
    promotions.approve(reviewer, promotion.pk, evidence=make.evidence(promotion))
    promotions.transition(administrator, "churn", 2, "Production")  # now something is there that nobody had looked at
    look = make.outlook_of(promotion)
    assert (look.lacking, len(look.stale)) == (2, 1)
    promotions.approve(second_reviewer, promotion.pk, evidence=make.evidence(promotion))
    promotion.refresh_from_db()
    assert promotion.state == State.OPEN
    promotions.approve(reviewer, promotion.pk, evidence=make.evidence(promotion))
    assert stage_of(requester, 1) == Stage.PRODUCTION


def test_a_reviewer_who_lost_the_role_no_longer_counts(
    churn: None, requester: Actor, reviewer: Actor, second_reviewer: Actor, administrator: Actor
) -> None:
    promotion = promotions.request(requester, "churn", 1, "Production")
    Promotion.objects.filter(pk=promotion.pk).update(policy={**promotion.policy, "approvals": 2})
    promotions.approve(reviewer, promotion.pk, evidence=make.evidence(promotion))
    people.set_active(administrator, "reviewer", False)
    promotion = promotions.approve(second_reviewer, promotion.pk, evidence=make.evidence(promotion))
    assert promotion.state == State.OPEN
    assert len(outlook(promotion).stale) == 1


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
    assert clock.expire_due(timezone.now()) == 0
    with time_machine.travel(timezone.now() + datetime.timedelta(days=31)):
        assert clock.expire_due(timezone.now()) == 1
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
    verdicts = list(verification.verify())
    assert len(verdicts) == 2
    assert [flaw for _, flaw in verdicts] == [None, None]
