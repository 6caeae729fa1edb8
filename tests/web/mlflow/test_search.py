"""Searches of models and versions on the MLflow wire: what each finds, in which order, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.actor import Actor
from accounts.models import User
from accounts.roles import Role
from accounts.services import people
from registry.models import Model, Version
from tests import make
from tests.web.mlflow.conftest import Door

pytestmark = pytest.mark.django_db

MODELS = "mlflow/registered-models/search"
VERSIONS = "mlflow/model-versions/search"
PROMPT = {"key": "mlflow.prompt.is_prompt", "value": "true"}
NO_PROMPTS = "tag.`mlflow.prompt.is_prompt` != 'true'"
RUN = "0123456789abcdef0123456789abcdef"

# Model → its tags, and of each version the source, the run and the tags.
CATALOGUE: dict[str, tuple[dict[str, str], list[tuple[str, str, dict[str, str]]]]] = {
    "alpha": (
        {"team": "risk", "a b": "x"},
        [
            ("s3://bucket/alpha/1", RUN, {"team": "risk", "stage": "dev"}),
            ("s3://bucket/alpha/2", "", {"team": "Risk"}),
            ("s3://bucket/alpha/3", RUN, {}),
        ],
    ),
    "alpha_2": ({"team": "fraud"}, [("gs://bucket/100%/x", "other", {"team": "fraud", "note": "it's"})]),
    "Beta": ({}, [("s3://bucket/beta/1", "", {"team": ""}), ("s3://bucket/alpha/1", "", {})]),
    "alphaX2": ({"mlflow.prompt.is_prompt": "false"}, []),
}


@pytest.fixture
def catalogue(ci: Door) -> None:
    def pairs(tags: dict[str, str]) -> list[dict[str, str]]:
        return [{"key": key, "value": value} for key, value in tags.items()]

    for name, (tags, versions) in CATALOGUE.items():
        ci.post("mlflow/registered-models/create", {"name": name, "tags": pairs(tags)})
        for source, run, of_version in versions:
            body = {"name": name, "source": source, "run_id": run, "tags": pairs(of_version)}
            assert ci.post("mlflow/model-versions/create", body).status == 200
    ci.post("mlflow/registered-models/create", {"name": "greeting", "tags": [PROMPT, {"key": "team", "value": "risk"}]})
    body = {"name": "greeting", "source": "dummy-source", "tags": [PROMPT, {"key": "team", "value": "risk"}]}
    assert ci.post("mlflow/model-versions/create", body).status == 200


def models(door: Door, filter: str = "", **query: Any) -> list[str]:
    return [row["name"] for row in found(door, MODELS, filter, **query).get("registered_models", [])]


def versions(door: Door, filter: str = "", **query: Any) -> list[str]:
    rows = found(door, VERSIONS, filter, **query).get("model_versions", [])
    return [f"{row['name']}/{row['version']}" for row in rows]


def found(door: Door, path: str, filter: str, **query: Any) -> dict[str, Any]:
    answer = door.get(path, **({"filter": filter} if filter else {}), **query)
    assert answer.status == 200, answer.message
    return answer.body


# --- What is found ----------------------------------------------------------------------------------------------------

ALL = ["Beta", "alpha", "alphaX2", "alpha_2"]  # as bytes sort


MODELS_FOUND = [
    ("", ALL),
    (NO_PROMPTS, ALL),
    ("tags.`mlflow.prompt.is_prompt` = 'false'", ALL),
    ("tags.`mlflow.prompt.is_prompt` = 'true'", ["greeting"]),
    ("tags.`mlflow.prompt.is_prompt` != 'false'", ["greeting"]),
    ("tags.`mlflow.prompt.is_prompt` = 'true' AND name = 'alpha'", []),
    ("name = 'alpha'", ["alpha"]),
    ("name = 'ALPHA'", []),
    ('name="alpha"', ["alpha"]),
    ("attribute.name != 'alpha'", ["Beta", "alphaX2", "alpha_2"]),
    ("name LIKE 'alpha%'", ["alpha", "alphaX2", "alpha_2"]),
    ("name LIKE 'Alpha%'", []),
    ("name ILIKE 'ALPHA%'", ["alpha", "alphaX2", "alpha_2"]),
    ("name LIKE 'alpha_2'", ["alphaX2", "alpha_2"]),
    ("name IN ('alpha', 'Beta', 'greeting')", ["Beta", "alpha"]),
    ("name NOT IN ('alpha', 'Beta')", ["alphaX2", "alpha_2"]),
    ("name IN ('nobody')", []),
    ("tags.team = 'risk'", ["alpha"]),
    ("tag.team = 'risk' and name LIKE 'a%'", ["alpha"]),
    ("tags.team != 'risk'", ["alpha_2"]),  # not those without the tag
    ("tags.team LIKE '%'", ["alpha", "alpha_2"]),
    ("tags.team ILIKE 'RI%'", ["alpha"]),
    ("tags.`a b` = 'x' AND tags.team = 'risk'", ["alpha"]),
    ("tags.`a b` = 'x' AND tags.team = 'fraud'", []),
    ("tags.team != 'a' AND tags.team != 'risk'", ["alpha_2"]),
    ("tags.nothing = ''", []),
]


def test_models_are_found(catalogue: None, ci: Door) -> None:
    for filter, names in MODELS_FOUND:
        assert models(ci, filter) == names, filter


NEWEST = ["Beta/2", "Beta/1", "alpha_2/1", "alpha/3", "alpha/2", "alpha/1"]


VERSIONS_FOUND = [
    ("", NEWEST),
    (NO_PROMPTS, NEWEST),
    ("tags.`mlflow.prompt.is_prompt` = 'true'", ["greeting/1"]),
    ("name = 'alpha'", ["alpha/3", "alpha/2", "alpha/1"]),
    ("name='greeting'", []),
    ("name != 'alpha'", ["Beta/2", "Beta/1", "alpha_2/1"]),
    ("name LIKE 'alpha\\_2'", []),  # a backslash is itself
    ("name ILIKE 'b%'", ["Beta/2", "Beta/1"]),
    ("name IN ('alpha_2')", ["alpha_2/1"]),
    (f"run_id = '{RUN}'", ["alpha/3", "alpha/1"]),
    (f"run_id IN ('{RUN}', 'other')", ["alpha_2/1", "alpha/3", "alpha/1"]),
    (f"run_id NOT IN ('{RUN}', 'other')", ["Beta/2", "Beta/1", "alpha/2"]),
    ("run_id = ''", ["Beta/2", "Beta/1", "alpha/2"]),
    ("run_id LIKE '0123%'", ["alpha/3", "alpha/1"]),
    ("source_path = 's3://bucket/alpha/1'", ["Beta/2", "alpha/1"]),
    ("source_path != 's3://bucket/alpha/1' AND name = 'alpha'", ["alpha/3", "alpha/2"]),
    ("source_path LIKE '%100%/_'", ["alpha_2/1"]),
    ("source_path ILIKE 'S3://%'", ["Beta/2", "Beta/1", "alpha/3", "alpha/2", "alpha/1"]),
    ("version_number = 2", ["Beta/2", "alpha/2"]),
    ("version_number = '2'", ["Beta/2", "alpha/2"]),
    ("version_number != 1", ["Beta/2", "alpha/3", "alpha/2"]),
    ("version_number >= 2 AND version_number < 3", ["Beta/2", "alpha/2"]),
    ("version_number > 9223372036854775806", []),
    ("version_number < 9223372036854775807 AND name = 'alpha_2'", ["alpha_2/1"]),
    ("tags.team = 'risk'", ["alpha/1"]),
    ("tags.team ILIKE 'risk'", ["alpha/2", "alpha/1"]),
    ("tags.team != 'risk'", ["Beta/1", "alpha_2/1", "alpha/2"]),
    ("tags.team = ''", ["Beta/1"]),
    ("tags.note = 'it''s'", ["alpha_2/1"]),
    ("tag.team = 'risk' AND tags.stage = 'dev' AND version_number = 1 AND name = 'alpha'", ["alpha/1"]),
]


def test_versions_are_found(catalogue: None, ci: Door) -> None:
    for filter, wanted in VERSIONS_FOUND:
        assert versions(ci, filter) == wanted, filter


REFUSED = [
    (MODELS, "run_id = 'x'"),
    (MODELS, "name > 'x'"),
    (MODELS, "name = 'x' OR name = 'y'"),
    (MODELS, "(name = 'x')"),
    (MODELS, "name = x"),
    (MODELS, "tags.team IN ('x')"),
    (MODELS, "Name = 'x'"),
    (MODELS, "last_updated_timestamp > 5"),
    (MODELS, "params.x = 'y'"),
    (VERSIONS, "current_stage = 'Production'"),
    (VERSIONS, "alias = 'champion'"),
    (VERSIONS, "user_id = 'x'"),
    (VERSIONS, "creation_timestamp > 5"),
    (VERSIONS, "version_number = 'x'"),
    (VERSIONS, "version_number = 1.5"),
    (VERSIONS, "version_number LIKE '1'"),
    (VERSIONS, "source_path IN ('x')"),
    (VERSIONS, "name = 5"),
    (VERSIONS, "name = 'x' AND"),
]


def test_what_cannot_be_searched_for_is_400(ci: Door) -> None:
    for path, filter in REFUSED:
        answer = ci.get(path, filter=filter)
        assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE"), filter


# --- Orders and pages -------------------------------------------------------------------------------------------------


MODELS_ORDERED = [
    (["name"], ALL),
    (["name ASC"], ALL),
    (["name DESC"], ALL[::-1]),
    (["last_updated_timestamp DESC"], ["alphaX2", "Beta", "alpha_2", "alpha"]),
    (["timestamp asc", "name"], ["alpha", "alpha_2", "Beta", "alphaX2"]),
]


def test_models_are_ordered(catalogue: None, ci: Door) -> None:
    for order_by, names in MODELS_ORDERED:
        assert models(ci, order_by=order_by) == names, order_by
        assert paged(ci, MODELS, "registered_models", order_by=order_by) == names, order_by


VERSIONS_ORDERED = [
    (["name"], ["Beta/2", "Beta/1", "alpha/3", "alpha/2", "alpha/1", "alpha_2/1"]),
    (["name DESC"], ["alpha_2/1", "alpha/3", "alpha/2", "alpha/1", "Beta/2", "Beta/1"]),
    (["version_number"], ["Beta/1", "alpha/1", "alpha_2/1", "Beta/2", "alpha/2", "alpha/3"]),
    (["version_number DESC"], ["alpha/3", "Beta/2", "alpha/2", "Beta/1", "alpha/1", "alpha_2/1"]),
    (["version_number DESC", "name DESC"], ["alpha/3", "alpha/2", "Beta/2", "alpha_2/1", "alpha/1", "Beta/1"]),
    (["creation_timestamp"], NEWEST[::-1]),
    (["creation_timestamp DESC"], NEWEST),
    (["last_updated_timestamp ASC"], NEWEST[::-1]),
    (["attribute.name ASC", "version_number"], ["Beta/1", "Beta/2", "alpha/1", "alpha/2", "alpha/3", "alpha_2/1"]),
]


def test_versions_are_ordered(catalogue: None, ci: Door) -> None:
    for order_by, wanted in VERSIONS_ORDERED:
        assert versions(ci, order_by=order_by) == wanted, order_by
        assert paged(ci, VERSIONS, "model_versions", order_by=order_by) == wanted, order_by


def paged(door: Door, path: str, key: str, **query: Any) -> list[str]:
    """All that is found, two at a time."""
    rows: list[str] = []
    token = ""
    while True:
        body = found(door, path, "", max_results=2, page_token=token, **query)
        rows += [f"{row['name']}/{row['version']}" if "version" in row else row["name"] for row in body.get(key, [])]
        token = body.get("next_page_token", "")
        if not token:
            return rows


def test_versions_changed_at_once_are_told_apart_by_name_and_number(catalogue: None, ci: Door) -> None:
    moment = Model.objects.get(name="Beta").updated_at
    Version.objects.update(updated_at=moment)
    wanted = ["Beta/2", "Beta/1", "alpha/3", "alpha/2", "alpha/1", "alpha_2/1"]
    assert versions(ci) == wanted
    assert paged(ci, VERSIONS, "model_versions") == wanted


def test_orders_that_cannot_be_are_400(ci: Door) -> None:
    for path in (MODELS, VERSIONS):
        for order_by in (["name", "name DESC"], ["nothing"], ["name SIDEWAYS"], ["tags.team"], [""]):
            assert ci.get(path, order_by=order_by).code == "INVALID_PARAMETER_VALUE", order_by


def test_one_column_by_two_names_is_ordered_twice(ci: Door) -> None:
    answer = ci.get(MODELS, order_by=["timestamp", "last_updated_timestamp"])
    assert (answer.status, "duplicate" in answer.message) == (400, True)


@pytest.mark.parametrize(("path", "most"), [(MODELS, 1000), (VERSIONS, 200_000)])
def test_pages_have_sizes(ci: Door, path: str, most: int) -> None:
    for size in (0, -1, most + 1, "x"):
        assert ci.get(path, max_results=size).code == "INVALID_PARAMETER_VALUE"
    for size in (1, most):
        assert ci.get(path, max_results=size).status == 200


def test_a_token_is_good_for_the_search_it_came_from_and_no_other(catalogue: None, ci: Door) -> None:
    for path in (MODELS, VERSIONS):
        token = ci.get(path, max_results=1).body["next_page_token"]
        assert ci.get(path, max_results=2, page_token=token).status == 200
        for other in ({"filter": "name != 'x'"}, {"order_by": ["name DESC"]}, {"page_token": "garbage"}):
            assert ci.get(path, **{"page_token": token, **other}).code == "INVALID_PARAMETER_VALUE"


def test_a_page_ends_early_rather_than_hold_too_much(
    catalogue: None, ci: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.searching.AT_ONCE", 2)
    assert versions(ci) == NEWEST
    monkeypatch.setattr("registry.searching.ENOUGH", 1)
    body = found(ci, VERSIONS, "")  # the first two say nothing, the next two have tags
    assert len(body["model_versions"]) == 4
    rest = found(ci, VERSIONS, "", page_token=body["next_page_token"])
    assert [f"{row['name']}/{row['version']}" for row in rest["model_versions"]] == NEWEST[4:]


# --- What is told, and to whom ----------------------------------------------------------------------------------------


def test_models_are_told_with_latest_versions_tags_and_aliases(catalogue: None, ci: Door) -> None:
    ci.post("mlflow/registered-models/alias", {"name": "alpha", "alias": "best", "version": "2"})
    body = {"name": "alpha", "version": "1", "stage": "Staging"}
    assert ci.post("mlflow/model-versions/transition-stage", body).status == 200
    [model] = found(ci, MODELS, "name = 'alpha'")["registered_models"]
    assert model == ci.get("mlflow/registered-models/get", name="alpha").body["registered_model"]
    assert {row["current_stage"]: row["version"] for row in model["latest_versions"]} == {"None": "3", "Staging": "1"}


def test_versions_are_told_as_get_tells_them_without_aliases(catalogue: None, ci: Door) -> None:
    ci.post("mlflow/registered-models/alias", {"name": "alpha", "alias": "best", "version": "1"})
    told = found(ci, VERSIONS, "tags.stage = 'dev'")["model_versions"]
    [whole] = [ci.get("mlflow/model-versions/get", name="alpha", version="1").body["model_version"]]
    assert whole.pop("aliases") == ["best"]
    assert told == [whole]


def test_deleted_versions_and_those_of_deleted_models_are_never_found(catalogue: None, ci: Door, root: Door) -> None:
    ci.post("mlflow/model-versions/delete", {"name": "alpha", "version": "2"}, method="DELETE")
    root.post("mlflow/registered-models/delete", {"name": "Beta"}, method="DELETE")
    assert versions(ci) == ["alpha_2/1", "alpha/3", "alpha/1"]
    assert models(ci) == ["alpha", "alphaX2", "alpha_2"]


def test_each_finds_what_he_may_see(
    catalogue: None, ci: Door, stranger: Door, requester: Actor, administrator: Actor
) -> None:
    assert (models(stranger), versions(stranger)) == ([], [])
    bound = Door(make.token(requester, model_glob="alpha?2"))
    assert (models(bound), versions(bound)) == (["alphaX2", "alpha_2"], ["alpha_2/1"])
    make.actor("guest")
    beta = Model.objects.get(name="Beta")
    people.give(administrator, Role.VIEWER, user=User.objects.get(username="guest"), model_id=beta.pk)
    guest = Door(make.token(make.actor("guest")))
    assert (models(guest), versions(guest)) == (["Beta"], ["Beta/2", "Beta/1"])


def test_a_page_costs_the_same_whatever_its_size(catalogue: None, ci: Door, django_assert_num_queries: Any) -> None:
    ci.get(MODELS)  # the token's use is noted now, and not again within a minute
    for size in (1, 6):
        with django_assert_num_queries(5):  # token, models, tags, aliases, latest versions
            ci.get(MODELS, max_results=size)
        with django_assert_num_queries(3):  # token, which versions, these versions
            ci.get(VERSIONS, max_results=size)
