"""What searches of many versions cost: each is read off an index, however many there are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from core.searching import Condition, Field, Of, Operator, Order
from registry.models import Model, ModelTag, Version, VersionTag
from registry.searching import Tag, search_models, search_versions
from registry.services import catalog
from tests import make
from tests.registry import many

pytestmark = pytest.mark.django_db
PROMPT = Tag("kind", "prompt")
PAGE = 20
MODELS, EACH = 60, 50


def attribute(name: str, operator: str, value: Any) -> Condition:
    return Condition(Field(Of.ATTRIBUTE, name), Operator(operator), value)


def tag(key: str, value: str) -> Condition:
    return Condition(Field(Of.TAG, key), Operator.EQUAL, value)


def by(name: str, descending: bool = False) -> Order:
    return Order(Field(Of.ATTRIBUTE, name), descending)


# Conditions, order, and the index that the page is read off.
READS: list[tuple[list[Condition], list[Order], str]] = [
    ([], [], "version_by_change"),
    ([], [by("updated_at")], "version_by_change"),
    ([], [by("created_at")], "version_by_creation"),
    ([], [by("created_at", True)], "version_by_creation"),
    ([], [by("name")], "version_by_name"),
    ([], [by("name", True)], "version_by_name_back"),
    ([], [by("number")], "version_by_number"),
    ([], [by("number", True)], "version_by_number_back"),
    ([attribute("name", "=", "many-000007")], [], "version_of_name_by_change"),
    ([attribute("run", "=", "run-000007-1")], [], "version_of_run_by_change"),
    ([attribute("source", "=", "s3://bucket/many-000007/11")], [], "version_of_source_by_change"),
    ([attribute("source", "LIKE", "s3://bucket/many-0000%")], [], "version_by_change"),
    ([tag("team", "team 3")], [], "version_of_tag_by_change"),
]


@pytest.fixture
def versions(requester: Actor) -> Actor:
    many.versions(requester, models=MODELS, each=EACH)
    # Some of the models are of the kind that searches leave out.
    tagged = Model.objects.filter(name__regex="[05]$")
    ModelTag.objects.bulk_create(ModelTag(model=model, key=PROMPT.key, value=PROMPT.value) for model in tagged)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE registry_modeltag")
    return requester


@pytest.fixture
def as_if_large(versions: Actor) -> None:
    """In so small a table sorting some hundreds would do."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_sort = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_seqscan = off")


def test_every_order_and_what_is_looked_for_most_is_read_off_an_index(versions: Actor, as_if_large: None) -> None:
    """Of 3,000 versions a page of 20 reads a few dozen rows and sorts none, the second page as the first."""
    for conditions, orders, index in READS:
        token = ""
        for _ in range(2):
            with CaptureQueriesContext(connection) as asked:
                page = search_versions(versions, conditions, orders, size=PAGE, token=token, unless_model_tagged=PROMPT)
            nodes, read = planned(asked[0]["sql"])
            assert index in nodes, (index, nodes)
            assert "Sort" not in nodes, (index, nodes)
            assert read < 5 * PAGE, (index, read, nodes)
            token = page.next_token
            if not token:
                break


def test_who_sees_some_models_pages_through_theirs(versions: Actor) -> None:
    bound = make.by_token(versions, model_glob="many-00000?")
    seen: list[str] = []
    token = ""
    while True:
        page = search_versions(bound, [], [by("name"), by("number")], size=70, token=token)
        seen += [f"{facts.name}/{facts.number}" for facts in page.items]
        token = page.next_token
        if not token:
            break
    assert seen == [f"many-{model:06}/{number}" for model in range(1, 10) for number in range(1, EACH + 1)]


def test_a_tag_that_few_have_is_found_by_its_index(versions: Actor) -> None:
    for value in ("s3://bucket/many-000007/20", "of nobody"):
        with CaptureQueriesContext(connection) as asked:
            search_versions(versions, [tag("build", value)], [], size=PAGE, token="", unless_model_tagged=PROMPT)
        nodes, read = planned(asked[0]["sql"])
        assert "version_of_tag_by_change" in nodes
        assert read < 5


def test_few_sources_that_begin_alike_are_found_by_their_index(versions: Actor) -> None:
    for start, found in (("s3://bucket/many-000007/1%", 11), ("s3://bucket/many-000007/1_", 10), ("gs://%", 0)):
        with CaptureQueriesContext(connection) as asked:
            page = search_versions(versions, [attribute("source", "LIKE", start)], [], size=PAGE, token="")
        nodes, read = planned(asked[0]["sql"])
        assert len(page.items) == found
        assert "version_by_start_of_source" in nodes
        assert read <= 2 * found


def test_versions_with_a_tag_come_in_the_order_in_which_they_changed_last(versions: Actor, maintainer: Actor) -> None:
    """A tag keeps the time with it: a version that changes, is tagged later or is renamed moves to the front."""

    def first() -> tuple[str, int]:
        found = search_versions(versions, [tag("team", "team 3")], [], size=1, token="").items[0]
        return found.name, found.number

    def of_another_team(*, tagged: bool) -> Version:
        of_team = VersionTag.objects.filter(key="team", value="team 3").values("version")
        rows = Version.objects.filter(pk__in=of_team) if tagged else Version.objects.exclude(pk__in=of_team)
        return rows.exclude(model_name=first()[0]).order_by("updated_at")[0]

    changed = of_another_team(tagged=True)
    catalog.describe_version(versions, changed.model_name, changed.number, "said anew")
    assert first() == (changed.model_name, changed.number)
    late = of_another_team(tagged=False)
    catalog.tag_version(versions, late.model_name, late.number, "team", "team 3")
    catalog.describe_version(versions, late.model_name, late.number, "said anew")
    assert first() == (late.model_name, late.number)
    renamed = of_another_team(tagged=True).model_name
    catalog.rename_model(maintainer, renamed, "another-name")
    assert first()[0] == "another-name"


def test_a_page_of_models_is_read_off_an_index(versions: Actor, as_if_large: None) -> None:
    for orders, index in (([], "model_by_name"), ([by("updated_at", True)], "model_newest_first")):
        with CaptureQueriesContext(connection) as asked:
            page = search_models(versions, [], orders, size=10, token="", unless_tagged=PROMPT)
        assert len(page.items) == 10
        nodes, _ = planned(asked[0]["sql"])
        assert (index in nodes, "Sort" in nodes) == (True, False), (index, nodes)


def planned(statement: str) -> tuple[set[str], float]:
    """The kinds of nodes and the indexes of a statement's plan, and how many rows it reads."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
        told = cursor.fetchone()[0]
    nodes: set[str] = set()

    def read(node: dict[str, Any]) -> float:
        nodes.update(filter(None, (node["Node Type"], node.get("Index Name"))))
        own = node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0)
        # What is left out is known by a few tags, which are looked through for each row or once.
        counts = "Scan" in node["Node Type"] and node.get("Relation Name") != "registry_modeltag"
        return (own if counts else 0) + sum(read(child) for child in node.get("Plans", []))

    return nodes, read((told if isinstance(told, list) else json.loads(told))[0]["Plan"])
