"""What a person changes of his own account."""

from __future__ import annotations

from django.db import transaction

from accounts import audit
from accounts.actor import Actor
from accounts.models import User
from accounts.services import people
from accounts.services.people import NotByToken
from accounts.verbs import Verb
from core import text
from core.errors import Invalid


class WrongPassword(Invalid):
    """This is not your present password."""

    field = "current"


class SamePassword(Invalid):
    """The new password is the present one: choose another."""

    field = "password"


@transaction.atomic
def change_name(actor: Actor, display_name: str) -> User:
    """How the person is called; his address is changed by an administrator, since mail of others goes there."""
    user = _own(actor)
    user.display_name = text.free_text("display_name", display_name, limit=255, lines=False)
    user.save(update_fields=["display_name"])
    audit.record(actor, Verb.USER_UPDATED, subject=f"user {user.username}", data={"changed": "details"})
    return user


def change_password(actor: Actor, current: str, new: str) -> User:
    """A new password for whoever knows the present one; every session ends, the caller's too unless he renews it.

    Raises WrongPassword, SamePassword, WeakPassword, NotByToken, PeopleOnly.
    """
    user = _own(actor)
    # Outside the transaction: hashing takes a tenth of a second, and nobody should wait for a row meanwhile.
    if not user.check_password(current):
        raise WrongPassword
    if new == current:
        raise SamePassword
    return people.set_password(actor, user.username, new)


def _own(actor: Actor) -> User:
    if actor.token_id:
        raise NotByToken
    return User.objects.get(pk=actor.user_id)
