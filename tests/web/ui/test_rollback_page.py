"""Rolling back from the page of a model, reviewing it afterwards, and vouching anew."""

from __future__ import annotations

import datetime
import re

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actor import Actor
from lineage.models import ManifestFile
from lineage.storage import local
from registry.lifecycle import Stage
from registry.models import Promotion
from registry.policy import Scope
from registry.queries import find_version
from registry.services import policies, promotions
from tests import make
from tests.web.ui.conftest import signed_in, text_of
from tests.web.ui.test_queue import queued

pytestmark = pytest.mark.django_db(transaction=True)

ROLLBACK = "/models/churn/rollback"


@pytest.fixture
def two(requester: Actor, reviewer: Actor) -> None:
    """v1 and then v2 were approved into Production."""
    make.model(requester)
    for _ in range(2):
        make.in_production(requester, reviewer, make.version(requester))


def numbers_offered(client: Client) -> list[str]:
    return re.findall(r'name="to" value="(\d+)"', client.get("/models/churn").content.decode())


@pytest.mark.usefixtures("two")
def test_a_reviewer_rolls_back_on_the_page_that_says_what_happens(
    requester: Actor, reviewer: Actor, second_reviewer: Actor
) -> None:
    assert "Roll back" not in text_of(signed_in(requester).get("/models/churn"))
    client = signed_in(reviewer)
    page = text_of(client.get("/models/churn"))
    today = f"{timezone.now():%-d %B %Y}"
    assert (
        f"v1 becomes Production again, v2 becomes Archived. Its bytes are those approved by reviewer on {today}."
        in page
    )
    done = client.post(ROLLBACK, {"target": "Production", "to": "1", "reason": "scores are all zero"}, follow=True)
    assert "v1 is in Production again. Somebody else looks at it afterwards." in text_of(done)
    assert "promoted by rollback" in text_of(done)
    assert "Rolled back by one person. The bytes are those approved by reviewer" in text_of(done)
    assert 'value="review"' not in done.content.decode()
    assert find_version(reviewer, "churn", 1).stage == Stage.PRODUCTION
    assert (queued(client, "afterwards"), queued(signed_in(second_reviewer), "afterwards")) == ([], ["churn"])


@pytest.mark.usefixtures("two")
def test_one_of_several_earlier_occupants_is_chosen(requester: Actor, reviewer: Actor) -> None:
    make.in_production(requester, reviewer, make.version(requester))
    client = signed_in(reviewer)
    assert numbers_offered(client) == ["2", "1"]
    assert client.post(ROLLBACK, {"target": "Production", "to": "1", "reason": "bad"}).status_code == 302
    assert find_version(reviewer, "churn", 1).stage == Stage.PRODUCTION


@pytest.mark.usefixtures("two")
def test_a_refusal_shows_on_the_page_and_keeps_what_was_typed(reviewer: Actor, requester: Actor) -> None:
    client = signed_in(reviewer)
    first = Promotion.objects.get(version__number=1).version
    local.path_of(ManifestFile.objects.get(manifest=first.manifest).sha256).unlink()
    response = client.post(ROLLBACK, {"target": "Production", "to": "1", "reason": "my words"})
    assert response.status_code == 409
    assert "Nothing was rolled back" in text_of(response)
    assert "Do not serve it" in text_of(response)
    assert ">my words</textarea>" in response.content.decode()
    assert client.post(ROLLBACK, {"target": "x", "reason": "y"}).status_code == 400
    assert client.get(ROLLBACK).status_code == 405
    assert signed_in(requester).post(ROLLBACK, {"target": "Production", "reason": "y"}).status_code == 403


@pytest.mark.usefixtures("two")
def test_a_bypass_is_reviewed_afterwards_on_its_page(requester: Actor, reviewer: Actor, administrator: Actor) -> None:
    make.version(requester)
    promotions.transition(administrator, "churn", 3, "Production")
    page = Promotion.objects.get(bypass=True).page
    assert 'value="review"' not in signed_in(administrator).get(page).content.decode()
    client = signed_in(reviewer)
    assert "Nobody has looked at it afterwards yet." in text_of(client.get(page))
    refused = client.post(page, {"act": "review", "agrees": "no", "note": " "})
    assert refused.status_code == 400
    done = client.post(page, {"act": "review", "agrees": "no", "note": "there was no outage"}, follow=True)
    assert "reviewer looked at it afterwards" in text_of(done)
    assert "does not agree. there was no outage" in text_of(done)
    assert 'value="review"' not in done.content.decode()


def test_a_lapsed_word_shows_wherever_the_version_does_and_is_given_anew(
    requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    policies.write(maintainer, Scope(), "Production", {"approvals": 1, "approval_days": 365})
    make.model(requester)
    promotion = make.in_production(requester, reviewer, make.version(requester))
    pages = ("/models/churn", "/models/churn/versions/1")
    client = signed_in(reviewer)
    for page in pages:
        assert f"vouched for until {promotion.valid_until:%-d %b %Y}" in text_of(client.get(page))
    with time_machine.travel(timezone.now() + datetime.timedelta(days=366)):
        client = signed_in(reviewer)
        for page in pages:
            assert f"lapsed {promotion.valid_until:%-d %b %Y}: vouch anew" in text_of(client.get(page))
        assert "The word for v1 lapsed" in text_of(client.get(promotion.page))
        assert 'value="revalidate"' not in signed_in(requester).get(promotion.page).content.decode()
        done = client.post(promotion.page, {"act": "revalidate"}, follow=True)
        assert "You vouched for v1 anew." in text_of(done)
        assert "lapsed" not in text_of(client.get("/models/churn"))


@pytest.mark.usefixtures("two")
def test_the_pages_cost_the_same_whatever_happened_before(requester: Actor, reviewer: Actor) -> None:
    client = signed_in(reviewer)

    def queries() -> tuple[int, int]:
        counts = []
        for path in ("/models/churn", "/reviews?show=afterwards"):
            client.get(path)
            with CaptureQueriesContext(connection) as captured:
                assert client.get(path).status_code == 200
            counts.append(len(captured))
        return counts[0], counts[1]

    administrator = make.actor("root", "administrator")
    make.version(requester)
    promotions.transition(administrator, "churn", 3, "Production")
    before = queries()
    for number in range(4, 8):
        make.version(requester)
        promotions.transition(administrator, "churn", number, "Production")
    assert queries() == before
