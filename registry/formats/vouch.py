"""Our own format: the envelope and the signature of Standard Webhooks."""

from __future__ import annotations

from accounts.verbs import Verb
from registry.formats.message import JSON, Message, Sending, as_bytes, standard_headers
from registry.formats.told import Told, payload

TELLS = frozenset(Verb)


def expresses(told: Told) -> bool:
    return True


def written(told: Told, sending: Sending) -> Message:
    body = as_bytes(payload(told))
    return Message({"content-type": JSON, **standard_headers(sending, body)}, body)
