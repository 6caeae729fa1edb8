"""How the table of an experiment's runs is asked for: its columns, its order and its filter, from a query string."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import F

from core import text
from core.errors import Invalid
from core.searching import Condition, Field, Of, Operator, Order
from lineage.conditions import Column
from lineage.queries import as_uuid
from lineage.tables import Column as Logged
from web.grammar import LISTS, NULLS, NUMBER, TEXT, Attribute, Grammar, parse_filter

AT_FIRST, MOST = 3, 12  # columns of metrics, and of parameters, when nobody chose; and of all when somebody did
FILTER_LIMIT = 2000  # characters

# The words are those of MLflow's clients, so that one can take a filter from the one place to the other.
_GRAMMAR = Grammar(
    attributes={
        "run_name": Attribute("name", TEXT),
        "run_id": Attribute("id", frozenset({Operator.EQUAL, Operator.DIFFERENT}) | LISTS),
        "user_id": Attribute("user_name", TEXT),
        "status": Attribute("status", TEXT),
        "start_time": Attribute("started_ms", NUMBER, number=True, whole=True),
        "end_time": Attribute("ended_ms", NUMBER, number=True, whole=True),
    },
    named={Of.METRIC: NUMBER, Of.PARAM: TEXT | NULLS, Of.TAG: TEXT | NULLS, Of.DATASET: TEXT | LISTS},
)
COLUMNS = {
    "id": Column("id", read=as_uuid),
    "name": Column("name", is_text=True),
    "user_name": Column("user_name", is_text=True),
    "status": Column("status", is_text=True),
    "started_ms": Column("started_ms"),
    "ended_ms": Column("ended_ms", nullable=True),
    "duration": Column(F("ended_ms") - F("started_ms"), nullable=True),
}
_OWN = {"run": "name", "status": "status", "started": "started_ms", "duration": "duration"}
_OWNERS = {"metrics": Of.METRIC, "params": Of.PARAM, "tags": Of.TAG}
_WORDS = {of: word for word, of in _OWNERS.items()}
_NEXT = re.compile(r",\s*(?=(?:metrics|params|tags)\.)")  # a name may hold commas of its own


class BadColumn(Invalid):
    """{value!r} is no column: write metrics.NAME, params.NAME or tags.NAME, with commas between."""

    field = "columns"


class TooManyColumns(Invalid):
    """{count} columns were chosen; at most {limit} are shown at once: choose fewer."""

    field = "columns"


class BadTableOrder(Invalid):
    """Runs cannot be ordered by {value!r}: use one of run, status, started, duration, metrics.NAME, params.NAME or
    tags.NAME, with a hyphen before it for the highest first."""

    field = "order"


class OrderTooSlow(Invalid):
    """An experiment of more than {limit} runs can be ordered by when they started and by a metric, not by {value!r}:
    filter by it instead."""

    field = "order"


@dataclass(frozen=True)
class Heading:
    """A column: `asked` is how it is written in a query string, `order` what its link asks for, empty for no link.

    `sorted` is `ascending`, `descending` or empty, as ARIA has it.
    """

    label: str
    asked: str
    order: str = ""
    sorted: str = ""
    field: Field | None = None


def written(field: Field) -> str:
    """A field as query strings write it."""
    return f"{_WORDS[field.of]}.{field.name}"


def columns(asked: Sequence[str], logged: Sequence[Logged]) -> list[Field]:
    """The columns that are asked for, or else metrics and parameters that most of the newest runs logged.

    `asked` is `request.GET.getlist("columns")`. Raises BadColumn, TooManyColumns.
    """
    found = list(dict.fromkeys(_field(one) for value in asked for one in _NEXT.split(value) if one))
    if len(found) > MOST:
        raise TooManyColumns(count=len(found), limit=MOST)
    if found or "" in asked:
        return found
    told = [each.field for each in logged if not each.field.name.startswith("system/")]
    return [field for of in (Of.METRIC, Of.PARAM) for field in [f for f in told if f.of is of][:AT_FIRST]]


def order(asked: str, *, few: bool, limit: int) -> list[Order]:
    """The order that is asked for; what no index gives only of `few` runs. Raises BadTableOrder, OrderTooSlow."""
    name = asked.removeprefix("-")
    descending = asked.startswith("-")
    if not name:
        return []
    try:
        field = Field(Of.ATTRIBUTE, _OWN[name]) if name in _OWN else _field(name)
    except BadColumn:
        raise BadTableOrder(value=name) from None
    if not few and name != "started" and field.of is not Of.METRIC:
        raise OrderTooSlow(value=name, limit=limit)
    return [] if (name, descending) == ("started", True) else [Order(field, descending)]


def conditions(asked: str) -> list[Condition]:
    """What a filter asks for; raises TooLong and what `parse_filter` raises."""
    return parse_filter(text.free_text("filter", asked, limit=FILTER_LIMIT), _GRAMMAR)


def headings(chosen: Sequence[Field], ordered_by: str, *, few: bool) -> list[Heading]:
    """The headings of the table: run, when it started and how long it took, then the chosen columns."""
    own = [("Run", "run"), ("Started", "started"), ("Took", "duration")]
    found = [_heading(label, asked, ordered_by, few=few or asked == "started") for label, asked in own]
    for field in chosen:
        found.append(_heading(field.name, written(field), ordered_by, few=few or field.of is Of.METRIC, field=field))
    return found


def _heading(label: str, asked: str, ordered_by: str, *, few: bool, field: Field | None = None) -> Heading:
    if not few:
        return Heading(label, asked, field=field)
    # The first click has the highest metric and the latest start first, of all else the lowest.
    falls = asked == "started" or bool(field and field.of is Of.METRIC)
    now = ordered_by or "-started"
    sorted_now = {asked: "ascending", f"-{asked}": "descending"}.get(now, "")
    descending = sorted_now == "ascending" if sorted_now else falls
    return Heading(label, asked, f"-{asked}" if descending else asked, sorted_now, field)


def _field(value: str) -> Field:
    owner, _, name = value.partition(".")
    if owner not in _OWNERS or not name:
        raise BadColumn(value=value)
    return Field(_OWNERS[owner], text.storable("columns", name)[:250])
