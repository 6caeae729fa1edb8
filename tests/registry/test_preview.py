"""What a policy would have done in the last months: against histories that the services made."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actor import Actor
from accounts.queries import system_actor
from accounts.services import people
from lineage.services import experiments, runs
from lineage.services.artifacts import Place, upload
from lineage.services.metrics import Point
from registry import policy as rules_of
from registry.models import Occupancy, Promotion, Version
from registry.policy import Scope
from registry.preview import Preview, preview
from registry.services import aliases, catalog, checks, policies, promotions, rollback
from registry.services.catalog import Origin
from tests import make

pytestmark = pytest.mark.django_db

EVERYWHERE = Scope()
EVERYTHING: list[dict[str, Any]] = [
    {"gate": "metric_threshold", "metric": "auc", "at_least": 0.9},
    {"gate": "metric_threshold", "metric": "p95", "check": "latency", "at_most": 20},
    {"gate": "not_worse", "metric": "auc", "direction": "higher"},
    {"gate": "required_tags", "keys": ["owner"]},
    {"gate": "description", "of": "either", "sections": ["Data"]},
    {"gate": "required_checks", "names": ["bias"]},
    {"gate": "digest", "within_days": 30},
    {"gate": "signature"},
    {"gate": "lineage"},
    {"gate": "soak", "stage": "Staging", "hours": 24},
    {"gate": "fresh_evaluation", "days": 7},
]


def previewed(actor: Actor, scope: Scope = EVERYWHERE, target: str = "Production", **rules: Any) -> Preview:
    return preview(actor, scope, target, rules_of.checked(rules, target))


def counts(found: Preview) -> tuple[int, int, int]:
    return found.through, found.blocked, found.untold


def told(found: Preview) -> dict[str, int]:
    return {rule.title: rule.count for rule in found.blocking}


def measured(owner: Actor, name: str = "churn", *, auc: float = 0.9, ended: bool = True) -> Version:
    run = runs.create(owner, experiments.default(owner), tags={})
    runs.log(owner, run.pk.hex, metrics=[Point("auc", auc, 1_700_000_000_000)])
    place = Place(upload_name=run.pk.hex)
    upload(owner, place, "model.bin", [run.pk.bytes])
    if ended:
        runs.update(owner, run.pk.hex, status="FINISHED", ended_ms=1_700_000_000_000)
    origin = Origin(source=f"runs:/{run.pk.hex}/model", place=place, run=run, run_ref=run.pk.hex)
    return catalog.register_version(owner, name, origin).version


def test_a_second_approval_would_have_blocked_those_with_one(
    requester: Actor, reviewer: Actor, second_reviewer: Actor, maintainer: Actor
) -> None:
    make.model(requester)
    make.in_production(requester, reviewer, make.version(requester))
    policies.write(maintainer, Scope(), "Production", {"approvals": 2})
    asked = promotions.request(requester, "churn", make.version(requester).number, "Production")
    for each in (reviewer, second_reviewer):
        promotions.approve(each, asked.pk, evidence=make.evidence(asked))
    promotions.reject(reviewer, promotions.request(requester, "churn", 1, "Production").pk, reason="it is the old one")
    found = previewed(maintainer, approvals=2)
    assert (counts(found), found.never) == ((1, 1, 0), 1)
    assert told(found) == {"2 approvals": 1}
    [(promotion, reason)] = found.blocking[0].examples
    assert (promotion.version.number, reason) == (1, "it had 1")
    assert told(previewed(maintainer, approvals=3)) == {"3 approvals": 2}
    assert counts(previewed(maintainer, approvals=1)) == (2, 0, 0)


def test_teams_and_lifetimes_are_asked_of_who_approved_and_when(
    requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    make.model(requester)
    done = make.in_production(requester, reviewer, make.version(requester))
    people.set_team(system_actor(make.workspace()), name="risk", usernames=["reviewer"])
    people.set_team(system_actor(make.workspace()), name="legal", usernames=[])
    assert counts(previewed(maintainer, teams=["risk"])) == (1, 0, 0)
    assert told(previewed(maintainer, teams=["risk", "legal"])) == {"An approval by the team legal": 1}
    assert told(previewed(maintainer, excluded_teams=["risk"])) == {"1 approval": 1}
    assert counts(previewed(maintainer, approvals=0, excluded_teams=["risk"])) == (1, 0, 0)
    done.approvals.update(at=timezone.now() - datetime.timedelta(days=3))
    Promotion.objects.update(requested_at=timezone.now() - datetime.timedelta(days=4))
    assert told(previewed(maintainer, approval_days=2)) == {"1 approval": 1}
    assert told(previewed(maintainer, lifetime_days=3)) == {"Open for 3 days at most": 1}
    assert counts(previewed(maintainer, lifetime_days=5, approval_days=5)) == (1, 0, 0)


def test_gates_are_put_to_what_was_there_then(requester: Actor, reviewer: Actor, maintainer: Actor) -> None:
    make.model(requester)
    for auc in (0.95, 0.92, 0.96):
        make.in_production(requester, reviewer, measured(requester, auc=auc))
    threshold = {"gate": "metric_threshold", "metric": "auc", "at_least": 0.93}
    assert told(previewed(maintainer, gates=[threshold])) == {"auc at least 0.93": 1}
    found = previewed(maintainer, gates=[{"gate": "not_worse", "metric": "auc", "direction": "higher"}])
    [rule] = found.blocking
    assert [(each.version.number, why) for each, why in rule.examples] == [(2, "auc is 0.92, that of v1 is 0.95")]
    catalog.tag_version(requester, "churn", 1, "risk", "low")
    tagged = previewed(maintainer, gates=[{"gate": "required_tags", "keys": ["risk"]}])
    assert counts(tagged) == (0, 2, 1)
    assert tagged.unknown[0].examples[0][1] == "its tags may have been others then"
    assert told(previewed(maintainer, gates=[{"gate": "soak", "stage": "Staging", "hours": 1}])) == {
        "1 h in Staging": 3
    }
    checks.report(requester, "churn", 3, check="bias", state="passed")
    assert told(previewed(maintainer, gates=[{"gate": "required_checks", "names": ["bias"]}])) == {
        "checks bias passed": 3
    }
    assert counts(previewed(maintainer, gates=[{"gate": "digest"}])) == (3, 0, 0)


def test_what_a_run_measured_after_the_decision_is_not_told(
    requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    make.model(requester)
    make.in_production(requester, reviewer, measured(requester, ended=False))
    found = previewed(maintainer, gates=[{"gate": "metric_threshold", "metric": "auc", "at_least": 0.95}])
    assert counts(found) == (0, 0, 1)
    assert "went on after the decision" in found.unknown[0].examples[0][1]


def test_a_gate_that_a_promotion_was_carried_out_under_has_passed(
    requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    gates = [{"gate": "required_tags", "keys": ["risk"]}]
    policies.write(maintainer, Scope(), "Production", {"gates": gates})
    make.model(requester)
    version = make.version(requester)
    catalog.tag_version(requester, "churn", 1, "risk", "low")
    make.in_production(requester, reviewer, version)
    catalog.tag_version(requester, "churn", 1, "risk", None)
    assert counts(previewed(maintainer, gates=gates)) == (1, 0, 0)


def test_bypasses_and_rollbacks_are_told_apart(
    requester: Actor, reviewer: Actor, maintainer: Actor, administrator: Actor
) -> None:
    make.model(requester)
    make.in_production(requester, reviewer, make.version(requester))
    make.version(requester)
    asked = promotions.request(requester, "churn", 2, "Production")
    promotions.bypass(administrator, asked.pk, reason="the site is down")
    rollback.roll_back(reviewer, "churn", "Production", reason="worse than before")
    found = previewed(maintainer)
    assert (counts(found), found.rollbacks) == ((2, 0, 0), 1)
    assert told(previewed(maintainer, bypass=False)) == {"1 approval": 1, "No bypass by an administrator": 1}


def test_only_models_that_it_would_be_in_force_for_count(requester: Actor, reviewer: Actor, maintainer: Actor) -> None:
    for name in ("churn", "churn-eu", "risk_a", "riskXa"):
        make.model(requester, name)
        make.in_production(requester, reviewer, make.version(requester, name))
    assert previewed(maintainer).judged == 4
    assert previewed(maintainer, Scope(pattern="CHURN*")).judged == 2
    assert previewed(maintainer, Scope(pattern="risk_a")).judged == 1
    assert previewed(maintainer, Scope(model="churn")).judged == 1
    policies.write(maintainer, Scope(model="churn"), "Production", {})
    policies.write(maintainer, Scope(pattern="risk*"), "Production", {})
    assert previewed(maintainer).judged == 1
    assert previewed(maintainer, Scope(pattern="c*")).judged == 1
    assert previewed(maintainer, Scope(pattern="risk*")).judged == 2
    assert previewed(maintainer, Scope(pattern="*")).judged == 1
    assert previewed(maintainer, target="Staging").judged == 0


def test_open_promotions_that_would_be_reopened_are_told(requester: Actor, maintainer: Actor, outsider: Actor) -> None:
    make.model(requester)
    make.version(requester)
    asked = promotions.request(requester, "churn", 1, "Production")
    found = previewed(maintainer, approvals=2)
    assert [(each.pk, asks) for each, asks in found.reopened] == [(asked.pk, ["2 approvals instead of 1"])]
    assert (previewed(maintainer, approvals=1).reopened, found.open) == ((), 1)
    assert previewed(outsider, approvals=2).open == 0


def test_aliases_are_compared_with_where_they_pointed(requester: Actor, reviewer: Actor, maintainer: Actor) -> None:
    policies.write(maintainer, Scope(), "@champion", {"approvals": 1})
    make.model(requester)
    for auc in (0.95, 0.9):
        asked = promotions.request(requester, "churn", measured(requester, auc=auc).number, "@champion")
        promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    gates = [{"gate": "not_worse", "metric": "auc", "direction": "higher"}]
    assert counts(previewed(maintainer, target="@champion", gates=gates)) == (1, 1, 0)


def test_it_costs_the_same_however_much_there_is(
    requester: Actor, reviewer: Actor, maintainer: Actor, django_assert_max_num_queries: Any
) -> None:
    make.model(requester)
    for _ in range(4):
        version = measured(requester)
        promotions.request(requester, "churn", version.number, "Staging")
        make.in_production(requester, reviewer, version)
    Occupancy.objects.filter(stage="Staging").update(started_at=timezone.now() - datetime.timedelta(days=2))
    with django_assert_max_num_queries(13):
        found = previewed(maintainer, teams=[], gates=EVERYTHING)
    assert found.judged == 4
    with django_assert_max_num_queries(5):
        previewed(maintainer)
    old = timezone.now() - datetime.timedelta(days=91)
    Promotion.objects.filter(decided_at__isnull=False).update(decided_at=old)
    assert previewed(maintainer).judged == 0


def test_an_alias_that_pointed_at_nothing_is_compared_with_nothing(
    requester: Actor, reviewer: Actor, maintainer: Actor, administrator: Actor
) -> None:
    """As the gate itself has it: of a stage it asks what was there last, of an alias what it points at."""
    policies.write(maintainer, Scope(), "@champion", {"approvals": 1})
    make.model(requester)
    for auc in (0.95, 0.9):
        asked = promotions.request(requester, "churn", measured(requester, auc=auc).number, "@champion")
        promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
        aliases.remove_alias(administrator, "churn", "champion")
    gates = [{"gate": "not_worse", "metric": "auc", "direction": "higher"}]
    held = previewed(maintainer, target="@champion", gates=gates)
    nothing = promotions.request(requester, "churn", measured(requester, auc=0.8).number, "@champion")
    Promotion.objects.filter(pk=nothing.pk).update(policy={**nothing.policy, "gates": gates})
    passes = make.outlook_of(nothing).judged[0].passed
    assert counts(held) == ((2, 0, 0) if passes else (0, 2, 0))


def test_more_patterns_make_no_longer_a_statement(requester: Actor, reviewer: Actor, maintainer: Actor) -> None:
    for name in ("churn", "risk_1", "riskx1"):
        make.model(requester, name)
        make.in_production(requester, reviewer, measured(requester, name))
    for n in range(30):
        policies.write(maintainer, Scope(pattern=f"no-{n:02d}-*"), "Production", {"approvals": 1})
    policies.write(maintainer, Scope(pattern="RISK_?"), "Production", {"approvals": 1})
    with CaptureQueriesContext(connection) as captured:
        assert previewed(maintainer, approvals=2).judged == 2  # of churn, and of riskx1, which `_` does not fit
    assert max(query["sql"].count(" LIKE ") for query in captured) == 1
