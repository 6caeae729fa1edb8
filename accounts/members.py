"""Who belongs to a workspace and what each holds there, as the pages of members show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from accounts.actor import Actor
from accounts.models import Grant, Team, Token, User, UserKind, UserQuerySet
from accounts.permissions import require
from accounts.roles import Action, Role
from core import text
from core.errors import NotFound

_OPERATORS_NAMED = 10


class MemberNotFound(NotFound):
    """There is no {username!r} among the members of this workspace: give the account a role first."""


@dataclass(frozen=True)
class ByTeam:
    """A role for the whole workspace that somebody holds as a member of a team."""

    role: str
    team: str


@dataclass
class Held:
    """What somebody holds: `own` roles in the workspace and those of his teams, and in how many models besides."""

    own: list[Grant] = field(default_factory=list)
    by_team: list[ByTeam] = field(default_factory=list)
    models: int = 0

    @property
    def roles(self) -> set[Role]:
        """The roles that count in the workspace."""
        return {Role(grant.role) for grant in self.own} | {Role(each.role) for each in self.by_team}


@dataclass(frozen=True)
class MemberRow:
    user: User
    held: Held


@dataclass(frozen=True)
class TeamRow:
    team: Team
    members: int
    grants: list[Grant]  # for the whole workspace
    models: int


def within(workspace_id: int, *, newcomers: bool) -> UserQuerySet:
    """Users who hold a role in a workspace, themselves or by a team; `newcomers` hold none anywhere yet."""
    own, by_team = Grant.objects.filter(user=OuterRef("pk")), Grant.objects.filter(team__members=OuterRef("pk"))
    here = Exists(own.filter(workspace_id=workspace_id)) | Exists(by_team.filter(workspace_id=workspace_id))
    found = User.objects.get_queryset().exclude(kind=UserKind.SYSTEM)
    if not newcomers:
        return found.filter(here)
    nowhere = ~Exists(own) & ~Exists(by_team) & Q(is_superuser=False)
    return found.filter(here | nowhere)


def members(actor: Actor, *, kind: UserKind | None = None, search: str = "") -> UserQuerySet:
    """Those whom the actor may look at: who holds a role here, and for an administrator the new ones too.

    Narrowed to people or service accounts, and to names that begin with `search` in any case. Raises Denied.
    """
    require(actor, Action.EDIT_GRANTS)
    found = within(actor.workspace_id, newcomers=actor.may(Action.EDIT_USERS))
    if kind:
        found = found.filter(kind=kind)
    return found.filter(username__istartswith=text.searchable(search)) if search else found


def find(actor: Actor, username: str) -> User:
    """One of `members`, with who answers for it; MemberNotFound."""
    user = members(actor).named(username).select_related("responsible").first()
    if user is None:
        raise MemberNotFound(username=username)
    return user


def rows(actor: Actor, users: Collection[User]) -> list[MemberRow]:
    """What each of these holds in the workspace. Four queries, however many they are and hold."""
    held: dict[int, Held] = {user.pk: Held() for user in users}
    own = Grant.objects.filter(workspace_id=actor.workspace_id, user__in=held)
    for grant in own.filter(model__isnull=True).order_by("pk"):
        held[grant.user_id or 0].own.append(grant)
    for user_id, count in own.filter(model__isnull=False).values_list("user").annotate(Count("pk")):
        held[user_id].models = count
    belong = Team.members.through.objects.filter(user__in=held, team__workspace_id=actor.workspace_id)
    teams: dict[int, list[int]] = defaultdict(list)
    for user_id, team_id in belong.values_list("user_id", "team_id"):
        teams[team_id].append(user_id)
    by_team = Grant.objects.filter(team__in=teams, model__isnull=True).select_related("team").order_by("team__name")
    for grant in by_team:
        for user_id in teams[grant.team_id or 0]:
            held[user_id].by_team.append(ByTeam(grant.role, grant.team.name if grant.team else ""))
    return [MemberRow(user, held[user.pk]) for user in users]


def grants_for_models(actor: Actor, holder: User | Team) -> QuerySet[Grant]:
    """What a user or a team holds for single models of the workspace, each with its model."""
    named = {"team": holder} if isinstance(holder, Team) else {"user": holder}
    return Grant.objects.filter(workspace_id=actor.workspace_id, model__isnull=False, **named).select_related("model")


def teams_of(actor: Actor, user: User) -> list[Team]:
    """The teams of the workspace that a user belongs to, by name."""
    return list(Team.objects.filter(workspace_id=actor.workspace_id, members=user).order_by("name"))


def answers_for(actor: Actor, user: User) -> list[User]:
    """The living service accounts of the workspace for which a person answers."""
    here = members(actor, kind=UserKind.SERVICE).filter(responsible=user, is_active=True)
    return list(here.order_by("username")[:50])


def living_tokens(actor: Actor, user: User) -> QuerySet[Token]:
    """The tokens of a user for this workspace that were not revoked."""
    return Token.objects.filter(user=user, workspace_id=actor.workspace_id, revoked_at__isnull=True)


def operators() -> list[str]:
    """Some of those who administer every workspace, by name."""
    found = User.objects.filter(is_superuser=True, is_active=True).order_by("username")
    return list(found.values_list("username", flat=True)[:_OPERATORS_NAMED])


# --- Teams ------------------------------------------------------------------------------------------------------------


def teams(actor: Actor, search: str = "") -> QuerySet[Team]:
    """The teams of the workspace, those whose names begin with `search`. Raises Denied."""
    require(actor, Action.EDIT_GRANTS)
    found = Team.objects.filter(workspace_id=actor.workspace_id)
    return found.filter(name__istartswith=text.searchable(search)) if search else found


def find_team(actor: Actor, name: str) -> Team | None:
    """One of `teams`."""
    return teams(actor).filter(name=text.searchable(name)).first()


def team_rows(found: Collection[Team]) -> list[TeamRow]:
    """Each team with how many belong to it and what it holds. Three queries."""
    belong = Team.members.through.objects.filter(team__in=found)
    counts = dict(belong.values_list("team_id").annotate(Count("pk")))
    grants: dict[int, list[Grant]] = defaultdict(list)
    for grant in Grant.objects.filter(team__in=found, model__isnull=True).order_by("pk"):
        grants[grant.team_id or 0].append(grant)
    for_models = Grant.objects.filter(team__in=found, model__isnull=False)
    models = dict(for_models.values_list("team_id").annotate(Count("pk")))
    return [TeamRow(team, counts.get(team.pk, 0), grants[team.pk], models.get(team.pk, 0)) for team in found]
