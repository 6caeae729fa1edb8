"""Workspaces, users, teams and grants."""

from __future__ import annotations

import uuid

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet

from accounts import audit, members
from accounts.actor import Actor
from accounts.models import Grant, Team, User, UserKind, UserQuerySet, Workspace
from accounts.permissions import require
from accounts.queries import WorkspaceNotFound, system_actor
from accounts.roles import Action, Role
from accounts.services.administrators import keep_one, workspaces_administered
from accounts.verbs import Verb
from core import text
from core.errors import Conflict, Denied, Invalid, NotFound

DEFAULT_WORKSPACE = "default"


class UserExists(Conflict):
    """A user named {username!r} exists already."""

    field = "username"


class UserNotFound(NotFound):
    """There is no user {username!r}."""

    field = "username"


class TeamNotFound(NotFound):
    """There is no team {team!r} in this workspace."""

    field = "team"


class WeakPassword(Invalid):
    """The password will not do: {why}"""

    field = "password"


class BadUsername(Invalid):
    """The user name {value!r} will not do: use 1 to 150 letters, digits and @ . + - _"""

    field = "username"


class BadEmail(Invalid):
    """{value!r} is not an e-mail address of at most 254 characters."""

    field = "email"


class OneHolder(Invalid):
    """A grant is for one holder: name either a user or a team."""

    field = "user"


class BelongsElsewhereToo(Denied):
    """The user {username!r} holds roles beyond this workspace: ask the operator, who looks after all of them."""


class PeopleOnly(Denied):
    """Only people sign in; a service account works with tokens."""


class NotByToken(Denied):
    """A password is changed by a signed-in person, never by a token."""


class OwnAccount(Denied):
    """Nobody disables his own account: ask another administrator."""


class NobodyAnswers(Invalid):
    """Somebody has to answer for a service account: name a person."""

    field = "responsible"


class NotAPerson(Invalid):
    """{username!r} is a service account, and only people answer for others: name a person."""

    field = "responsible"


class OnlyAdministratorsGrantThat(Denied):
    """Only an administrator gives or takes the role of administrator."""


class OperatorsOnly(Denied):
    """Only the operator's command line makes an administrator of every workspace: manage.py createsuperuser."""


class BadWorkspace(Invalid):
    """The short name {value!r} will not do: use 1 to 63 letters, digits, hyphens and underscores."""

    field = "slug"


class WorkspaceExists(Conflict):
    """A workspace {slug!r} exists already."""

    field = "slug"


class GrantNotFound(NotFound):
    """There is no such grant in this workspace."""


@transaction.atomic
def default_workspace() -> Workspace:
    """The workspace `default`, made when it is missing: a fresh install has one."""
    workspace, created = Workspace.objects.get_or_create(slug=DEFAULT_WORKSPACE, defaults={"name": "Default"})
    if created:
        audit.record(system_actor(workspace), Verb.WORKSPACE_CREATED, subject=f"workspace {workspace}", data={})
    return workspace


@transaction.atomic
def create_workspace(actor: Actor, *, slug: str, name: str) -> Workspace:
    """A new workspace in which nobody holds a role yet."""
    require(actor, Action.EDIT_USERS)
    workspace = Workspace(slug=slug, name=text.free_text("name", name, limit=255, lines=False, empty=False))
    try:
        workspace.clean_fields()
    except ValidationError:
        raise BadWorkspace(value=slug) from None
    if Workspace.objects.filter(slug__iexact=slug).exists():
        raise WorkspaceExists(slug=slug)
    workspace.save(force_insert=True)
    audit.record(actor, Verb.WORKSPACE_CREATED, subject=f"workspace {slug}", data={"name": name})
    return workspace


@transaction.atomic
def edit_workspace(actor: Actor, slug: str, *, name: str, folds_repeated_creates: bool) -> Workspace:
    """Give a workspace another name, and say whether a client's repeated create makes one version or two."""
    require(actor, Action.EDIT_USERS)
    workspace = Workspace.objects.select_for_update().filter(slug=slug).first()
    if workspace is None:
        raise WorkspaceNotFound(slug=slug)
    workspace.name = text.free_text("name", name, limit=255, lines=False, empty=False)
    workspace.folds_repeated_creates = folds_repeated_creates
    workspace.save(update_fields=["name", "folds_repeated_creates"])
    data = {"name": name, "folds_repeated_creates": folds_repeated_creates}
    audit.record(actor, Verb.WORKSPACE_UPDATED, subject=f"workspace {slug}", data=data)
    return workspace


@transaction.atomic
def create_user(
    actor: Actor,
    *,
    username: str,
    kind: UserKind = UserKind.PERSON,
    password: str | None = None,
    email: str = "",
    display_name: str = "",
    responsible: User | None = None,
) -> User:
    """A new user without any role; a service account, or a person without `password`, cannot sign in by password.

    `responsible` answers for a service account; whoever makes it, when nobody is named.
    """
    require(actor, Action.EDIT_USERS)
    user = User(username=username, kind=kind, email=email, display_name=display_name)
    try:
        user.clean_fields(exclude=["password", "kind", "display_name"])
    except ValidationError as error:
        if "username" in error.message_dict:
            raise BadUsername(value=username) from None
        raise BadEmail(value=email) from None
    text.free_text("display_name", display_name, limit=255, lines=False)
    if not any(character.isalnum() for character in username):  # `..` is no page's name
        raise BadUsername(value=username)
    if User.objects.named(username).exists():
        raise UserExists(username=username)
    _may_answer(responsible)
    if kind == UserKind.SERVICE:
        user.responsible = responsible or User.objects.filter(pk=actor.user_id, kind=UserKind.PERSON).first()
    _set_password(user, password if kind == UserKind.PERSON else None)
    user.save(force_insert=True)
    audit.record(actor, Verb.USER_CREATED, subject=f"user {username}", data={"user": user.pk, "kind": kind})
    return user


@transaction.atomic
def edit_user(actor: Actor, username: str, *, display_name: str, email: str, responsible: User | None) -> User:
    """Change how a user is called and reached, and who answers for him (for a service account).

    Once somebody answers for an account, somebody always does: what it asks for, he does not approve.
    """
    user = locked_user(username)
    _looks_after(actor, user)
    user.display_name = text.free_text("display_name", display_name, limit=255, lines=False)
    user.email = text.free_text("email", email, limit=254, lines=False)
    try:
        user.clean_fields(exclude=[field.name for field in User._meta.fields if field.name != "email"])
    except ValidationError:
        raise BadEmail(value=email) from None
    _may_answer(responsible)
    if user.responsible_id and responsible is None:
        raise NobodyAnswers
    user.responsible = responsible
    user.save(update_fields=["display_name", "email", "responsible"])
    data = {"changed": "details", "responsible": responsible.username if responsible else None}
    audit.record(actor, Verb.USER_UPDATED, subject=f"user {username}", data=data)
    return user


@transaction.atomic
def set_password(actor: Actor, username: str, password: str) -> User:
    """Give a person a new password: one's own, or, for an administrator, that of somebody he looks after.

    Never by a token: a session has every scope, and the token may have few.
    """
    user = locked_user(username)
    if actor.token_id:
        raise NotByToken
    if user.pk != actor.user_id:
        _looks_after(actor, user)
    if user.kind != UserKind.PERSON:
        raise PeopleOnly
    _set_password(user, password)
    user.save(update_fields=["password"])
    audit.record(actor, Verb.USER_UPDATED, subject=f"user {username}", data={"changed": "password"})
    return user


@transaction.atomic
def set_active(actor: Actor, username: str, active: bool) -> User:
    """Disable a user, whose sessions and tokens are dead from then on, or enable one again.

    Raises OwnAccount, LastAdministrator.
    """
    user = locked_user(username)
    _looks_after(actor, user)
    if user.pk == actor.user_id and not active:
        raise OwnAccount
    user.is_active = active
    user.save(update_fields=["is_active"])
    if not active:
        keep_one(workspaces_administered(user))
    audit.record(actor, Verb.USER_UPDATED, subject=f"user {username}", data={"changed": "active", "active": active})
    return user


@transaction.atomic
def make_operator(actor: Actor, username: str) -> User:
    """Make a person administrator of every workspace and of the admin site: the operator's command line alone may."""
    if not User.objects.filter(pk=actor.user_id, kind=UserKind.SYSTEM).exists():
        raise OperatorsOnly
    user = locked_user(username)
    if not user.is_superuser:
        user.is_superuser = True
        user.save(update_fields=["is_superuser"])
        audit.record(actor, Verb.USER_UPDATED, subject=f"user {username}", data={"changed": "operator"})
    return user


def locked_user(username: str) -> User:
    """The user of this name, whose row is ours until the end of the transaction; UserNotFound."""
    # `no_key`: a foreign key to the user, checked when another transaction commits, need not wait for us.
    found = User.objects.named(username).select_for_update(no_key=True).exclude(kind=UserKind.SYSTEM)
    user = found.first()
    if user is None:
        raise UserNotFound(username=username)
    return user


def _looks_after(actor: Actor, user: User) -> None:
    """Return when the actor may change this user's account: the operator any, an administrator those of his own."""
    require(actor, Action.EDIT_USERS)
    if User.objects.filter(Q(is_superuser=True) | Q(kind=UserKind.SYSTEM), pk=actor.user_id).exists():
        return
    if not _users_of(actor).filter(pk=user.pk).exists():
        raise UserNotFound(username=user.username)
    elsewhere = Grant.objects.exclude(workspace_id=actor.workspace_id)
    if user.is_superuser or elsewhere.filter(Q(user=user) | Q(team__members=user)).exists():
        raise BelongsElsewhereToo(username=user.username)


def _may_answer(responsible: User | None) -> None:
    if responsible is not None and responsible.kind != UserKind.PERSON:
        raise NotAPerson(username=responsible.username)


def _set_password(user: User, password: str | None) -> None:
    if password is None:
        user.set_unusable_password()
        return
    text.free_text("password", password, limit=1000)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise WeakPassword(why=" ".join(error.messages)) from None
    user.set_password(password)


def users(actor: Actor) -> UserQuerySet:
    """Whom an administrator looks after: those who hold a role in his workspace, and new ones who hold none yet."""
    require(actor, Action.EDIT_USERS)
    return _users_of(actor)


def _users_of(actor: Actor) -> UserQuerySet:
    return members.within(actor.workspace_id, newcomers=True)


def find_user(actor: Actor, username: str) -> User:
    """One of `users`; UserNotFound."""
    user = users(actor).named(username).first()
    if user is None:
        raise UserNotFound(username=username)
    return user


def grants(actor: Actor) -> QuerySet[Grant]:
    """The grants of the actor's workspace, for its maintainers, each with its holder and model."""
    require(actor, Action.EDIT_GRANTS)
    return Grant.objects.filter(workspace_id=actor.workspace_id).select_related("user", "team", "model")


@transaction.atomic
def set_team(actor: Actor, *, name: str, usernames: list[str]) -> Team:
    """Make the team, or give the team of this name exactly these members.

    Membership gives what the team holds, so only who may give its roles may change it. Raises LastAdministrator.
    """
    require(actor, Action.EDIT_GRANTS)
    belong = [locked_user(username) for username in sorted(usernames)]
    team, created = Team.objects.get_or_create(workspace_id=actor.workspace_id, name=team_name(name))
    team = Team.objects.select_for_update(no_key=True).get(pk=team.pk)
    for role in set(team.grants.values_list("role", flat=True)):
        require_giving(actor, Role(role))
    team.members.set(belong)
    if team.grants.filter(role=Role.ADMINISTRATOR, model__isnull=True).exists():
        keep_one([actor.workspace_id])
    verb = Verb.TEAM_CREATED if created else Verb.TEAM_UPDATED
    audit.record(actor, verb, subject=f"team {team.name}", data={"members": [user.username for user in belong]})
    return team


def team_name(value: str) -> str:
    """The name that a team called so has: in lower case, with hyphens for spaces. Raises BadName."""
    return text.name("name", value, limit=63).lower().replace(" ", "-")


@transaction.atomic
def give(
    actor: Actor, role: Role, *, user: User | None = None, team: Team | None = None, model_id: uuid.UUID | None = None
) -> Grant:
    """Give a user or a team a role in the actor's workspace, or for one model of it. Repeating it is harmless."""
    require_giving(actor, role)
    if team and team.workspace_id != actor.workspace_id:
        raise TeamNotFound(team=team.name)
    if team:
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
    grant, created = Grant.objects.get_or_create(
        workspace_id=actor.workspace_id,
        user=user,
        team=team,
        role=role,
        model_id=model_id,  # type: ignore[misc]  # None asks for NULL, which the stubs do not know
    )
    if created:
        audit.record(actor, Verb.GRANT_GIVEN, subject=str(user or team), data=told(grant))
    return grant


@transaction.atomic
def give_by_name(
    actor: Actor, role: Role, *, username: str = "", team_name: str = "", model_id: uuid.UUID | None = None
) -> tuple[Grant, bool]:
    """`give` to a user or a team of this name; returns the grant and whether it is new."""
    require_giving(actor, role)
    if bool(username) == bool(team_name):
        raise OneHolder
    user = locked_user(username) if username else None
    here = Team.objects.filter(workspace_id=actor.workspace_id)
    team = here.filter(name=text.searchable(team_name)).first() if team_name else None
    if team_name and team is None:
        raise TeamNotFound(team=team_name)
    before = Grant.objects.filter(
        workspace_id=actor.workspace_id,
        user=user,
        team=team,
        role=role,
        model_id=model_id,  # type: ignore[misc]  # as in `give`
    ).exists()
    return give(actor, role, user=user, team=team, model_id=model_id), not before


@transaction.atomic
def take(actor: Actor, grant_id: int) -> None:
    """Take a grant back. Raises GrantNotFound, LastAdministrator."""
    grant = Grant.objects.select_for_update().filter(workspace_id=actor.workspace_id, pk=grant_id).first()
    if grant is None:
        raise GrantNotFound
    require_giving(actor, Role(grant.role))
    subject, data = str(grant.user or grant.team), told(grant)
    grant.delete()
    if grant.role == Role.ADMINISTRATOR and grant.model_id is None:
        keep_one([actor.workspace_id])
    audit.record(actor, Verb.GRANT_REVOKED, subject=subject, data=data)


def require_giving(actor: Actor, role: Role) -> None:
    """Return when the actor may give and take this role, else raise Denied."""
    require(actor, Action.EDIT_GRANTS)
    if role == Role.ADMINISTRATOR and Role.ADMINISTRATOR not in actor.roles:
        raise OnlyAdministratorsGrantThat


def told(grant: Grant) -> dict[str, object]:
    """What the audit log keeps of a grant."""
    return {
        "role": grant.role,
        "user": grant.user.username if grant.user else None,
        "team": grant.team.name if grant.team else None,
        "model": str(grant.model_id) if grant.model_id else None,
    }
