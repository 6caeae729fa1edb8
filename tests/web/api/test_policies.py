"""Policies over REST, and what a promotion tells of its own."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.actor import Actor
from accounts.roles import Role
from registry.models import Promotion
from registry.services import aliases, promotions
from tests import make
from tests.web.api.conftest import Api, api_of

pytestmark = pytest.mark.django_db

_AUC = {"gate": "metric_threshold", "metric": "auc", "at_least": 0.9}


@pytest.fixture
def owner(maintainer: Actor) -> Api:
    return api_of(maintainer)


@pytest.fixture
def churn(requester: Actor) -> None:
    make.model(requester)
    make.version(requester)


def test_a_policy_is_written_read_and_taken_away(owner: Api, churn: None) -> None:
    written = owner("PUT", "policies", {"target": "production", "approvals": 2, "gates": [_AUC], "comment": "why"})
    policy = written.json()
    assert (policy["target"], policy["model"], policy["pattern"]) == ("Production", None, None)
    assert (policy["approvals"], policy["revision"], policy["changed_by"], policy["comment"]) == (
        2, 1, "maintainer", "why",
    )  # fmt: skip
    path = f"policies/{policy['id']}"
    assert owner("GET", path, If_None_Match=written["ETag"]).status_code == 304
    again = owner("PUT", "policies", {"target": "Production", "approvals": 2, "gates": [_AUC]})
    assert (again.json(), again["ETag"]) == (policy, written["ETag"])
    assert owner("PUT", "policies", {"target": "Production"}).json()["revision"] == 2
    told = owner("GET", f"{path}/revisions").json()["items"]
    assert [(each["revision"], each["changed_by"], each["rules"]["approvals"]) for each in told] == [
        (2, "maintainer", 1), (1, "maintainer", 2),
    ]  # fmt: skip
    assert owner("DELETE", path, If_Match=written["ETag"]).status_code == 412
    assert owner("DELETE", path).status_code == 204
    assert owner("DELETE", path).status_code == 404
    assert owner("GET", path).json()["retired_at"]
    assert owner("GET", "policies").json()["items"] == []
    assert owner("GET", f"{path}/revisions").json()["items"][0]["rules"] is None


def test_an_edit_of_what_has_changed_meanwhile_is_refused(owner: Api) -> None:
    body = {"target": "Production", "pattern": "risk-*"}
    assert owner("PUT", "policies", body, If_Match='"00.1"').status_code == 412
    assert owner("PUT", "policies", {**body, "revision": 1}).status_code == 412
    first = owner("PUT", "policies", {**body, "revision": 0})
    second = owner("PUT", "policies", {**body, "approvals": 2}, If_Match=first["ETag"])
    assert second.json()["revision"] == 2
    assert owner("PUT", "policies", {**body, "approvals": 3}, If_Match=first["ETag"]).status_code == 412
    assert owner("PUT", "policies", {**body, "approvals": 3, "revision": 1}).status_code == 412
    both = owner("PUT", "policies", {**body, "approvals": 3, "revision": 1}, If_Match=second["ETag"])
    assert both.status_code == 412


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "target"),
        ({"target": "Prod"}, "target"),
        ({"target": "Staging", "model": "churn", "pattern": "c*"}, "pattern"),
        ({"target": "Staging", "pattern": "a/b"}, "pattern"),
        ({"target": "Staging", "aprovals": 2}, "aprovals"),
        ({"target": "Staging", "approvals": "2"}, "approvals"),
        ({"target": "Staging", "approvals": 21}, "approvals"),
        ({"target": "Staging", "exclusive": 1}, "exclusive"),
        ({"target": "Staging", "teams": "risk"}, "teams"),
        ({"target": "Staging", "teams": [1]}, "teams[0]"),
        ({"target": "Staging", "teams": ["nobody-made-it"]}, "teams[0]"),
        ({"target": "Staging", "gates": {}}, "gates"),
        ({"target": "Staging", "gates": [{"gate": "nonsense"}]}, "gates[0].gate"),
        ({"target": "Staging", "gates": [_AUC, {**_AUC, "at_least": "x"}]}, "gates[1].at_least"),
        ({"target": "Staging", "gates": [{**_AUC, "metric": "a\x00"}]}, "gates[0].metric"),
        ({"target": "Staging", "gates": [{**_AUC, "at_least": 1e300}]}, "gates[0].at_least"),
        ({"target": "Staging", "comment": "x" * 1001}, "comment"),
    ],
)  # fmt: skip
def test_what_will_not_do_is_refused_with_the_field(owner: Api, churn: None, body: Any, field: str) -> None:
    refused = owner("PUT", "policies", body)
    assert (refused.status_code, refused.json().get("field")) == (400, field), refused.json()
    assert owner("GET", "policies").json()["items"] == []


def test_the_list_is_narrowed_paged_and_of_constant_cost(
    owner: Api, churn: None, django_assert_max_num_queries: Any
) -> None:
    for body in ({"model": "churn"}, {"pattern": "c*"}, {}, {"target": "@champion"}):
        owner("PUT", "policies", {"target": "Production", **body})
    with django_assert_max_num_queries(6):
        assert len(owner("GET", "policies").json()["items"]) == 4

    def scopes(query: str) -> list[tuple[Any, ...]]:
        found = owner("GET", f"policies?{query}").json()["items"]
        return [(each["target"], each["model"], each["pattern"]) for each in found]

    assert scopes("model=churn") == [("Production", "churn", None)]
    assert scopes("pattern=C*") == [("Production", None, "c*")]
    assert scopes("target=@champion") == [("@champion", None, None)]
    first = owner("GET", "policies?page_size=3").json()
    assert len(first["items"]) == 3
    assert scopes(f"page_size=3&page_token={first['next_page_token']}") == [("@champion", None, None)]
    assert owner("GET", "policies?stage=Production").status_code == 400
    assert owner("GET", "policies/nonsense").status_code == 404


def test_a_model_tells_what_is_in_force_and_why(owner: Api, ci: Api, churn: None) -> None:
    policy = owner("PUT", "policies", {"target": "@champion", "pattern": "ch*", "approvals": 2}).json()
    told = {each["target"]: each for each in ci("GET", "models/churn/policies").json()["items"]}
    assert list(told) == ["None", "Staging", "Production", "Archived", "@champion"]
    assert (told["Production"]["policy"], told["Production"]["revision"]) == (None, None)
    assert told["Production"]["terms"]["name"] == "shipped default, reviewed"
    assert told["Staging"]["asks"] == ["nothing: it is carried out at once"]
    champion = told["@champion"]
    assert (champion["policy"], champion["revision"]) == (policy["id"], 1)
    assert champion["asks"] == ["an approval by 2 reviewers who had no part in it"]
    assert champion["terms"]["why"] == "its pattern ch* fits the name churn; no other policy for @champion fits"


def test_a_promotion_tells_its_terms_its_gates_and_what_was_decided_on(
    owner: Api, ci: Api, review: Api, churn: None, requester: Actor, reviewer: Actor
) -> None:
    gate = {"gate": "required_checks", "names": ["bias"]}
    policy = owner("PUT", "policies", {"target": "Production", "gates": [gate]}).json()
    asked = ci("POST", "promotions", {"model": "churn", "version": 1, "target": "Production"}).json()
    assert (asked["policy"], asked["policy_revision"]) == (policy["id"], 1)
    assert (asked["terms"]["gates"], asked["terms"]["teams"], asked["terms"]["approval_days"]) == ([gate], [], None)
    assert "all models of the workspace" in asked["terms"]["why"]
    assert asked["gates"] == [
        {
            "gate": "required_checks",
            "title": "checks bias passed",
            "outcome": "unknown",
            "reason": "nobody has reported the check bias",
        }
    ]
    assert asked["missing"] == [
        "1 more approval by a reviewer who had no part in it",
        "checks bias passed: nobody has reported the check bias",
    ]
    assert asked["decided_on"] is None
    owner("PUT", "policies", {"target": "Production", "approvals": 0})
    owner("PUT", "policies", {"target": "Production", "approvals": 3})
    now = ci("GET", f"promotions/{asked['id']}").json()
    assert (now["policy_revision"], now["terms"]["approvals"], now["gates"]) == (3, 3, [])
    boss = api_of(make.actor("boss", Role.ADMINISTRATOR))
    done = boss("POST", f"promotions/{asked['id']}/bypass", {"reason": "incident"}).json()
    assert (done["gates"], done["missing"], done["looked_at"]) == ([], [], None)
    assert done["decided_on"]["policy"]["approvals"] == 3
    assert done["decided_on"]["manifest"] == now["looked_at"]["manifest"]


def test_a_protected_alias_is_moved_by_a_promotion(
    owner: Api, ci: Api, churn: None, requester: Actor, reviewer: Actor
) -> None:
    owner("PUT", "policies", {"target": "@champion", "model": "churn", "bypass": False})
    assert ci("PUT", "models/churn/aliases/challenger", {"version": 1}).status_code == 200
    refused = ci("PUT", "models/churn/aliases/champion", {"version": 1})
    problem, asked = refused.json(), Promotion.objects.get()
    assert (refused.status_code, problem["code"]) == (409, "review-needed")
    assert problem["reasons"] == ["1 more approval by a reviewer who had no part in it"]
    assert problem["link"].endswith(asked.page)
    assert ci("GET", "resolve?uri=models:/churn@champion").status_code == 404
    promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    assert ci("GET", "resolve?uri=models:/churn@champion").json()["version"] == 1
    assert ci("PUT", "models/churn/aliases/champion", {"version": 1}).status_code == 200
    gone = owner("DELETE", "models/churn/aliases/champion")
    assert (gone.status_code, gone.json()["code"]) == (409, "alias-protected")
    assert owner("DELETE", "models/churn/versions/1").json()["code"] == "alias-in-use"
    assert owner("DELETE", "models/churn").status_code == 409
    aliases.remove_alias(requester, "churn", "challenger")
