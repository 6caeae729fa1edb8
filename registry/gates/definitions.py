"""Definitions of gates as people write them: what cannot be judged is refused when the policy is written."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from core import text
from core.errors import Invalid, shown
from registry.errors import BadGate
from registry.gates.table import GATES

LIMIT = 30  # gates of one policy
_LONGEST = 100  # items of any list in a definition
_QUOTED = 60  # characters of a wrong value


def checked(definitions: object, *, field: str = "gates") -> tuple[dict[str, Any], ...]:
    """`definitions` as they may stand in a policy; BadGate naming the field, such as `gates[1].at_least`."""
    if not isinstance(definitions, list | tuple):
        raise BadGate(field=field, why=f"is {_quoted(definitions)}, not a list", hint="give a list of gates")
    if len(definitions) > LIMIT:
        raise BadGate(field=field, why=f"holds {len(definitions)} gates", hint=f"at most {LIMIT} fit into a policy")
    found: list[dict[str, Any]] = []
    for place, definition in enumerate(definitions):
        here = _checked(definition, f"{field}[{place}]")
        if here in found:
            twice = f"is the same as {field}[{found.index(here)}]"
            raise BadGate(field=f"{field}[{place}]", why=twice, hint="take one of them out")
        found.append(here)
    return tuple(found)


def path_of(field: str, path: Any) -> str:
    """The name of what lies at `path` below `field`, such as `gates[1].at_least`."""
    return field + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _checked(definition: object, field: str) -> dict[str, Any]:
    if not isinstance(definition, Mapping):
        why = f"is {_quoted(definition)}, not an object"
        raise BadGate(field=field, why=why, hint='write it like {"gate": "signature"}')
    name = definition.get("gate")
    if not isinstance(name, str) or name not in GATES:
        why = f"is {_quoted(name)}, which is no gate" if "gate" in definition else "is missing"
        raise BadGate(field=f"{field}.gate", why=why, hint=f"use one of {', '.join(GATES)}")
    said = dict(definition)
    _is_plain(said, field)
    _is_short(said, field)
    for error in sorted(_Validator(GATES[name].schema(name)).iter_errors(said), key=_order):
        raise _refusal(name, field, error)
    for path, value in _texts(said, ()):
        try:
            # As tags and metrics are named: nothing that deceives the eye, or that the database could not keep.
            text.key(path_of(field, path), value)
        except Invalid as bad:
            place = path_of(field, path)
            raise BadGate(
                field=place, why=bad.message.removeprefix(f"{place} ").rstrip("."), hint=_takes(name)
            ) from bad
    return said


def _is_short(value: object, field: str) -> None:
    """Refuse lists that no gate takes before the schema sees them: it compares each item with each, for hours."""
    if isinstance(value, list) and len(value) > _LONGEST:
        raise BadGate(field=field, why=f"holds {len(value)}", hint=f"at most {_LONGEST} are allowed")
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        _is_short(item, f"{field}[{key}]" if isinstance(value, list) else f"{field}.{shown(key)}")


def _is_plain(said: Mapping[str, Any], field: str) -> None:
    """Refuse what JSON cannot hold, and numbers too long for their digits to be written."""
    for key, value in said.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError, RecursionError):
            why = f"holds what JSON does not ({type(value).__name__})"
            raise BadGate(field=f"{field}.{shown(key)}", why=why, hint="use text, numbers, true and false") from None


def _is_number(_: object, value: object) -> bool:
    """As in JSON, which knows no NaN and no infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(_float(value))


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return 0.0  # a whole number of a thousand digits is one still; the limits refuse it


_Validator = extend(Draft202012Validator, type_checker=Draft202012Validator.TYPE_CHECKER.redefine("number", _is_number))


def _order(error: Any) -> tuple[list[str], str]:
    return [str(part) for part in error.absolute_path], str(error.validator)


def _texts(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text in a definition that fits its schema, keys too, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _texts(item, (*path, place))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield path, key
            yield from _texts(item, (*path, key))


# --- Words ------------------------------------------------------------------------------------------------------------


def _refusal(name: str, field: str, error: Any) -> BadGate:
    """The refusal of what a schema found wrong: where it is, what is wrong about which value, and what would do."""
    place, value, asked = path_of(field, error.absolute_path), error.instance, error.validator_value
    if error.validator == "additionalProperties":
        unknown = sorted(map(str, set(value) - set(error.schema.get("properties", {}))))[0]
        return BadGate(field=f"{place}.{shown(unknown)}", why="is not known", hint=_meant(name, unknown))
    if error.validator == "required":
        missing = next(one for one in asked if one not in value)
        return BadGate(field=f"{place}.{missing}", why="is missing", hint=_takes(name))
    if error.validator == "dependentRequired":
        name, others = next((name, others) for name, others in asked.items() if name in value)
        return BadGate(field=f"{place}.{name}", why=f"goes with {', '.join(others)}", hint="give both, or leave it out")
    if error.validator in ("oneOf", "anyOf"):
        names = GATES[name].one_of or GATES[name].any_of
        how = "exactly" if GATES[name].one_of else "at least"
        there = " and ".join(one for one in names if one in value) or "none"
        return BadGate(field=place, why=f"has {there} of {', '.join(names)}", hint=f"give {how} one of them")
    tell = _TOLD.get(error.validator)
    why, hint = tell(value, asked) if tell else (f"is {_quoted(value)}, which will not do", _takes(name))
    return BadGate(field=place, why=why, hint=hint)


_TYPES = {
    "string": "a text",
    "number": "a finite number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}

_TOLD: dict[str, Callable[[Any, Any], tuple[str, str]]] = {
    "type": lambda value, asked: (f"is {_quoted(value)}", f"give {_TYPES[asked]}"),
    "enum": lambda value, asked: (f"is {_quoted(value)}", f"use one of {', '.join(asked)}"),
    "minimum": lambda value, asked: (f"is {_quoted(value)}", f"give at least {asked:g}"),
    "maximum": lambda value, asked: (f"is {_quoted(value)}", f"give at most {asked:g}"),
    "exclusiveMinimum": lambda value, asked: (f"is {_quoted(value)}", f"give more than {asked:g}"),
    "minLength": lambda value, asked: ("is empty", "write at least one character, or leave it out"),
    "maxLength": lambda value, asked: (f"is {len(value)} characters long", f"at most {asked} are allowed"),
    "minItems": lambda value, asked: ("is empty", "name at least one, or leave it out"),
    "maxItems": lambda value, asked: (f"holds {len(value)}", f"at most {asked} are allowed"),
    "minProperties": lambda value, asked: ("is empty", "name at least one, or leave it out"),
    "maxProperties": lambda value, asked: (f"holds {len(value)}", f"at most {asked} are allowed"),
    "uniqueItems": lambda value, asked: (f"is {_quoted(value)}, which names something twice", "name each once"),
}


def _quoted(value: object) -> str:
    """A wrong value as JSON would write it, cut."""
    try:
        told = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):  # what no JSON holds; or a number too long to be written out
        told = type(value).__name__
    return shown(told if len(told) <= _QUOTED else told[:_QUOTED] + "…")


def _meant(name: str, unknown: str) -> str:
    like: Collection[str] = difflib.get_close_matches(unknown[:_QUOTED], GATES[name].properties, n=1)
    return f"did you mean {next(iter(like))}?" if like else _takes(name)


def _takes(name: str) -> str:
    gate = GATES[name]
    needs = f" and needs {', '.join(gate.required)}" if gate.required else ""
    return f"{name} takes {', '.join(gate.properties)}{needs}" if gate.properties else f"{name} takes nothing else"
