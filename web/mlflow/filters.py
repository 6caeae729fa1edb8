"""The part of MLflow's filter grammar that stock clients send by themselves: `attribute = 'value' AND …`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.db.models import Q

from core.errors import Invalid
from lineage.models import LoggedModelStatus
from lineage.queries import LoggedModelNotFound, as_uuid
from web.mlflow.places import logged_model_key

_AND = re.compile(r"\s+AND\s+", re.IGNORECASE)
_CLAUSE = re.compile(r"""\s*(?:attributes?\.)?(\w+)\s*(!=|=)\s*('[^']*'|"[^"]*")""")


class BadFilter(Invalid):
    """The filter cannot be read at {rest!r}: write ATTRIBUTE = 'VALUE' or ATTRIBUTE != 'VALUE', joined by AND."""

    field = "filter"


class UnknownAttribute(Invalid):
    """Logged models cannot be filtered by {value!r}: use one of {known}."""

    field = "filter"


def conditions(text: str) -> Q:
    """The filter `text` as a condition on logged models; BadFilter, UnknownAttribute."""
    found, position = Q(), 0
    while text[position:].strip():
        if position:
            joint = _AND.match(text, position)
            if joint is None:
                raise BadFilter(rest=text[position:])
            position = joint.end()
        clause = _CLAUSE.match(text, position)
        if clause is None:
            raise BadFilter(rest=text[position:])
        attribute, operator, quoted = clause.groups()
        if attribute not in _ATTRIBUTES:
            raise UnknownAttribute(value=attribute, known=", ".join(_ATTRIBUTES))
        lookup, read = _ATTRIBUTES[attribute]
        value = read(quoted[1:-1])
        condition = Q(**{f"{lookup}__in": [] if value is None else [value]})
        found &= ~condition if operator == "!=" else condition
        position = clause.end()
    return found


def _key(value: str) -> Any:
    try:
        return logged_model_key(value)
    except LoggedModelNotFound:
        return None


def _status(value: str) -> str:
    name = value.upper().removeprefix("LOGGED_MODEL_")
    return LoggedModelStatus.FAILED if name == "UPLOAD_FAILED" else name


# Attribute → column, and its value as the column has it; what cannot be a value matches nothing.
_ATTRIBUTES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "name": ("name", str),
    "model_id": ("pk", _key),
    "model_type": ("model_type", str),
    "status": ("status", _status),
    "source_run_id": ("source_run_id", as_uuid),
}
