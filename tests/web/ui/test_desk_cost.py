"""What the queue and the page of a promotion cost: queries, however many gates, approvals and rows there are."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from registry.models import Promotion
from registry.services import promotions
from tests import make
from tests.web.ui.conftest import signed_in, trained

pytestmark = pytest.mark.django_db

EVERY_GATE = [
    {"gate": "metric_threshold", "metric": "accuracy", "at_least": 0.9},
    {"gate": "not_worse", "metric": "accuracy", "direction": "higher", "by": 0.01, "relative": True},
    {"gate": "required_tags", "keys": ["owner"]},
    {"gate": "required_checks", "names": ["bias"]},
    {"gate": "soak", "stage": "Staging", "hours": 1},
    {"gate": "digest"},
]


def test_measure(requester: Actor, reviewer: Actor, second_reviewer: Actor, maintainer: Actor) -> None:
    for n in range(3):
        make.model(requester, f"m{n}")
        trained(requester, f"m{n}")
        asked = promotions.request(requester, f"m{n}", 1, "Production")
        Promotion.objects.filter(pk=asked.pk).update(
            policy={**asked.policy, "approvals": 2, "gates": EVERY_GATE, "teams": ["risk"]}
        )
        asked.refresh_from_db()
        if n < 2:
            promotions.approve(second_reviewer, asked.pk, evidence=make.evidence(asked))
    a = asked
    promotions.request(requester, "m0", 1, "@champion")
    for client, page in ((signed_in(second_reviewer), "/reviews"), (signed_in(second_reviewer), a.page)):
        client.get(page)
        with CaptureQueriesContext(
            connection,
        ) as q:
            client.get(page)
        print(page, len(q))
        for each in q.captured_queries:
            print("   ", each["sql"][:150].replace("\n", " "))
