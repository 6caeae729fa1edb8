"""Reads about accounts that are shaped by their use."""

from __future__ import annotations

import datetime
import json
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet

from accounts.actor import Actor
from accounts.models import AuditEntry, Grant, Team, Token, User, UserKind, Workspace
from accounts.roles import Action, Role, Scope
from accounts.verbs import Verb
from core.errors import NotFound


class WorkspaceNotFound(NotFound):
    """There is no workspace {slug!r} that you can see."""


_WORKSPACES_LOOKED_AT = 3  # for sign-ins, which nearly always are in the first
# For so long is an identical request taken for a client's repetition of one whose answer was lost on its way.
REPEATED_WITHIN = datetime.timedelta(minutes=10)


def folds_repeated_creates(workspace_id: int) -> bool:
    """Whether a create that a client repeats makes one thing: as the workspace says, and never in a conformance run."""
    if settings.VOUCH_CONFORMANCE:
        return False
    return Workspace.objects.filter(pk=workspace_id, folds_repeated_creates=True).exists()


@dataclass(frozen=True)
class TokenRow:
    """A token that is neither revoked nor of a disabled owner, with what its owner may do."""

    token_id: uuid.UUID
    secret_sha256: bytes
    expires_at: datetime.datetime
    last_used_at: datetime.datetime | None
    known_addresses: list[str]
    actor: Actor


# One statement, prepared once per connection: this runs on every request of every client.
_BY_PUBLIC_ID = """
SELECT t.id, t.secret_sha256, t.expires_at, t.last_used_at, t.known_addresses, t.scopes, t.model_glob,
       u.id, u.username, u.is_superuser, w.id, w.slug,
       (SELECT json_agg(json_build_array(g.role, g.model_id)) FROM accounts_grant g
         WHERE g.workspace_id = t.workspace_id
           AND (g.user_id = u.id
                OR g.team_id IN (SELECT m.team_id FROM accounts_team_members m WHERE m.user_id = u.id)))
  FROM accounts_token t
  JOIN accounts_user u ON u.id = t.user_id
  JOIN accounts_workspace w ON w.id = t.workspace_id
 WHERE t.public_id = %s AND t.revoked_at IS NULL AND u.is_active
"""


def token_row(public_id: str, *, address: str | None, request_id: str) -> TokenRow | None:
    """The living token with this public id, or None. One indexed query."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_PUBLIC_ID, [public_id])
        row = cursor.fetchone()
    if row is None:
        return None
    grants = row[12] if isinstance(row[12], list) else json.loads(row[12] or "[]")
    roles, model_roles = _roles(grants, row[9])
    return TokenRow(
        token_id=row[0],
        secret_sha256=bytes(row[1]),
        expires_at=row[2],
        last_used_at=row[3],
        known_addresses=[str(known) for known in row[4]],
        actor=Actor(
            user_id=row[7],
            username=row[8],
            workspace_id=row[10],
            workspace_slug=row[11],
            roles=roles,
            model_roles=model_roles,
            scopes=frozenset(Scope(scope) for scope in row[5]),
            model_glob=row[6],
            token_id=row[0],
            address=address,
            request_id=request_id,
        ),
    )


def session_actor(user: User, workspace: Workspace, *, address: str | None = None, request_id: str = "") -> Actor:
    """`user` acting in `workspace` without a token: by a session or from the command line, with every scope."""
    grants = Grant.objects.filter(workspace=workspace).filter(_held_by([user.pk])).values_list("role", "model_id")
    return _by_session(user, workspace, grants, address=address, request_id=request_id)


def _by_session(
    user: User,
    workspace: Workspace,
    grants: Iterable[tuple[str, object]],
    *,
    address: str | None,
    request_id: str,
) -> Actor:
    roles, model_roles = _roles(grants, user.is_superuser)
    return Actor(
        user_id=user.pk,
        username=user.username,
        workspace_id=workspace.pk,
        workspace_slug=workspace.slug,
        roles=roles,
        model_roles=model_roles,
        address=address,
        request_id=request_id,
    )


def signed_in(user: User, slug: str, *, address: str | None, request_id: str) -> tuple[list[Workspace], Actor | None]:
    """The workspaces in which `user` holds anything, and him acting in the one called `slug`, else in the first.

    No actor when there is none. One query: this runs for every page.
    """
    if user.is_superuser:
        workspaces, grants = workspaces_of(user), []
    else:
        grants = list(Grant.objects.filter(_held_by([user.pk])).select_related("workspace").order_by("workspace__slug"))
        workspaces = list({grant.workspace_id: grant.workspace for grant in grants}.values())
    if not workspaces:
        return [], None
    current = next((workspace for workspace in workspaces if workspace.slug == slug), workspaces[0])
    here = [(grant.role, grant.model_id) for grant in grants if grant.workspace_id == current.pk]
    return workspaces, _by_session(user, current, here, address=address, request_id=request_id)


def _roles(
    grants: Iterable[tuple[str, object]], is_superuser: bool
) -> tuple[frozenset[Role], dict[uuid.UUID, frozenset[Role]]]:
    everywhere = {Role.ADMINISTRATOR} if is_superuser else set()
    by_model: dict[uuid.UUID, set[Role]] = defaultdict(set)
    for role, model_id in grants:
        if model_id is None:
            everywhere.add(Role(role))
        else:
            by_model[model_id if isinstance(model_id, uuid.UUID) else uuid.UUID(str(model_id))].add(Role(role))
    return frozenset(everywhere), {model_id: frozenset(roles) for model_id, roles in by_model.items()}


def _held_by(user_ids: Iterable[int]) -> Q:
    ids = list(user_ids)
    return Q(user_id__in=ids) | Q(team__members__in=ids)


def holders(user_ids: Iterable[int], roles: Iterable[Role], *, workspace_id: int, model_id: uuid.UUID) -> set[int]:
    """Those of `user_ids` who are active and hold any of `roles` for the model now."""
    return holders_by_model(user_ids, roles, workspace_id=workspace_id, model_ids=[model_id])[model_id]


def holders_by_model(
    user_ids: Iterable[int], roles: Iterable[Role], *, workspace_id: int, model_ids: Iterable[uuid.UUID]
) -> dict[uuid.UUID, set[int]]:
    """For each model of one workspace: those of `user_ids` who are active and hold any of `roles` for it now."""
    wanted, ids = set(roles), set(user_ids)
    by_model: dict[uuid.UUID, set[int]] = {model_id: set() for model_id in model_ids}
    if not ids:
        return by_model
    active = dict(User.objects.filter(pk__in=ids, is_active=True).values_list("pk", "is_superuser"))
    everywhere = {pk for pk, is_superuser in active.items() if is_superuser and Role.ADMINISTRATOR in wanted}
    granted = Q(workspace_id=workspace_id, role__in=wanted) & (Q(model_id__in=by_model) | Q(model_id__isnull=True))
    held = Grant.objects.filter(granted & _held_by(active)).values_list("model_id", "user_id", "team__members")
    for model_id, direct, member in held:
        for reached in [model_id] if model_id else by_model:
            by_model[reached].add(direct or member)
    return {model_id: (found | everywhere) & active.keys() for model_id, found in by_model.items()}


def workspaces_of(user: User) -> list[Workspace]:
    """The workspaces in which `user` holds anything, by name; all of them for an administrator of everything."""
    if user.is_superuser:
        return list(Workspace.objects.order_by("slug"))
    held = Grant.objects.filter(_held_by([user.pk])).values("workspace_id")
    return list(Workspace.objects.filter(pk__in=held).order_by("slug"))


def own_workspace(actor: Actor, slug: str = "") -> Workspace:
    """The workspace that the actor acts in; WorkspaceNotFound when `slug` names another."""
    if slug and slug != actor.workspace_slug:
        raise WorkspaceNotFound(slug=slug)
    return Workspace.objects.get(pk=actor.workspace_id)


def user_of(actor: Actor) -> User:
    return User.objects.get(pk=actor.user_id)


def teams_of(actor: Actor) -> QuerySet[Team]:
    """The teams of the actor's workspace that he belongs to, by name."""
    return Team.objects.filter(workspace_id=actor.workspace_id, members=actor.user_id).order_by("name")


def tokens_of(actor: Actor) -> QuerySet[Token]:
    """The actor's own tokens for his workspace, ended ones too."""
    return Token.objects.filter(user_id=actor.user_id, workspace_id=actor.workspace_id)


def sign_ins(actor: Actor, workspace_ids: Collection[int], *, limit: int) -> list[AuditEntry]:
    """The last times the person signed in, as the log has them: each in the first workspace that he held then."""
    found: list[AuditEntry] = []
    for workspace_id in list(workspace_ids)[:_WORKSPACES_LOOKED_AT]:
        mine = AuditEntry.objects.filter(workspace_id=workspace_id, actor_id=actor.user_id, verb=Verb.USER_SIGNED_IN)
        found += mine.order_by("-at", "-id")[:limit]
    return sorted(found, key=lambda entry: (entry.at, entry.pk), reverse=True)[:limit]


def recent_entries(actor: Actor, model_id: uuid.UUID, *, limit: int) -> list[AuditEntry]:
    """The newest entries of a model's chain; only those of his own doing for whoever may not read all of the audit.

    The caller has found the model among what the actor can see.
    """
    entries = AuditEntry.objects.filter(chain__subject_id=model_id, workspace_id=actor.workspace_id)
    if not actor.may(Action.READ_AUDIT, model_id):
        entries = entries.filter(actor_id=actor.user_id)
    return list(entries.order_by("-sequence")[:limit])


def system_user() -> User:
    """Vouch itself: the actor of what happens by the clock or at the operator's command line. Cannot sign in."""
    return User.objects.get_or_create(
        username="vouch", defaults={"kind": UserKind.SYSTEM, "is_active": False, "password": "!"}
    )[0]


def system_actor(workspace: Workspace) -> Actor:
    """Vouch itself, acting in `workspace` as an administrator."""
    user = system_user()
    return Actor(
        user_id=user.pk,
        username=user.username,
        workspace_id=workspace.pk,
        workspace_slug=workspace.slug,
        roles=frozenset({Role.ADMINISTRATOR}),
    )
