"""The secret that signs what a webhook sends, and the header that its receiver is sent: put in, and replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.utils import timezone

from core import sealing
from registry.errors import NeededAnew
from registry.formats import Format
from registry.models import Webhook
from registry.services import webhook_parts as parts

_T = TypeVar("_T")


def put_secret(webhook: Webhook, plain: str) -> str:
    """Seal a secret into it, in place of all that it has."""
    webhook.secret = sealing.sealed(plain) if plain else ""
    webhook.previous_secret, webhook.previous_until = "", None
    return plain


def put_header(webhook: Webhook, plain: str) -> str:
    """Seal a header into it, in place of the one that it has."""
    webhook.authorization = sealing.sealed(plain) if plain else ""
    return plain


def replace_secret(webhook: Webhook, given: str | None, *, moved: bool, is_shown: bool) -> str | None:
    """Put in the secret that was given, or that another host makes needful; returns it, or None if it stays.

    Not `is_shown`: whoever changes it could not be told a new one. Raises NeededAnew, SecretIsMadeHere.
    """
    form, now = Format(webhook.format), timezone.now()
    if given is None:
        if not moved or not webhook.secret:
            return None
        if not is_shown:
            raise NeededAnew(field="secret")
        return put_secret(webhook, parts.new_secret(form, None))
    plain = parts.new_secret(form, given)
    same = (_opened(lambda: webhook.secrets(now)) or [])[:1] == [plain] if webhook.secret else not plain
    return None if same else put_secret(webhook, plain)


def replace_header(webhook: Webhook, given: str | None, *, moved: bool, is_asked: bool) -> bool:
    """Put in the header that was given, or none for another host; returns whether it is another one than before.

    `is_asked`: whoever moves it has to say what becomes of the header. Raises NeededAnew, BadHeader, SendsNoHeader.
    """
    if given is None:
        if not (moved and webhook.authorization):
            return False
        if is_asked:
            raise NeededAnew(field="authorization")
        given = ""
    plain = parts.known_header(Format(webhook.format), given)
    if plain == _opened(webhook.header):
        return False
    put_header(webhook, plain)
    return True


def _opened(opening: Callable[[], _T]) -> _T | None:
    """What was sealed; None when its key is gone, so that another can be given in its place."""
    try:
        return opening()
    except sealing.CannotOpen:
        return None
