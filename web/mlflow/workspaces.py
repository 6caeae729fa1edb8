"""Workspaces as a token sees them: its own."""

from __future__ import annotations

from typing import Any, NoReturn

from django.http import HttpRequest

from accounts.actor import Actor
from accounts.models import Workspace
from accounts.queries import own_workspace
from core.errors import Denied
from web.mlflow.wire import Fields


class WorkspacesAreTheOperators(Denied):
    """Workspaces are not made, changed or deleted over this wire: ask the operator, who makes them in the admin."""


def list_own(actor: Actor, fields: Fields) -> dict[str, Any]:
    return {"workspaces": [_told(own_workspace(actor))]}


def get(actor: Actor, fields: Fields, *, name: str) -> dict[str, Any]:
    """The token's own; every other is not there for it."""
    return {"workspace": _told(own_workspace(actor, name))}


def change(actor: Actor, request: HttpRequest, **captured: str) -> NoReturn:
    raise WorkspacesAreTheOperators


def _told(workspace: Workspace) -> dict[str, str]:
    return {"name": workspace.slug, "description": workspace.name}
