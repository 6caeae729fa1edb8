"""Users, teams, grants: who may what."""

from __future__ import annotations

import pytest

from accounts.actor import Actor
from accounts.models import Grant, User
from accounts.permissions import RoleMissing
from accounts.queries import holders, session_actor
from accounts.roles import NEEDS, Action, Role, Scope
from accounts.services import people
from registry.models import Model
from registry.services import catalog
from tests import make

pytestmark = pytest.mark.django_db


def test_every_action_has_its_needs() -> None:
    assert set(NEEDS) == set(Action)


def test_a_grant_to_a_team_holds_for_its_members(administrator: Actor, viewer: Actor) -> None:
    team = people.set_team(administrator, name="risk", usernames=["viewer"])
    people.give(administrator, Role.REVIEWER, team=team)
    member = session_actor(User.objects.get(username="viewer"), make.workspace())
    assert member.roles == {Role.VIEWER, Role.REVIEWER}
    people.set_team(administrator, name="risk", usernames=[])
    assert session_actor(User.objects.get(username="viewer"), make.workspace()).roles == {Role.VIEWER}


def test_a_grant_for_one_model_reaches_that_model_alone(administrator: Actor, requester: Actor) -> None:
    churn, fraud = make.model(requester), make.model(requester, "fraud")
    guest = make.actor("guest")
    people.give(administrator, Role.CONTRIBUTOR, user=User.objects.get(username="guest"), model_id=churn.pk)
    guest = session_actor(User.objects.get(username="guest"), make.workspace())
    assert list(Model.objects.visible_to(guest)) == [churn]
    catalog.describe_model(guest, "churn", "mine")
    with pytest.raises(catalog.ModelNotFound):
        catalog.describe_model(guest, "fraud", "not mine")
    assert fraud.pk not in guest.model_roles


def test_a_role_in_one_workspace_is_none_in_another(administrator: Actor, outsider: Actor, requester: Actor) -> None:
    make.model(requester)
    assert not Model.objects.visible_to(outsider).exists()
    abroad = session_actor(User.objects.get(username="outsider"), make.workspace())
    assert abroad.roles == frozenset()


def test_a_token_bound_to_names_sees_only_those(requester: Actor) -> None:
    make.model(requester, "churn-eu")
    make.model(requester, "churn.us")
    make.model(requester, "fraud")
    bound = make.by_token(requester, model_glob="churn-*")
    assert [model.name for model in Model.objects.visible_to(bound)] == ["churn-eu"]
    dotted = make.by_token(requester, model_glob="churn.?s")
    assert [model.name for model in Model.objects.visible_to(dotted)] == ["churn.us"]


def test_a_token_without_the_scope_read_sees_nothing(requester: Actor) -> None:
    make.model(requester)
    assert not Model.objects.visible_to(make.by_token(requester, Scope.REGISTER)).exists()


def test_a_maintainer_gives_roles_but_not_that_of_administrator(maintainer: Actor, viewer: Actor) -> None:
    user = User.objects.get(username="viewer")
    grant = people.give(maintainer, Role.REVIEWER, user=user)
    assert people.give(maintainer, Role.REVIEWER, user=user) == grant
    with pytest.raises(people.OnlyAdministratorsGrantThat):
        people.give(maintainer, Role.ADMINISTRATOR, user=user)
    people.take(maintainer, grant.pk)
    assert Grant.objects.filter(user=user).count() == 1


def test_a_grant_of_another_workspace_is_not_found(maintainer: Actor, outsider: Actor) -> None:
    with pytest.raises(people.GrantNotFound):
        people.take(maintainer, Grant.objects.filter(user_id=outsider.user_id).first().pk)  # type: ignore[union-attr]


def test_who_holds_a_role_now_is_asked_of_grants_teams_and_activity(
    administrator: Actor, reviewer: Actor, second_reviewer: Actor, viewer: Actor, requester: Actor
) -> None:
    model = make.model(requester)
    team = people.set_team(administrator, name="risk", usernames=["viewer"])
    people.give(administrator, Role.REVIEWER, team=team)
    people.set_active(administrator, "second-reviewer", False)
    everybody = [a.user_id for a in (reviewer, second_reviewer, viewer, requester)]
    found = holders(everybody, {Role.REVIEWER}, workspace_id=model.workspace_id, model_id=model.pk)
    assert found == {reviewer.user_id, viewer.user_id}


def test_user_names_are_one_whatever_the_case(administrator: Actor, requester: Actor) -> None:
    with pytest.raises(people.UserExists):
        people.create_user(administrator, username="Requester")


@pytest.mark.parametrize("username", ["", "two words", "a" * 151, "ünal", "nul\x00", "a/b"])
def test_odd_user_names_are_refused(administrator: Actor, username: str) -> None:
    with pytest.raises(people.BadUsername):
        people.create_user(administrator, username=username)


def test_short_and_common_passwords_are_refused(administrator: Actor) -> None:
    for password in ("short", "password1234"):
        with pytest.raises(people.WeakPassword):
            people.create_user(administrator, username="new", password=password)


def test_only_administrators_make_users(maintainer: Actor) -> None:
    with pytest.raises(RoleMissing, match="administrator"):
        people.create_user(maintainer, username="new")
