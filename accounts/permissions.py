"""The one place that says no to a person."""

from __future__ import annotations

import re
import uuid
from typing import Protocol

from accounts.actor import Actor
from accounts.roles import NEEDS, Action
from core.errors import Denied


class RoleMissing(Denied):
    """{username} may not do this ({action}): it needs the role {wanted} {where}; ask a maintainer of the workspace for
    it."""


class ScopeMissing(Denied):
    """This token may not do this ({action}): it lacks the scope {scope}; make a token that has it."""


class OutsideToken(Denied):
    """This token holds for models named like {glob!r} only, not for {name!r}."""


class _Named(Protocol):
    @property
    def id(self) -> uuid.UUID: ...
    @property
    def name(self) -> str: ...


def require(actor: Actor, action: Action, model: _Named | None = None) -> None:
    """Return when `actor` may do `action` to `model` (None: in the workspace), else raise Denied saying what lacks.

    The caller has found `model` among what the actor can see, so a refusal here gives nothing away.
    """
    need = NEEDS[action]
    if model is not None and not reaches(actor, model.name):
        raise OutsideToken(glob=actor.model_glob, name=model.name)
    if need.scope not in actor.scopes:
        raise ScopeMissing(action=action, scope=need.scope)
    if not need.roles & actor.roles_for(model.id if model else None):
        raise RoleMissing(
            username=actor.username,
            action=action,
            wanted=" or ".join(sorted(need.roles)),
            where=f"for the model {model.name!r}" if model else f"in the workspace {actor.workspace_slug!r}",
        )


def reaches(actor: Actor, model_name: str) -> bool:
    """Whether the actor's token, if it is bound to model names, covers `model_name`."""
    return not actor.model_glob or re.fullmatch(glob_as_regex(actor.model_glob), model_name) is not None


def glob_as_regex(glob: str) -> str:
    """A shell-like pattern (`*`, `?`) as a regular expression that Python and PostgreSQL read alike."""
    return "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in glob)
