"""Requests of the MLflow wire: where the fields are, and what each must be."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import orjson
from django.http import HttpRequest

from core.errors import Invalid
from core.text import storable
from web.files import body_chunks

BODY_LIMIT = 1024 * 1024  # bytes
DEPTH_LIMIT = 32
_CAMEL = re.compile(r"_([a-z])")
_WHOLE = re.compile(r"(-?[0-9]{1,19})(?:\.0*)?")
_INT64 = range(-(2**63), 2**63)
_EXACT = 2**53  # from here on a double stands for several whole numbers

Choice = TypeVar("Choice", bound=Enum)


class MissingField(Invalid):
    """Missing value for required parameter '{field}'. See the API docs for more information about request
    parameters."""


class WrongFieldType(Invalid):
    """Invalid value {value} for parameter '{field}' supplied: Hint: Value was of type '{kind}'. See the API docs for
    more information about request parameters. It must be {wanted}."""


class BadMaxResults(Invalid):
    """Invalid value {value} for parameter '{field}' supplied: it must be a positive integer, and at most {limit}."""

    field = "max_results"


class BothSpellings(Invalid):
    """The field '{field}' is there twice, also as '{other}': send it once."""


class NoContentType(Invalid):
    """Bad Request. Content-Type header is missing. Send the body as 'Content-Type: application/json'."""

    field = "Content-Type"


class BadJson(Invalid):
    """The body is not a JSON object: {why}."""

    field = "body"


class BodyTooLarge(Invalid):
    """The body is larger than the {limit} bytes that a JSON request may have: send several smaller ones."""

    field = "body"


class TooManyItems(Invalid):
    """A request may hold at most {limit} {field}, not {count}: send several requests."""


@dataclass(frozen=True)
class Fields:
    """The fields of a request, or of an object inside it; `path` leads to that object, e.g. `metrics[0].`."""

    values: Mapping[str, Any]
    path: str = ""
    from_query: bool = False

    def text(self, name: str, default: str = "") -> str:
        """A string; absent and null give the default."""
        value = self._value(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._wrong(name, value, "text")
        return storable(self.path + name, value)

    def required(self, name: str) -> str:
        """A string that is neither absent nor empty."""
        value = self.text(name)
        if not value:
            raise self._missing(name)
        return value

    def whole(self, name: str) -> int | None:
        """An int64, sent as a number, as its digits or as `123.0`; None when it is absent."""
        value = self._value(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
            value = int(value)
        if isinstance(value, str) and (found := _WHOLE.fullmatch(value)):
            value = int(found[1])
        if isinstance(value, bool) or not isinstance(value, int) or value not in _INT64:
            raise self._wrong(name, value, "a whole number of 64 bits")
        return value

    def required_whole(self, name: str) -> int:
        value = self.whole(name)
        if value is None:
            raise self._missing(name)
        return value

    def max_results(self, *, default: int, limit: int) -> int:
        """How many things a page may hold, 1 to `limit`; BadMaxResults."""
        value = self.whole("max_results")
        if value is None:
            value = default
        if not 1 <= value <= limit:
            raise BadMaxResults(value=value, limit=limit)
        return value

    def required_number(self, name: str) -> float:
        """A double; NaN and the infinities come as JSON strings, as protobuf writes them."""
        value = self._value(name)
        if value is None:
            raise self._missing(name)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise self._wrong(name, value, "a number")
        try:
            return float(value)
        except (ValueError, OverflowError):
            raise self._wrong(name, value, "a number") from None

    def flag(self, name: str) -> bool:
        """A boolean; absent means no. A query can only carry it as text."""
        value = self._value(name)
        if self.from_query and value in ("true", "false"):
            return bool(value == "true")
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return bool(value)

    def choice(self, name: str, known: Mapping[str | int, Choice]) -> Choice | None:
        """A value of an enum by its name or number; None for an absent or unknown one, as protobuf has it."""
        value = self._value(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
            raise self._wrong(name, value, "the name of a value")
        return known.get(value) if value is not None else None

    def strings(self, name: str) -> list[str]:
        """A list of strings; in a query, the repeated key."""
        values = self._list(name)
        for value in values:
            if not isinstance(value, str):
                raise self._wrong(name, value, "a list of texts")
        return [storable(self.path + name, value) for value in values]

    def objects(self, name: str, *, limit: int | None = None) -> list[Fields]:
        """A list of objects, at most `limit`."""
        values = self._list(name)
        if limit is not None and len(values) > limit:
            raise TooManyItems(field=self.path + name, limit=limit, count=len(values))
        for value in values:
            if not isinstance(value, dict):
                raise self._wrong(name, value, "a list of objects")
        return [Fields(value, f"{self.path}{name}[{at}].") for at, value in enumerate(values)]

    def inner(self, name: str) -> Fields:
        """A required object."""
        value = self._value(name)
        if value is None:
            raise self._missing(name)
        if not isinstance(value, dict):
            raise self._wrong(name, value, "an object")
        return Fields(value, f"{self.path}{name}.")

    def pairs(self, name: str, *, limit: int | None = None) -> list[tuple[str, str]]:
        """A list of {key, value}; a missing value is an empty one."""
        return [(item.required("key"), item.text("value")) for item in self.objects(name, limit=limit)]

    def run_id(self) -> str:
        """The run: its old and its new name are twins, and clients send both."""
        run_id = self.text("run_id") or self.text("run_uuid")
        if not run_id:
            raise self._missing("run_id")
        return run_id

    def _value(self, name: str) -> Any:
        other = _CAMEL.sub(lambda found: found[1].upper(), name)
        if other != name and other in self.values:
            if name in self.values:
                raise BothSpellings(field=self.path + name, other=other)
            name = other
        value = self.values.get(name)
        return value[0] if self.from_query and value else value

    def _list(self, name: str) -> list[Any]:
        if self.from_query:
            return list(self.values.get(name, ()))
        value = self._value(name)
        if value is not None and not isinstance(value, list):
            raise self._wrong(name, value, "a list")
        return value or []

    def _missing(self, name: str) -> MissingField:
        return MissingField(field=self.path + name)

    def _wrong(self, name: str, value: object, wanted: str) -> WrongFieldType:
        told = json.dumps(value, sort_keys=True, separators=(",", ":"))
        return WrongFieldType(field=self.path + name, value=told, kind=type(value).__name__, wanted=wanted)


def fields_of(request: HttpRequest) -> Fields:
    """The fields of a request: of a GET in its query, or without one in a JSON body; of others in the body.

    Those of a DELETE are in the query where it has no body: MLflow's clients send a body, Databricks' a query. Raises
    NoContentType, BadJson, BodyTooLarge.
    """
    if request.method == "GET" and request.GET:
        return Fields(dict(request.GET.lists()), from_query=True)
    body = _body(request)
    if request.method == "DELETE" and request.GET and not body.strip():
        return Fields(dict(request.GET.lists()), from_query=True)
    if request.method != "GET" and not request.headers.get("Content-Type", "").startswith("application/json"):
        raise NoContentType
    return Fields(json_object(body)) if body.strip() else Fields({})


def _body(request: HttpRequest) -> bytes:
    body = bytearray()
    for chunk in body_chunks(request):
        body += chunk
        if len(body) > BODY_LIMIT:
            raise BodyTooLarge(limit=BODY_LIMIT)
    return bytes(body)


def json_object(text: bytes | str) -> dict[str, Any]:
    """The object that `text` holds; also one inside a JSON string, as old clients send it. Raises BadJson."""
    try:
        value = _loaded(text)
        if isinstance(value, str):
            value = _loaded(value)
    except RecursionError:
        raise BadJson(why=f"it is nested deeper than {DEPTH_LIMIT} levels") from None
    except UnicodeDecodeError:
        raise BadJson(why="it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadJson(why=f"{error.msg} at character {error.pos}") from None
    except ValueError:
        raise BadJson(why="it holds a number with too many digits") from None
    if not isinstance(value, dict):
        raise BadJson(why=f"it is a {type(value).__name__}")
    if not _is_flat_enough(value, DEPTH_LIMIT):
        raise BadJson(why=f"it is nested deeper than {DEPTH_LIMIT} levels")
    return value


def _loaded(text: bytes | str) -> Any:
    # The quick parser takes JSON to the letter only. What it refuses may be NaN, or half of a surrogate pair; or the
    # other one says what is wrong.
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def _is_flat_enough(value: Any, levels: int) -> bool:
    layer = [value]
    while layer and levels:
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        levels -= 1
    return not layer
