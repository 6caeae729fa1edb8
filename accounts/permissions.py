"""The one place that says no to a person."""

from __future__ import annotations

import re
import uuid
from typing import Protocol

from accounts.actor import Actor
from accounts.roles import NEEDS, Action
from core import text
from core.errors import Denied


class RoleMissing(Denied):
    """{username} may not do this ({action}): it needs the role {wanted} {where}; ask a maintainer of the workspace for
    it."""


class ScopeMissing(Denied):
    """This token may not do this ({action}): it lacks the scope {scope}; make a token that has it."""


class OutsideToken(Denied):
    """This token holds for models named like {glob!r} only, not for {name!r}."""


class BeyondToken(Denied):
    """This token holds for models named like {glob!r} only, and {action} concerns the whole workspace."""


# What a token that is bound to the names of models may do where there is no model (yet).
_WITHOUT_A_MODEL = frozenset({Action.READ, Action.LOG_RUN, Action.UPLOAD_ARTIFACT, Action.CREATE_MODEL})


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
    if model is None and actor.model_glob and action not in _WITHOUT_A_MODEL:
        raise BeyondToken(glob=actor.model_glob, action=action)
    if need.scope not in actor.scopes:
        raise ScopeMissing(action=action, scope=need.scope)
    if not need.roles & actor.roles_for(model.id if model else None):
        raise RoleMissing(
            username=actor.username,
            action=action,
            wanted=" or ".join(sorted(need.roles)),
            where=f"for the model {model.name!r}" if model else f"in the workspace {actor.workspace_slug!r}",
        )


def require_anywhere(actor: Actor, action: Action) -> None:
    """Return when `actor` may do `action` in the workspace or for any one model of it, else raise Denied."""
    if not any(actor.may(action, model_id) for model_id in actor.model_roles):
        require(actor, action)


def reaches(actor: Actor, model_name: str) -> bool:
    """Whether the actor's token, if it is bound to model names, covers `model_name`."""
    return not actor.model_glob or text.fits(model_name, actor.model_glob)


def glob_as_regex(glob: str) -> str:
    """A shell-like pattern (`*`, `?`) as a regular expression for PostgreSQL, whose engine does not backtrack."""
    return "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in glob)
