"""Who calls the native API: a token, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.actor import Actor
from web.auth import actor_of

WORKSPACE_HEADER = "Vouch-Workspace"


@dataclass(frozen=True)
class Caller:
    """What REST framework calls the user of a request."""

    actor: Actor
    is_authenticated: bool = True


class TokenAuthentication(BaseAuthentication):
    """`request.auth` is the Actor. Raises NoToken, BadToken, TokenExpired, WorkspaceNotFound."""

    def authenticate(self, request: Request) -> tuple[Caller, Actor]:
        actor = actor_of(request._request, WORKSPACE_HEADER)
        return Caller(actor), actor


class _InOpenAPI(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "web.api.authentication.TokenAuthentication"
    name = ["token", "basic"]

    def get_security_definition(self, auto_schema: object) -> list[dict[str, str]]:
        return [
            {"type": "http", "scheme": "bearer", "description": "An API token, vch-…"},
            {"type": "http", "scheme": "basic", "description": "Any user name, with the token as password."},
        ]
