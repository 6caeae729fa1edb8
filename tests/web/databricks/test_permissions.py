"""Who may do what to a model, read and written in Databricks' levels."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection

from accounts.actor import Actor
from accounts.models import AuditEntry, Grant, User, UserKind
from accounts.roles import Role
from accounts.services import people
from accounts.verbs import Verb
from registry.models import Version
from tests import make
from tests.web.databricks.conftest import Databricks
from tests.web.mlflow.conftest import Answer

pytestmark = pytest.mark.django_db


@pytest.fixture
def keeper(maintainer: Actor) -> Databricks:
    return Databricks(make.token(maintainer))


@pytest.fixture
def robot(administrator: Actor) -> User:
    return people.create_user(administrator, username="robot", kind=UserKind.SERVICE)


def place(version: Version) -> str:
    return f"permissions/registered-models/{version.model_id}"


def entry(level: str, **holder: str) -> dict[str, str]:
    return {**holder, "permission_level": f"CAN_{level}"}


def written(door: Databricks, version: Version, *entries: dict[str, str], method: str = "PUT") -> Answer:
    return door.post(place(version), {"access_control_list": list(entries)}, method=method)


def own(answer: Answer) -> dict[str, str]:
    """The levels held for the model itself, by holder."""
    return {
        each.get("user_name") or each.get("group_name") or each["service_principal_name"]: held["permission_level"]
        for each in answer.body["access_control_list"]
        for held in each["all_permissions"]
        if not held["inherited"]
    }


def roles(version: Version, username: str) -> set[str]:
    return set(Grant.objects.filter(model=version.model_id, user__username=username).values_list("role", flat=True))


def test_an_entry_is_told_as_the_wire_has_it(
    churn: Version, keeper: Databricks, viewer: Actor, robot: User, administrator: Actor
) -> None:
    people.set_team(administrator, name="risk", usernames=["viewer"])
    answer = written(
        keeper,
        churn,
        entry("MANAGE", user_name="viewer"),
        entry("READ", service_principal_name="robot"),
        entry("MANAGE_PRODUCTION_VERSIONS", group_name="risk"),
    )
    assert answer.status == 200
    by_holder = {next(iter(each.items())): each for each in answer.body["access_control_list"]}
    assert (answer.body["object_id"], answer.body["object_type"]) == (
        f"/registered-models/{churn.model_id}",
        "registered-model",
    )
    assert by_holder[("user_name", "viewer")] == {
        "user_name": "viewer",
        "display_name": "viewer",
        "all_permissions": [
            {"permission_level": "CAN_MANAGE", "inherited": False},
            {"permission_level": "CAN_READ", "inherited": True, "inherited_from_object": ["/workspaces/default"]},
        ],
    }
    assert by_holder[("service_principal_name", "robot")]["all_permissions"] == [
        {"permission_level": "CAN_READ", "inherited": False}
    ]
    assert by_holder[("group_name", "risk")] == {
        "group_name": "risk",
        "display_name": "risk",
        "all_permissions": [{"permission_level": "CAN_MANAGE_PRODUCTION_VERSIONS", "inherited": False}],
    }
    assert keeper.get(place(churn)).body == answer.body


@pytest.mark.parametrize(
    ("level", "given"),
    [
        ("READ", {"viewer"}),
        ("EDIT", {"contributor"}),
        ("MANAGE_STAGING_VERSIONS", {"contributor"}),
        ("MANAGE_PRODUCTION_VERSIONS", {"contributor", "reviewer"}),
        ("MANAGE", {"maintainer"}),
    ],
)
def test_a_level_gives_roles_for_that_model_alone(
    churn: Version, keeper: Databricks, robot: User, level: str, given: set[str]
) -> None:
    assert written(keeper, churn, entry(level, service_principal_name="robot")).status == 200
    assert roles(churn, "robot") == given
    assert Grant.objects.filter(user=robot).exclude(model=churn.model_id).count() == 0


def test_who_manages_versions_in_production_approves_what_others_ask_for_and_moves_nothing_alone(
    churn: Version, keeper: Databricks, ci: Databricks, robot: User
) -> None:
    written(keeper, churn, entry("MANAGE_PRODUCTION_VERSIONS", service_principal_name="robot"))
    door = Databricks(make.token(make.actor("robot")))
    assert door.move().status == 403
    door.delete(creator="robot")
    ci.ask()
    assert door.approve().body["activity"]["state"] == "promoted"


def test_put_replaces_and_patch_changes(churn: Version, keeper: Databricks, viewer: Actor, robot: User) -> None:
    written(keeper, churn, entry("READ", service_principal_name="robot"), entry("EDIT", user_name="viewer"))
    changed = written(keeper, churn, entry("EDIT", service_principal_name="robot"), method="PATCH")
    assert own(changed) == {"robot": "CAN_EDIT", "viewer": "CAN_EDIT"}
    assert own(written(keeper, churn, entry("READ", user_name="VIEWER"))) == {"viewer": "CAN_READ"}
    assert own(written(keeper, churn)) == {}
    assert Grant.objects.filter(model__isnull=True, user__username="viewer").count() == 1


def test_what_was_read_can_be_written_back_and_changes_nothing(
    churn: Version, keeper: Databricks, robot: User, administrator: Actor
) -> None:
    people.give(administrator, Role.REVIEWER, user=robot, model_id=churn.model_id)
    read = own(keeper.get(place(churn)))
    before = AuditEntry.objects.count()
    assert read == {"robot": "CAN_MANAGE_PRODUCTION_VERSIONS"}
    answer = written(keeper, churn, {"service_principal_name": "robot", "permission_level": read["robot"]})
    assert answer.status == 200
    assert roles(churn, "robot") == {"reviewer"}
    assert AuditEntry.objects.count() == before


def test_each_role_given_and_taken_is_in_the_log_as_by_the_native_door(
    churn: Version, keeper: Databricks, robot: User
) -> None:
    written(keeper, churn, entry("MANAGE_PRODUCTION_VERSIONS", service_principal_name="robot"))
    written(keeper, churn, entry("EDIT", service_principal_name="robot"))
    newest = AuditEntry.objects.order_by("-id").values_list("verb", "subject", "data", "actor_name")[:3]
    held = {"user": "robot", "team": None, "model": str(churn.model_id)}
    assert list(newest) == [
        (Verb.GRANT_REVOKED, "robot", {**held, "role": "reviewer"}, "maintainer"),
        (Verb.GRANT_GIVEN, "robot", {**held, "role": "reviewer"}, "maintainer"),
        (Verb.GRANT_GIVEN, "robot", {**held, "role": "contributor"}, "maintainer"),
    ]


def test_a_list_that_cannot_be_written_whole_is_not_written_at_all(
    churn: Version, keeper: Databricks, robot: User
) -> None:
    written(keeper, churn, entry("READ", service_principal_name="robot"))
    good = entry("EDIT", service_principal_name="robot")
    for bad, status, told in (
        (entry("EDIT", user_name="nobody-of-that-name"), 404, "nobody-of-that-name"),
        (entry("EDIT", group_name="no-such-team"), 404, "no-such-team"),
        (entry("EDIT", user_name="robot"), 400, "service account"),
        (entry("READ", service_principal_name="ROBOT"), 400, "twice"),
        (entry("FLY", user_name="maintainer"), 400, "CAN_MANAGE_STAGING_VERSIONS"),
        (entry("EDIT"), 400, "service_principal_name"),
        (entry("EDIT", user_name="maintainer", group_name="risk"), 400, "service_principal_name"),
        ({"user_name": "maintainer"}, 400, "permission_level"),
    ):
        answer = written(keeper, churn, good, bad)
        assert (answer.status, told in answer.message) == (status, True), answer.message
    assert roles(churn, "robot") == {"viewer"}


def test_a_maintainer_neither_gives_nor_takes_the_role_of_administrator(
    churn: Version, keeper: Databricks, administrator: Actor, robot: User
) -> None:
    people.give(administrator, Role.ADMINISTRATOR, user=robot, model_id=churn.model_id)
    answer = written(keeper, churn)
    assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")
    assert roles(churn, "robot") == {"administrator"}
    root = Databricks(make.token(administrator))
    assert own(written(root, churn)) == {}


def test_nobody_locks_out_the_maintainers_of_the_workspace(churn: Version, keeper: Databricks) -> None:
    assert own(written(keeper, churn)) == {}
    assert own(written(keeper, churn, entry("READ", user_name="maintainer"))) == {"maintainer": "CAN_READ"}
    assert own(written(keeper, churn)) == {}


def test_a_token_bound_to_names_and_a_maintainer_of_the_model_alone_give_nothing(
    churn: Version, maintainer: Actor, keeper: Databricks, robot: User
) -> None:
    written(keeper, churn, entry("MANAGE", service_principal_name="robot"))
    bound = Databricks(make.token(maintainer, model_glob="churn*"))
    alone = Databricks(make.token(make.actor("robot")))
    for door in (bound, alone):
        assert written(door, churn, entry("MANAGE", user_name="maintainer")).status == 403
        assert door.get(place(churn)).status == 403


def test_a_model_is_named_by_its_id_alone(churn: Version, keeper: Databricks) -> None:
    for name in ("churn", "root", "0" * 32, "%00"):
        for path in (f"permissions/registered-models/{name}", f"permissions/registered-models/{name}/permissionLevels"):
            answer = keeper.get(path)
            assert (answer.status, answer.code) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_reading_costs_as_many_queries_for_many_holders_as_for_one(
    churn: Version, keeper: Databricks, administrator: Actor, django_assert_num_queries: Any
) -> None:
    def somebody(name: str) -> None:
        user = people.create_user(administrator, username=name, kind=UserKind.SERVICE)
        people.give(administrator, Role.VIEWER, user=user, model_id=churn.model_id)

    somebody("first")
    keeper.get(place(churn))  # the token's use is noted now, and not again within a minute
    with django_assert_num_queries(3):
        keeper.get(place(churn))
    for name in ("second", "third", "fourth"):
        somebody(name)
    with django_assert_num_queries(3):
        assert len(own(keeper.get(place(churn)))) == 4


@pytest.mark.django_db(transaction=True)
def test_of_two_lists_written_at_once_one_is_in_force_and_not_both(
    churn: Version, keeper: Databricks, administrator: Actor
) -> None:
    for name in ("one", "two"):
        people.create_user(administrator, username=name, kind=UserKind.SERVICE)
    barrier, statuses = threading.Barrier(2), []

    def write(name: str) -> None:
        barrier.wait()
        try:
            statuses.append(written(keeper, churn, entry("EDIT", service_principal_name=name)).status)
        finally:
            connection.close()

    for _ in range(5):
        threads = [threading.Thread(target=write, args=[name]) for name in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(own(keeper.get(place(churn)))) == 1
    assert statuses == [200] * 10
