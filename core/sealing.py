"""Text that is kept so that only we can read it again, such as the secrets of webhooks."""

from __future__ import annotations

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class CannotOpen(Exception):
    """What was sealed cannot be opened: its key is not among VOUCH_ENCRYPTION_KEYS, nor made from VOUCH_SECRET_KEY."""


def box() -> MultiFernet:
    """What seals with the first of VOUCH_ENCRYPTION_KEYS and opens with each.

    One made from VOUCH_SECRET_KEY comes last, and is the only one until an operator names others. Raises
    ImproperlyConfigured when one is no Fernet key.
    """
    return _box(tuple(settings.VOUCH_ENCRYPTION_KEYS), settings.SECRET_KEY)


@lru_cache(maxsize=1)
def _box(keys: tuple[str, ...], secret_key: str) -> MultiFernet:
    made = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"vouch sealing").derive(secret_key.encode())
    try:
        return MultiFernet([Fernet(key.strip()) for key in [*keys, base64.urlsafe_b64encode(made).decode()]])
    except ValueError:
        raise ImproperlyConfigured(
            "VOUCH_ENCRYPTION_KEYS has to be a list of Fernet keys (32 bytes as URL-safe base64), separated by commas. "
            "Make one with: python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
        ) from None


def sealed(plain: str) -> str:
    """`plain`, to be kept."""
    return box().encrypt(plain.encode()).decode()


def opened(kept: str) -> str:
    """What was sealed; CannotOpen."""
    try:
        return box().decrypt(kept).decode()
    except InvalidToken:
        raise CannotOpen(CannotOpen.__doc__) from None


def sealed_anew(kept: str) -> str:
    """The same, sealed with the first key, so that a later one can be dropped; CannotOpen."""
    try:
        return box().rotate(kept).decode()
    except InvalidToken:
        raise CannotOpen(CannotOpen.__doc__) from None
