"""Teams, one member at a time: two who change a team at once do not undo each other's change."""

from __future__ import annotations

from django.db import transaction

from accounts import audit
from accounts.actor import Actor
from accounts.models import Team
from accounts.permissions import require
from accounts.roles import Action, Role
from accounts.services import people
from accounts.services.administrators import keep_one
from accounts.services.people import TeamNotFound
from accounts.verbs import Verb
from core import text
from core.errors import Conflict


class TeamExists(Conflict):
    """A team {team!r} exists already: add members on its page."""

    field = "name"


@transaction.atomic
def create(actor: Actor, name: str) -> Team:
    """A new team without members and roles. Raises TeamExists, BadName."""
    require(actor, Action.EDIT_GRANTS)
    called = people.team_name(name)
    # Made or refused in one step: a team that somebody made meanwhile keeps its members.
    team, is_new = Team.objects.get_or_create(workspace_id=actor.workspace_id, name=called)
    if not is_new:
        raise TeamExists(team=called)
    audit.record(actor, Verb.TEAM_CREATED, subject=f"team {called}", data={"members": []})
    return team


@transaction.atomic
def add(actor: Actor, name: str, username: str) -> Team:
    """Let a user have what the team holds; harmless when he belongs to it. Raises TeamNotFound, UserNotFound."""
    require(actor, Action.EDIT_GRANTS)
    user = people.locked_user(username)
    team = _locked(actor, name)
    if not team.members.filter(pk=user.pk).exists():
        team.members.add(user)
        _record(actor, team)
    return team


@transaction.atomic
def remove(actor: Actor, name: str, username: str) -> Team:
    """Take from a user what he holds by the team; harmless when he does not belong to it.

    Raises TeamNotFound, UserNotFound, LastAdministrator.
    """
    require(actor, Action.EDIT_GRANTS)
    user = people.locked_user(username)
    team = _locked(actor, name)
    if team.members.filter(pk=user.pk).exists():
        team.members.remove(user)
        if team.grants.filter(role=Role.ADMINISTRATOR, model__isnull=True).exists():
            keep_one([actor.workspace_id])
        _record(actor, team)
    return team


def _locked(actor: Actor, name: str) -> Team:
    """The team, whose roles the actor may give."""
    here = Team.objects.select_for_update(no_key=True).filter(workspace_id=actor.workspace_id)
    team = here.filter(name=text.searchable(name)).first()
    if team is None:
        raise TeamNotFound(team=name)
    for role in set(team.grants.values_list("role", flat=True)):
        people.require_giving(actor, Role(role))
    return team


def _record(actor: Actor, team: Team) -> None:
    members = list(team.members.order_by("username").values_list("username", flat=True))
    audit.record(actor, Verb.TEAM_UPDATED, subject=f"team {team.name}", data={"members": members})
