"""A workspace keeps an administrator, whoever takes the role away and by whatever way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.actor import Actor
from accounts.models import AuditEntry, Grant, User, UserKind
from accounts.queries import system_actor
from accounts.roles import Role
from accounts.services import people, teams
from accounts.services.administrators import LastAdministrator
from tests import make
from tests.registry.test_races import at_once

pytestmark = pytest.mark.django_db


def grant_of(username: str, role: Role = Role.ADMINISTRATOR) -> int:
    return Grant.objects.get(user__username=username, role=role, workspace__slug="default").pk


def by_a_team_alone(administrator: Actor) -> None:
    """The administrator holds his role as the one member of a team."""
    people.give(
        administrator, Role.ADMINISTRATOR, team=people.set_team(administrator, name="ops", usernames=["administrator"])
    )
    people.take(administrator, grant_of("administrator"))


WAYS: dict[str, Callable[[Actor], object]] = {
    "the role is taken": lambda actor: people.take(actor, grant_of("administrator")),
    "the team is emptied": lambda actor: people.set_team(actor, name="ops", usernames=[]),
    "he leaves the team": lambda actor: teams.remove(actor, "ops", "administrator"),
    "the team loses the role": lambda actor: people.take(actor, Grant.objects.get(team__name="ops").pk),
    "the system disables him": lambda actor: people.set_active(system_actor(make.workspace()), "administrator", False),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_last_administrator_stays(way: str, administrator: Actor, maintainer: Actor) -> None:
    make.actor("robot", Role.ADMINISTRATOR, kind=UserKind.SERVICE)  # nobody signs in as that
    if "team" in way:
        by_a_team_alone(administrator)
    before = AuditEntry.objects.count()
    with pytest.raises(LastAdministrator, match="'default' would have no administrator"):
        WAYS[way](administrator)
    assert AuditEntry.objects.count() == before
    make.actor("second", Role.ADMINISTRATOR)
    WAYS[way](administrator)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_operator_counts_and_an_administrator_of_another_workspace_does_not(
    elsewhere: bool, administrator: Actor, outsider: Actor
) -> None:
    if not elsewhere:
        people.make_operator(system_actor(make.workspace()), "outsider")
        people.take(administrator, grant_of("administrator"))
        return
    with pytest.raises(LastAdministrator):
        people.take(administrator, grant_of("administrator"))


def test_a_role_for_one_model_or_a_lesser_one_is_taken_freely(administrator: Actor, maintainer: Actor) -> None:
    model = make.model(maintainer)
    for_one = people.give(
        administrator, Role.ADMINISTRATOR, user=User.objects.get(username="maintainer"), model_id=model.pk
    )
    people.take(administrator, for_one.pk)
    people.take(administrator, grant_of("maintainer", Role.MAINTAINER))


def test_nobody_disables_himself(administrator: Actor) -> None:
    make.actor("second", Role.ADMINISTRATOR)
    with pytest.raises(people.OwnAccount):
        people.set_active(administrator, "ADMINISTRATOR", False)
    assert User.objects.get(username="administrator").is_active


@pytest.mark.django_db(transaction=True)
def test_of_two_who_take_the_role_from_each_other_one_keeps_it(administrator: Actor) -> None:
    second = make.actor("second", Role.ADMINISTRATOR)
    theirs, mine = grant_of("second"), grant_of("administrator")
    results = at_once(lambda: people.take(administrator, theirs), lambda: people.take(second, mine))
    assert [type(result) for result in results].count(LastAdministrator) == 1
    assert Grant.objects.filter(role=Role.ADMINISTRATOR).count() == 1


# --- Who answers for a service account --------------------------------------------------------------------------------


def test_somebody_always_answers_for_a_service_account(administrator: Actor, reviewer: Actor) -> None:
    people.create_user(administrator, username="robot", kind=UserKind.SERVICE)
    people.give_by_name(administrator, Role.CONTRIBUTOR, username="robot")
    with pytest.raises(people.NobodyAnswers):
        people.edit_user(administrator, "robot", display_name="", email="", responsible=None)
    robot = User.objects.get(username="robot")
    with pytest.raises(people.NotAPerson):
        people.edit_user(administrator, "robot", display_name="", email="", responsible=robot)
    with pytest.raises(people.NotAPerson):
        people.create_user(administrator, username="other", kind=UserKind.SERVICE, responsible=robot)
    people.edit_user(
        administrator, "robot", display_name="", email="", responsible=User.objects.get(username="reviewer")
    )
    assert User.objects.get(username="robot").responsible_id == reviewer.user_id


@pytest.mark.parametrize("email", ["nonsense", "a@b\nBcc: x@y.example", "x" * 250 + "@y.example"])
def test_an_address_that_is_none_is_refused_later_too(email: str, administrator: Actor, reviewer: Actor) -> None:
    with pytest.raises((people.BadEmail, people.Invalid)):
        people.edit_user(administrator, "reviewer", display_name="", email=email, responsible=None)


@pytest.mark.parametrize("username", [".", "..", "@", "-+_"])
def test_a_name_has_a_letter_or_a_digit(username: str, administrator: Actor) -> None:
    with pytest.raises(people.BadUsername):
        people.create_user(administrator, username=username)


# --- Teams, one member at a time --------------------------------------------------------------------------------------


def test_a_team_is_made_once_and_changes_by_one_member(maintainer: Actor, viewer: Actor, reviewer: Actor) -> None:
    teams.create(maintainer, "Risk Team")
    with pytest.raises(teams.TeamExists):
        teams.create(maintainer, "risk team")
    for username in ("viewer", "REVIEWER", "viewer"):
        team = teams.add(maintainer, "risk-team", username)
    teams.remove(maintainer, "risk-team", "viewer")
    teams.remove(maintainer, "risk-team", "viewer")
    assert [user.username for user in team.members.all()] == ["reviewer"]
    entries = AuditEntry.objects.filter(verb__startswith="team.").order_by("id").values_list("data", flat=True)
    assert [entry["members"] for entry in entries] == [[], ["viewer"], ["reviewer", "viewer"], ["reviewer"]]
    for act in (teams.add, teams.remove):
        with pytest.raises(people.TeamNotFound):
            act(maintainer, "nobody\0", "viewer")
        with pytest.raises(people.UserNotFound):
            act(maintainer, "risk-team", "nobody")


def test_a_maintainer_changes_no_team_of_administrators(administrator: Actor, maintainer: Actor) -> None:
    people.give(administrator, Role.ADMINISTRATOR, team=teams.create(administrator, "ops"))
    for act in (teams.add, teams.remove):
        with pytest.raises(people.OnlyAdministratorsGrantThat):
            act(maintainer, "ops", "maintainer")
