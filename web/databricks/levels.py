"""Databricks' permission levels, and the roles that each stands for here."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from accounts.roles import Role
from core.errors import Invalid


class UnknownLevel(Invalid):
    """There is no permission level {value!r}: use one of {known}."""


class Level(StrEnum):
    """From the least to the most."""

    CAN_READ = "CAN_READ"
    CAN_EDIT = "CAN_EDIT"
    CAN_MANAGE_STAGING_VERSIONS = "CAN_MANAGE_STAGING_VERSIONS"
    CAN_MANAGE_PRODUCTION_VERSIONS = "CAN_MANAGE_PRODUCTION_VERSIONS"
    CAN_MANAGE = "CAN_MANAGE"


# Never more than the name says. Who approves for Staging here approves for Production, too: so whoever is to manage the
# versions in Staging alone gets what moves them there where no review is asked for, which contributors do.
ROLES: dict[Level, frozenset[Role]] = {
    Level.CAN_READ: frozenset({Role.VIEWER}),
    Level.CAN_EDIT: frozenset({Role.CONTRIBUTOR}),
    Level.CAN_MANAGE_STAGING_VERSIONS: frozenset({Role.CONTRIBUTOR}),
    Level.CAN_MANAGE_PRODUCTION_VERSIONS: frozenset({Role.CONTRIBUTOR, Role.REVIEWER}),
    Level.CAN_MANAGE: frozenset({Role.MAINTAINER}),
}
MEANING = {
    Level.CAN_READ: "Can see the model, its versions and their files.",
    Level.CAN_EDIT: "Can register versions, describe and tag them, ask for transitions, and make those that need no "
    "review.",
    Level.CAN_MANAGE_STAGING_VERSIONS: "The same as CAN_EDIT here: who approves for Staging approves for Production, "
    "too.",
    Level.CAN_MANAGE_PRODUCTION_VERSIONS: "CAN_EDIT, and can approve or reject what others ask for; nobody moves alone "
    "what needs review.",
    Level.CAN_MANAGE: "All of it, and can rename and delete the model, and write its policies and webhooks.",
}
# The first role that is held decides.
_SHOWN: tuple[tuple[Role, Level], ...] = (
    (Role.ADMINISTRATOR, Level.CAN_MANAGE),
    (Role.MAINTAINER, Level.CAN_MANAGE),
    (Role.REVIEWER, Level.CAN_MANAGE_PRODUCTION_VERSIONS),
    (Role.CONTRIBUTOR, Level.CAN_EDIT),
    (Role.VIEWER, Level.CAN_READ),
)


def level_of(roles: Collection[Role]) -> Level | None:
    """The level that these roles come closest to; None of no role."""
    return next((level for role, level in _SHOWN if role in roles), None)


def level_named(field: str, value: str) -> Level:
    """The level of this name; UnknownLevel."""
    try:
        return Level(value)
    except ValueError:
        raise UnknownLevel(field=field, value=value, known=", ".join(Level)) from None


def roles_for(level: Level, held: Collection[Role]) -> frozenset[Role]:
    """The roles to hold for a level. Who is shown with it already keeps those that he has: what was read can be written
    back and changes nothing."""
    return frozenset(held) if level_of(held) == level else ROLES[level]
