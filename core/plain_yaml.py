"""YAML that others wrote, read in bounded time and memory: plain values alone, no anchors, no tags."""

from __future__ import annotations

import re
from typing import Any

import yaml

from core.errors import Invalid

LIMIT = 1024 * 1024  # bytes
_DEPTH = 32
_EVENTS = 100_000  # what a parser reports: about one for each scalar, two for each list and mapping
# "1:59:59…" is one number to base 60, and costs the square of its length.
_LONG_NUMBER = re.compile(r"[-+0-9][-+0-9a-fA-FxXo_:.]{100,}")


class BadYaml(Invalid):
    """The YAML is not read: {why}."""


def read(data: bytes) -> Any:
    """The document as dicts, lists and scalars; BadYaml for what is none or would cost too much.

    Anchors are refused because a few lines of them may stand for billions of values (and for a value within itself),
    tags because nothing here needs one. Judged as the parser goes along, before anything is built.
    """
    if len(data) > LIMIT:
        raise BadYaml(why=f"it has {len(data)} bytes, and {LIMIT} at most are read")
    try:
        _judge(data)
        return yaml.load(data, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadYaml(why=f"{error.problem or error.context}{f' in line {mark.line + 1}' if mark else ''}") from None
    except yaml.reader.ReaderError as error:
        raise BadYaml(why=f"{error.reason} at byte {error.position}") from None
    except (yaml.YAMLError, ValueError, OverflowError):  # a date like 2001-99-99, a number like 0x
        raise BadYaml(why="a value in it is not what it looks like") from None


def _judge(data: bytes) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(data, Loader=yaml.CSafeLoader)):
        if count > _EVENTS:
            raise BadYaml(why=f"it holds more than {_EVENTS} values")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEPTH:
            raise BadYaml(why=f"it is nested deeper than {_DEPTH} levels")
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise BadYaml(why=f"it uses the anchor {event.anchor!r}, and anchors are not allowed")
        if isinstance(event, yaml.CollectionStartEvent | yaml.ScalarEvent) and event.tag is not None:
            raise BadYaml(why=f"it uses the tag {event.tag!r}, and tags are not allowed")
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and _LONG_NUMBER.fullmatch(event.value):
            raise BadYaml(why="a number in it has more than 100 digits")
