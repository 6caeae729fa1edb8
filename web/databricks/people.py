"""Who the caller is, in SCIM's form."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from accounts import queries
from accounts.actor import Actor
from web.mlflow.door import encoded

_WORKSPACE = "X-Databricks-Org-Id"  # the SDK takes a workspace's id from here, and for a number


def me(actor: Actor, request: HttpRequest) -> HttpResponse:
    """`groups` are the caller's teams in the token's workspace."""
    user = queries.user_of(actor)
    body: dict[str, Any] = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": str(user.pk),
        "userName": user.username,
        "displayName": user.get_full_name(),
        "active": user.is_active,
        "groups": [{"value": str(team.pk), "display": team.name} for team in queries.teams_of(actor)],
    }
    return encoded(body, **{_WORKSPACE: str(actor.workspace_id)})
