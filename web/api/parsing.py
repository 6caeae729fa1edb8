"""Request bodies: JSON objects within limits, and raw bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.conf import settings
from rest_framework.parsers import BaseParser

from core.errors import Invalid

DEPTH = 32


class BodyTooLarge(Invalid):
    """The body is larger than the {limit} bytes that are taken here."""


class NotJSON(Invalid):
    """The body is not JSON in UTF-8: {why}"""


class NotAnObject(Invalid):
    """The body must be a JSON object, such as {example}."""


class TooDeep(Invalid):
    """The body nests deeper than {limit} levels."""


class JSONParser(BaseParser):
    """A JSON object (RFC 8259): UTF-8, no NaN, at most 1 MiB and 32 levels. The last of duplicate keys counts."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise BodyTooLarge(limit=limit)
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise NotJSON(why=str(error)) from None
        if not isinstance(value, dict):
            raise NotAnObject(example='{"name": "churn"}')
        if _depth_exceeds(value, DEPTH):
            raise TooDeep(limit=DEPTH)
        return value


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


class OctetStream(BaseParser):
    """Raw bytes. The view streams them itself; this only names the media type."""

    media_type = "application/octet-stream"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return {}
