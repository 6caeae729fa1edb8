"""A workspace is not left without anybody who could give its roles."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Q, QuerySet

from accounts.models import Grant, User, UserKind, Workspace
from accounts.roles import Role
from core.errors import Conflict


class LastAdministrator(Conflict):
    """Then the workspace {workspace!r} would have no administrator any more: give somebody else that role first."""


def workspaces_administered(user: User) -> list[int]:
    """The workspaces in which this user holds the role of administrator, himself or by a team."""
    held = _grants().filter(Q(user=user) | Q(team__members=user))
    return sorted(set(held.values_list("workspace_id", flat=True)))


def keep_one(workspace_ids: Collection[int]) -> None:
    """Return when each of these workspaces has an administrator still, after what the caller has written.

    A person who is active: one of its own, or an operator. Locks the workspaces until the end of the transaction, so
    that of two who take the role from each other one is refused. Raises LastAdministrator.
    """
    if not workspace_ids:
        return
    ids = sorted(workspace_ids)
    locked = list(Workspace.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk"))
    people = User.objects.filter(is_active=True, kind=UserKind.PERSON)
    if people.filter(is_superuser=True).exists():
        return
    for workspace in locked:
        held = _grants().filter(workspace=workspace)
        if not held.filter(Q(user__in=people) | Q(team__members__in=people)).exists():
            raise LastAdministrator(workspace=workspace.slug)


def _grants() -> QuerySet[Grant]:
    return Grant.objects.filter(role=Role.ADMINISTRATOR, model__isnull=True)
