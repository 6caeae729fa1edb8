"""Who is calling a token door: `Authorization: Bearer TOKEN`, or Basic with the token as password."""

from __future__ import annotations

import base64
import ipaddress

from django.http import HttpRequest

from accounts.actor import Actor
from accounts.queries import WorkspaceNotFound
from accounts.services import tokens
from core.errors import Denied


class NoToken(Denied):
    """Send a token: `Authorization: Bearer TOKEN` (MLFLOW_TRACKING_TOKEN), or Basic with the token as password."""


def actor_of(request: HttpRequest, *workspace_headers: str, number_header: str = "") -> Actor:
    """Who is calling, by the token alone; cookies are not looked at.

    A token acts in one workspace: each of `workspace_headers`, when it is sent, must name that one; `number_header` may
    also give its number. Raises NoToken, BadToken, TokenExpired, WorkspaceNotFound.
    """
    actor = tokens.authenticate(
        _token(request), address=address_of(request), request_id=getattr(request, "request_id", "")
    )
    for header in (*workspace_headers, number_header):
        named = request.headers.get(header)
        by_number = header == number_header and named == str(actor.workspace_id)
        if named and named != actor.workspace_slug and not by_number:
            raise WorkspaceNotFound(slug=named)
    return actor


def address_of(request: HttpRequest) -> str | None:
    """The address that the request came from, in the one form in which it is stored and digested."""
    try:
        return str(ipaddress.ip_address(request.META.get("REMOTE_ADDR", "").partition("%")[0]))
    except ValueError:
        return None


def _token(request: HttpRequest) -> str:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials:
        return credentials.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
        except ValueError:  # not base64, not ASCII, not UTF-8
            raise tokens.BadToken from None
    raise NoToken
