"""What one finds in the list of models, and that it is read off an index however many there are."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from core.errors import Invalid
from core.text import BadCharacter
from registry import shelf
from registry.errors import UnknownStage
from registry.headline import TAG
from registry.policy import Scope
from registry.services import catalog, policies, promotions
from registry.shelf import Search
from tests import make
from tests.registry import many
from tests.registry.test_searching import planned
from tests.web.ui.conftest import trained

pytestmark = pytest.mark.django_db


def found(actor: Actor, q: str = "", **more: str) -> list[str]:
    return [model.name for model in shelf.models(actor, Search.asked(q, **more)).order_by("name")]


@pytest.fixture
def three(requester: Actor) -> Actor:
    catalog.create_model(requester, name="Churn_EU", tags={"team": "growth and more", "tier": "1"})
    catalog.create_model(requester, name="churn-us", tags={"team": "growth", "long": "x" * 300})
    catalog.create_model(make.actor("other-owner", *requester.roles), name="demand", tags={"tier": "1"})
    return requester


@pytest.mark.parametrize(
    ("q", "more", "names"),
    [
        ("CHURN", {}, ["Churn_EU", "churn-us"]),
        ("n_e", {}, ["Churn_EU"]),  # as it stands: `_` and `%` are not wild
        ("%", {}, []),
        ("\\", {}, []),
        ("tag:tier=1", {}, ["Churn_EU", "demand"]),
        ('churn tag:"team=growth and more" tag:tier', {}, ["Churn_EU"]),
        ("", {"tag": "team=growth"}, ["churn-us"]),
        ("", {"tag": "team"}, ["Churn_EU", "churn-us"]),
        ("", {"tag": f"long={'x' * 300}"}, ["churn-us"]),
        ("", {"tag": f"long={'x' * 299}"}, []),
        ("", {"owner": "OTHER-owner"}, ["demand"]),
        ("", {"owner": "nobody"}, []),
    ],
)
def test_models_are_found_by_name_tag_and_owner(three: Actor, q: str, more: dict[str, str], names: list[str]) -> None:
    assert found(three, q, **more) == names


def test_models_are_found_by_the_stage_in_which_they_have_something(three: Actor, maintainer: Actor) -> None:
    make.version(three, "churn-us")
    assert found(three, stage="Staging") == []
    promotions.request(three, "churn-us", 1, "Staging")
    assert found(three, stage="Staging") == ["churn-us"]
    assert found(three, stage="Production") == []
    promotions.request(three, "churn-us", 1, "Archived")
    assert found(three, stage="Staging") == []


@pytest.mark.parametrize(
    ("more", "refusal"),
    [({"stage": "Moon"}, UnknownStage), ({"q": "\0"}, BadCharacter), ({"q": "x" * 256}, Invalid),
     ({"q": "", "owner": "\0"}, BadCharacter), ({"q": "", "tag": "\0"}, BadCharacter)],
)  # fmt: skip
def test_what_cannot_be_looked_for_is_refused(more: dict[str, str], refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        Search.asked(**{"q": "", **more})


# --- The headline metric ----------------------------------------------------------------------------------------------


def headline(actor: Actor, name: str = "churn") -> tuple[str, tuple[tuple[int, float], ...]] | None:
    (row,) = (row for row in shelf.rows(list(shelf.models(actor))) if row.model.name == name)
    return (row.headline.metric, row.headline.points) if row.headline else None


def test_the_headline_is_that_of_the_tag_else_of_the_policy_else_a_known_name(
    requester: Actor, maintainer: Actor
) -> None:
    make.model(requester)
    assert headline(requester) is None
    trained(requester, score=0.9, values=3)
    make.version(requester)  # of no run
    trained(requester, score=0.92, values=3)
    assert headline(requester) == ("accuracy", ((1, 0.9), (3, 0.92)))  # not metric-0, which comes first by the alphabet
    gates = [
        {"gate": "metric_threshold", "metric": "measured outside", "check": "evaluation", "at_least": 1},
        {"gate": "metric_threshold", "metric": "no run has it", "at_least": 1},
        {"gate": "metric_threshold", "metric": "metric-1", "at_least": 1},
    ]
    policies.write(maintainer, Scope(pattern="chur*"), "Production", {"approvals": 1, "gates": gates})
    assert headline(requester) == ("metric-1", ((1, 0.9), (3, 0.92)))
    catalog.tag_model(requester, "churn", TAG, "metric-2")
    assert headline(requester) == ("metric-2", ((1, 1.8), (3, 1.84)))
    catalog.tag_model(requester, "churn", TAG, "nobody logged this")
    assert headline(requester) is None  # a person's word is not replaced by a guess


def test_a_policy_of_another_model_says_nothing_of_this_one(requester: Actor, maintainer: Actor) -> None:
    gate = {"gate": "metric_threshold", "metric": "metric-0", "at_least": 0}
    for name in ("churn", "demand"):
        make.model(requester, name)
        trained(requester, name)
    policies.write(maintainer, Scope(model="demand"), "Production", {"gates": [gate]})
    assert headline(requester) == ("accuracy", ((1, 0.9),))
    assert headline(requester, "demand") == ("metric-0", ((1, 0.0),))


def test_the_line_runs_over_the_newest_twenty_versions(requester: Actor) -> None:
    make.model(requester)
    for n in range(22):
        trained(requester, score=n / 100)
    catalog.delete_version(requester, "churn", 21)
    told = headline(requester)
    assert told
    assert [number for number, _ in told[1]] == [*range(2, 21), 22]


# --- What it costs ----------------------------------------------------------------------------------------------------

MODELS = 20_000


@pytest.fixture
def shelves(requester: Actor) -> Actor:
    many.versions(requester, models=MODELS, each=1)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO registry_modeltag (model_id, key, value) "
            "SELECT id, 'team', 'team ' || abs(hashtext(name)) % 2000 FROM registry_model;"
            "UPDATE registry_occupancy SET stage = 'Staging' WHERE abs(hashtext(version_id::text)) % 2000 = 1;"
            "ANALYZE registry_modeltag, registry_occupancy"
        )
    return requester


def test_what_few_models_have_is_found_by_an_index(shelves: Actor) -> None:
    """Of 20,000 models a search reads some dozen rows."""
    for search, index in (
        (Search.asked("ANY-017777"), "model_by_part_of_name"),
        (Search.asked("zzz"), "model_by_part_of_name"),
        (Search.asked("", tag="team=team 7"), "model_by_tag_value"),
        (Search.asked("", stage="Staging"), "occupancy_serving"),
        (Search(), "model_newest_first"),
    ):
        with CaptureQueriesContext(connection) as asked:
            list(shelf.models(shelves, search).order_by("-updated_at", "-id")[:26])
        nodes, read = planned(asked[0]["sql"])
        assert index in nodes, (index, nodes)
        assert read < MODELS / 50, (index, read, nodes)


def test_rows_cost_the_same_however_many_models_and_versions_there_are(
    requester: Actor, django_assert_num_queries: Any
) -> None:
    for name in ("a", "b", "c"):
        make.model(requester, name)
        trained(requester, name)
        promotions.request(requester, name, 1, "Staging")
    one = list(shelf.models(requester).filter(name="a"))
    with django_assert_num_queries(4):
        shelf.rows(one)
    every = list(shelf.models(requester))
    with django_assert_num_queries(4):
        rows = shelf.rows(every)
    assert {(row.model.name, row.held[0].newest, row.headline is not None) for row in rows} == {
        (name, 1, True) for name in ("a", "b", "c")
    }


def test_a_search_asks_for_a_few_tags_at_most(viewer: Actor) -> None:
    """Each is a condition of its own: a thousand of them would keep the database busy with the plan alone."""
    assert found(viewer, " ".join(f"tag:t{n}" for n in range(5))) == []
    with pytest.raises(Invalid, match="6 tags"):
        found(viewer, " ".join(f"tag:t{n}" for n in range(5)), tag="one-more")
