"""Signing in at the pages: what is written down of it."""

from __future__ import annotations

from django.db import transaction

from accounts import audit
from accounts.actor import Actor
from accounts.models import User, UserKind
from accounts.queries import session_actor, workspaces_of
from accounts.services.people import PeopleOnly, default_workspace
from accounts.verbs import Verb


@transaction.atomic
def begin(user: User, *, address: str | None, request_id: str) -> Actor:
    """Record that `user`, whose password has been checked, signs in; returns him acting in his first workspace."""
    if user.kind != UserKind.PERSON or not user.is_active:
        raise PeopleOnly
    home = next(iter(workspaces_of(user)), None) or default_workspace()
    actor = session_actor(user, home, address=address, request_id=request_id)
    audit.record(actor, Verb.USER_SIGNED_IN, subject=f"user {user.username}", data={"user": user.pk})
    return actor
