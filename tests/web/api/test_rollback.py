"""Rolling back, reviewing it afterwards and vouching anew, by the native API."""

from __future__ import annotations

import datetime

import pytest
import time_machine
from django.utils import timezone

from accounts.actor import Actor
from lineage.models import ManifestFile
from lineage.storage import local
from registry.models import Promotion
from registry.policy import Scope
from registry.services import policies
from tests import make
from tests.web.api.conftest import Api

pytestmark = pytest.mark.django_db(transaction=True)

ROLLBACK = "models/churn/rollback"


@pytest.fixture
def two(requester: Actor, reviewer: Actor, maintainer: Actor) -> None:
    """v1 and then v2 were approved into Production, for a year each."""
    make.model(requester)
    policies.write(maintainer, Scope(), "Production", {"approvals": 1, "approval_days": 365})
    for _ in range(2):
        make.in_production(requester, reviewer, make.version(requester))


def in_production(caller: Api) -> int:
    return int(caller("GET", "resolve?uri=models:/churn/Production").json()["version"])


def ids(caller: Api, query: str) -> list[str]:
    return [item["id"] for item in caller("GET", f"promotions?{query}").json()["items"]]


@pytest.mark.usefixtures("two")
def test_one_call_rolls_back_and_tells_on_whose_word_and_another_reviews_it(
    ci: Api, review: Api, second_reviewer: Actor
) -> None:
    assert ci("POST", ROLLBACK, {"target": "Production", "reason": "bad"}).status_code == 403
    answer = review("POST", ROLLBACK, {"target": "Production", "reason": "scores are all zero"})
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert answer["Location"] == body["url"]
    assert (body["version"], body["rollback"], body["bypass"], body["to_review"]) == (1, True, False, True)
    assert (body["requester"], body["decided_by"], body["reason"]) == ("reviewer", "reviewer", "scores are all zero")
    first = Promotion.objects.get(version__number=1, rollback=False)
    assert body["restores"]["promotion"] == str(first.pk)
    assert (body["restores"]["approved_by"], body["restores"]["bypass"]) == (["reviewer"], False)
    assert in_production(ci) == 1
    assert ids(ci, "rollback=true") == ids(ci, "to_review=true") == [body["id"]]
    assert ids(ci, "bypass=true") == []
    assert len(ids(ci, "rollback=false")) == len(ids(ci, "to_review=false")) == 2

    where = f"promotions/{body['id']}/review"
    assert review("POST", where, {"agrees": True}).status_code == 403
    other = Api(make.token(second_reviewer))
    assert other("POST", where, {"agrees": "yes"}).json()["field"] == "agrees"
    assert other("POST", where, {"agrees": False}).json()["field"] == "note"
    done = other("POST", where, {"agrees": False, "note": "it was the data"}).json()
    reviewed = [done[name] for name in ("to_review", "reviewed_by", "review_agrees", "review_note")]
    assert reviewed == [False, "second-reviewer", False, "it was the data"]
    assert other("POST", where, {"agrees": True}).status_code == 409
    assert ids(ci, "to_review=true") == []


@pytest.mark.usefixtures("two")
def test_repeated_with_its_key_it_is_one_rollback_and_the_files_are_not_read_again(review: Api) -> None:
    sent = {"target": "Production", "to": 1, "reason": "bad"}
    first = review("POST", ROLLBACK, sent, Idempotency_Key="night")
    local.path_of(
        ManifestFile.objects.get(manifest__pk=Promotion.objects.latest("pk").version.manifest_id).sha256
    ).unlink()
    again = review("POST", ROLLBACK, sent, Idempotency_Key="night")
    assert (first.status_code, again.status_code) == (201, 201), again.content
    assert (again["Idempotency-Replayed"], again.content) == ("true", first.content)
    assert Promotion.objects.filter(rollback=True).count() == 1


@pytest.mark.usefixtures("two")
def test_what_cannot_be_is_refused_by_name_with_the_way_out(review: Api) -> None:
    for sent, status, field, code in (
        ({"target": "Production"}, 400, "reason", "wrong-field"),
        ({"target": "Production", "reason": " "}, 400, "reason", "reason-missing"),
        ({"target": "Nowhere", "reason": "x"}, 400, "target", "bad-target"),
        ({"target": "Production", "to": "1", "reason": "x"}, 400, "to", "wrong-field"),
        ({"target": "Production", "to": 9, "reason": "x"}, 404, None, "version-not-found"),
        ({"target": "Production", "to": 2, "reason": "x"}, 409, "target", "already-there"),
        ({"target": "Staging", "reason": "x"}, 409, "target", "several-at-once"),
    ):
        answer = review("POST", ROLLBACK, sent)
        problem = answer.json()
        assert (answer.status_code, problem.get("field"), problem["code"]) == (status, field, code), problem
    listed = ManifestFile.objects.get(
        manifest__in=Promotion.objects.filter(version__number=1).values("version__manifest")
    )
    local.path_of(listed.sha256).unlink()
    answer = review("POST", ROLLBACK, {"target": "Production", "reason": "x"})
    assert (answer.status_code, answer.json()["code"]) == (409, "bytes-differ")
    assert "Do not serve it: register it anew" in answer.json()["detail"]
    assert in_production(review) == 2


@pytest.mark.usefixtures("two")
def test_a_lapsed_word_is_listed_and_given_anew(ci: Api, second_reviewer: Actor) -> None:
    standing = Promotion.objects.get(version__number=2)
    shown = ci("GET", "models/churn/versions/2")
    assert shown.json()["valid_until"] == ci("GET", f"promotions/{standing.pk}").json()["valid_until"]
    assert ci("GET", "models/churn/versions/1").json()["valid_until"] is None
    assert ids(ci, "lapsed=true") == []
    with time_machine.travel(timezone.now() + datetime.timedelta(days=365)):
        # Tokens end sooner than this.
        caller = Api(make.token(second_reviewer))
        assert ids(caller, "lapsed=true") == [str(standing.pk)]
        assert len(ids(caller, "lapsed=false")) == 1
        where = f"promotions/{standing.pk}"
        assert caller("GET", where).json()["revalidation_missing"] == ["1 more reviewer to vouch for it anew"]
        assert caller("POST", f"{where}/revalidate", {"comment": "still good"}).status_code == 200
        assert ids(caller, "lapsed=true") == []
        assert caller("GET", "models/churn/versions/2")["ETag"] != shown["ETag"]
