"""What everybody holds for one model: read as a whole, and set for several holders at once."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Lower

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Event
from accounts.models import Grant, Team, User, UserKind
from accounts.permissions import require
from accounts.roles import Action, Role
from accounts.services.people import TeamNotFound, UserNotFound, require_giving, told
from accounts.verbs import Verb
from core import text
from core.errors import Invalid

Holder: TypeAlias = User | Team
Roles: TypeAlias = frozenset[Role]


class HolderTwice(Invalid):
    """{name!r} is there twice: say once what each holder is to hold."""


class OtherKindOfUser(Invalid):
    """{name!r} is a {kind}: name it as one."""


@dataclass(frozen=True)
class Holding:
    """What one holder holds: `own` roles for the model, and those `inherited` from the workspace."""

    holder: Holder
    own: Roles
    inherited: Roles


@dataclass(frozen=True)
class Wish:
    """What the holder of this name is to hold for a model: `becomes` says it, given what he holds now.

    `kind` is a user's; None for a team.
    """

    name: str
    kind: UserKind | None
    becomes: Callable[[Roles], Roles]


def holdings(actor: Actor, model_id: uuid.UUID) -> list[Holding]:
    """Who holds anything for a model of the actor's workspace, for its maintainers: users by name, then teams.

    One query.
    """
    require(actor, Action.EDIT_GRANTS)
    own: dict[Holder, set[Role]] = defaultdict(set)
    inherited: dict[Holder, set[Role]] = defaultdict(set)
    here = Grant.objects.filter(Q(model_id=model_id) | Q(model_id__isnull=True), workspace_id=actor.workspace_id)
    for grant in here.select_related("user", "team"):
        (own if grant.model_id else inherited)[_holder(grant)].add(Role(grant.role))
    holders = sorted(own.keys() | inherited.keys(), key=lambda holder: (isinstance(holder, Team), str(holder)))
    return [Holding(each, frozenset(own[each]), frozenset(inherited[each])) for each in holders]


@transaction.atomic
def set_for_model(actor: Actor, model_id: uuid.UUID, wishes: Sequence[Wish], *, others_keep: bool) -> None:
    """Give and take roles for one model, whose row the caller has locked, until every wish holds; all of them or none.

    Whoever is not named keeps what he has when `others_keep`, else he loses what he has for this model. What comes from
    the workspace stays, so nobody locks out its maintainers. Each role that is given or taken is one that the actor may
    give. Raises UserNotFound, TeamNotFound, OtherKindOfUser, HolderTwice.
    """
    require(actor, Action.EDIT_GRANTS)
    holders = _locked(actor, wishes)
    now: dict[Holder, dict[Role, Grant]] = defaultdict(dict)
    grants = Grant.objects.filter(workspace_id=actor.workspace_id, model_id=model_id)
    for grant in grants.select_for_update(of=("self",)).select_related("user", "team").order_by("pk"):
        now[_holder(grant)][Role(grant.role)] = grant
    wanted: dict[Holder, Roles] = {} if others_keep else dict.fromkeys(now, frozenset())
    for wish, holder in holders:
        wanted[holder] = wish.becomes(frozenset(now[holder]))
    taken = [grant for holder, roles in wanted.items() for role, grant in now[holder].items() if role not in roles]
    given = [(holder, role) for holder, roles in wanted.items() for role in sorted(roles - now[holder].keys())]
    for role in sorted({Role(grant.role) for grant in taken} | {role for _, role in given}):
        require_giving(actor, role)
    events = [Event(Verb.GRANT_REVOKED, str(_holder(grant)), told(grant)) for grant in taken]
    Grant.objects.filter(pk__in=[grant.pk for grant in taken]).delete()
    for holder, role in given:
        named = {"team": holder, "user": None} if isinstance(holder, Team) else {"team": None, "user": holder}
        grant, is_new = Grant.objects.get_or_create(
            workspace_id=actor.workspace_id, model_id=model_id, role=role, **named
        )
        if is_new:
            events.append(Event(Verb.GRANT_GIVEN, str(holder), told(grant)))
    if events:
        audit.record_all(actor, events)


def _holder(grant: Grant) -> Holder:
    holder = grant.user or grant.team
    if holder is None:
        raise ValueError(f"grant {grant.pk} is for nobody")
    return holder


def _locked(actor: Actor, wishes: Sequence[Wish]) -> list[tuple[Wish, Holder]]:
    """Each wish with its holder, whose rows are locked: users first, then teams, as everywhere."""
    users = _users([wish.name for wish in wishes if wish.kind])
    teams = _teams(actor, [wish.name for wish in wishes if not wish.kind])
    found: list[tuple[Wish, Holder]] = []
    for wish in wishes:
        holder = _user(wish, users) if wish.kind else teams.get(wish.name)
        if holder is None:
            raise TeamNotFound(team=wish.name)
        if any(holder == other for _, other in found):
            raise HolderTwice(name=wish.name)
        found.append((wish, holder))
    return found


def _user(wish: Wish, users: Mapping[str, User]) -> User:
    user = users.get(text.searchable(wish.name).lower())
    if user is None:
        raise UserNotFound(username=wish.name)
    if user.kind != wish.kind:
        raise OtherKindOfUser(name=user.username, kind="person" if user.kind == UserKind.PERSON else "service account")
    return user


def _users(names: Collection[str]) -> dict[str, User]:
    """By name in lower case."""
    if not names:
        return {}
    folded = {text.searchable(name).lower() for name in names}
    named = User.objects.alias(folded=Lower("username")).filter(folded__in=folded).exclude(kind=UserKind.SYSTEM)
    return {user.username.lower(): user for user in named.select_for_update(no_key=True).order_by("pk")}


def _teams(actor: Actor, names: Collection[str]) -> dict[str, Team]:
    if not names:
        return {}
    named = Team.objects.filter(workspace_id=actor.workspace_id, name__in=[text.searchable(name) for name in names])
    return {team.name: team for team in named.select_for_update(no_key=True).order_by("pk")}
