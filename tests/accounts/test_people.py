"""Users, teams, grants: who may what."""

from __future__ import annotations

import pytest

from accounts.actor import Actor
from accounts.models import Grant, User, UserKind
from accounts.permissions import BeyondToken, OutsideToken, RoleMissing
from accounts.queries import holders, session_actor, system_actor
from accounts.roles import NEEDS, Action, Role, Scope
from accounts.services import people
from registry.errors import ModelNotFound
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
    with pytest.raises(ModelNotFound):
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


def test_every_scope_brings_read_but_that_of_webhooks(requester: Actor) -> None:
    make.model(requester)
    assert Model.objects.visible_to(make.by_token(requester, Scope.REGISTER)).exists()
    assert not Model.objects.visible_to(make.by_token(requester, Scope.WEBHOOK)).exists()


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


def test_a_maintainer_cannot_join_a_team_of_administrators(administrator: Actor, maintainer: Actor) -> None:
    team = people.set_team(administrator, name="operations", usernames=[])
    people.give(administrator, Role.ADMINISTRATOR, team=team)
    with pytest.raises(people.OnlyAdministratorsGrantThat):
        people.set_team(maintainer, name="operations", usernames=["maintainer"])
    assert not team.members.exists()


def test_a_team_of_another_workspace_is_given_nothing(administrator: Actor, outsider: Actor) -> None:
    foreign = people.set_team(outsider, name="foreign", usernames=["outsider"])
    with pytest.raises(people.TeamNotFound):
        people.give(administrator, Role.VIEWER, team=foreign)


def test_an_administrator_changes_no_account_that_reaches_beyond_his_workspace(
    administrator: Actor, outsider: Actor
) -> None:
    make.actor("both", Role.VIEWER)
    make.actor("both", Role.VIEWER, slug="elsewhere")
    for change in (
        lambda name: people.set_password(administrator, name, "a quite long password"),
        lambda name: people.set_active(administrator, name, False),
    ):
        with pytest.raises(people.BelongsElsewhereToo):
            change("both")
        with pytest.raises(people.UserNotFound):
            change("outsider")
        with pytest.raises(people.UserNotFound):
            change("vouch")


def test_a_password_is_for_people_and_never_set_by_a_token(administrator: Actor, requester: Actor) -> None:
    with pytest.raises(people.NotByToken):
        people.set_password(make.by_token(requester), "requester", "a quite long password")
    people.create_user(administrator, username="robot", kind=UserKind.SERVICE)
    with pytest.raises(people.PeopleOnly):
        people.set_password(administrator, "robot", "a quite long password")
    people.set_password(requester, "requester", "a quite long password")
    assert User.objects.get(username="requester").check_password("a quite long password")


def test_whoever_makes_a_service_account_answers_for_it(administrator: Actor) -> None:
    robot = people.create_user(administrator, username="robot", kind=UserKind.SERVICE)
    assert robot.responsible_id == administrator.user_id


def test_only_the_command_line_makes_an_administrator_of_everything(administrator: Actor) -> None:
    with pytest.raises(people.OperatorsOnly):
        people.make_operator(administrator, "administrator")
    people.make_operator(system_actor(make.workspace()), "administrator")
    assert User.objects.get(username="administrator").is_superuser


def test_a_pattern_is_matched_without_backtracking(requester: Actor) -> None:
    bound = make.by_token(requester, model_glob="*a" * 60 + "b")
    with pytest.raises(OutsideToken):
        make.model(bound, "a" * 200)


def test_a_token_bound_to_names_changes_nothing_of_the_workspace(administrator: Actor) -> None:
    bound = make.by_token(administrator, model_glob="fraud-*")
    with pytest.raises(BeyondToken):
        people.set_team(bound, name="team", usernames=[])
