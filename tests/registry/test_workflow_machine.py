"""The workflow against its small reference: whatever people do in whatever order, both end in the same state."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts import verification
from accounts.actor import Actor
from accounts.models import Grant, User, UserKind
from accounts.queries import session_actor, system_actor
from accounts.roles import Role
from accounts.services import people
from core.errors import Refusal
from registry.lifecycle import State
from registry.models import Occupancy, Promotion
from registry.outlook import outlook
from registry.policy import Scope
from registry.services import catalog, clock, policies, promotions
from registry.services.catalog import Origin
from tests import make
from tests.registry import reference
from tests.registry.reference import CHECK, RESPONSIBLE, ROLES, Reference, Refused

WHO = st.sampled_from(sorted(ROLES))
VOUCHING = st.sampled_from(["red", "blue", "bot", "keeper", "chief", "one"])
TARGETS = st.sampled_from(["Production", "Production", "Staging", "Archived"])
PLACE = st.integers(0, 50)  # taken modulo of what there is


class Workflow(RuleBasedStateMachine):
    """Each rule does the same to both; each invariant compares them."""

    def __init__(self) -> None:
        super().__init__()
        self.transaction = transaction.atomic()
        # As pytest-django's own: a durable block of a service may run inside.
        self.transaction._from_testcase = True  # type: ignore[attr-defined]
        self.transaction.__enter__()
        self.expected = Reference()
        self.seen: list[tuple[reference.Promotion, object, str]] = []
        self.ids: dict[int, Any] = {}
        for who in ROLES:
            kind = UserKind.SERVICE if who in RESPONSIBLE else UserKind.PERSON
            make.actor(who, Role(ROLES[who]), kind=kind)
        for who, person in RESPONSIBLE.items():
            User.objects.filter(username=who).update(responsible=User.objects.get(username=person))
        make.model(self.acting("one"))

    def teardown(self) -> None:
        try:
            assert [flaw for _, flaw in verification.verify() if flaw] == []
        finally:
            self.roll_back()

    def roll_back(self) -> None:
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)

    def acting(self, who: str) -> Actor:
        return session_actor(User.objects.get(username=who), make.workspace())

    def both(self, service: Callable[[], object], expected: Callable[[], object]) -> None:
        """Do it in both; they refuse for the same reason, or both do it."""
        said = should = ""
        try:
            service()
        except Refusal as refusal:
            said = type(refusal).__name__
        try:
            expected()
        except Refused as refused:
            should = str(refused)
        assert said == should, f"the services said {said or 'yes'!r}, the reference {should or 'yes'!r}"
        self.pair()

    def pair(self) -> None:
        """Remember which promotion is which: both make them in the same order."""
        known = set(self.ids.values())
        for promotion in Promotion.objects.order_by("id"):
            if promotion.pk not in known:
                self.ids[len(self.ids)] = promotion.pk
        assert len(self.ids) == len(self.expected.promotions)

    def some_promotion(self, place: int) -> tuple[reference.Promotion, Any]:
        at = place % len(self.expected.promotions)
        return self.expected.promotions[at], self.ids[at]

    def some_version(self, place: int) -> int:
        return place % len(self.expected.versions) + 1

    def digest(self, promotion_id: Any) -> str:
        found = Promotion.objects.select_related("model", "version__manifest").get(pk=promotion_id)
        return outlook(found).evidence.digest

    # --- What people do ---------------------------------------------------------------------------------------------

    @initialize(approvals=st.integers(1, 2))
    def begin_with_two_that_are_asked_for(self, approvals: int) -> None:
        """Where the interesting things begin: two candidates for one stage, and a policy that asks people."""
        self.edit_policy("keeper", "Production", approvals, False, True)
        for number in range(2):
            self.register("one")
            self.request("two", number, "Production")

    @rule(who=WHO)
    def register(self, who: str) -> None:
        origin = Origin(source=f"s3://bucket/{len(self.expected.versions)}")
        self.both(
            lambda: catalog.register_version(self.acting(who), "churn", origin), lambda: self.expected.register(who)
        )

    @precondition(lambda self: self.expected.versions)
    @rule(who=WHO, place=PLACE, to=TARGETS)
    def request(self, who: str, place: int, to: str) -> None:
        number = self.some_version(place)
        self.both(
            lambda: promotions.request(self.acting(who), "churn", number, to),
            lambda: self.expected.request(who, number, to),
        )

    @precondition(lambda self: self.expected.versions)
    @rule(who=WHO, place=PLACE, to=TARGETS)
    def transition(self, who: str, place: int, to: str) -> None:
        number = self.some_version(place)
        self.both(
            lambda: promotions.transition(self.acting(who), "churn", number, to),
            lambda: self.expected.transition(who, number, to),
        )

    @precondition(lambda self: self.expected.promotions)
    @rule(who=WHO, place=PLACE)
    def look(self, who: str, place: int) -> None:
        """Somebody opens the page now, to approve later what he sees there."""
        expected, promotion_id = self.some_promotion(place)
        if expected.state == "open":
            self.seen.append((expected, self.expected.evidence(expected), self.digest(promotion_id)))

    @precondition(lambda self: self.expected.promotions)
    @rule(who=VOUCHING, place=PLACE)
    def approve(self, who: str, place: int) -> None:
        expected, promotion_id = self.some_promotion(place)
        digest, now = self.digest(promotion_id), self.expected.evidence(expected)
        self.both(
            lambda: promotions.approve(self.acting(who), promotion_id, evidence=digest),
            lambda: self.expected.approve(who, expected, now),
        )

    @precondition(lambda self: self.seen)
    @rule(who=VOUCHING, place=PLACE)
    def approve_what_was_seen(self, who: str, place: int) -> None:
        expected, then, digest = self.seen[place % len(self.seen)]
        promotion_id = self.ids[self.expected.promotions.index(expected)]
        self.both(
            lambda: promotions.approve(self.acting(who), promotion_id, evidence=digest),
            lambda: self.expected.approve(who, expected, then),
        )

    @precondition(lambda self: self.expected.promotions)
    @rule(who=WHO, place=PLACE, act=st.sampled_from(["reject", "withdraw", "reopen", "bypass"]))
    def decide(self, who: str, place: int, act: str) -> None:
        expected, promotion_id = self.some_promotion(place)
        self.both(
            lambda: getattr(promotions, act)(self.acting(who), promotion_id, reason="why not"),
            lambda: getattr(self.expected, act)(who, expected),
        )

    @precondition(lambda self: self.expected.versions)
    @rule(who=WHO, place=PLACE)
    def delete(self, who: str, place: int) -> None:
        number = self.some_version(place)
        self.both(
            lambda: catalog.delete_version(self.acting(who), "churn", number), lambda: self.expected.delete(who, number)
        )

    @rule(who=WHO, to=TARGETS, approvals=st.integers(0, 2), check=st.booleans(), bypass=st.booleans())
    def edit_policy(self, who: str, to: str, approvals: int, check: bool, bypass: bool) -> None:
        rules = {
            "approvals": approvals,
            "exclusive": to == reference.EXCLUSIVE,
            "gates": [{"gate": "required_checks", "names": [CHECK]}] if check else [],
            "bypass": bypass,
        }
        self.both(
            lambda: policies.write(self.acting(who), Scope(), to, rules),
            lambda: self.expected.edit_policy(who, to, approvals, check, bypass),
        )

    @rule(who=st.sampled_from(["red", "blue", "bot"]), role=st.sampled_from(["reviewer", "viewer"]))
    def change_role(self, who: str, role: str) -> None:
        operator = system_actor(make.workspace())
        for grant in Grant.objects.filter(user__username=who):
            people.take(operator, grant.pk)
        people.give(operator, Role(role), user=User.objects.get(username=who))
        self.expected.roles[who] = role

    # --- What the clock does ----------------------------------------------------------------------------------------

    @rule()
    def sweep(self) -> None:
        self.both(lambda: clock.look_again(timezone.now() + datetime.timedelta(days=1)), self.expected.sweep)

    @precondition(lambda self: len(self.expected.promotions) > 3)
    @rule()
    def expire(self) -> None:
        self.both(
            lambda: clock.expire_due(timezone.now() + datetime.timedelta(days=400)), lambda: self.expected.expire_all()
        )

    # --- What always holds ------------------------------------------------------------------------------------------

    @invariant()
    def both_are_in_the_same_state(self) -> None:
        for at, expected in enumerate(self.expected.promotions):
            found = Promotion.objects.get(pk=self.ids[at])
            assert (found.state, found.bypass, found.round) == (expected.state, expected.bypass, expected.round)
            if found.state == State.OPEN:
                found = Promotion.objects.select_related("model", "version__manifest").get(pk=found.pk)
                assert bool(outlook(found).missing) == self.expected.lacks(expected)
        held = dict(
            Occupancy.objects.filter(ended_at__isnull=True, version__deleted_at=None).values_list("number", "stage")
        )
        assert held == {v.number: v.stage for v in self.expected.versions if not v.deleted}

    @invariant()
    def one_version_is_in_production_at_most(self) -> None:
        assert Occupancy.objects.filter(stage="Production", ended_at__isnull=True).count() <= 1


@pytest.mark.django_db
def test_the_workflow_does_what_its_reference_does() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Workflow,
        settings=settings(
            max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
