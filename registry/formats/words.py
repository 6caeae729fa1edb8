"""What users named, made fit for a sentence: one line, nothing hidden, and in Slack nothing but text."""

from __future__ import annotations

import re
import unicodedata

_LIMIT = 300  # characters; every name is shorter
# Control characters; what reorders or hides the text around it; halves of characters.
_HIDDEN = frozenset({"Cc", "Cf", "Cs"})

# Slack and what understands its text (Mattermost, Rocket.Chat, Google Chat) know no way to quote these. Each becomes a
# character that looks the same and means nothing: an invisible one beside it would not do in all of them.
_MEANINGLESS = str.maketrans(
    {"*": "\u2217", "~": "\u223c", "`": "\u02cb", "@": "\uff20", "|": "\u2223", "\\": "\u29f5"}
)
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_UNDERSCORE_AT_AN_EDGE = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])")  # within a word it is only itself
_SCHEME = re.compile(r":(?=//)|(?<=mailto):|(?<=tel):", re.IGNORECASE)
_DOT_OF_A_HOST = re.compile(r"(?<=\w)\.(?=[^\W\d_]{2})")
_EMOJI = re.compile(r":(?=[\w+-]+:)")


def plain(value: object) -> str:
    """`value` as part of a sentence in plain text: on one line, without hidden characters, its end cut when long."""
    text = str(value)[: 4 * _LIMIT]
    shown = (" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in _HIDDEN)
    words = " ".join("".join(shown).split())
    return words if len(words) <= _LIMIT else words[: _LIMIT - 1].rstrip() + "…"


def for_slack(value: object) -> str:
    """`plain` for a message in Slack's form: it makes no link, no mention and no formatting."""
    words = plain(value).translate(_MEANINGLESS)
    words = _UNDERSCORE_AT_AN_EDGE.sub(lambda found: "\u02cd" * len(found[0]), words)
    words = _EMOJI.sub("\u2236", _SCHEME.sub("\u2236", words))
    words = _DOT_OF_A_HOST.sub("\u2024", words).replace("](", "] (")
    return words.translate(_ENTITIES)
