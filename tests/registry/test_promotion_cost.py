"""What a reviewed promotion costs: statements, in all and while its model is locked, whatever lies around it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actor import Actor
from accounts.roles import Role
from lineage.services import experiments, runs
from lineage.services.metrics import Point
from registry.lifecycle import State
from registry.models import Check, Occupancy, Promotion, Version
from registry.outlook import outlook
from registry.policy import Scope
from registry.services import catalog, policies, promotions
from registry.services.catalog import Origin
from tests import make

pytestmark = pytest.mark.django_db

HOUR = datetime.timedelta(hours=1)

RULES: dict[str, Any] = {
    "approvals": 3,
    "gates": [
        {"gate": "metric_threshold", "metric": "m0", "at_least": 0.5},
        {"gate": "not_worse", "metric": "m0", "direction": "higher", "by": 0.1},
        {"gate": "required_tags", "keys": ["t0"]},
        {"gate": "required_checks", "names": ["c0"]},
        {"gate": "soak", "stage": "Staging", "hours": 1},
    ],
}

# Statements of each step: in all, and from the one that locks the model on, which every other writer waits for.
ACCEPTED = {"request": (17, 16), "approve": (16, 14), "approve and carry out": (24, 22)}


def statements(step: Callable[[], Any]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        step()
    return [query["sql"] for query in captured]


def under_the_lock(made: list[str]) -> list[str]:
    locks = [n for n, sql in enumerate(made) if "registry_model" in sql and "FOR NO KEY UPDATE" in sql]
    return made[locks[0] :]


def a_version(owner: Actor, name: str, size: int) -> Version:
    """A version with so many metrics, tags, checks and stays."""
    run = runs.create(owner, experiments.default(owner), tags={})
    runs.log(owner, run.pk, metrics=[Point(f"m{n}", 0.9, 1) for n in range(size)])
    tags = {f"t{n}": "x" for n in range(size)}
    began = timezone.now() - (size + 1) * 2 * HOUR
    with time_machine.travel(began, tick=False):
        origin = Origin(source=f"s3://models/{run.pk}", run=run)
        version = catalog.register_version(owner, name, origin, tags=tags).version
    Check.objects.bulk_create(
        Check(version=version, name=f"c{n}", state="passed", reporter_id=owner.user_id) for n in range(size)
    )
    for n in range(size):
        with time_machine.travel(began + (n + 1) * 2 * HOUR, tick=False):
            promotions.request(owner, name, version.number, "Staging" if n % 2 == 0 else "Archived")
    return version


def a_promotion(requester: Actor, reviewers: list[Actor], name: str, size: int) -> dict[str, list[str]]:
    """The statements of each step of a promotion beside so much of everything."""
    make.model(requester, name)
    incumbent = a_version(requester, name, size)
    for _ in range(size):
        make.version(requester, name)
    make.in_production(requester, reviewers[0], incumbent)
    version = a_version(requester, name, size)
    policies.write(reviewers[0], Scope(model=name), "Production", RULES)

    made = {"request": statements(lambda: promotions.request(requester, name, version.number, "Production"))}
    promotion = Promotion.objects.get(version=version, target="Production")
    for reviewer, step in zip(reviewers, ("first", "approve", "approve and carry out"), strict=True):
        seen = make.evidence(promotion)
        made[step] = statements(lambda by=reviewer, seen=seen: promotions.approve(by, promotion.pk, evidence=seen))
    promotion.refresh_from_db()
    assert promotion.state == State.PROMOTED, (name, outlook(promotion).missing)
    assert Occupancy.objects.filter(version=version, stage="Production", ended_at=None, exclusive=True).exists()
    assert Occupancy.objects.filter(version=incumbent, stage="Archived", ended_at=None).exists()
    return made


def test_five_gates_and_three_approvals_cost_the_same_whatever_lies_around(requester: Actor) -> None:
    reviewers = [make.actor(name, Role.MAINTAINER) for name in ("first", "second", "third")]
    small = a_promotion(requester, reviewers, "a-small", 1)
    large = a_promotion(requester, reviewers, "b-large", 40)
    assert {step: len(made) for step, made in small.items()} == {step: len(made) for step, made in large.items()}
    found = {step: (len(large[step]), len(under_the_lock(large[step]))) for step in ACCEPTED}
    assert found == ACCEPTED, (
        f"A promotion takes {found} statements, {ACCEPTED} were accepted. The model is locked during most of them, so "
        f"each one has to be worth it: then write the new figures into ACCEPTED in {Path(__file__).name}. The last "
        "step:\n" + "\n".join(sql[:200] for sql in large["approve and carry out"])
    )
