"""Ways past a policy, and ways to stop everybody, that were found once: each stays closed."""

from __future__ import annotations

import datetime

import pytest
import time_machine
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Grant, User, UserKind
from accounts.roles import Role
from accounts.services import people
from lineage.services import experiments, runs
from registry import errors
from registry.lifecycle import Stage, State
from registry.models import Occupancy, Promotion
from registry.policy import Scope
from registry.references import parse
from registry.resolving import resolve
from registry.services import afterwards, catalog, checks, clock, policies, promotions, rollback
from registry.services.catalog import Origin
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)


def in_production() -> list[int]:
    held = Occupancy.objects.filter(stage=Stage.PRODUCTION, ended_at__isnull=True)
    return sorted(held.values_list("number", flat=True))


def from_run(actor: Actor, ended_ms: int) -> None:
    """A version of churn whose run ended then."""
    run = runs.create(actor, experiments.default(actor), tags={})
    runs.update(actor, run.pk, ended_ms=ended_ms)
    catalog.register_version(actor, "churn", Origin(source=f"s3://b/{run.pk}", run=run, run_ref=run.pk.hex))


def test_a_run_that_ended_beyond_the_calendar_holds_up_its_own_promotion_alone(
    requester: Actor, maintainer: Actor
) -> None:
    gates = [{"gate": "fresh_evaluation", "days": 9}]
    policies.write(maintainer, Scope(), "Production", {"approvals": 0, "gates": gates})
    make.model(requester)
    from_run(requester, 10**16)
    promotion = promotions.request(requester, "churn", 1, "Production")
    assert promotion.state == State.OPEN
    assert clock.look_again(timezone.now() + datetime.timedelta(days=1)) == 0
    policies.write(maintainer, Scope(), "Production", {"approvals": 1, "gates": gates})
    promotion.refresh_from_db()
    assert promotion.terms.approvals == 1


def test_a_run_that_is_yet_to_end_is_no_fresh_evaluation(requester: Actor, maintainer: Actor) -> None:
    gates = [{"gate": "fresh_evaluation", "days": 1}]
    policies.write(maintainer, Scope(), "Production", {"approvals": 0, "gates": gates})
    make.model(requester)
    from_run(requester, 32_000_000_000_000)  # the year 2984
    promotion = promotions.request(requester, "churn", 1, "Production")
    assert "yet to come" in make.outlook_of(promotion).missing[0]


def test_emptying_the_stage_first_is_no_way_past_not_worse(requester: Actor, maintainer: Actor) -> None:
    gate = {"gate": "not_worse", "metric": "auc", "check": "eval", "direction": "higher"}
    policies.write(maintainer, Scope(), "Production", {"approvals": 0, "gates": [gate]})
    make.model(requester)
    for number, auc in ((1, 0.95), (2, 0.10)):
        make.version(requester)
        checks.report(requester, "churn", number, check="eval", state="passed", values={"auc": auc})
        promotions.request(requester, "churn", number, "Production")
    promotions.request(requester, "churn", 1, "Archived")
    assert promotions.request(requester, "churn", 2, "Production").state == State.OPEN
    assert in_production() == []


def test_what_a_check_that_failed_measured_passes_no_gate(requester: Actor, maintainer: Actor) -> None:
    gate = {"gate": "metric_threshold", "metric": "auc", "check": "eval", "at_least": 0.5}
    policies.write(maintainer, Scope(), "Production", {"approvals": 0, "gates": [gate]})
    make.model(requester)
    make.version(requester)
    checks.report(requester, "churn", 1, check="eval", state="failed", values={"auc": 0.9})
    assert promotions.request(requester, "churn", 1, "Production").state == State.OPEN


def test_the_same_report_a_week_later_is_a_new_one(requester: Actor) -> None:
    make.model(requester)
    make.version(requester)
    checks.report(requester, "churn", 1, check="nightly", state="passed")
    assert checks.report(requester, "churn", 1, check="nightly", state="passed").repeated
    with time_machine.travel(timezone.now() + datetime.timedelta(days=7), tick=True):
        assert not checks.report(requester, "churn", 1, check="nightly", state="passed").repeated


def test_a_bypass_that_was_disagreed_with_is_not_rolled_back_to(
    requester: Actor, reviewer: Actor, second_reviewer: Actor, administrator: Actor
) -> None:
    make.model(requester)
    make.version(requester)
    promotions.transition(administrator, "churn", 1, "Production")
    bypassed = Promotion.objects.get(bypass=True)
    afterwards.review_afterwards(second_reviewer, bypassed.pk, agrees=False, note="it leaks personal data")
    make.in_production(requester, reviewer, make.version(requester))
    with pytest.raises(errors.NotVouchedFor, match="did not agree"):
        rollback.roll_back(reviewer, "churn", "Production", reason="v2 is slow")


def test_what_went_in_when_nobody_had_to_approve_is_not_rolled_back_to_once_somebody_has_to(
    requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    make.model(requester)
    policies.write(maintainer, Scope(), "Production", {"approvals": 0})
    make.version(requester)
    promotions.request(requester, "churn", 1, "Production")
    policies.write(maintainer, Scope(), "Production", {"approvals": 1})
    make.in_production(requester, reviewer, make.version(requester))
    with pytest.raises(errors.NotVouchedFor, match="nobody had to approve"):
        rollback.roll_back(reviewer, "churn", "Production", reason="v2 is slow")


def test_only_those_whose_approval_counted_are_named_as_having_approved(
    requester: Actor, reviewer: Actor, second_reviewer: Actor, maintainer: Actor, administrator: Actor
) -> None:
    policies.write(maintainer, Scope(), "Production", {"approvals": 2})
    make.model(requester)
    make.version(requester)
    promotion = promotions.request(requester, "churn", 1, "Production")
    seen = make.evidence(promotion)
    promotions.approve(reviewer, promotion.pk, evidence=seen)
    people.take(administrator, Grant.objects.get(user_id=reviewer.user_id).pk)
    for who in (second_reviewer, make.actor("third", Role.REVIEWER)):
        promotions.approve(who, promotion.pk, evidence=seen)
    assert resolve(requester, parse("models:/churn/Production")).approved_by == ["second-reviewer", "third"]


def test_an_excluded_team_vouches_anew_under_no_account(
    requester: Actor, reviewer: Actor, maintainer: Actor, administrator: Actor
) -> None:
    make.actor("boss", Role.REVIEWER)
    people.set_team(maintainer, name="sales", usernames=["boss"])
    policies.write(maintainer, Scope(), "Production", {"approvals": 1, "approval_days": 1, "excluded_teams": ["sales"]})
    make.model(requester)
    done = make.in_production(requester, reviewer, make.version(requester))
    boss = User.objects.get(username="boss")
    people.create_user(administrator, username="boss-bot", kind=UserKind.SERVICE, responsible=boss)
    with pytest.raises(errors.SelfApproval):
        afterwards.revalidate(make.actor("boss-bot", Role.REVIEWER), done.pk)


def test_who_bypassed_does_not_vouch_anew_for_it(requester: Actor, administrator: Actor) -> None:
    policies.write(administrator, Scope(), "Production", {"approvals": 1, "approval_days": 1})
    make.model(requester)
    make.version(requester)
    promotions.transition(administrator, "churn", 1, "Production")
    with pytest.raises(errors.SelfApproval):
        afterwards.revalidate(administrator, Promotion.objects.get(bypass=True).pk)


def test_an_overdue_promotion_is_not_carried_out_by_an_edit_of_its_policy(requester: Actor, maintainer: Actor) -> None:
    policies.write(maintainer, Scope(), "Production", {"approvals": 1, "lifetime_days": 1})
    make.model(requester)
    make.version(requester, tags={"owner": "risk"})
    promotions.request(requester, "churn", 1, "Production")
    with time_machine.travel(timezone.now() + datetime.timedelta(days=2), tick=True):
        rules = {"approvals": 0, "gates": [{"gate": "required_tags", "keys": ["owner"]}]}
        policies.write(maintainer, Scope(), "Production", rules)
    assert in_production() == []


def test_a_version_in_a_stage_that_has_become_exclusive_is_not_deleted(requester: Actor, maintainer: Actor) -> None:
    policies.write(maintainer, Scope(), "Production", {"approvals": 0, "exclusive": False})
    make.model(requester)
    make.version(requester)
    promotions.request(requester, "churn", 1, "Production")
    policies.write(maintainer, Scope(), "Production", {"approvals": 0, "exclusive": True})
    for delete in (
        lambda: catalog.delete_version(requester, "churn", 1),
        lambda: catalog.delete_model(maintainer, "churn"),
    ):
        with pytest.raises(errors.StageInUse):
            delete()


def test_archiving_the_others_is_not_forgotten_when_the_promotion_was_open_already(
    requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    policies.write(maintainer, Scope(), "Production", {"approvals": 1, "exclusive": False})
    make.model(requester)
    make.in_production(requester, reviewer, make.version(requester))
    make.version(requester)
    promotion = promotions.request(requester, "churn", 2, "Production")
    with pytest.raises(errors.ReviewNeeded):
        promotions.transition(requester, "churn", 2, "Production", archive_existing=True)
    promotions.approve(reviewer, promotion.pk, evidence=make.evidence(promotion))
    assert in_production() == [2]


@pytest.mark.parametrize(
    "rules",
    [{"teams": [*range(5000), "a"]}, {"gates": [{"gate": "required_checks", "names": [*map(str, range(5000))]}]}],
    ids=["teams", "names"],
)
def test_a_list_of_thousands_is_refused_before_each_is_compared_with_each(
    maintainer: Actor, rules: dict[str, object]
) -> None:
    with pytest.raises((errors.BadRules, errors.BadGate), match="at most"):
        policies.write(maintainer, Scope(), "Production", rules)


def test_what_is_more_than_one_write_settles_is_settled_by_the_sweep(requester: Actor, maintainer: Actor) -> None:
    gates = [{"gate": "description", "of": "model", "min_length": 5}]
    policies.write(maintainer, Scope(), "Staging", {"approvals": 0, "gates": gates, "exclusive": False})
    make.model(requester)
    for number in range(1, 24):
        catalog.register_version(requester, "churn", Origin(source=f"s3://bucket/{number}"))
        promotions.request(requester, "churn", number, "Staging")
    Promotion.objects.update(look_again_at=None)
    catalog.describe_model(requester, "churn", "predicts who leaves")
    there = Occupancy.objects.filter(stage=Stage.STAGING, ended_at__isnull=True)
    assert there.count() == 20
    assert clock.look_again(timezone.now()) == 3
    assert there.count() == 23
