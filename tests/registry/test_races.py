"""Races, on real connections: each would fail without the row lock or without the constraint behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import IntegrityError, connection, connections
from django.utils import timezone

from accounts import verification
from accounts.actor import Actor
from accounts.models import AuditEntry, RememberedAnswer
from accounts.services import idempotency, people
from core.errors import Refusal
from registry import errors
from registry.lifecycle import Stage, State
from registry.models import Check, Model, Occupancy, Promotion, Version
from registry.policy import Scope
from registry.queries import find_version
from registry.references import parse
from registry.resolving import resolve
from registry.services import catalog, checks, policies, promotions, rollback
from registry.services.catalog import Origin
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)

CLIENTS = 32


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Run all of `acts` at the same moment, each on a connection of its own; their results, or their refusals."""
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> object:
        try:
            with connection.cursor() as cursor:  # a busy machine must not decide: time-outs have tests of their own
                cursor.execute("SET lock_timeout = '60s'; SET statement_timeout = '60s'")
            gate.wait(20)
            return act()
        except Refusal as refusal:
            return refusal
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [future.result(60) for future in [pool.submit(run, act) for act in acts]]


@contextmanager
def resolving(actor: Actor) -> Iterator[list[str]]:
    """Resolve models:/churn/Production in a loop meanwhile; gives what each read saw, one word a read."""
    stop, seen = threading.Event(), []

    def read() -> None:
        try:
            while not stop.is_set():
                open_now = Occupancy.objects.filter(stage=Stage.PRODUCTION, ended_at__isnull=True).count()
                found = resolve(actor, parse("models:/churn/Production"))
                seen.append("one" if open_now == 1 and found.stage == Stage.PRODUCTION else f"{open_now} occupants")
        except Refusal as refusal:
            seen.append(refusal.message)
        finally:
            connections.close_all()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield seen
    finally:
        stop.set()
        reader.join()


def test_32_clients_register_versions_without_gap_or_duplicate(requester: Actor) -> None:
    make.model(requester)
    at_once(
        *(
            lambda n=n: catalog.register_version(requester, "churn", Origin(source=f"s3://bucket/{n}"))
            for n in range(CLIENTS)
        )
    )
    assert sorted(Version.objects.values_list("number", flat=True)) == list(range(1, CLIENTS + 1))
    assert Model.objects.get().last_version == CLIENTS
    assert [flaw for _, flaw in verification.verify() if flaw] == []


def test_32_repetitions_of_one_create_make_one_version(requester: Actor) -> None:
    make.model(requester)
    same = Origin(source="s3://bucket/model")
    results = at_once(*[lambda: catalog.register_version(requester, "churn", same)] * CLIENTS)
    assert Version.objects.count() == 1
    assert sum(not result.repeated for result in results) == 1  # type: ignore[attr-defined]


def test_a_request_repeated_32_times_with_one_idempotency_key_acts_once(requester: Actor) -> None:
    def act() -> tuple[int, object]:
        return 201, {"id": str(make.model(requester).pk)}

    answers = at_once(*[lambda: idempotency.once(requester, "build-7", {"POST": "models"}, act)] * CLIENTS)
    assert Model.objects.count() == RememberedAnswer.objects.count() == 1
    assert len({answer[1]["id"] for answer in answers}) == 1  # type: ignore[index]


def test_32_clients_promote_different_versions_and_every_read_sees_exactly_one(
    requester: Actor, administrator: Actor
) -> None:
    make.model(requester)
    for _ in range(CLIENTS + 1):
        make.version(requester)
    promotions.transition(administrator, "churn", CLIENTS + 1, "Production")
    with resolving(requester) as seen:
        results = at_once(
            *(lambda n=n: promotions.transition(administrator, "churn", n, "Production") for n in range(1, CLIENTS + 1))
        )
    assert [result for result in results if isinstance(result, Exception)] == []
    assert set(seen) == {"one"}
    assert len(seen) > 10
    now = Occupancy.objects.filter(ended_at__isnull=True)
    assert now.filter(stage=Stage.PRODUCTION).count() == 1
    assert now.filter(stage=Stage.ARCHIVED).count() == CLIENTS
    assert AuditEntry.objects.filter(verb="promotion.bypassed").count() == CLIENTS + 1
    assert [flaw for _, flaw in verification.verify() if flaw] == []


def test_two_reviewers_approve_at_once_and_one_transition_happens(
    requester: Actor, reviewer: Actor, second_reviewer: Actor
) -> None:
    make.model(requester)
    make.version(requester)
    promotion = promotions.request(requester, "churn", 1, "Production")
    seen = make.evidence(promotion)
    results = at_once(
        *(lambda who=who: promotions.approve(who, promotion.pk, evidence=seen) for who in (reviewer, second_reviewer))
    )
    assert [type(r) for r in results if isinstance(r, Exception)] == [errors.PromotionClosed]
    assert AuditEntry.objects.filter(verb="version.transitioned").count() == 1
    assert AuditEntry.objects.filter(verb="promotion.promoted").count() == 1


def test_one_reviewer_approving_twice_at_once_counts_once(requester: Actor, reviewer: Actor) -> None:
    make.model(requester)
    make.version(requester)
    promotion = promotions.request(requester, "churn", 1, "Production")
    Promotion.objects.update(policy={**promotion.policy, "approvals": 2})
    seen = make.evidence(promotion)
    results = at_once(*[lambda: promotions.approve(reviewer, promotion.pk, evidence=seen)] * 2)
    assert [type(r) for r in results if isinstance(r, Exception)] == [errors.AlreadyApproved]
    promotion.refresh_from_db()
    assert (promotion.state, promotion.approvals.count()) == (State.OPEN, 1)


def test_approve_and_reject_at_once_give_one_verdict(requester: Actor, reviewer: Actor, second_reviewer: Actor) -> None:
    make.model(requester)
    make.version(requester)
    promotion = promotions.request(requester, "churn", 1, "Production")
    seen = make.evidence(promotion)
    results = at_once(
        lambda: promotions.approve(reviewer, promotion.pk, evidence=seen),
        lambda: promotions.reject(second_reviewer, promotion.pk, reason="no"),
        lambda: promotions.withdraw(requester, promotion.pk),
    )
    assert [type(r) for r in results if isinstance(r, Exception)] == [errors.PromotionClosed] * 2
    promotion.refresh_from_db()
    in_production = Occupancy.objects.filter(stage=Stage.PRODUCTION).exists()
    assert in_production == (promotion.state == State.PROMOTED)


@pytest.mark.parametrize("round_", range(3))
def test_rolling_back_while_another_version_is_approved_leaves_one_occupant_at_every_read(
    requester: Actor, reviewer: Actor, second_reviewer: Actor, round_: int
) -> None:
    make.model(requester)
    for _ in range(2):
        make.in_production(requester, reviewer, make.version(requester))
    make.version(requester)
    promotion = promotions.request(requester, "churn", 3, "Production")
    seen = make.evidence(promotion)
    with resolving(requester) as reads:
        results = at_once(
            lambda: rollback.roll_back(reviewer, "churn", "Production", to=1, reason="bad"),
            lambda: promotions.approve(second_reviewer, promotion.pk, evidence=seen),
        )
    assert set(reads) == {"one"}
    back, approved = results
    assert isinstance(back, Promotion)
    promotion.refresh_from_db()
    held = [o.number for o in Occupancy.objects.filter(stage=Stage.PRODUCTION).order_by("started_at", "pk")]
    if isinstance(approved, errors.EvidenceChanged):  # the rollback came first, and v3 was to replace v2
        assert (promotion.state, held) == (State.OPEN, [1, 2, 1])
    else:
        assert (promotion.state, held) == (State.PROMOTED, [1, 2, 3, 1])
    assert AuditEntry.objects.filter(verb="promotion.rolled_back").count() == 1
    assert [flaw for _, flaw in verification.verify() if flaw] == []


@pytest.mark.parametrize("round_", range(5))
def test_a_deleted_version_is_never_in_production(
    requester: Actor, reviewer: Actor, administrator: Actor, round_: int
) -> None:
    make.model(requester)
    make.version(requester)
    results = at_once(
        lambda: promotions.transition(administrator, "churn", 1, "Production"),
        lambda: catalog.delete_version(administrator, "churn", 1),
    )
    refused = [type(r) for r in results if isinstance(r, Exception)]
    assert refused in ([errors.StageInUse], [errors.VersionNotFound])
    held = Occupancy.objects.filter(stage=Stage.PRODUCTION, ended_at__isnull=True)
    assert held.filter(version__deleted_at__isnull=False).count() == 0
    if refused == [errors.StageInUse]:
        assert find_version(requester, "churn", 1).stage == Stage.PRODUCTION


def test_32_requests_for_the_same_promotion_open_one(requester: Actor) -> None:
    make.model(requester)
    make.version(requester)
    opened = at_once(*[lambda: promotions.request(requester, "churn", 1, "Production")] * CLIENTS)
    assert len({promotion.pk for promotion in opened}) == Promotion.objects.count() == 1  # type: ignore[attr-defined]


def test_32_writes_that_belong_to_no_model_leave_their_chain_whole(administrator: Actor) -> None:
    """No model's lock stands before the chain's own."""
    names = [f"user-{number}" for number in range(CLIENTS)]
    made = at_once(*(lambda name=name: people.create_user(administrator, username=name) for name in names))
    assert [result for result in made if isinstance(result, Exception)] == []
    assert AuditEntry.objects.filter(verb="user.created", subject__startswith="user user-").count() == CLIENTS
    assert [flaw for _, flaw in verification.verify() if flaw] == []


def test_32_clients_create_the_model_of_one_name_and_one_succeeds(requester: Actor) -> None:
    names = ["churn", "CHURN"] * (CLIENTS // 2)
    results = at_once(*(lambda name=name: catalog.create_model(requester, name=name) for name in names))
    assert sum(isinstance(result, Model) for result in results) == Model.objects.count() == 1
    refused = {type(result) for result in results if isinstance(result, Exception)}
    assert refused == {errors.ModelExists, errors.LooksLikeAnother}


def test_two_required_checks_that_pass_at_once_carry_it_out_once(requester: Actor, maintainer: Actor) -> None:
    make.model(requester)
    make.version(requester)
    gate = {"gate": "required_checks", "names": ["tests", "evaluation"]}
    policies.write(maintainer, Scope(), "Production", {"approvals": 0, "gates": [gate]})
    promotions.request(requester, "churn", 1, "Production")
    results = at_once(
        *(
            lambda name=name: checks.report(requester, "churn", 1, check=name, state="passed")
            for name in ("tests", "evaluation")
        )
    )
    assert [result for result in results if isinstance(result, Exception)] == []
    became = sorted(result.promotions[0].state for result in results)  # type: ignore[attr-defined]
    assert became == [State.OPEN, State.PROMOTED]
    assert AuditEntry.objects.filter(verb="promotion.promoted").count() == 1
    assert AuditEntry.objects.filter(verb="version.transitioned").count() == 1


def test_a_report_repeated_32_times_at_once_is_one_row(requester: Actor) -> None:
    make.model(requester)
    make.version(requester)
    results = at_once(*[lambda: checks.report(requester, "churn", 1, check="tests", state="passed")] * CLIENTS)
    assert [result for result in results if isinstance(result, Exception)] == []
    assert Check.objects.count() == 1


# --- What the database itself refuses ---------------------------------------------------------------------------------


def occupy(version: Version, stage: Stage, *, exclusive: bool = False) -> Occupancy:
    return Occupancy.objects.create(
        model=version.model,
        version=version,
        number=version.number,
        stage=stage,
        exclusive=exclusive,
        started_at=timezone.now(),
    )


def test_the_database_refuses_a_second_occupant_of_an_exclusive_stage(requester: Actor) -> None:
    make.model(requester)
    first, second = make.version(requester), make.version(requester)
    Occupancy.objects.all().delete()
    occupy(first, Stage.PRODUCTION, exclusive=True)
    with pytest.raises(IntegrityError, match="one_occupant_of_an_exclusive_stage"):
        occupy(second, Stage.PRODUCTION, exclusive=True)


def test_the_database_refuses_a_version_in_two_stages(requester: Actor) -> None:
    make.model(requester)
    version = make.version(requester)
    with pytest.raises(IntegrityError, match="version_in_one_stage_at_a_time"):
        occupy(version, Stage.STAGING)


def test_the_database_refuses_a_second_open_promotion_to_the_same_place(requester: Actor) -> None:
    make.model(requester)
    make.version(requester)
    first = promotions.request(requester, "churn", 1, "Production")
    first.pk, first._state.adding = None, True
    with pytest.raises(IntegrityError, match="one_open_promotion_for_each_target"):
        Promotion.objects.create(
            **{field.attname: getattr(first, field.attname) for field in Promotion._meta.fields if field.name != "id"}
        )


def test_the_database_refuses_a_version_number_twice(requester: Actor) -> None:
    make.model(requester)
    make.version(requester)
    Model.objects.update(last_version=0)
    with pytest.raises(IntegrityError, match="version_number_once_in_model"):
        make.version(requester)
