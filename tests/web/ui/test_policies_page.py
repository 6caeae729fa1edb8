"""The pages of policies, and what is in force on the page of a model."""

from __future__ import annotations

import re
from typing import Any

import pytest

from accounts.actor import Actor
from registry.policy import Scope
from registry.services import policies, promotions
from tests import make
from tests.web.ui.conftest import signed_in, text_of

pytestmark = pytest.mark.django_db


def test_an_empty_page_says_what_is_shipped_and_how_to_write_one(maintainer: Actor, viewer: Actor) -> None:
    page = text_of(signed_in(maintainer).get("/policies"))
    assert "Production needs one approval by somebody who had no part in it" in page
    assert "policies: - target: Production approvals: 1" in page
    assert "A maintainer of the workspace writes them" in text_of(signed_in(viewer).get("/policies"))


def test_policies_are_listed_in_words_at_a_constant_cost(
    viewer: Actor, maintainer: Actor, django_assert_max_num_queries: Any
) -> None:
    make.model(maintainer)
    policies.write(maintainer, Scope(model="churn"), "Production", {"approvals": 2, "bypass": False})
    for n in range(30):
        policies.write(maintainer, Scope(pattern=f"risk-{n:02}*"), "@champion", {"approvals": 0})
    client = signed_in(viewer)
    with django_assert_max_num_queries(8):
        first = client.get("/policies")
    assert "@champion of models risk-00* models risk-00* nothing: it is carried out at once" in text_of(first)
    following = re.search(r'rel="next" href="(\?page=[^"]+)"', first.content.decode())
    assert following
    second = text_of(client.get("/policies" + following[1]))
    assert "an approval by 2 reviewers who had no part in it" in second
    assert "no bypass by an administrator" in second
    assert "just now by maintainer" in second
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|style=", first.content.decode())


def test_a_policy_shows_its_revisions_and_itself_as_a_file(viewer: Actor, maintainer: Actor, outsider: Actor) -> None:
    policy = policies.write(maintainer, Scope(pattern="risk-*"), "Production", {}, comment="<b>at first</b>")
    policies.write(maintainer, Scope(pattern="risk-*"), "Production", {"approvals": 3}, comment="after the incident")
    page = signed_in(viewer).get(policy.page)
    assert "<b>at first" not in page.content.decode()
    told = text_of(page)
    assert "Revision 2 by maintainer just now after the incident new: an approval by 3 reviewers" in told
    assert "Revision 1 by maintainer just now" in told
    assert "policies: - target: Production pattern: risk-* approvals: 3" in told
    assert signed_in(outsider).get(policy.page).status_code == 404
    policies.retire(maintainer, Scope(pattern="risk-*"), "Production")
    assert "It was taken away: a less specific policy" in text_of(signed_in(viewer).get(policy.page))


def test_a_model_and_a_promotion_show_what_is_in_force_and_why(
    requester: Actor, viewer: Actor, maintainer: Actor
) -> None:
    make.model(requester)
    make.version(requester)
    client = signed_in(viewer)
    assert "to Production an approval by one reviewer" in text_of(client.get("/models/churn"))
    assert "As shipped: nobody wrote a policy for it." in text_of(client.get("/models/churn"))
    policy = policies.write(maintainer, Scope(pattern="ch*"), "@champion", {"approvals": 2})
    page = client.get("/models/churn")
    assert "to @champion an approval by 2 reviewers who had no part in it" in text_of(page)
    assert "its pattern ch* fits the name churn; no other policy for @champion fits" in text_of(page)
    asked = promotions.request(requester, "churn", 1, "@champion")
    shown = client.get(asked.page)
    assert f'href="{policy.page}"' in page.content.decode()
    assert f'href="{policy.page}"' in shown.content.decode()
    assert "its pattern ch* fits the name churn" in text_of(shown)
