"""What a search asks for, in no wire's words: conditions that must all hold, and the order of what is found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db.models import CharField, Lookup, Q, TextField

Value = str | int | float | tuple[str, ...] | None


class Operator(StrEnum):
    """How a field is compared. `LIKE` knows `%` (any text) and `_` (any character); `ILIKE` disregards case."""

    EQUAL = "="
    DIFFERENT = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    LIKE = "LIKE"
    ILIKE = "ILIKE"
    IN = "IN"
    NOT_IN = "NOT IN"
    MISSING = "IS NULL"
    PRESENT = "IS NOT NULL"


class Of(StrEnum):
    """Whose field it is: one of the thing's own, or one of those that whoever logged it named."""

    ATTRIBUTE = "attribute"
    TAG = "tag"
    PARAM = "param"
    METRIC = "metric"
    DATASET = "dataset"


@dataclass(frozen=True)
class Field:
    """A field by its name: `Field(Of.METRIC, "rmse")`. A metric may be that of one data set only."""

    of: Of
    name: str
    dataset_name: str = ""
    dataset_digest: str = ""


@dataclass(frozen=True)
class Condition:
    """`value` is text for LIKE and ILIKE, a tuple of texts for IN and NOT IN, None for MISSING and PRESENT."""

    field: Field
    operator: Operator
    value: Value = None


@dataclass(frozen=True)
class Order:
    field: Field
    descending: bool = False


class _Like(Lookup):
    """`LIKE`, in which `%` and `_` alone are wild: a backslash is itself."""

    lookup_name = "like"
    operator = "LIKE"

    def get_prep_lookup(self) -> Any:
        return str(self.rhs).replace("\\", "\\\\")

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, left_values = self.process_lhs(compiler, connection)
        right, right_values = self.process_rhs(compiler, connection)
        return f"{left} {self.operator} {right}", (*left_values, *right_values)


class _ILike(_Like):
    lookup_name = "ilike"
    operator = "ILIKE"


class _Holds(_ILike):
    """It is somewhere in the text, in any case, and nothing in it is wild: `icontains` that an index serves."""

    lookup_name = "holds"

    def get_prep_lookup(self) -> Any:
        literal = re.sub(r"[%_\\]", r"\\\g<0>", str(self.rhs))
        return f"%{literal}%"


for _text_field in (CharField, TextField):
    for _lookup in (_Like, _ILike, _Holds):
        _text_field.register_lookup(_lookup)


_LOOKUPS = {
    Operator.EQUAL: "exact",
    Operator.LESS: "lt",
    Operator.AT_MOST: "lte",
    Operator.MORE: "gt",
    Operator.AT_LEAST: "gte",
    Operator.LIKE: "like",
    Operator.ILIKE: "ilike",
    Operator.IN: "in",
}


def compared(column: str, operator: Operator, value: Value) -> Q:
    """The condition that `column` compares so with `value`.

    Of a column of another table this is "there is one that …": search by Exists instead, else DIFFERENT and NOT_IN find
    rows that have another one as well.
    """
    match operator:
        case Operator.DIFFERENT:
            return ~Q(**{column: value})
        case Operator.NOT_IN:
            return ~Q(**{f"{column}__in": value})
        case Operator.MISSING | Operator.PRESENT:
            return Q(**{f"{column}__isnull": operator is Operator.MISSING})
    return Q(**{f"{column}__{_LOOKUPS[operator]}": value})
