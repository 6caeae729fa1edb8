"""An event as it is told, to webhooks as on the feed of events."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from accounts.verbs import Verb

# What a receiver deploys on: its data says where the version is to be had.
_DEPLOYED_ON = frozenset({Verb.VERSION_TRANSITIONED, Verb.ALIAS_SET})


@dataclass(frozen=True)
class Told:
    """One entry of the audit log, with what those who hear of it need besides.

    `data` is the entry's, JSON as PostgreSQL keeps it: it can hold no NaN, no NUL and no lone surrogate.
    """

    id: str  # the event's: the same for every webhook and on the feed
    verb: Verb
    at: datetime.datetime  # aware
    subject: str
    workspace: str  # its slug
    model: str  # empty for what belongs to no model
    sequence: int  # in the chain of its model, or of what belongs to no model
    hash: str  # of the entry, 64 hex digits
    actor: str  # the username
    data: Mapping[str, Any]
    link: str  # the whole address of a page, or empty
    address: str  # of this Vouch, without a slash at its end


def payload(told: Told) -> dict[str, Any]:
    """The event in our own words, as JSON: what the format `vouch` sends, and one item of the feed.

    What every event has lies beside `data`, not in it: the data of some events have a `model`, `policy` or `link` of
    their own.
    """
    return {
        "type": str(told.verb),
        "timestamp": time(told),
        "id": told.id,
        "workspace": told.workspace,
        "model": told.model or None,
        "sequence": told.sequence,
        "hash": told.hash,
        "actor": told.actor,
        "subject": told.subject,
        "link": told.link or None,
        "data": data(told),
    }


def data(told: Told) -> dict[str, Any]:
    """The entry's data; for what is deployed on, with the addresses at which the version is resolved and downloaded.

    They are not in the log: the address of a Vouch may change, an entry never does.
    """
    if told.verb not in _DEPLOYED_ON or not told.model:
        return dict(told.data)
    number = told.data.get("version")
    uri = f"models:/{told.model}/{number}"
    api = f"{told.address}/api/v1"
    files = f"{api}/models/{quote(told.model, safe='')}/versions/{number}/files"
    return {
        **told.data,
        "uri": uri,
        "resolve": f"{api}/resolve?uri={quote(uri, safe='')}",
        "files": files if told.data.get("manifest") else None,  # its bytes lie elsewhere: at its source
    }


def time(told: Told) -> str:
    """When it happened, RFC 3339 in UTC."""
    return told.at.astimezone(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
