"""The webhooks that a page says will fire are those that are owed something when it happens."""

from __future__ import annotations

import pytest

from accounts.actor import Actor
from registry.affected import affected, webhooks_that_fire
from registry.models import Delivery, Promotion, Version, Webhook
from registry.services import promotions
from tests import make

pytestmark = pytest.mark.django_db

LISTENING = {
    "everything": {},
    "production": {"targets": ["Production"]},
    "staging": {"targets": ["Staging"]},
    "archived": {"targets": ["Archived"]},
    "approvals": {"verbs": ["promotion.approved"]},
    "rejections": {"verbs": ["promotion.rejected"]},
    "registrations": {"verbs": ["version.registered"]},
    "others": {"pattern": "fraud*"},
    "off": {"active": False, "disabled_because": "by hand"},
    "mlflow": {"format": "mlflow"},
    "databricks": {
        "format": "databricks",
        "events": ["MODEL_VERSION_TRANSITIONED_TO_PRODUCTION"],
        "verbs": ["version.transitioned"],
    },
    "databricks-staging": {
        "format": "databricks",
        "events": ["MODEL_VERSION_TRANSITIONED_TO_STAGING"],
        "verbs": ["version.transitioned"],
    },
}


@pytest.fixture
def asked(requester: Actor, reviewer: Actor) -> Promotion:
    make.model(requester)
    make.in_production(requester, reviewer, make.version(requester))
    make.version(requester)
    for name, more in LISTENING.items():
        Webhook.objects.create(workspace=make.workspace(), name=name, url="https://a.example/x", **more)
    return promotions.request(requester, "churn", 2, "Production")


def owed_since(before: set[object]) -> set[str]:
    return {str(each.webhook) for each in Delivery.objects.select_related("webhook") if each.pk not in before}


def deliveries() -> set[object]:
    return set(Delivery.objects.values_list("pk", flat=True))


def test_carrying_out_fires_those_that_were_named(asked: Promotion, reviewer: Actor, maintainer: Actor) -> None:
    displaced = [Version.objects.get(model=asked.model, number=1)]
    told = affected(maintainer, asked, displaced, 0)
    before = deliveries()
    promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    assert set(told.carried_out.names) == owed_since(before)
    assert owed_since(before) == {"everything", "production", "archived", "approvals", "databricks"}
    assert str(told.carried_out) == "5 webhooks fire"
    to_others = affected(reviewer, asked, displaced, 0).carried_out
    assert (to_others.count, to_others.names) == (5, ())


def test_rejecting_and_bypassing_fire_those_that_were_named(
    asked: Promotion, reviewer: Actor, administrator: Actor
) -> None:
    told = affected(administrator, asked, [Version.objects.get(model=asked.model, number=1)], 0)
    before = deliveries()
    promotions.reject(reviewer, asked.pk, reason="no")
    assert set(told.reject.names) == owed_since(before) == {"everything", "production", "rejections"}
    again = promotions.request(reviewer, "churn", 2, "Production")
    before = deliveries()
    promotions.bypass(administrator, again.pk, reason="outage")
    assert set(told.bypass.names) == owed_since(before)


def test_a_move_that_needs_no_review_says_what_fires_too(asked: Promotion, requester: Actor) -> None:
    version = Version.objects.with_stage().select_related("model", "manifest").get(model=asked.model, number=2)
    before = deliveries()
    told = webhooks_that_fire(version, {"Staging": []})["Staging"]
    assert deliveries() == before
    promotions.request(requester, "churn", 2, "Staging")
    fired = owed_since(before)
    # To ask for it is told of as well.
    assert {"everything", "staging", "databricks-staging"} <= fired
    assert told.count == 3
