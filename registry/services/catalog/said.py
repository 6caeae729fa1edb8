"""What is said of a model or a version: its description and tags, and the revision that an edit expects."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import Count, Manager, Sum
from django.db.models.functions import Length

from core import text
from registry.errors import Stale, TagsTooLong, TooManyTags
from registry.models import Model, ModelTag, Version, VersionTag

DESCRIPTION_LIMIT = 100_000
TAG_VALUE_LIMIT = 100_000  # the text of a prompt is a tag
TAGS_LIMIT = 100
TAGS_LENGTH_LIMIT = 200_000  # characters of all values together, so that a page of a list stays one


def same_revision(row: Model | Version, expected: int | None) -> None:
    """Raise Stale unless the row has the revision that is expected, if any is."""
    if expected is not None and row.revision != expected:
        raise Stale


def description_of(value: object) -> str:
    """`value` as a description; TooLong, BadCharacter."""
    return text.free_text("description", value, limit=DESCRIPTION_LIMIT)


def tags_of(tags: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """Tags to begin with, each checked; TooManyTags, TagsTooLong."""
    checked = [
        (text.key("tags.key", key), text.free_text("tags.value", value, limit=TAG_VALUE_LIMIT))
        for key, value in (tags or {}).items()
    ]
    _refuse_too_many(len(checked), sum(len(value) for _, value in checked))
    return checked


def change_tag(tags: Manager[ModelTag] | Manager[VersionTag], key: str, value: str | None) -> None:
    """Set one of the tags, or remove it (`value` None); TooManyTags, TagsTooLong."""
    text.key("key", key)
    if value is None:
        tags.filter(key=key).delete()
        return
    text.free_text("value", value, limit=TAG_VALUE_LIMIT)
    others = tags.exclude(key=key).aggregate(count=Count("pk"), length=Sum(Length("value")))
    _refuse_too_many(others["count"] + 1, (others["length"] or 0) + len(value))
    tags.update_or_create(key=key, defaults={"value": value})


def _refuse_too_many(count: int, length: int) -> None:
    if count > TAGS_LIMIT:
        raise TooManyTags(limit=TAGS_LIMIT)
    if length > TAGS_LENGTH_LIMIT:
        raise TagsTooLong(limit=TAGS_LENGTH_LIMIT, length=length)
