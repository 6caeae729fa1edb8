"""How a search compares and orders: conditions and orders compiled into queries, by the columns of a kind of thing.

A row without the tag, parameter or metric that a condition names fulfils none but MISSING. What is ordered by comes
first when it has a value; NaN comes after all numbers and nothing at all last, whichever way the order runs. Texts are
ordered by their code points, the same on every database.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db.models import (
    BigAutoField,
    Case,
    Exists,
    F,
    FilteredRelation,
    Lookup,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    UUIDField,
    Value,
    When,
)
from django.db.models.expressions import Combinable
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce, Collate, Left

from core.searching import Condition, Field, Of, Operator, Order, compared
from lineage.models import HEAD, LoggedModelMetric, RunInput
from lineage.queries import CONTEXT_TAG

_NAN = float("nan")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_YEARS = range(-62_000_000_000_000, 253_000_000_000_000)  # milliseconds that a moment can be: to the year 9987

Row = TypeVar("Row", bound=Model)


class _AnyOf(Lookup):
    """One of a list that goes as one value, however long it is."""

    lookup_name = "any_of"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, values = self.process_lhs(compiler, connection)
        return f"{left} = ANY(%s)", (*values, self.rhs)


UUIDField.register_lookup(_AnyOf)
BigAutoField.register_lookup(_AnyOf)


@dataclass(frozen=True)
class Column:
    """An attribute: the column's path or an expression; `read` turns a condition's value into the column's.

    `nullable` of one that may hold nothing, `is_text` of one that is ordered as text, `is_moment` of a time that is
    compared in whole milliseconds; `shown` is how it reads, for LIKE, when that is not what is stored.
    """

    of: str | Combinable
    read: Callable[[Any], Any] | None = None
    nullable: bool = False
    is_text: bool = False
    is_moment: bool = False
    shown: Combinable | None = None


@dataclass(frozen=True)
class Kind:
    """What things of a kind are searched by. `named` are the models of what is named freely: a table, and its column
    of the thing."""

    columns: Mapping[str, Column]
    owner: str
    named: Mapping[Of, tuple[type[Model], str]]
    by_head: frozenset[Of] = field(default_factory=frozenset)  # those with an index of the first HEAD characters


def with_value(rows: QuerySet[Any], condition: Condition, *, by_head: bool = False) -> QuerySet[Any]:
    """The rows whose `value` fulfils the condition."""
    of, operator, value = condition.field.of, condition.operator, condition.value
    rows = rows.filter(compared("value", operator, value))
    if of is Of.METRIC and operator in (Operator.MORE, Operator.AT_LEAST):
        rows = rows.filter(value__lt=_NAN)  # for PostgreSQL it is above every number; for searches it is none
    if by_head and operator is Operator.EQUAL:
        rows = rows.alias(head=Left("value", HEAD)).filter(head=str(value)[:HEAD])
    return rows


def narrowed(
    rows: QuerySet[Row], conditions: Sequence[Condition], kind: Kind, metrics: Q | None = None
) -> QuerySet[Row]:
    """The rows that fulfil all conditions; metrics count only where `metrics` holds of them."""
    for number, condition in enumerate(conditions):
        match condition.field.of:
            case Of.ATTRIBUTE:
                rows = _compared_attribute(rows, condition, kind.columns[condition.field.name], f"compared_{number}")
            case Of.DATASET:
                rows = rows.filter(_read_dataset(condition))
            case of:
                rows = rows.filter(_has_named(condition, kind, (metrics or Q()) if of is Of.METRIC else Q()))
    return rows


def _compared_attribute(rows: QuerySet[Row], condition: Condition, column: Column, alias: str) -> QuerySet[Row]:
    value: Any = condition.value
    if column.shown and condition.operator in (Operator.LIKE, Operator.ILIKE):
        column = Column(column.shown, nullable=column.nullable)
    if column.read:
        value = tuple(map(column.read, value)) if isinstance(value, tuple) else column.read(value)
    if isinstance(column.of, str):
        name = column.of
    else:
        rows, name = rows.alias(**{alias: column.of}), alias
    if column.is_moment:
        return rows.filter(_in_millis(name, condition.operator, int(value)))
    found = compared(name, condition.operator, value)
    # NOT (x = 1) is true of nothing at all as Django writes it.
    return rows.filter(found, **{f"{name}__isnull": False}) if column.nullable else rows.filter(found)


def _in_millis(name: str, operator: Operator, value: int) -> Q:
    """A condition on a moment, which is finer than the milliseconds that are asked for."""
    value = min(max(value, _YEARS.start), _YEARS.stop)
    first = _EPOCH + datetime.timedelta(milliseconds=value)
    after = first + datetime.timedelta(milliseconds=1)
    within = Q(**{f"{name}__gte": first, f"{name}__lt": after})
    return {
        Operator.EQUAL: within,
        Operator.DIFFERENT: ~within,
        Operator.LESS: Q(**{f"{name}__lt": first}),
        Operator.AT_MOST: Q(**{f"{name}__lt": after}),
        Operator.MORE: Q(**{f"{name}__gte": after}),
        Operator.AT_LEAST: Q(**{f"{name}__gte": first}),
    }[operator]


def _has_named(condition: Condition, kind: Kind, more: Q) -> Q:
    """That there is a tag, parameter or metric of this name which fulfils the condition."""
    of = condition.field.of
    model, _ = kind.named[of]
    rows: QuerySet[Any] = model._default_manager.filter(
        more, **{kind.owner: OuterRef("pk"), "key": condition.field.name}
    )
    match condition.operator:
        case Operator.MISSING:
            return ~Q(Exists(rows))
        case Operator.PRESENT:
            return Q(Exists(rows))
    return Q(Exists(with_value(rows, condition, by_head=of in kind.by_head)))


def _read_dataset(condition: Condition) -> Q:
    """That the run read a data set which fulfils the condition."""
    rows = RunInput.objects.filter(run=OuterRef("pk"))
    if condition.field.name == "context":
        rows = rows.alias(context=KeyTextTransform(CONTEXT_TAG, "tags")).filter(context__isnull=False)
        return Q(Exists(rows.filter(compared("context", condition.operator, condition.value))))
    return Q(Exists(rows.filter(compared(f"dataset__{condition.field.name}", condition.operator, condition.value))))


def ordered(rows: QuerySet[Row], orders: Sequence[Order], kind: Kind) -> tuple[QuerySet[Row], list[str]]:
    """The rows with what they are ordered by, and the names of that for `core.paging`: never null."""
    order: list[str] = []
    for number, wanted in enumerate(orders):
        sign, of = "-" if wanted.descending else "", wanted.field.of
        column = kind.columns.get(wanted.field.name) if of is Of.ATTRIBUTE else None
        if column and isinstance(column.of, str) and not column.is_text and not column.nullable:
            order.append(sign + column.of)
            continue
        rank, value = f"rank_{number}", f"value_{number}"
        source: str | Combinable
        if column:
            source = column.of
        elif kind.owner == "logged_model" and of is Of.METRIC:
            source = _measured(wanted.field)
        else:
            relation = kind.named[of][1]
            named = FilteredRelation(relation, condition=Q(**{f"{relation}__key": wanted.field.name}))
            rows, source = rows.alias(**{f"named_{number}": named}), f"named_{number}__value"
        rows = rows.alias(**{f"source_{number}": F(source) if isinstance(source, str) else source})
        source = f"source_{number}"
        is_text = column.is_text if column else of is not Of.METRIC
        if is_text:
            text = Collate(Cast(F(source), TextField()), "C")
            rows = rows.annotate(**{value: Coalesce(text, Value(""), output_field=TextField())})
        else:
            numbers = Case(When(**{source: _NAN}, then=None), default=F(source)) if of is Of.METRIC else F(source)
            rows = rows.annotate(**{value: Coalesce(numbers, Value(0.0 if of is Of.METRIC else 0))})
        if column is None or column.nullable:
            is_missing = When(**{f"{source}__isnull": True}, then=2)
            is_nan = [When(**{source: _NAN}, then=1)] if of is Of.METRIC else []
            rows = rows.annotate(**{rank: Case(is_missing, *is_nan, default=0)})
            order.append(rank)
        order.append(sign + value)
    return rows, order


def _measured(field: Field) -> Combinable:
    """The latest value of a metric of a logged model, on the data set that the field names or on any."""
    rows = LoggedModelMetric.objects.filter(logged_model=OuterRef("pk"), key=field.name)
    if field.dataset_name:
        rows = rows.filter(dataset_name=field.dataset_name)
    if field.dataset_digest:
        rows = rows.filter(dataset_digest=field.dataset_digest)
    return Subquery(rows.order_by("-timestamp_ms", "-step", "run_id").values("value")[:1])


def with_ties_broken(order: list[str], by: Sequence[str]) -> list[str]:
    """`order`, and `by` after it as far as it is needed; nothing comes after the id, which is unique."""
    bare = [name.lstrip("-") for name in order]
    if "id" in bare:
        return order[: bare.index("id") + 1]
    return [*order, *(name for name in by if name.lstrip("-") not in bare)]
