"""The page of a promotion: what it shows, and approving, rejecting, withdrawing and bypassing by its forms."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.test import Client

from accounts.actor import Actor
from registry.lifecycle import Stage, State
from registry.models import Promotion
from registry.queries import find_version
from registry.services import promotions
from tests import make
from tests.web.ui.conftest import signed_in, text_of, trained

pytestmark = pytest.mark.django_db


def evidence_on(response: Any) -> str:
    found = re.search(r'name="evidence" value="([0-9a-f]{64})"', response.content.decode())
    assert found
    return found[1]


def looked_at_on(response: Any) -> str:
    found = re.search(r'name="looked_at" value="([^"]+)"', response.content.decode())
    assert found
    return html.unescape(found[1])


def state(promotion: Promotion) -> str:
    return Promotion.objects.get(pk=promotion.pk).state


def test_the_candidate_is_shown_beside_the_incumbent(asked: Promotion, reviewer: Actor) -> None:
    page = text_of(signed_in(reviewer).get(asked.page))
    assert "v2 becomes Production, v1 becomes Archived" in page
    assert "v2 beside v1" in page
    assert "accuracy 0.9 0.92 +0.02 +2.2 % better" in page
    assert "param-0 changed 0.9 0.92" in page
    assert "customers changed d-0.9 d-0.92" in page
    assert "model/part-0.bin changed" in page
    assert "1 more approval by a reviewer who had no part in it" in page


def test_a_reviewer_approves_what_the_page_showed(asked: Promotion, reviewer: Actor) -> None:
    client = signed_in(reviewer)
    seen = evidence_on(client.get(asked.page))
    response = client.post(asked.page, {"act": "approve", "evidence": seen, "comment": "good"}, follow=True)
    assert "v2 is in Production now." in text_of(response)
    assert "It went through" in text_of(response)
    assert "v2 became Production, v1 became Archived" in text_of(response)
    assert state(asked) == State.PROMOTED
    assert find_version(reviewer, "churn", 1).stage == Stage.ARCHIVED


def test_if_the_evidence_changed_the_page_says_what_and_nothing_is_approved(
    asked: Promotion, requester: Actor, reviewer: Actor, administrator: Actor
) -> None:
    client = signed_in(reviewer)
    page = client.get(asked.page)
    seen = evidence_on(page)
    trained(requester, score=0.95)
    promotions.transition(administrator, "churn", 3, "Production")
    sent = {"act": "approve", "evidence": seen, "looked_at": looked_at_on(page), "comment": "my words"}
    response = client.post(asked.page, sent)
    assert response.status_code == 409
    assert "Nothing was approved. When you opened this page, v1 held Production then, v3 holds it now." in text_of(
        response
    )
    assert ">my words</textarea>" in response.content.decode()
    assert "v2 beside v3" in text_of(response)
    assert asked.approvals.count() == 0
    assert client.post(asked.page, {"act": "approve", "evidence": evidence_on(response)}).status_code == 302
    assert state(asked) == State.PROMOTED


@pytest.mark.parametrize("sent", ["", "0" * 64, "nonsense\0", "x" * 100_000])
def test_evidence_that_was_never_shown_approves_nothing(asked: Promotion, reviewer: Actor, sent: str) -> None:
    assert signed_in(reviewer).post(asked.page, {"act": "approve", "evidence": sent}).status_code == 409
    assert state(asked) == State.OPEN


def test_an_approval_for_other_evidence_shows_as_stale_with_its_reason(
    asked: Promotion, requester: Actor, reviewer: Actor, second_reviewer: Actor, administrator: Actor
) -> None:
    Promotion.objects.filter(pk=asked.pk).update(policy={**asked.policy, "approvals": 2})
    promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    client = signed_in(second_reviewer)
    assert "Does not count" not in text_of(client.get(asked.page))
    trained(requester, score=0.95)
    promotions.transition(administrator, "churn", 3, "Production")
    page = text_of(client.get(asked.page))
    assert "Does not count: v1 held Production then, v3 holds it now." in page
    assert "2 more approvals" in page


def test_the_requester_sees_why_he_cannot_approve_and_is_refused(asked: Promotion, requester: Actor) -> None:
    client = signed_in(make.actor("requester", "reviewer"))
    page = client.get(asked.page)
    assert "You cannot approve it: you registered the version. Somebody else has to vouch for it." in text_of(page)
    assert 'value="approve"' not in page.content.decode()
    response = client.post(asked.page, {"act": "approve", "evidence": make.evidence(asked)})
    assert response.status_code == 403
    assert "You cannot approve this promotion: you registered the version" in text_of(response)
    assert state(asked) == State.OPEN


def test_a_viewer_sees_the_page_and_no_form_and_is_refused(asked: Promotion, viewer: Actor) -> None:
    client = signed_in(viewer)
    page = client.get(asked.page)
    assert page.status_code == 200
    assert 'name="act"' not in page.content.decode()
    for act in ("approve", "reject", "withdraw", "bypass"):
        sent = {"act": act, "evidence": make.evidence(asked), "reason": "because"}
        assert client.post(asked.page, sent).status_code == 403
    assert state(asked) == State.OPEN


def test_rejecting_takes_a_reason_and_keeps_what_was_typed(asked: Promotion, reviewer: Actor) -> None:
    client = signed_in(reviewer)
    response = client.post(asked.page, {"act": "reject", "reason": "  "})
    assert response.status_code == 400
    assert "Say why: reason must not be empty" in text_of(response)
    assert 'href="#reject-reason"' in response.content.decode()
    response = client.post(asked.page, {"act": "reject", "reason": "long " * 3000})
    assert response.status_code == 400
    assert "at most 10000" in text_of(response)
    assert "long long long" in response.content.decode()
    response = client.post(asked.page, {"act": "reject", "reason": "it leaks the label"}, follow=True)
    assert "it leaks the label" in text_of(response)
    assert state(asked) == State.REJECTED
    assert client.post(asked.page, {"act": "reject", "reason": "again"}).status_code == 409


def test_the_requester_withdraws(asked: Promotion, requester: Actor, reviewer: Actor) -> None:
    assert 'value="withdraw"' not in signed_in(reviewer).get(asked.page).content.decode()
    client = signed_in(requester)
    assert 'value="withdraw"' in client.get(asked.page).content.decode()
    assert client.post(asked.page, {"act": "withdraw"}).status_code == 302
    assert state(asked) == State.WITHDRAWN


def test_an_administrator_bypasses_with_a_reason_and_it_is_marked(
    asked: Promotion, administrator: Actor, reviewer: Actor
) -> None:
    assert 'value="bypass"' not in signed_in(reviewer).get(asked.page).content.decode()
    client = signed_in(administrator)
    assert 'value="bypass"' in client.get(asked.page).content.decode()
    assert client.post(asked.page, {"act": "bypass", "reason": ""}).status_code == 400
    response = client.post(asked.page, {"act": "bypass", "reason": "outage"}, follow=True)
    assert "promoted by bypass" in text_of(response)
    assert "carried it out past its policy" in text_of(response)


def test_a_policy_that_forbids_a_bypass_offers_none(asked: Promotion, administrator: Actor) -> None:
    Promotion.objects.filter(pk=asked.pk).update(policy={**asked.policy, "bypass": False})
    client = signed_in(administrator)
    assert 'value="bypass"' not in client.get(asked.page).content.decode()
    assert client.post(asked.page, {"act": "bypass", "reason": "outage"}).status_code == 409
    assert state(asked) == State.OPEN


def test_another_act_is_nobodys(asked: Promotion, reviewer: Actor) -> None:
    assert signed_in(reviewer).post(asked.page, {"act": "explode"}).status_code == 404


def test_a_form_without_its_token_is_refused(asked: Promotion, reviewer: Actor) -> None:
    client = signed_in(reviewer, enforce_csrf_checks=True)
    page = client.get(asked.page)
    sent = {"act": "approve", "evidence": evidence_on(page)}
    response = client.post(asked.page, sent)
    assert response.status_code == 403
    assert "The form has expired" in text_of(response)
    assert state(asked) == State.OPEN
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.content.decode())
    assert token
    assert client.post(asked.page, {**sent, "csrfmiddlewaretoken": token[1]}).status_code == 302
    assert state(asked) == State.PROMOTED


def test_the_page_to_open_leads_there_after_signing_in(asked: Promotion, reviewer: Actor) -> None:
    client = Client()
    to = client.get(asked.page)["Location"]
    assert to == f"/sign-in?next=%2Fpromotions%2F{asked.pk}"
    sent = {"username": "reviewer", "password": make.PASSWORD, "next": asked.page}
    assert client.post("/sign-in", sent)["Location"] == asked.page


def test_what_others_own_is_a_page_that_says_there_is_nothing(asked: Promotion, outsider: Actor) -> None:
    client = signed_in(outsider)
    for path in (
        asked.page,
        "/models/churn",
        "/models/churn/versions/2",
        "/models/churn/versions/2/files/model/part-0.bin",
    ):
        assert client.get(path).status_code == 404, path
    assert client.post(asked.page, {"act": "approve", "evidence": make.evidence(asked)}).status_code == 404
    assert client.post("/models/churn/versions/2", {"stage": "Staging"}).status_code == 404
    for path in ("/models", "/reviews", "/reviews?show=waiting", "/reviews?show=decided"):
        page = client.get(path).content.decode()
        assert 'href="/models/churn' not in page, path
        assert ">churn<" not in page, path
    assert state(asked) == State.OPEN
