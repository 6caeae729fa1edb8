"""CloudEvents 1.0 in structured mode (https://github.com/cloudevents/spec), signed as Standard Webhooks are."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

from accounts.verbs import Verb
from registry.formats.message import JSON, Message, Sending, as_bytes, standard_headers
from registry.formats.told import Told, data, time

TELLS = frozenset(Verb)


def expresses(told: Told) -> bool:
    return True


def written(told: Told, sending: Sending) -> Message:
    attributes = {
        "specversion": "1.0",
        "id": told.id,
        "source": _source(told),
        # The spec advises a reversed domain name of whoever defines what the type means. That is neither whoever runs
        # this Vouch nor the owner of any domain, so the product's name stands there, which no domain can be.
        "type": f"vouch.{told.verb}",
        "subject": _text(told.subject),
        "time": time(told),
        "datacontenttype": JSON,
        # The extension `sequence` wants text that sorts as the numbers do.
        "sequence": f"{told.sequence:020d}",
        "workspace": told.workspace,
        "model": told.model,
        "actor": _text(told.actor),
        "hash": told.hash,
        "link": told.link,
    }
    # An attribute must not be empty.
    body = as_bytes({**{name: value for name, value in attributes.items() if value}, "data": data(told)})
    headers = {"content-type": "application/cloudevents+json; charset=utf-8", **standard_headers(sending, body)}
    return Message(headers, body)


def _source(told: Told) -> str:
    """The model, since a sequence counts the events of one source; of what belongs to no model, the workspace."""
    source = f"{told.address}/workspaces/{quote(told.workspace, safe='')}"
    return f"{source}/models/{quote(told.model, safe='')}" if told.model else source


def _text(value: str) -> str:
    """`value` without what an attribute must not hold: control characters, and code points that are no characters."""
    return "".join(c for c in value if unicodedata.category(c) not in ("Cc", "Cs") and not _is_none(ord(c)))


def _is_none(point: int) -> bool:
    return point & 0xFFFE == 0xFFFE or 0xFDD0 <= point <= 0xFDEF
