"""Keyset paging: a page token holds where the last page ended, signed and bound to the query it belongs to."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Generic, TypeVar

from django.core import signing
from django.db.models import Q, QuerySet

from core.canonical import digest
from core.errors import Invalid


class BadPageToken(Invalid):
    """The page token is not one that this list gave out for this query: start again without it."""


class BadPageSize(Invalid):
    """The page size {value!r} is not allowed: use a whole number from 1 to {limit}."""


Row = TypeVar("Row")


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page of a list; `next_token` is empty on the last."""

    items: list[Row]
    next_token: str


def page_size(value: object, *, default: int, limit: int, field: str = "page_size") -> int:
    """`value` (a number, numeric text, or None for the default) as a size from 1 to `limit`."""
    if value is None or value == "":
        return default
    try:
        size = int(str(value))
    except ValueError:
        size = 0
    if not 1 <= size <= limit:
        raise BadPageSize(field=field, value=value, limit=limit)
    return size


def paginate(rows: QuerySet[Any, Row], *, order: Sequence[str], size: int, token: str, query: object) -> Page[Row]:
    """One page of `rows`, models or tuples of the columns of `order`, in `order`.

    `order` names columns that are never null (`-` before one for descending); the last must be unique, so that the
    position is. `query` is whatever else shaped the list (filters): a token given out for another one is refused.
    Raises BadPageToken.
    """
    bound_to = digest([list(order), query])
    if token:
        rows = rows.filter(_after(order, _opened(token, bound_to)))
    return _page(list(rows.order_by(*order)[: size + 1]), order, size, bound_to)


def paginate_together(
    lists: Sequence[QuerySet[Any]], *, order: Sequence[str], size: int, token: str, query: object
) -> Page[Any]:
    """One page of several lists in one: `paginate`, with one query for each list.

    Each has the columns of `order`, and the last tells the rows of all of them apart. All go the same way: either every
    column of `order` has its `-`, or none.
    """
    bound_to = digest([list(order), query])
    if token:
        after = _after(order, _opened(token, bound_to))
        lists = [rows.filter(after) for rows in lists]
    found = [row for rows in lists for row in rows.order_by(*order)[: size + 1]]
    found.sort(key=lambda row: _place(row, order), reverse=order[0].startswith("-"))
    return _page(found[: size + 1], order, size, bound_to)


def paginate_merged(
    lists: Sequence[QuerySet[Any, Row]], *, order: Sequence[str], size: int, token: str, query: object
) -> Page[Row]:
    """`paginate` of several lists of one kind, which have no row in common, as one: in one statement.

    Each list is read off an index of its own up to a page's length, where one condition over all of them would have the
    rows of all sorted. Raises BadPageToken.
    """
    bound_to = digest([list(order), query])
    if token:
        after = _after(order, _opened(token, bound_to))
        lists = [rows.filter(after) for rows in lists]
    first, *others = [rows.order_by(*order)[: size + 1] for rows in lists]
    merged = first.union(*others, all=True).order_by(*order)[: size + 1] if others else first
    return _page(list(merged), order, size, bound_to)


def paginate_in_turn(
    lists: Sequence[QuerySet[Any, Row]], *, order: Sequence[str], size: int, token: str, query: object
) -> Page[Row]:
    """`paginate` of several lists, each of which begins where the one before it ends. Raises BadPageToken."""
    first, _, token = token.partition(".") if token else ("0", "", "")
    if first not in map(str, range(max(1, len(lists)))):  # of no lists there is one page, and nothing on it
        raise BadPageToken(field="page_token")
    items: list[Row] = []
    for turn in range(int(first), len(lists)):
        room = size - len(items)
        if not room:
            # Is there more? Only what comes next can tell.
            if lists[turn].exists():
                return Page(items, f"{turn}.")
            continue
        page = paginate(lists[turn], order=order, size=room, token=token, query=[query, turn])
        items += page.items
        token = ""
        if page.next_token:
            return Page(items, f"{turn}.{page.next_token}")
    return Page(items, "")


def _page(found: list[Row], order: Sequence[str], size: int, bound_to: str) -> Page[Row]:
    """The page that `found` begins with, which holds one row more when another page follows."""
    if len(found) <= size:
        return Page(found, "")
    return Page(found[:size], _sealed(_place(found[size - 1], order), bound_to))


def _place(row: object, order: Sequence[str]) -> list[Any]:
    if isinstance(row, tuple):
        return list(row)
    return [_value(row, column.lstrip("-")) for column in order]


def _after(order: Sequence[str], values: Sequence[Any]) -> Q:
    """Rows past `values`: (a > x) or (a = x and b > y) …, with a bound on the first column that an index can use."""
    columns = [(column.lstrip("-"), "lt" if column.startswith("-") else "gt") for column in order]
    branches = []
    for position, (column, beyond) in enumerate(columns):
        same = {name: value for (name, _), value in zip(columns[:position], values, strict=False)}
        branches.append(Q(**same, **{f"{column}__{beyond}": values[position]}))
    first, beyond = columns[0]
    return Q(**{f"{first}__{beyond}e": values[0]}) & reduce(Q.__or__, branches)


def _value(row: object, path: str) -> Any:
    return reduce(getattr, path.split("__"), row)


_FROM_TEXT: dict[str, Callable[[Any], Any]] = {
    "time": datetime.datetime.fromisoformat,
    "uuid": uuid.UUID,
    "plain": lambda value: value,
}


def _sealed(values: Sequence[Any], bound_to: str) -> str:
    packed = [
        ["time", value.isoformat()]
        if isinstance(value, datetime.datetime)
        else ["uuid", str(value)]
        if isinstance(value, uuid.UUID)
        else ["plain", value]
        for value in values
    ]
    return signing.dumps([bound_to, packed], salt="page", compress=True)


def _opened(token: str, bound_to: str) -> list[Any]:
    try:
        told, packed = signing.loads(token, salt="page")
    except signing.BadSignature:
        raise BadPageToken(field="page_token") from None
    if told != bound_to:
        raise BadPageToken(field="page_token")
    return [_FROM_TEXT[kind](value) for kind, value in packed]
