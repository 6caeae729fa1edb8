"""A sentence for Slack, and for whatever takes what Slack's incoming webhooks take."""

from __future__ import annotations

from urllib.parse import quote

from accounts.verbs import Verb
from registry.formats.message import JSON, Message, Sending, as_bytes
from registry.formats.sentences import sentence
from registry.formats.told import Told
from registry.formats.words import for_slack

TELLS = frozenset(Verb)


def expresses(told: Told) -> bool:
    return True


def written(told: Told, sending: Sending) -> Message:
    # `text` alone: others who take Slack's form refuse fields that they do not know.
    return Message({"content-type": JSON}, as_bytes({"text": f"{sentence(told, for_slack)}{_link(told)}"}))


def _link(told: Told) -> str:
    if not told.link.startswith(("https://", "http://")):
        return ""
    # What would end the link early is percent-encoded; `&` is written as Slack wants it.
    address = quote(told.link, safe="%/:?#[]@!$&'()*+,;=~").replace("&", "&amp;")
    return f" <{address}|Open in Vouch>"
