"""What text from outside may look like: names, free text, tags, artifact paths, digests."""

from __future__ import annotations

import datetime
import fnmatch
import re
import unicodedata
from urllib.parse import unquote

from core.errors import Invalid

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")
DIGEST = re.compile(r"[0-9a-f]{64}")

# Characters that reorder or hide the text around them (Unicode's bidirectional and invisible format characters):
# they make a name look like another one.
_DECEIVING = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")


class BadName(Invalid):
    """{field} {value!r} is not allowed: use 1 to {limit} letters, digits, spaces, dots, underscores and hyphens of
    ASCII, beginning with a letter or digit and not ending with a space or dot."""


class TooLong(Invalid):
    """{field} is {length} characters long; at most {limit} are allowed."""


class BadCharacter(Invalid):
    """{field} holds the character {character}, which is not allowed there: remove it."""


class BadPath(Invalid):
    """The path {value!r} is not allowed: use a relative path such as 'model/MLmodel', without empty, '.' or '..' parts,
    backslashes, control characters or percent-encoded separators, of at most 1,000 bytes."""


class BadDigest(Invalid):
    """{field} {value!r} is not a SHA-256: give 64 lower-case hexadecimal digits."""


class BadEncoding(Invalid):
    """The parameter '{field}' holds a NUL or half of a surrogate pair, which no text may: remove it."""


class BadTime(Invalid):
    """{field} {value!r} is not a time: write it as 2026-01-31T12:00:00Z, with Z or an offset such as +01:00."""


class WrongType(Invalid):
    """{field} must be {wanted}, not {value!r}."""


def name(field: str, value: object, *, limit: int = 255) -> str:
    """`value` as the name of a model or alike, or BadName. ASCII only, so that no two names look the same."""
    if not isinstance(value, str) or len(value) > limit or not NAME.fullmatch(value) or value[-1] in " .":
        raise BadName(field=field, value=value, limit=limit)
    return value


def free_text(field: str, value: object, *, limit: int, lines: bool = True, empty: bool = True) -> str:
    """`value` as text for people, of at most `limit` characters.

    Tabs and line ends pass when `lines`; other control characters, lone surrogates and NUL never do. Deceiving format
    characters are kept: they are legitimate in prose, and pages isolate what they show.
    """
    if not isinstance(value, str):
        raise WrongType(field=field, wanted="text", value=value)
    if len(value) > limit:
        raise TooLong(field=field, length=len(value), limit=limit)
    if not value and not empty:
        raise WrongType(field=field, wanted="text that is not empty", value=value)
    if value.isascii() and value.isprintable():
        return value  # as most is
    for character in value:
        if unicodedata.category(character) in ("Cc", "Cs") and not (lines and character in "\t\n\r"):
            raise BadCharacter(field=field, character=f"U+{ord(character):04X}")
    return value


def cut(field: str, value: object, *, limit: int) -> str:
    """`value` as free text, its end cut off after `limit` characters as the field's reference server does."""
    return free_text(field, value[:limit] if isinstance(value, str) else value, limit=limit)


def key(field: str, value: object, *, limit: int = 250) -> str:
    """`value` as the key of a tag, metric or parameter: one line, not deceiving, not empty."""
    text = free_text(field, value, limit=limit, lines=False, empty=False)
    if found := _DECEIVING.search(text):
        raise BadCharacter(field=field, character=f"U+{ord(found.group()):04X}")
    return text


def artifact_path(value: object, *, empty: bool = False) -> str:
    """`value` as a relative path inside an artifact folder, as given; BadPath for anything that could climb out.

    Decoded percent signs are judged as well: a store or a proxy behind us may decode once more. With `empty` the
    folder itself, `""`, passes.
    """
    # Bytes, not characters: an index entry holds at most 2,704 of them.
    if not isinstance(value, str) or len(value.encode("utf-8", "replace")) > 1000:
        raise BadPath(field="path", value=value)
    if empty and value == "":
        return value
    seen = value
    for _ in range(4):
        if not _is_clean(seen):
            raise BadPath(field="path", value=value)
        decoded = unquote(seen)
        if decoded == seen:
            return value
        seen = decoded
    raise BadPath(field="path", value=value)


def _is_clean(path: str) -> bool:
    return not (
        "\\" in path
        or "\ufffd" in path  # what a server puts for bytes that are not UTF-8: many names would become this one
        or any(part in ("", ".", "..") for part in path.split("/"))
        or any(unicodedata.category(c) in ("Cc", "Cs") for c in path)
        or _DECEIVING.search(path)
    )


def moment(field: str, value: object) -> datetime.datetime:
    """`value`, a time or a day of ISO 8601, as a moment; without a zone it is in UTC. Raises BadTime."""
    try:
        told = datetime.datetime.fromisoformat(value if isinstance(value, str) else "")
        return told.replace(tzinfo=told.tzinfo or datetime.UTC).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise BadTime(field=field, value=value) from None


def storable(field: str, value: str) -> str:
    """`value`, unless the database could not hold it; BadEncoding."""
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise BadEncoding(field=field)
    if "\0" in value:
        raise BadEncoding(field=field)
    return value


def searchable(value: object) -> str:
    """`value` as text that a database can be asked for; what it could not hold becomes U+FFFD, which no name holds."""
    return str(value).encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def sha256(field: str, value: object) -> str:
    """`value` as 64 lower-case hex digits, or BadDigest."""
    if not isinstance(value, str) or not DIGEST.fullmatch(value):
        raise BadDigest(field=field, value=value)
    return value


def fits(name: str, pattern: str) -> bool:
    """Whether `name` fits a shell-like pattern, in which `*` and `?` are wild and nothing else is."""
    # fnmatch's own translation never backtracks: `*a*a*a*b` as a plain expression would hold the process for minutes.
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))
