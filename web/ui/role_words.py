"""Roles and scopes of tokens in words: what each allows."""

from __future__ import annotations

from accounts.actor import Actor
from accounts.roles import NEEDS, Role, Scope

ROLES: dict[Role, str] = {
    Role.VIEWER: "see models, versions, runs and reviews, and load versions",
    Role.CONTRIBUTOR: "log runs, register models and versions, set tags and aliases, and ask for promotions",
    Role.REVIEWER: "approve or reject what others ask for, and roll back",
    Role.MAINTAINER: "do what contributors and reviewers may, write policies and webhooks, give roles, see the log",
    Role.ADMINISTRATOR: "do all that maintainers may, make accounts, bypass policies, and make others administrators",
}
SCOPES: dict[Scope, str] = {
    Scope.READ: "see models, versions and files, and load them",
    Scope.REGISTER: "log runs, upload files, register models and versions, set tags and aliases",
    Scope.REQUEST: "ask for promotions, and comment",
    Scope.REVIEW: "approve, reject and roll back",
    Scope.WEBHOOK: "set up webhooks and notifications",
    Scope.ADMIN: "give roles, write policies, make accounts and tokens, bypass policies",
}


def allows(role: str) -> str:
    """What a role allows."""
    return ROLES[Role(role)]


def usable(actor: Actor) -> frozenset[Scope]:
    """The scopes of which the actor's roles, anywhere in the workspace, allow at least one act."""
    roles = actor.roles.union(*actor.model_roles.values())
    return frozenset(need.scope for need in NEEDS.values() if need.roles & roles)
