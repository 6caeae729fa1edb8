"""What the parts of a webhook may be: each given from outside, checked, and handed back as it is kept."""

from __future__ import annotations

import base64
import secrets as randomness
from collections.abc import Sequence

from accounts.models import User
from accounts.queries import session_actor
from accounts.roles import Action
from accounts.verbs import Verb
from core import text
from registry.errors import (
    AskedTwice,
    BadHeader,
    NoSuchOwner,
    OnlyOfAll,
    SecretIsMadeHere,
    SendsNoHeader,
    TooMany,
    UnknownEvent,
    UnknownFormat,
    UntoldVerb,
)
from registry.formats import Format, asked_for, example_of, tells
from registry.models import Webhook
from registry.references import target_named

TARGETS_LIMIT = 50
NAME_LIMIT = 100
DESCRIPTION_LIMIT = 5000
SECRET_LIMIT = 500
HEADER_LIMIT = 4000
# Their receivers are set up with a secret that somebody chose; those of the others verify with one of this form.
_CHOSEN = frozenset({Format.MLFLOW, Format.DATABRICKS})
UNSIGNED = frozenset({Format.SLACK})


def known_format(value: str) -> Format:
    """UnknownFormat."""
    try:
        return Format(value)
    except ValueError:
        raise UnknownFormat(value=value, known=", ".join(Format)) from None


def known_name(value: object) -> str:
    """One line; TooLong, BadCharacter."""
    return text.free_text("name", value, limit=NAME_LIMIT, lines=False)


def known_description(value: object) -> str:
    """TooLong, BadCharacter."""
    return text.free_text("description", value, limit=DESCRIPTION_LIMIT)


def known_verbs(form: Format, values: Sequence[str]) -> list[str]:
    """Each once; UntoldVerb."""
    told = tells(form) - {Verb.WEBHOOK_TESTED}
    for place, value in enumerate(values):
        if value not in told:
            raise UntoldVerb(field=f"verbs[{place}]", value=value, format=form, example=example_of(form))
    return list(dict.fromkeys(values))


def known_targets(values: Sequence[str]) -> list[str]:
    """Each once; BadTarget, TooMany."""
    if len(values) > TARGETS_LIMIT:
        raise TooMany(field="targets", count=len(values), limit=TARGETS_LIMIT)
    named = [target_named(value, field=f"targets[{place}]") for place, value in enumerate(values)]
    return list(dict.fromkeys(named))


def known_events(form: Format, values: Sequence[str], *, of_one_model: bool) -> list[str]:
    """In their order; UnknownEvent, AskedTwice, and OnlyOfAll for the making of models, if it is `of_one_model`."""
    known = asked_for(form)
    for place, value in enumerate(values):
        if value not in known:
            raise UnknownEvent(field=f"events[{place}]", value=value, format=form, known=", ".join(known) or "none")
        if value in values[:place]:
            raise AskedTwice(value=value)
        if of_one_model and known[value].verb == Verb.MODEL_CREATED:
            raise OnlyOfAll(value=value)
    return list(values)


def known_owner(webhook: Webhook, username: str) -> User:
    """The user of this name, who may manage the webhook; NoSuchOwner."""
    user = User.objects.named(username).filter(is_active=True).first()
    if user is None or not session_actor(user, webhook.workspace).may(Action.EDIT_WEBHOOK, webhook.model_id):
        raise NoSuchOwner(username=username)
    return user


def new_secret(form: Format, given: str | None) -> str:
    """The secret to sign with: the one that was given, one that is made for None, or none if nothing is signed.

    An empty one is given by whoever wants nothing signed. Raises SecretIsMadeHere, TooLong, BadCharacter.
    """
    if given is not None:
        if form not in _CHOSEN:
            raise SecretIsMadeHere(format=form)
        return text.free_text("secret", given, limit=SECRET_LIMIT, lines=False)
    if form in UNSIGNED:
        return ""
    return "whsec_" + base64.b64encode(randomness.token_bytes(32)).decode()


def known_header(form: Format, value: str) -> str:
    """What is sent as the header Authorization, empty for none; SendsNoHeader, BadHeader, which never quote it."""
    if value and form != Format.DATABRICKS:
        raise SendsNoHeader(format=form, known=Format.DATABRICKS)
    if len(value) > HEADER_LIMIT or value != value.strip() or not (value.isascii() and value.isprintable()):
        raise BadHeader(limit=HEADER_LIMIT)
    return value
