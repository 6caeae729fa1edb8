"""Mentions in a text: `@username`. Pure text; whom a name means, and whether he may know, is for others to say."""

from __future__ import annotations

import re
from collections.abc import Collection

# What a username may hold; an @ behind such a character is part of an address.
_MENTION = re.compile(r"(?<![A-Za-z0-9_.@+-])@([A-Za-z0-9_.@+-]{1,150})")
_ENDS_A_SENTENCE = ".+-@"
_LOOKED_AT = 200


def names_in(words: str) -> list[str]:
    """What could be usernames in `words`, in lower case, the first 200: "@kim." may mean `kim.` or `kim`."""
    found: dict[str, None] = {}
    for match in _MENTION.finditer(words):
        for name in _readings(match[1]):
            found[name.lower()] = None
    return list(found)[:_LOOKED_AT]


def marked(words: str, usernames: Collection[str]) -> list[tuple[str, bool]]:
    """`words` in pieces, in their order; each with whether it is a mention of one of `usernames`."""
    known = {username.lower() for username in usernames}
    pieces, at = [], 0
    for match in _MENTION.finditer(words):
        name = next((name for name in _readings(match[1]) if name.lower() in known), "")
        if name:
            end = match.start() + 1 + len(name)
            pieces += [(words[at : match.start()], False), (words[match.start() : end], True)]
            at = end
    pieces.append((words[at:], False))
    return [piece for piece in pieces if piece[0]]


def _readings(name: str) -> tuple[str, ...]:
    """The name as it is written, then without what may be the end of a sentence."""
    bare = name.rstrip(_ENDS_A_SENTENCE)
    return (name, bare) if bare and bare != name else (name,)
