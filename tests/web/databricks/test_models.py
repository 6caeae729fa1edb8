"""Models and versions with what Databricks tells of them besides, and what happened to a version."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import User
from accounts.queries import system_actor
from accounts.roles import Role
from accounts.services import people
from registry.models import Comment, Promotion, Version
from registry.services import rollback, subscriptions
from tests import make
from tests.web.databricks.conftest import Databricks, named

pytestmark = pytest.mark.django_db

MODELS = "mlflow/registered-models/list"
ACTIVITIES = "mlflow/model-versions/get-activities"


def happened(door: Databricks, number: str = "1", **more: Any) -> list[dict[str, Any]]:
    return door.get(ACTIVITIES, name="churn", version=number, **more).body["activities"]


def told(door: Databricks, number: str = "1") -> list[tuple[str, str, str]]:
    """Of each activity its kind, the event that it was, and whose; the newest first."""
    found = happened(door, number)
    return [(each["activity_type"], each["activity_type_detail"], each["user_id"]) for each in found]


# --- A model and a version --------------------------------------------------------------------------------------------


def test_a_model_comes_with_its_id_and_the_level_of_who_asks(churn: Version, ci: Databricks, judge: Databricks) -> None:
    mlflows = ci.get("mlflow/registered-models/get", name="churn").body["registered_model"]
    ours = ci.get("mlflow/databricks/registered-models/get", name="churn").body["registered_model_databricks"]
    assert ours == {**mlflows, "id": str(churn.model_id), "permission_level": "CAN_EDIT"}
    theirs = judge.get("mlflow/databricks/registered-models/get", name="churn").body["registered_model_databricks"]
    assert theirs["permission_level"] == "CAN_MANAGE_PRODUCTION_VERSIONS"


@pytest.mark.parametrize(
    ("roles", "level"),
    [
        ({Role.VIEWER}, "CAN_READ"),
        ({Role.CONTRIBUTOR, Role.VIEWER}, "CAN_EDIT"),
        ({Role.REVIEWER, Role.CONTRIBUTOR}, "CAN_MANAGE_PRODUCTION_VERSIONS"),
        ({Role.MAINTAINER}, "CAN_MANAGE"),
        ({Role.ADMINISTRATOR}, "CAN_MANAGE"),
    ],
)
def test_the_level_is_that_of_the_roles(churn: Version, roles: set[Role], level: str) -> None:
    door = Databricks(make.token(make.actor("somebody", *roles)))
    found = door.get("mlflow/databricks/model-versions/get", name="churn", version="1")
    assert found.body["model_version_databricks"]["permission_level"] == level


def test_a_role_for_the_model_alone_counts_in_its_level(churn: Version) -> None:
    user = User.objects.get(pk=make.actor("guest", Role.VIEWER).user_id)
    people.give(system_actor(make.workspace()), Role.MAINTAINER, user=user, model_id=churn.model_id)
    guest = Databricks(make.token(make.actor("guest")))
    body = guest.get("mlflow/databricks/registered-models/get", name="churn").body
    assert body["registered_model_databricks"]["permission_level"] == "CAN_MANAGE"


def test_a_version_comes_with_its_open_requests_and_whether_its_reader_follows_it(
    churn: Version, ci: Databricks, requester: Actor
) -> None:
    def version() -> dict[str, Any]:
        return ci.get("mlflow/databricks/model-versions/get", name="churn", version="1").body[
            "model_version_databricks"
        ]

    asked = ci.ask().body["request"]
    mlflows = ci.get("mlflow/model-versions/get", name="churn", version="1").body["model_version"]
    assert version() == {
        **mlflows,
        "open_requests": [asked],
        "permission_level": "CAN_EDIT",
        "email_subscription_status": "DEFAULT",
    }
    subscriptions.follow(requester, "churn")
    assert version()["email_subscription_status"] == "ALL_EVENTS"
    subscriptions.follow(requester, "churn", muted=True)
    assert version()["email_subscription_status"] == "UNSUBSCRIBED"
    assert ci.get("mlflow/databricks/model-versions/get", name="churn", version="7").status == 404


# --- The list of models -----------------------------------------------------------------------------------------------


def test_models_are_listed_by_name_in_pages_as_mlflow_tells_them(
    churn: Version, ci: Databricks, requester: Actor, outsider: Actor
) -> None:
    for name in ("zeta", "alpha"):
        make.model(requester, name)
    found, token = [], ""
    for _ in range(3):
        page = ci.get(MODELS, max_results="1", page_token=token).body
        found += page["registered_models"]
        token = page.get("next_page_token", "")
    assert token == ""
    assert [model["name"] for model in found] == ["alpha", "churn", "zeta"]
    assert found[1] == ci.get("mlflow/registered-models/get", name="churn").body["registered_model"]
    assert Databricks(make.token(outsider)).get(MODELS).body == {"registered_models": []}
    assert (ci.get(MODELS, max_results="1001").status, ci.get(MODELS, page_token="x").status) == (400, 400)


def test_the_list_of_models_costs_as_many_queries_for_many_as_for_one(
    churn: Version, ci: Databricks, requester: Actor, django_assert_num_queries: Any
) -> None:
    ci.get(MODELS)  # the token's use is noted now, and not again within a minute
    with django_assert_num_queries(5):
        ci.get(MODELS)
    for name in ("one", "two", "three"):
        make.model(requester, name)
        make.version(requester, name)
    with django_assert_num_queries(5):
        assert len(ci.get(MODELS).body["registered_models"]) == 4


# --- Activities -------------------------------------------------------------------------------------------------------


def test_a_promotion_is_told_from_the_request_to_the_move(churn: Version, ci: Databricks, judge: Databricks) -> None:
    then = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
    with time_machine.travel(then, tick=False) as clock:
        ci.ask(comment="please")
        clock.shift(60)
        ci.post("mlflow/comments/create", named(comment="is it faster?"))
        clock.shift(60)
        judge.approve(comment="fine")
    applied, approved, said, asked = happened(ci)
    promotion = Promotion.objects.get()
    about = {"from_stage": "None", "to_stage": "Production", "promotion": str(promotion.pk)}
    about |= {"page": settings.VOUCH_URL + promotion.page, "available_actions": [], "system_comment": ""}
    assert asked == {
        **about,
        "id": str(promotion.pk),
        "activity_type": "REQUESTED_TRANSITION",
        "activity_type_detail": "promotion.requested",
        "user_id": "requester",
        "comment": "please",
        "creation_timestamp": 1772366400000,
        "last_updated_timestamp": 1772366400000,
    }
    assert said == {
        "id": str(Comment.objects.get().pk),
        "activity_type": "NEW_COMMENT",
        "activity_type_detail": "comment.created",
        "user_id": "requester",
        "comment": "is it faster?",
        "system_comment": "",
        "creation_timestamp": 1772366460000,
        "last_updated_timestamp": 1772366460000,
        "available_actions": ["EDIT_COMMENT", "DELETE_COMMENT"],
    }
    assert (approved["activity_type"], approved["user_id"], approved["comment"]) == (
        "APPROVED_REQUEST",
        "reviewer",
        "fine",
    )
    assert (applied["activity_type"], applied["activity_type_detail"]) == ("APPLIED_TRANSITION", "promotion.promoted")
    assert len({each["id"] for each in (applied, approved, said, asked)}) == 4


def test_a_rejection_and_a_deletion_are_told_and_a_deleted_comment_is_not(
    churn: Version, ci: Databricks, judge: Databricks
) -> None:
    ci.ask()
    judge.reject(comment="too slow")
    ci.ask()
    ci.delete(creator="requester", comment="never mind")
    said = ci.post("mlflow/comments/create", named(comment="oh")).body["comment"]
    ci.post("mlflow/comments/delete", {"id": said["id"]}, method="DELETE")
    assert told(ci) == [
        ("CANCELLED_REQUEST", "promotion.withdrawn", "requester"),
        ("REQUESTED_TRANSITION", "promotion.requested", "requester"),
        ("REJECTED_REQUEST", "promotion.rejected", "reviewer"),
        ("REQUESTED_TRANSITION", "promotion.requested", "requester"),
    ]
    assert happened(ci)[0]["comment"] == "never mind"


def test_a_move_that_nothing_held_is_one_activity(churn: Version, ci: Databricks) -> None:
    ci.move(stage="Staging", comment="try it")
    assert told(ci) == [("APPLIED_TRANSITION", "promotion.promoted", "requester")]


def test_who_is_displaced_learns_by_what(churn: Version, requester: Actor, reviewer: Actor, ci: Databricks) -> None:
    make.in_production(requester, reviewer, churn)
    make.in_production(requester, reviewer, make.version(requester))
    newest = happened(ci)[0]
    assert (newest["activity_type"], newest["activity_type_detail"]) == ("SYSTEM_TRANSITION", "version.transitioned")
    assert (newest["from_stage"], newest["to_stage"], newest["user_id"]) == ("Production", "Archived", "reviewer")
    assert newest["system_comment"] == "It left Production, since version 2 was moved there."
    rollback.roll_back(reviewer, "churn", "Production", to=1, reason="slow")
    assert told(ci)[0] == ("APPLIED_TRANSITION", "promotion.rolled_back", "reviewer")
    assert told(ci, "2")[0][:2] == ("SYSTEM_TRANSITION", "version.transitioned")


def test_a_bypass_shows_as_one(churn: Version, administrator: Actor) -> None:
    admin = Databricks(make.token(administrator))
    admin.move()
    applied, *_ = happened(admin)
    assert (applied["activity_type_detail"], applied["system_comment"]) == (
        "promotion.bypassed",
        "An administrator bypassed the policy.",
    )


def test_activities_come_in_pages_without_a_gap_even_at_one_moment(churn: Version, ci: Databricks) -> None:
    with time_machine.travel(timezone.now(), tick=False):
        for word in ("a", "b", "c", "d", "e"):
            ci.post("mlflow/comments/create", named(comment=word))
        ci.ask()
    every = [each["id"] for each in happened(ci)]
    assert len(every) == 6
    found, token = [], ""
    while True:
        page = ci.get(
            ACTIVITIES, name="churn", version="1", max_results="2", **({"page_token": token} if token else {})
        )
        found += [each["id"] for each in page.body["activities"]]
        token = page.body.get("next_page_token", "")
        if not token:
            break
    assert found == every
    other = ci.get(ACTIVITIES, name="churn", version="1", max_results="1001")
    assert (other.status, other.code) == (400, "INVALID_PARAMETER_VALUE")
    assert ci.get(ACTIVITIES, name="churn", version="1", page_token="x").status == 400


def test_activities_cost_as_many_queries_for_many_as_for_few(
    churn: Version, ci: Databricks, judge: Databricks, django_assert_num_queries: Any
) -> None:
    def some() -> None:
        ci.ask()
        judge.reject(comment="no")
        ci.post("mlflow/comments/create", named(comment=f"well {Comment.objects.count()}"))

    some()
    happened(ci)  # the token's use is noted now, and not again within a minute
    with django_assert_num_queries(8):
        happened(ci)
    for _ in range(5):
        some()
    with django_assert_num_queries(8):
        assert len(happened(ci)) == 18
