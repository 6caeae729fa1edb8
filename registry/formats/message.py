"""One send of an event: who signs it when, and the headers and bytes that come of it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from standardwebhooks import Webhook

from accounts.verbs import Verb
from core.canonical import canonical_json

JSON = "application/json"


@dataclass(frozen=True)
class Sending:
    """An attempt to deliver an event to a webhook."""

    delivery_id: str  # the same for each attempt
    webhook_id: str
    at: datetime.datetime  # of the attempt, aware
    secrets: Sequence[str]  # the live ones, newest first
    stages: Sequence[str]  # that the webhook is narrowed to; empty: all
    events: Sequence[str] = ()  # that it asked for in the words of its wire; empty: it has none

    @property
    def timestamp(self) -> str:
        """The attempt's time in whole seconds since 1970."""
        return str(int(self.at.timestamp()))

    @property
    def newest_secret(self) -> str:
        """The one that formats with a single signature sign with; empty when there is none."""
        return self.secrets[0] if self.secrets else ""


@dataclass(frozen=True)
class Kind:
    """What stands behind a name by which clients of a wire ask for an event."""

    verb: Verb | None  # None: there is no such event here, so nothing is ever told
    stage: str = ""  # only of moves there; empty: of all


@dataclass(frozen=True)
class Message:
    """What is sent: `body` is exactly what was signed."""

    headers: Mapping[str, str]
    body: bytes

    def __post_init__(self) -> None:
        for name, value in self.headers.items():
            if not (value.isascii() and value.isprintable()):
                raise ValueError(f"{value!r} cannot be sent as the header {name}")


def as_bytes(content: Mapping[str, Any]) -> bytes:
    """`content` as JSON in UTF-8, compact, its keys in order: the same event is always the same bytes."""
    return canonical_json(dict(content))


def standard_headers(sending: Sending, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks (https://www.standardwebhooks.com), one signature for each live secret.

    The secrets are `whsec_` and base64; with none, nothing is signed.
    """
    headers = identity_headers(sending)
    # The library reads a time's figures as UTC whatever its zone, and takes the body as text only.
    at, text = sending.at.astimezone(datetime.UTC), body.decode()
    signatures = [Webhook(secret).sign(sending.delivery_id, at, text) for secret in sending.secrets]
    return headers | ({"webhook-signature": " ".join(signatures)} if signatures else {})


def identity_headers(sending: Sending) -> dict[str, str]:
    """The headers of Standard Webhooks by which a receiver drops what it has had, and what is old."""
    return {"webhook-id": sending.delivery_id, "webhook-timestamp": sending.timestamp}
