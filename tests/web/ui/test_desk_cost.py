"""What the queue and the page of a promotion cost: queries, whatever the policies ask and however much there is."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from accounts.models import Team, User
from lineage.services import manifests
from registry.models import Promotion, Webhook
from registry.services import aliases, discussion, promotions
from tests import make
from tests.web.ui.conftest import signed_in, trained

pytestmark = pytest.mark.django_db

MOST = 15  # queries of a page
EVERY_GATE = [
    {"gate": "metric_threshold", "metric": "accuracy", "at_least": 0.9},
    {"gate": "not_worse", "metric": "accuracy", "direction": "higher", "by": 0.01, "relative": True},
    {"gate": "required_tags", "keys": ["owner"]},
    {"gate": "required_checks", "names": ["bias"]},
    {"gate": "soak", "stage": "Staging", "hours": 1},
    {"gate": "digest"},
]


def queries(client: Client, path: str) -> list[str]:
    assert client.get(path).status_code == 200
    with CaptureQueriesContext(connection) as captured:
        client.get(path)
    return [query["sql"] for query in captured]


def strict(promotion: Promotion) -> Promotion:
    """The same under a policy that asks for everything a policy can ask for."""
    more = {"approvals": 3, "gates": EVERY_GATE, "teams": ["risk"], "excluded_teams": ["modelling"]}
    Promotion.objects.filter(pk=promotion.pk).update(policy={**promotion.policy, **more}, held_by_gates=True)
    promotion.refresh_from_db()
    return promotion


@pytest.fixture
def busy(asked: Promotion, requester: Actor, reviewer: Actor, second_reviewer: Actor) -> Promotion:
    """A promotion under a strict policy with all that a page shows, and others in the queue, to aliases too."""
    team = Team.objects.create(workspace=make.workspace(), name="risk")
    team.members.add(User.objects.get(pk=second_reviewer.user_id))
    for n in range(3):
        make.model(requester, f"m{n}")
        trained(requester, f"m{n}")
        promotion = strict(promotions.request(requester, f"m{n}", 1, "Production"))
        promotions.approve(second_reviewer, promotion.pk, evidence=make.evidence(promotion))
    aliases.set_alias(requester, "churn", "champion", 1)
    to_alias = Promotion.objects.get(pk=asked.pk)
    to_alias.pk, to_alias.target = None, "@champion"
    to_alias.id = Promotion._meta.get_field("id").get_default()
    to_alias._state.adding = True
    to_alias.save()
    strict(asked)
    promotions.approve(second_reviewer, asked.pk, evidence=make.evidence(asked))
    discussion.request_review(requester, asked.pk, ["reviewer"])
    discussion.comment(second_reviewer, "churn", 2, "what do you think, @reviewer?", promotion=asked.pk)
    for manifest in (
        asked.version.manifest,
        Promotion.objects.get(version__number=1, version__model_name="churn", target="Production").version.manifest,
    ):
        manifests.inspect(manifest)
    Webhook.objects.create(workspace=make.workspace(), url="https://a.example/x", verbs=[], targets=[])
    return asked


@pytest.mark.parametrize(
    "show", ["mine", "waiting", "blocked", "decided", "mine&model=m&target=Production&requester=requester"]
)
def test_the_queue_takes_few_queries_whatever_its_policies_ask(
    busy: Promotion, reviewer: Actor, second_reviewer: Actor, show: str
) -> None:
    for who in (reviewer, second_reviewer):
        made = queries(signed_in(who), f"/reviews?show={show}")
        assert len(made) <= MOST, "\n".join(sql[:150] for sql in made)


def test_the_page_of_a_promotion_takes_few_queries_whatever_it_shows(
    busy: Promotion, reviewer: Actor, second_reviewer: Actor
) -> None:
    for who in (reviewer, second_reviewer):
        made = queries(signed_in(who), busy.page)
        assert len(made) <= MOST, "\n".join(sql[:150] for sql in made)


def test_the_page_of_a_decided_promotion_takes_few_queries_too(
    busy: Promotion, requester: Actor, reviewer: Actor, second_reviewer: Actor, administrator: Actor
) -> None:
    """A bypass that somebody may look at afterwards, on a word that runs out, under a policy that asks a lot."""
    Promotion.objects.filter(pk=busy.pk).update(policy={**busy.policy, "approval_days": 3})
    passed = promotions.bypass(administrator, busy.pk, reason="now")
    for who in (reviewer, second_reviewer):
        made = queries(signed_in(who), passed.page)
        assert len(made) <= MOST, "\n".join(sql[:150] for sql in made)
