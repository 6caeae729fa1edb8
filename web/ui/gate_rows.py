"""A gate as a row of fields, and back: what is typed into them as a definition, which a policy's own checks judge."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from django.http import QueryDict

from registry.errors import BadGate
from registry.gates import GATES, LIMIT, Definition, checked

_ROW = re.compile(r"gate-([0-9]{1,3})-gate")
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_QUOTED = re.compile(r"`([a-z_]+)`")
_NAME = re.compile(r"[a-z_]+")
_MOST = 2 * LIMIT  # rows that are shown; what is too many for a policy is told by its checks

TITLES = {
    "metric_threshold": "A metric reaches a limit",
    "not_worse": "A metric is not worse than before",
    "required_tags": "Tags are set",
    "description": "There is a description",
    "required_checks": "Checks have passed",
    "digest": "Its files are verified",
    "signature": "There is a model signature",
    "lineage": "It is known where it came from",
    "soak": "It was tried in a stage for some time",
    "fresh_evaluation": "It was evaluated lately",
}
_LABELS = {
    "metric": "Metric",
    "check": "Measured by the check",
    "reported_by": "Accounts whose reports count",
    "at_least": "At least",
    "at_most": "At most",
    "direction": "Better are",
    "by": "May be worse by",
    "relative": "as a part of the value before: 0.02 allows 2 % less",
    "keys": "Tags that must be there",
    "allowed": "Values that will do",
    "of": "Of which",
    "min_length": "Characters, at least",
    "sections": "Sections",
    "names": "Names of the checks",
    "within_days": "Within days",
    "input_example": "and an input example",
    "stage": "Stage",
    "hours": "Hours at one go",
    "days": "Within days",
}
_HINTS = {
    "check": "Left empty, the metric is the run’s own.",
    "reported_by": "One a line; left empty, everybody’s.",
    "keys": "One a line.",
    "allowed": "A tag a line, with its values: risk: low, medium",
    "sections": "Headings, one a line.",
    "names": "One a line.",
    "hours": "Several stays do not add up.",
}
_HINTS_OF = {
    ("fresh_evaluation", "check"): "Left empty, the end of its run counts.",
    ("lineage", "of"): "None ticked: all of them.",
}


def label_of(name: str) -> str:
    """What the form calls a parameter of gates."""
    return _LABELS.get(name, name)


class Kind(StrEnum):
    """How a parameter is typed."""

    TEXT = "text"
    NUMBER = "number"
    YES = "yes"
    CHOICE = "choice"
    SOME = "some"  # several of a few
    LINES = "lines"
    TABLE = "table"  # lines of a key with several values


@dataclass(frozen=True)
class Field:
    """A parameter of a gate as the form shows it."""

    id: str
    kind: Kind
    label: str
    hint: str
    needed: bool
    value: str
    chosen: tuple[str, ...]
    options: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """What is typed for one gate. `was` is the gate as it stood when the form was filled from it.

    A field that still holds what was put into it stands for what it was put there for, to the letter: spaces at an end,
    an order, a `false` that goes without saying.
    """

    gate: str
    typed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    was: Mapping[str, Any] = field(default_factory=dict)
    place: int = 0

    @classmethod
    def of(cls, definition: Definition, place: int = 0) -> Row:
        """A row for a gate that stands in a policy."""
        gate = definition["gate"]
        typed = {
            name: _put(_kind(schema), definition[name])
            for name, schema in GATES[gate].properties.items()
            if name in definition
        }
        return cls(gate, typed, definition, place)

    @property
    def id(self) -> str:
        return f"gate-{self.place}"

    @property
    def title(self) -> str:
        return TITLES.get(self.gate, self.gate)

    @property
    def about(self) -> str:
        if self.gate not in GATES:
            return "There is no such gate: remove it."
        return _QUOTED.sub(lambda name: f"“{label_of(name[1])}”", GATES[self.gate].about)

    def in_words(self, refused: Mapping[str, Any]) -> str:
        """Why the checks refuse something of this gate, for whoever looks at its fields."""
        why, hint = str(refused.get("why", "")), str(refused.get("hint", ""))
        if why == "is missing":
            return "Fill this in."
        gate = GATES.get(self.gate)
        if gate and why.startswith(("has ", "goes with ")):  # that name other fields
            others = {*gate.one_of, *gate.any_of, *(name for each in gate.together.values() for name in each)}
            why = _NAME.sub(lambda name: f"“{label_of(name[0])}”" if name[0] in others else name[0], why)
        return f"It {why}: {hint}."

    @property
    def was_json(self) -> str:
        """What the gate was, to come back with the form."""
        return json.dumps(dict(self.was))

    @property
    def fields(self) -> Iterator[Field]:
        """The fields of the row, those that must be filled in first."""
        gate = GATES.get(self.gate)
        if gate is None:
            return
        names = sorted(gate.properties, key=lambda name: name not in gate.required)
        for name in names:
            schema = gate.properties[name]
            kind, typed = _kind(schema), self.typed.get(name, ())
            hint = _HINTS_OF.get((self.gate, name)) or _HINTS.get(name, "")
            options = schema.get("enum") or schema.get("items", {}).get("enum", ())
            label = label_of(name)
            needed = name in gate.required or (kind == Kind.YES)
            value = typed[0] if typed else ""
            yield Field(f"{self.id}-{name}", kind, label, hint, needed, value, tuple(typed), tuple(options))

    @property
    def definition(self) -> dict[str, Any]:
        """The gate as it would stand in the policy, unchecked."""
        made: dict[str, Any] = {"gate": self.gate}
        for name, schema in GATES[self.gate].properties.items() if self.gate in GATES else ():
            kind, typed = _kind(schema), self.typed.get(name, ())
            if name in self.was and _same(kind, self.was[name], typed):
                made[name] = self.was[name]
            elif any(each.strip() for each in typed):
                made[name] = _TAKEN[kind](typed, self.was.get(name))
        return made


def rows_posted(sent: QueryDict) -> tuple[Row, ...]:
    """The rows of a form that somebody sent, numbered anew."""
    places = sorted({int(found[1]) for key in sent if (found := _ROW.fullmatch(key))})
    return numbered([_posted(sent, place) for place in places[:_MOST]])


def numbered(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with their places counted from 0."""
    return tuple(replace(row, place=place) for place, row in enumerate(rows))


def _posted(sent: QueryDict, place: int) -> Row:
    gate = sent.get(f"gate-{place}-gate", "")[:100]
    names = GATES[gate].properties if gate in GATES else ()
    typed = {
        name: tuple(value.replace("\r\n", "\n") for value in sent.getlist(f"gate-{place}-{name}")) for name in names
    }
    return Row(gate, typed, _was(sent.get(f"gate-{place}-was", "")), place)


def _was(sent: str) -> dict[str, Any]:
    """The gate as it stood when the form was filled; nothing where what came with the form is none."""
    try:
        return checked([json.loads(sent)])[0] if sent else {}
    except (ValueError, RecursionError, BadGate):
        return {}


# --- One parameter ----------------------------------------------------------------------------------------------------


def _kind(schema: Mapping[str, Any]) -> Kind:
    if "enum" in schema:
        return Kind.CHOICE
    if schema["type"] == "array":
        return Kind.SOME if "enum" in schema["items"] else Kind.LINES
    kinds = {"boolean": Kind.YES, "number": Kind.NUMBER, "integer": Kind.NUMBER, "object": Kind.TABLE}
    return kinds.get(schema["type"], Kind.TEXT)


def _put(kind: Kind, value: Any) -> tuple[str, ...]:
    """What the fields hold for a value, which has passed the checks."""
    if kind == Kind.YES:
        return ("yes",) if value else ()
    if kind == Kind.SOME:
        return tuple(value)
    if kind == Kind.LINES:
        return ("\n".join(value),)
    if kind == Kind.TABLE:
        return ("\n".join(_line(key, values) for key, values in sorted(value.items())),)
    return (repr(value) if isinstance(value, float) else str(value),)


def _line(key: str, values: Sequence[str]) -> str:
    return f"{key}: {', '.join(values)}"


def _same(kind: Kind, was: Any, typed: tuple[str, ...]) -> bool:
    """Whether the fields hold what they were filled with; `was` came with the form, so it may be anything."""
    try:
        put = _put(kind, was)
    except (AttributeError, TypeError, ValueError):
        return False
    return sorted(put) == sorted(typed) if kind == Kind.SOME else put == typed


def _number(typed: tuple[str, ...], was: Any) -> Any:
    """A number; what is none stays text, which the checks refuse by name."""
    said = typed[0].strip().replace("−", "-")
    if _WHOLE.fullmatch(said):
        return int(said)
    return float(said) if _NUMBER.fullmatch(said) else said


def _lines(typed: tuple[str, ...], was: Any) -> list[str]:
    kept = set(map(str, was)) if isinstance(was, list) else set()
    lines = [line if line in kept else line.strip() for line in typed[0].split("\n")]
    return [line for line in lines if line]


def _table(typed: tuple[str, ...], was: Any) -> dict[str, list[str]]:
    kept = {}
    if isinstance(was, dict):
        kept = {_line(key, each): (key, each) for key, each in was.items() if isinstance(each, list) and _texts(each)}
    found: dict[str, list[str]] = {}
    for line in typed[0].split("\n"):
        if line in kept:
            key, values = kept[line]
        elif line.strip():
            key, _, rest = line.partition(":")
            key, values = key.strip(), [value.strip() for value in rest.split(",") if value.strip()]
        else:
            continue
        found.setdefault(key, []).extend(values)
    return found


def _texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


_TAKEN: dict[Kind, Any] = {
    Kind.TEXT: lambda typed, was: typed[0].strip(),
    Kind.CHOICE: lambda typed, was: typed[0],
    Kind.YES: lambda typed, was: True,
    Kind.SOME: lambda typed, was: list(typed),
    Kind.NUMBER: _number,
    Kind.LINES: _lines,
    Kind.TABLE: _table,
}
