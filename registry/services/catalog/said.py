"""What is said of a model or a version: its description and tags, and the revision that an edit expects."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import Manager

from core import text
from registry.errors import Stale, TooManyTags
from registry.models import Model, ModelTag, Version, VersionTag

DESCRIPTION_LIMIT = 100_000
TAG_VALUE_LIMIT = 5000
TAGS_LIMIT = 100


def same_revision(row: Model | Version, expected: int | None) -> None:
    """Raise Stale unless the row has the revision that is expected, if any is."""
    if expected is not None and row.revision != expected:
        raise Stale


def description_of(value: object) -> str:
    """`value` as a description; TooLong, BadCharacter."""
    return text.free_text("description", value, limit=DESCRIPTION_LIMIT)


def tags_of(tags: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """Tags to begin with, each checked; TooManyTags."""
    if tags and len(tags) > TAGS_LIMIT:
        raise TooManyTags(limit=TAGS_LIMIT)
    return [
        (text.key("tags.key", key), text.free_text("tags.value", value, limit=TAG_VALUE_LIMIT))
        for key, value in (tags or {}).items()
    ]


def change_tag(tags: Manager[ModelTag] | Manager[VersionTag], key: str, value: str | None) -> None:
    """Set one of the tags, or remove it (`value` None); TooManyTags."""
    text.key("key", key)
    if value is None:
        tags.filter(key=key).delete()
        return
    text.free_text("value", value, limit=TAG_VALUE_LIMIT)
    if not tags.filter(key=key).exists() and tags.count() >= TAGS_LIMIT:
        raise TooManyTags(limit=TAGS_LIMIT)
    tags.update_or_create(key=key, defaults={"value": value})
