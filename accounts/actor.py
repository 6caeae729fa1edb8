"""Who acts: a frozen value that every service takes first."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from accounts.roles import NEEDS, Action, Role, Scope


@dataclass(frozen=True)
class Actor:
    """A user acting in one workspace, by a session or a token."""

    user_id: int
    username: str
    workspace_id: int
    workspace_slug: str
    roles: frozenset[Role]  # held in the whole workspace
    model_roles: Mapping[uuid.UUID, frozenset[Role]] = field(default_factory=dict)  # held for one model only
    scopes: frozenset[Scope] = frozenset(Scope)
    model_glob: str = ""
    token_id: uuid.UUID | None = None
    address: str | None = None
    request_id: str = ""

    def roles_for(self, model_id: uuid.UUID | None) -> frozenset[Role]:
        """The roles that count for a model, or in the workspace when there is none."""
        return self.roles | self.model_roles.get(model_id, frozenset()) if model_id else self.roles

    def may(self, action: Action, model_id: uuid.UUID | None = None) -> bool:
        """Whether role and scope both allow `action`."""
        need = NEEDS[action]
        return need.scope in self.scopes and bool(need.roles & self.roles_for(model_id))

    def may_somewhere(self, action: Action) -> bool:
        """Whether it is allowed in the workspace, or for one model of it."""
        return self.may(action) or any(self.may(action, model_id) for model_id in self.model_roles)
