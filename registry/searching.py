"""Searches of models and versions: conditions that must all hold, an order, a page. Each order is that of an index."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from django.db.models import Exists, F, FilteredRelation, OuterRef, Q, QuerySet, Value
from django.db.models.lookups import Exact, StartsWith

from accounts.actor import Actor
from core.paging import Page, paginate
from core.searching import Condition, Of, Operator, Order, compared
from registry.models import Model, ModelTag, Version, VersionTag
from registry.models.catalog import START, hashed, start_of
from registry.queries import models
from registry.resolving import VersionFacts, facts_of_versions

AT_ONCE = 500  # versions that one statement reads
ENOUGH = 16 * 2**20  # characters of descriptions and tags, after which a page ends before it is full

# What can be searched, by the names that conditions and orders use.
_OF_MODELS = {"name": "name", "updated_at": "updated_at"}
_OF_VERSIONS = {
    "name": "model_name",
    "number": "number",
    "run": "run_ref",
    "source": "source",
    "created_at": "created_at",
    "updated_at": "updated_at",
}

Row = TypeVar("Row", Model, Version)


@dataclass(frozen=True)
class Tag:
    key: str
    value: str


@dataclass(frozen=True)
class Versions:
    """One page of versions; `next_token` is empty on the last."""

    items: list[VersionFacts]
    next_token: str


def search_models(
    actor: Actor,
    conditions: Sequence[Condition],
    orders: Sequence[Order],
    *,
    size: int,
    token: str,
    unless_tagged: Tag | None = None,
) -> Page[Model]:
    """Models that the actor can see, each with its creator, tags and aliases, by name unless `orders` say otherwise.

    `unless_tagged` leaves out those with this very tag. Three queries. Raises BadPageToken.
    """
    rows = _narrowed(models(actor), conditions, _OF_MODELS, ModelTag.objects.all(), "model")
    if unless_tagged:
        rows = rows.filter(~_with_tag("pk", unless_tagged))
    order = _order(orders, _OF_MODELS, default=["name"], ties=["name"])
    return paginate(rows, order=order, size=size, token=token, query=_asked(actor, "models", conditions, unless_tagged))


def search_versions(
    actor: Actor,
    conditions: Sequence[Condition],
    orders: Sequence[Order],
    *,
    size: int,
    token: str,
    unless_model_tagged: Tag | None = None,
) -> Versions:
    """Living versions of the models that the actor can see, those changed last first unless `orders` say otherwise.

    `unless_model_tagged` leaves out those of models with this very tag. Two queries for each `AT_ONCE` versions. Raises
    BadPageToken.
    """
    order = _order(
        orders, _OF_VERSIONS, default=["-updated_at", "model_name", "-number"], ties=["model_name", "-number"]
    )
    rows: QuerySet[Version] = Version.objects.visible_to(actor)
    rest = list(conditions)
    equal_tags = [each for each in rest if each.field.of is Of.TAG and each.operator is Operator.EQUAL]
    if order[0] == "-updated_at" and equal_tags:
        rows, order[0] = _led_by_tag(rows, actor, equal_tags[0]), "-changed_at"
        rest.remove(equal_tags[0])
    tags = VersionTag.objects.filter(workspace=actor.workspace_id)
    rows = _narrowed(rows, rest, _OF_VERSIONS, tags, "version")
    if unless_model_tagged:
        rows = rows.filter(~_with_tag("model", unless_model_tagged))
    rows = rows.only(*{column.lstrip("-") for column in order} - {"changed_at"})
    query = _asked(actor, "versions", conditions, unless_model_tagged)
    found: list[VersionFacts] = []
    length = 0
    while size > 0 and length < ENOUGH:
        page = paginate(rows, order=order, size=min(size, AT_ONCE), token=token, query=query)
        facts = facts_of_versions([version.pk for version in page.items])
        length += sum(len(each.description) + sum(len(value) for _, value in each.tags) for each in facts)
        found += facts
        size, token = size - AT_ONCE, page.next_token
        if not token:
            break
    return Versions(found, token)


def _led_by_tag(rows: QuerySet[Version], actor: Actor, condition: Condition) -> QuerySet[Version]:
    """Those with this very tag; their `changed_at` is their `updated_at`, read from an index of tags in that order."""
    of_workspace = Q(tags__key=condition.field.name, tags__workspace=actor.workspace_id)
    rows = rows.alias(tag=FilteredRelation("tags", condition=of_workspace)).filter(tag__isnull=False)
    return _compared(rows.annotate(changed_at=F("tag__changed_at")).alias(value=F("tag__value")), "value", condition)


def _narrowed(
    rows: QuerySet[Row], conditions: Sequence[Condition], columns: Mapping[str, str], tags: QuerySet[Any], owner: str
) -> QuerySet[Row]:
    for condition in conditions:
        if condition.field.of is Of.TAG:
            # A tag that is not there is neither equal nor different.
            there = tags.filter(**{owner: OuterRef("pk")}, key=condition.field.name)
            rows = rows.filter(Exists(_compared(there, "value", condition)))
        else:
            rows = _compared(rows, columns[condition.field.name], condition)
    return rows


def _compared(rows: QuerySet[Any], column: str, condition: Condition) -> QuerySet[Any]:
    """The rows whose `column` fulfils the condition, by an index where there is one of what is too long for one."""
    match column, condition.operator:
        case "value", Operator.EQUAL:
            whole = str(condition.value)
            rows = rows.filter(Exact(start_of(column), Value(whole[:START])))
            if len(whole) < START:
                return rows
        case "source", Operator.EQUAL:
            rows = rows.filter(Exact(hashed(column), hashed(Value(condition.value))))
        case "source", Operator.LIKE:
            start = re.split("[%_]", str(condition.value))[0][:START]
            rows = rows.filter(StartsWith(start_of(column), start))
            if condition.value == f"{start}%":
                return rows
    return rows.filter(compared(column, condition.operator, condition.value))


def _with_tag(model: str, tag: Tag) -> Exists:
    return Exists(ModelTag.objects.filter(model=OuterRef(model), key=tag.key, value=tag.value))


def _order(orders: Sequence[Order], columns: Mapping[str, str], *, default: list[str], ties: list[str]) -> list[str]:
    chosen = [("-" if order.descending else "") + columns[order.field.name] for order in orders] or default
    named = {column.lstrip("-") for column in chosen}
    return chosen + [column for column in ties if column.lstrip("-") not in named]


def _asked(actor: Actor, what: str, conditions: Sequence[Condition], unless: Tag | None) -> list[Any]:
    """What a page token is bound to, besides the order."""
    return [what, actor.workspace_id, [asdict(condition) for condition in conditions], unless and asdict(unless)]
