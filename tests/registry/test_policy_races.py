"""A policy that is written while it is decided by: real connections."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import transaction

from accounts import verification
from accounts.actor import Actor
from core.errors import Refusal
from registry.lifecycle import State
from registry.models import Policy, PolicyRevision, Promotion
from registry.policy import Scope
from registry.policy_file import read
from registry.services import carrying, policies, promotions
from tests import make
from tests.registry.test_races import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def asked(requester: Actor) -> Promotion:
    make.model(requester)
    make.version(requester)
    return promotions.request(requester, "churn", 1, "Production")


@pytest.mark.parametrize("scope", [Scope(), Scope(pattern="c*"), Scope(model="churn")], ids=str)
def test_a_policy_is_not_replaced_while_a_promotion_is_carried_out_under_it(
    asked: Promotion, reviewer: Actor, maintainer: Actor, monkeypatch: pytest.MonkeyPatch, scope: Scope
) -> None:
    """The edit comes in between reading the policy and carrying out: it waits, and is the later of the two."""
    seen, order = make.evidence(asked), []
    really, started = carrying.carry_out, threading.Event()

    def slowly(*args: object, **more: object) -> Promotion:
        started.set()
        written.wait(1)
        order.append("carried out")
        return really(*args, **more)  # type: ignore[arg-type]

    def edit() -> None:
        started.wait(20)
        policies._write(maintainer, scope, "Production", {"approvals": 2}, "", None)
        order.append("written")
        written.set()

    written = threading.Event()
    monkeypatch.setattr(carrying, "carry_out", slowly)
    at_once(lambda: promotions.approve(reviewer, asked.pk, evidence=seen), edit)
    assert order == ["carried out", "written"]
    assert Promotion.objects.get().state == State.PROMOTED


@pytest.mark.parametrize("scope", [Scope(), Scope(pattern="c*"), Scope(model="churn")], ids=str)
def test_an_approval_waits_for_the_policy_that_is_being_written(
    asked: Promotion, reviewer: Actor, maintainer: Actor, scope: Scope
) -> None:
    seen, locked, waits = make.evidence(asked), threading.Event(), threading.Event()

    def edit() -> None:
        with transaction.atomic():
            policies._write(maintainer, scope, "Production", {"approvals": 2}, "", None)
            locked.set()
            waits.wait(1)

    def approve() -> Promotion:
        locked.wait(20)
        try:
            return promotions.approve(reviewer, asked.pk, evidence=seen)
        finally:
            waits.set()

    [_, told] = at_once(edit, approve)
    assert "What you looked at has changed" in str(told)
    assert Promotion.objects.get().state == State.OPEN


@pytest.mark.parametrize("round_", range(3))
def test_approvals_and_edits_at_once_never_carry_out_with_fewer_than_asked(
    asked: Promotion, reviewer: Actor, second_reviewer: Actor, maintainer: Actor, round_: int
) -> None:
    def approve(who: Actor) -> Callable[[], object]:
        def until_decided() -> object:
            for _ in range(10):
                promotion = Promotion.objects.get()
                if promotion.state != State.OPEN:
                    break
                try:
                    promotions.approve(who, promotion.pk, evidence=make.evidence(promotion))
                except Refusal:
                    continue
            return None

        return until_decided

    at_once(
        approve(reviewer),
        approve(second_reviewer),
        lambda: policies.write(maintainer, Scope(), "Production", {"approvals": 2}),
        lambda: policies.write(maintainer, Scope(pattern="ch*"), "Production", {"approvals": 3}),
    )
    decided = Promotion.objects.get()
    if decided.state == State.PROMOTED:
        before = PolicyRevision.objects.filter(changed_at__lt=decided.decided_at)
        needed = max((revision.rules["approvals"] for revision in before), default=1)
        counted = decided.approvals.filter(evidence=decided.decided_evidence).count()
        # An edit that had begun and waited for the decision may have the earlier time; its own row tells.
        assert counted >= decided.terms.approvals
        assert counted >= needed or not Policy.objects.filter(created_at__lt=decided.decided_at).exists()
    assert [flaw for _, flaw in verification.verify() if flaw] == []


def test_16_who_write_the_same_policy_at_once_make_one(maintainer: Actor) -> None:
    results = at_once(
        *(lambda n=n: policies.write(maintainer, Scope(), "Production", {"approvals": n}) for n in range(16))
    )
    assert [result for result in results if isinstance(result, Exception)] == []
    policy = Policy.objects.get()
    assert policy.revision == policy.revisions.count() == 16
    assert policy.revisions.latest("number").rules == policy.rules


def test_files_applied_at_once_with_approvals_neither_deadlock_nor_tear(
    asked: Promotion, requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    for name in ("a", "b"):
        make.model(requester, name)
    names = ("churn", "a", "b")

    def file(approvals: int, order: tuple[str, ...]) -> Callable[[], object]:
        said = [f"- {{target: Production, model: {name}, approvals: {approvals}}}" for name in order]
        return lambda: policies.apply(maintainer, read("policies:\n" + "\n".join(said)))

    seen = make.evidence(asked)
    results = at_once(
        file(2, names), file(3, names[::-1]), lambda: promotions.approve(reviewer, asked.pk, evidence=seen)
    )
    assert [type(result) for result in results[:2] if isinstance(result, Exception)] == []
    assert len({policy.rules["approvals"] for policy in Policy.objects.all()}) == 1
