"""The review queue: whose each promotion is to decide, and why it is not through."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from accounts.actor import Actor
from accounts.models import Team, User
from accounts.queries import session_actor, system_actor
from accounts.roles import Role
from accounts.services import people
from registry.models import Promotion
from registry.services import discussion, promotions
from tests import make
from tests.web.ui.conftest import signed_in, text_of, trained

pytestmark = pytest.mark.django_db


def queued(client: Client, show: str) -> list[str]:
    page = client.get(f"/reviews?show={show}").content.decode()
    return re.findall(r'<h2><a [^>]*href="/promotions/[^"]+"><bdi>([^<]+)</bdi>', page)


def test_each_promotion_is_in_the_lane_of_whoever_looks(
    asked: Promotion, requester: Actor, reviewer: Actor, viewer: Actor
) -> None:
    assert queued(signed_in(reviewer), "mine") == ["churn"]
    assert queued(signed_in(reviewer), "waiting") == []
    assert queued(signed_in(requester), "mine") == []
    assert queued(signed_in(requester), "waiting") == ["churn"]
    assert queued(signed_in(viewer), "waiting") == ["churn"]
    assert len(queued(signed_in(viewer), "decided")) == 1
    assert "1 more approval by a reviewer who had no part in it" in text_of(signed_in(reviewer).get("/reviews"))
    assert "you cannot approve: you registered the version" in text_of(
        signed_in(requester).get("/reviews?show=waiting")
    )


def test_what_one_had_part_in_is_not_for_oneself_to_decide(
    requester: Actor, reviewer: Actor, administrator: Actor
) -> None:
    """The registrar, the uploader, and whoever answers for their account."""
    both = make.actor("both", Role.CONTRIBUTOR, Role.REVIEWER)
    make.model(both)
    make.version(both)
    promotions.request(requester, "churn", 1, "Production")
    assert queued(signed_in(both), "mine") == []
    assert queued(signed_in(reviewer), "mine") == ["churn"]
    answers = User.objects.get(pk=reviewer.user_id)
    people.edit_user(administrator, "both", display_name="", email="", responsible=answers)
    assert queued(signed_in(reviewer), "mine") == []


def test_an_approval_that_counts_takes_it_off_ones_list_and_a_stale_one_brings_it_back(
    asked: Promotion, requester: Actor, reviewer: Actor, administrator: Actor
) -> None:
    Promotion.objects.filter(pk=asked.pk).update(policy={**asked.policy, "approvals": 2})
    promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    client = signed_in(reviewer)
    assert (queued(client, "mine"), queued(client, "waiting")) == ([], ["churn"])
    trained(requester)
    promotions.transition(administrator, "churn", 3, "Production")
    assert (queued(client, "mine"), queued(client, "waiting")) == (["churn"], [])
    assert "1 approval no longer counts" in text_of(client.get("/reviews"))


def test_what_one_was_asked_for_comes_first_and_says_by_whom(
    asked: Promotion, requester: Actor, reviewer: Actor, second_reviewer: Actor
) -> None:
    make.model(requester, "fraud")
    make.version(requester, "fraud")
    later = promotions.request(requester, "fraud", 1, "Production")
    client = signed_in(reviewer)
    assert queued(client, "mine") == ["churn", "fraud"]
    discussion.request_review(requester, later.pk, ["reviewer"])
    discussion.comment(second_reviewer, "churn", 2, "what do you think, @reviewer?", promotion=asked.pk)
    assert queued(client, "mine") == ["fraud", "churn"]
    page = text_of(client.get("/reviews"))
    assert "asked of you by requester" in page
    assert "second-reviewer mentioned you" in page
    other = text_of(signed_in(second_reviewer).get("/reviews"))
    assert "of you" not in other
    assert "mentioned" not in other


def test_a_reviewer_of_one_model_sees_that_one(asked: Promotion) -> None:
    make.actor("guest")
    home = make.workspace()
    user = User.objects.get(username="guest")
    people.give(system_actor(home), Role.REVIEWER, user=user, model_id=asked.model_id)
    client = signed_in(session_actor(user, home))
    assert client.get("/")["Location"] == "/reviews"
    assert queued(client, "mine") == ["churn"]
    assert client.get(asked.page).status_code == 200


def test_what_a_policy_keeps_from_ones_team_is_not_for_one_to_decide(asked: Promotion, reviewer: Actor) -> None:
    team = Team.objects.create(workspace=make.workspace(), name="modelling")
    Promotion.objects.filter(pk=asked.pk).update(policy={**asked.policy, "excluded_teams": ["modelling", "x"]})
    client = signed_in(reviewer)
    assert queued(client, "mine") == ["churn"]
    team.members.add(User.objects.get(pk=reviewer.user_id))
    assert (queued(client, "mine"), queued(client, "waiting")) == ([], ["churn"])
    assert "ou cannot approve: the policy leaves out the team modelling" in text_of(client.get("/reviews?show=waiting"))
