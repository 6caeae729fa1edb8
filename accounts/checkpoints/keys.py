"""The key that signs checkpoints (Ed25519), and the public keys that prove them."""

from __future__ import annotations

import base64
import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings

from core.errors import Conflict, Invalid

SigningKey = Ed25519PrivateKey


class BadKey(Invalid):
    """{field} is no key: give 32 bytes as 64 hexadecimal digits or as base64, or the path of a file that holds them."""


class KeyIsGone(Conflict):
    """The checkpoints that exist were signed by the key {public_key}, which is neither in VOUCH_CHECKPOINT_KEY nor at
    {path}: bring it back. To go on with a new one, set VOUCH_CHECKPOINT_KEY; verifying needs both public keys then."""


def own(*, known: str) -> SigningKey:
    """The key of the settings, else that of the data directory.

    `known` is the public key of the last checkpoint, empty before the first: only then a key is made, since a second
    machine would sign with another one than the first. Raises BadKey, KeyIsGone.
    """
    if settings.VOUCH_CHECKPOINT_KEY:
        return _from_seed(_bytes("VOUCH_CHECKPOINT_KEY", settings.VOUCH_CHECKPOINT_KEY))
    path = _path()
    if not path.exists():
        if known:
            raise KeyIsGone(public_key=known, path=path)
        _keep_new_seed(path)
    return _from_seed(_bytes(str(path), str(path)))


def own_public() -> str:
    """The public half of our own key; empty when there is none here. Raises BadKey."""
    here = settings.VOUCH_CHECKPOINT_KEY or _path().exists()
    return public_hex(own(known="")) if here else ""


def public_hex(key: SigningKey) -> str:
    """The public key, 64 hex digits."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def public_key(value: str) -> str:
    """A public key as an operator gives it (hex, base64 or a file) as 64 hex digits; BadKey."""
    return _bytes("--public-key", value).hex()


def is_signed(message: bytes, signature: bytes, *, by: str) -> bool:
    """Whether the holder of the public key `by` (hex) signed `message`."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(by)).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _path() -> Path:
    return Path(settings.VOUCH_DATA) / "checkpoint.key"


def _from_seed(seed: bytes) -> SigningKey:
    return Ed25519PrivateKey.from_private_bytes(seed)


def _bytes(field: str, value: str) -> bytes:
    with suppress(ValueError):
        return _decoded(value)
    try:
        return _decoded(Path(value).expanduser().read_text())
    except (OSError, ValueError):
        raise BadKey(field=field) from None


def _decoded(value: str) -> bytes:
    value = value.strip()
    with suppress(ValueError):
        if len(decoded := bytes.fromhex(value)) == 32:
            return decoded
    decoded = base64.b64decode(value, validate=True)
    if len(decoded) != 32:
        raise ValueError
    return decoded


def _keep_new_seed(path: Path) -> None:
    """A new seed for this user's eyes only; whoever else makes one at the same time, one of them wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_bytes(32).hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()
