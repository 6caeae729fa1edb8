"""What is looked at after the fact: bypasses, rollbacks, and versions that stay longer than an approval holds."""

from __future__ import annotations

import datetime

import pytest
import time_machine
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry, Team, User
from accounts.permissions import RoleMissing
from accounts.roles import Role
from accounts.services import people
from lineage.models import Manifest
from registry import errors
from registry.lifecycle import Stage
from registry.models import Promotion
from registry.policy import Scope
from registry.queries import find_version
from registry.queue import Lane, Queue
from registry.revalidation import lapsed
from registry.services import afterwards, clock, policies, promotions, rollback
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)

YEAR = datetime.timedelta(days=365)


# --- Bypasses and rollbacks -------------------------------------------------------------------------------------------


def bypassed(requester: Actor, administrator: Actor) -> Promotion:
    make.model(requester)
    make.version(requester)
    promotions.transition(administrator, "churn", 1, "Production", comment="outage")
    return Promotion.objects.get(bypass=True)


def to_look_at(actor: Actor) -> list[Promotion]:
    queue = Queue(actor)
    found = list(queue.lane(Lane.AFTERWARDS))
    assert queue.counts().afterwards == len(found)
    return found


def test_somebody_without_part_in_it_reviews_a_bypass_once(
    requester: Actor, reviewer: Actor, second_reviewer: Actor, administrator: Actor
) -> None:
    promotion = bypassed(requester, administrator)
    assert to_look_at(reviewer) == [promotion]
    afterwards.review_afterwards(reviewer, promotion.pk, agrees=True, note="it was one")
    promotion.refresh_from_db()
    assert (promotion.reviewed_by_id, promotion.review_agrees, promotion.awaits_review) == (
        reviewer.user_id,
        True,
        False,
    )
    entry = AuditEntry.objects.latest("pk")
    assert (entry.verb, entry.data["agrees"], entry.data["note"]) == ("promotion.reviewed", True, "it was one")
    assert to_look_at(second_reviewer) == []
    with pytest.raises(errors.ReviewedAlready, match="reviewer has reviewed"):
        afterwards.review_afterwards(second_reviewer, promotion.pk, agrees=False, note="no")


def test_who_disagrees_says_why_and_nothing_moves(requester: Actor, reviewer: Actor, administrator: Actor) -> None:
    promotion = bypassed(requester, administrator)
    with pytest.raises(errors.ReasonMissing, match="note must not be empty"):
        afterwards.review_afterwards(reviewer, promotion.pk, agrees=False)
    afterwards.review_afterwards(reviewer, promotion.pk, agrees=False, note="there was no outage")
    assert find_version(reviewer, "churn", 1).stage == Stage.PRODUCTION


def test_nobody_reviews_afterwards_what_he_had_part_in(requester: Actor, administrator: Actor, viewer: Actor) -> None:
    """Whoever carried it out, or registered it, and every account that he answers for."""
    promotion = bypassed(requester, administrator)
    registrar = make.actor(requester.username, Role.REVIEWER)
    deputy = make.actor("deputy", Role.REVIEWER)
    people.edit_user(
        administrator, "deputy", display_name="", email="", responsible=User.objects.get(pk=administrator.user_id)
    )
    for actor, why in (
        (administrator, "you carried it out"),
        (registrar, "you registered the version"),
        (deputy, "you are, or answer for, an account"),
    ):
        assert to_look_at(actor) == []
        with pytest.raises((errors.OwnDoing), match=why):
            afterwards.review_afterwards(actor, promotion.pk, agrees=True)
    with pytest.raises(RoleMissing):
        afterwards.review_afterwards(viewer, promotion.pk, agrees=True)


def test_a_rollback_is_reviewed_by_another_than_the_one_who_rolled_back(
    requester: Actor, reviewer: Actor, second_reviewer: Actor
) -> None:
    make.model(requester)
    for _ in range(2):
        promotion = make.in_production(requester, reviewer, make.version(requester))
    with pytest.raises(errors.NothingToReview):
        afterwards.review_afterwards(second_reviewer, promotion.pk, agrees=True)
    back = rollback.roll_back(reviewer, "churn", "Production", reason="bad")
    assert (to_look_at(reviewer), to_look_at(second_reviewer)) == ([], [back])
    with pytest.raises(errors.OwnDoing):
        afterwards.review_afterwards(reviewer, back.pk, agrees=True)
    afterwards.review_afterwards(second_reviewer, back.pk, agrees=True)


# --- Vouching anew ----------------------------------------------------------------------------------------------------


@pytest.fixture
def yearly(maintainer: Actor, requester: Actor, reviewer: Actor) -> Promotion:
    """v1 in Production under a policy whose approvals hold for a year."""
    policies.write(maintainer, Scope(), "Production", {"approvals": 1, "approval_days": 365})
    make.model(requester)
    return make.in_production(requester, reviewer, make.version(requester))


def announced() -> int:
    return AuditEntry.objects.filter(verb="promotion.lapsed").count()


def test_a_word_that_lapsed_is_told_once_demotes_nothing_and_holds_again_when_given_anew(
    yearly: Promotion, reviewer: Actor
) -> None:
    assert yearly.valid_until == yearly.decided_at + YEAR
    assert find_version(reviewer, "churn", 1).valid_until == yearly.valid_until
    with time_machine.travel(timezone.now() + YEAR):
        assert clock.announce_lapsed(timezone.now()) == 1
        assert clock.announce_lapsed(timezone.now()) == 0
        assert list(lapsed(Promotion.objects.all())) == [yearly]
        assert find_version(reviewer, "churn", 1).stage == Stage.PRODUCTION
        afterwards.revalidate(reviewer, yearly.pk, comment="still good")
        yearly.refresh_from_db()
        assert yearly.valid_until > timezone.now() + YEAR - datetime.timedelta(minutes=1)
        assert (yearly.lapsed_at, list(lapsed(Promotion.objects.all()))) == (None, [])
        entry = AuditEntry.objects.latest("pk")
        assert (entry.verb, entry.data["complete"]) == ("promotion.revalidated", True)
        assert entry.data["valid_until"] == yearly.valid_until.isoformat()
    with time_machine.travel(timezone.now() + 2 * YEAR + datetime.timedelta(days=1)):
        assert clock.announce_lapsed(timezone.now()) == 1
    assert announced() == 2


def test_as_many_persons_and_teams_vouch_anew_as_the_terms_ask_for(
    yearly: Promotion, reviewer: Actor, second_reviewer: Actor, administrator: Actor
) -> None:
    team = Team.objects.create(workspace=make.workspace(), name="risk")
    team.members.add(second_reviewer.user_id)
    Promotion.objects.update(policy={**yearly.policy, "approvals": 2, "teams": ["risk"]})
    until = yearly.valid_until
    deputy = make.actor("deputy", Role.REVIEWER)
    people.edit_user(
        administrator, "deputy", display_name="", email="", responsible=User.objects.get(pk=reviewer.user_id)
    )
    for actor in (reviewer, deputy):  # one person
        assert afterwards.revalidate(actor, yearly.pk).valid_until == until
    missing = ["1 more reviewer to vouch for it anew", "a member of the team risk to vouch for it anew"]
    assert AuditEntry.objects.latest("pk").data["missing"] == missing
    with pytest.raises(errors.RevalidatedAlready, match="still needs: 1 more reviewer"):
        afterwards.revalidate(reviewer, yearly.pk)
    assert afterwards.revalidate(second_reviewer, yearly.pk).valid_until > until


def test_who_lost_the_role_since_does_not_count(
    yearly: Promotion, reviewer: Actor, second_reviewer: Actor, administrator: Actor
) -> None:
    Promotion.objects.update(policy={**yearly.policy, "approvals": 2})
    afterwards.revalidate(reviewer, yearly.pk)
    people.set_active(administrator, "reviewer", False)
    assert afterwards.revalidate(second_reviewer, yearly.pk).valid_until == yearly.valid_until


def test_who_had_part_in_it_cannot_vouch_for_it_anew(yearly: Promotion, requester: Actor, maintainer: Actor) -> None:
    with pytest.raises(RoleMissing):
        afterwards.revalidate(requester, yearly.pk)
    with pytest.raises(errors.SelfApproval, match="you registered the version"):
        afterwards.revalidate(make.actor(requester.username, Role.REVIEWER), yearly.pk)


def test_only_what_is_there_and_runs_out_is_vouched_for_anew(
    yearly: Promotion, requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    Manifest.objects.update(damage="model.bin is missing")
    with pytest.raises(errors.FilesDamaged, match=r"model\.bin is missing"):
        afterwards.revalidate(reviewer, yearly.pk)
    policies.write(maintainer, Scope(), "Production", {"approvals": 1})
    following = make.in_production(requester, reviewer, make.version(requester))
    with pytest.raises(errors.NotThereAnyMore):
        afterwards.revalidate(reviewer, yearly.pk)
    with pytest.raises(errors.HoldsForEver):
        afterwards.revalidate(reviewer, following.pk)


def test_a_rollback_does_not_make_a_word_younger(yearly: Promotion, requester: Actor, reviewer: Actor) -> None:
    with time_machine.travel(timezone.now() + YEAR - datetime.timedelta(days=1)):
        make.in_production(requester, reviewer, make.version(requester))
        back = rollback.roll_back(reviewer, "churn", "Production", reason="bad")
    assert back.valid_until == yearly.valid_until
    with time_machine.travel(timezone.now() + YEAR):
        assert clock.announce_lapsed(timezone.now()) == 1
        assert list(lapsed(Promotion.objects.all())) == [back]
