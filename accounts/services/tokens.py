"""API tokens: `vch-`, 8 characters of public id, 26 of secret, 6 of checksum (SECURITY: tokens)."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
import secrets
import string
import uuid
import zlib
from collections.abc import Collection
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.models import Token, User, UserKind, Workspace
from accounts.permissions import require
from accounts.queries import token_row
from accounts.roles import Action, Scope
from accounts.verbs import Verb
from core import text
from core.errors import Denied, Invalid, NotFound

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM = re.compile(r"vch-([0-9A-Za-z]{8})[0-9A-Za-z]{26}([0-9A-Za-z]{6})")
_TOUCH_AFTER = datetime.timedelta(minutes=1)
_ADDRESSES_KEPT = 50
DEFAULT_SCOPES = (Scope.READ, Scope.REGISTER, Scope.REQUEST)


class TokenNotFound(NotFound):
    """There is no token {token_id!r} of yours."""


class BadToken(Denied):
    """The token is not valid: it is mistyped, revoked, or its owner was disabled. Make a new one."""


class TokenExpired(Denied):
    """The token expired at {at}. Make a new one."""


class BadScope(Invalid):
    """{value!r} is not a scope: use one or more of {known}."""

    field = "scopes"


class BadLifetime(Invalid):
    """A token lives from 1 to 365 days, not {value}."""

    field = "days"


class BadGlob(Invalid):
    """This token holds for models named like {glob!r}, so it makes tokens for exactly those, not for {value!r}."""

    field = "model_glob"


class NotByToken(Denied):
    """A token cannot make tokens unless it has the scope admin: sign in and make it on the page /tokens."""


class NotForAnotherPerson(Denied):
    """{username!r} is a person, who makes his own tokens; for others there are tokens of service accounts only."""

    field = "owner"


@dataclass(frozen=True)
class Issued:
    """A new token; `plain` exists nowhere else."""

    token: Token
    plain: str


def _checksum(body: str) -> str:
    """CRC-32 of the id and secret in base 62: lets scanners and the door drop mistyped tokens without a look-up."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits


@transaction.atomic
def create(
    actor: Actor,
    *,
    name: str,
    scopes: Collection[str] = DEFAULT_SCOPES,
    days: int = 90,
    model_glob: str = "",
    owner: User | None = None,
) -> Issued:
    """A token of the actor's (or, for an administrator, of the service account `owner`) for the actor's workspace.

    By a session, or by a token with the scope `admin`: a leaked token must not renew itself. Every scope but `webhook`
    brings `read`. Raises BadScope, BadLifetime, BadGlob, NotByToken, NotForAnotherPerson.
    """
    if actor.token_id and Scope.ADMIN not in actor.scopes:
        raise NotByToken
    if owner is None or owner.pk == actor.user_id:
        owner = User.objects.get(pk=actor.user_id)
    else:
        require(actor, Action.EDIT_USERS)
        if owner.kind != UserKind.SERVICE:
            raise NotForAnotherPerson(username=owner.username)
    wanted = _scopes(scopes)
    if wanted != {Scope.WEBHOOK}:
        wanted |= {Scope.READ}
    if actor.model_glob and model_glob not in ("", actor.model_glob):
        raise BadGlob(value=model_glob, glob=actor.model_glob)
    if not wanted <= actor.scopes:
        raise BadScope(value=", ".join(sorted(wanted - actor.scopes)), known=", ".join(sorted(actor.scopes)))
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 365:
        raise BadLifetime(value=days)
    body = "".join(secrets.choice(_ALPHABET) for _ in range(34))
    plain = f"vch-{body}{_checksum(body)}"
    token = Token.objects.create(
        public_id=body[:8],
        secret_sha256=hashlib.sha256(plain.encode()).digest(),
        user=owner,
        workspace=Workspace.objects.get(pk=actor.workspace_id),
        name=text.free_text("name", name, limit=100, lines=False, empty=False),
        scopes=sorted(wanted),
        created_by_id=actor.user_id,
        model_glob=actor.model_glob or text.free_text("model_glob", model_glob, limit=255, lines=False),
        expires_at=timezone.now() + datetime.timedelta(days=days),
    )
    data = {"token": str(token.id), "owner": owner.username, "scopes": token.scopes, "days": days}
    audit.record(actor, Verb.TOKEN_CREATED, subject=f"token {token.name}", data=data)
    return Issued(token, plain)


def visible(actor: Actor) -> QuerySet[Token]:
    """The actor's own tokens in this workspace, or for an administrator everybody's, each with its owner."""
    rows = Token.objects.filter(workspace_id=actor.workspace_id).select_related("user")
    return rows if actor.may(Action.EDIT_USERS) else rows.filter(user_id=actor.user_id)


def own(actor: Actor) -> Token | None:
    """The token that the actor acts by, with its owner; None for a session."""
    found = Token.objects.select_related("user", "workspace")
    return found.filter(pk=actor.token_id).first() if actor.token_id else None


def _scopes(values: Collection[str]) -> frozenset[Scope]:
    known = ", ".join(Scope)
    if isinstance(values, str) or not values:
        raise BadScope(value=str(values), known=known)
    found = set()
    for value in values:
        if value not in set(Scope):
            raise BadScope(value=str(value), known=known)
        found.add(Scope(value))
    return frozenset(found)


@transaction.atomic
def revoke(actor: Actor, token_id: uuid.UUID) -> Token:
    """End a token of the actor's own, or for an administrator anybody's in the workspace; harmless when repeated."""
    token = visible(actor).select_for_update(of=("self",)).filter(pk=token_id).first()
    if token is None:
        raise TokenNotFound(token_id=token_id)
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])
        audit.record(actor, Verb.TOKEN_REVOKED, subject=f"token {token.name}", data={"token": str(token.id)})
    return token


def authenticate(plain: str, *, address: str | None, request_id: str) -> Actor:
    """Who holds the token `plain`; raises BadToken or TokenExpired. One query, and a write at most once a minute."""
    form = _FORM.fullmatch(plain)
    if form is None or not hmac.compare_digest(_checksum(plain[4:38]), form[2]):
        raise BadToken
    row = token_row(form[1], address=address, request_id=request_id)
    sent = hashlib.sha256(plain.encode()).digest()
    if row is None or not hmac.compare_digest(sent, row.secret_sha256):
        raise BadToken
    now = timezone.now()
    if row.expires_at <= now:
        raise TokenExpired(at=f"{row.expires_at:%Y-%m-%d %H:%M} UTC")
    new_address = address is not None and address not in row.known_addresses
    if new_address or row.last_used_at is None or now - row.last_used_at > _TOUCH_AFTER:
        _note_use(row.actor, form[1], now, new_address)
    return row.actor


@transaction.atomic
def _note_use(actor: Actor, public_id: str, now: datetime.datetime, new_address: bool) -> None:
    # Whoever else notes a use of this token at this moment notes it for us too: nobody waits for that.
    token = Token.objects.select_for_update(skip_locked=True).filter(public_id=public_id).first()
    if token is None:
        return
    token.last_used_at = now
    if new_address and actor.address and actor.address not in token.known_addresses:
        token.known_addresses = [*token.known_addresses, actor.address][-_ADDRESSES_KEPT:]
        data = {"token": str(token.id), "address": actor.address}
        audit.record(actor, Verb.TOKEN_USED_FROM_NEW_ADDRESS, subject=f"token {token.name}", data=data)
    token.save(update_fields=["last_used_at", "known_addresses"])
