"""What a stage held, or an alias pointed at, before: what one can roll back to, and on whose word it was there."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import F, Q, QuerySet, Value

from registry.lifecycle import State
from registry.models import Model, Occupancy, Pointing, Promotion, Version
from registry.models.catalog import VersionStatus
from registry.policy import ALIAS_MARK

OFFERED = 10  # earlier versions of one target
_LOOKED_AT = 100  # the newest intervals of one target, of which several may be one version's


@dataclass(frozen=True)
class Earlier:
    """A version that held `target` and does not any more. `promotion` moved it there; None for an alias set freely."""

    target: str
    version: Version
    promotion: Promotion | None
    until: datetime.datetime


@dataclass(frozen=True)
class Word:
    """On whose word a version was put where it was: `promotion` is the one that was decided, not rolled back to."""

    promotion: Promotion
    approved_by: tuple[str, ...]

    @property
    def by(self) -> str:
        """Who decided, in words: "approved by ana and ben", "put there by root past its policy"."""
        if self.approved_by and not self.promotion.bypass:
            return f"approved by {' and '.join(self.approved_by)}"
        decider = self.promotion.decided_by
        past = " past its policy" if self.promotion.bypass else ""
        return f"put there by {decider.username if decider else 'nobody known'}{past}"


def of_number(model: Model, target: str, number: int) -> Earlier | None:
    """The last time that this version held `target`, whatever became of it since; None when it never did."""
    return next(iter(_newest(_intervals(model, target).filter(version__number=number)[:1], target)), None)


def last_before(model: Model, target: str) -> Earlier | None:
    """What held `target` last, before what holds it now."""
    return next(iter(_newest(_others(model, target)[:1], target)), None)


def offered(model: Model, targets: Collection[str]) -> dict[str, list[Earlier]]:
    """For each target, what one may choose to roll back to: living and ready versions, the last one first.

    At most OFFERED of each, and of a stage those that held it alone. One query for stages and one for aliases.
    """
    stages = [target for target in targets if not target.startswith(ALIAS_MARK)]
    aliases = [target for target in targets if target.startswith(ALIAS_MARK)]
    rows: list[Occupancy | Pointing] = []
    for kind in (stages, aliases):
        there = [_others(model, target) for target in kind]
        if kind is stages:
            there = [rows_of_one.filter(exclusive=True) for rows_of_one in there]
        each: list[QuerySet[Any]] = [_may_serve(rows_of_one)[:_LOOKED_AT] for rows_of_one in there]
        if each:
            rows += each[0].union(*each[1:], all=True) if len(each) > 1 else each[0]
    rows.sort(key=lambda row: row.started_at, reverse=True)  # a union keeps no order
    found = {target: _newest([row for row in rows if _target(row) == target], target) for target in targets}
    return {target: earlier[:OFFERED] for target, earlier in found.items()}


def words(of: Collection[Promotion]) -> dict[uuid.UUID, Word]:
    """On whose word each of these promotions put its version there, by their ids. One query.

    A rollback stands on the word of the promotion before it that was none.
    """
    if not of:
        return {}
    counted = Q(approvals__counted=True)
    decided = Promotion.objects.filter(
        version__in={promotion.version_id for promotion in of},
        target__in={promotion.target for promotion in of},
        state=State.PROMOTED,
        rollback=False,
    ).annotate(
        approvers=ArrayAgg("approvals__reviewer__username", filter=counted, order_by="approvals__at", default=Value([]))
    )
    given: dict[tuple[uuid.UUID, str], list[Word]] = {}
    for origin in decided.select_related("decided_by").order_by("-decided_at", "-pk"):
        given.setdefault((origin.version_id, origin.target), []).append(Word(origin, tuple(origin.approvers)))  # type: ignore[attr-defined]
    found = {}
    for promotion in of:
        for word in given.get((promotion.version_id, promotion.target), ()):
            if word.promotion == promotion or (promotion.rollback and _before(word.promotion, promotion)):
                found[promotion.pk] = word
                break
    return found


def _before(promotion: Promotion, other: Promotion) -> bool:
    return bool(promotion.decided_at and other.decided_at and promotion.decided_at < other.decided_at)


def _intervals(model: Model, target: str) -> QuerySet[Any]:
    """Occupancies or pointings: when which version held `target`, by which promotion of its own; newest first.

    What was archived to make room holds Archived by the promotion of another: nobody decided on that one.
    """
    own = Q(promotion__version=F("version"), promotion__target=target, promotion__state=State.PROMOTED)
    loaded = ("version__manifest", "promotion__decided_by")
    if target.startswith(ALIAS_MARK):
        pointings = Pointing.objects.filter(model=model, alias=target.removeprefix(ALIAS_MARK))
        free = Q(promotion__isnull=True)
        return pointings.filter(own | free).select_related(*loaded).order_by("-started_at", "-pk")
    occupancies = Occupancy.objects.filter(own, model=model, stage=target)
    return occupancies.select_related(*loaded).order_by("-started_at", "-pk")


def _others(model: Model, target: str) -> QuerySet[Any]:
    """The same without the versions that hold it now."""
    rows = _intervals(model, target)
    here = rows.filter(ended_at__isnull=True).order_by().values("version")
    return rows.exclude(version__in=here)


def _may_serve(rows: QuerySet[Any]) -> QuerySet[Any]:
    living = rows.filter(version__deleted_at__isnull=True, version__status=VersionStatus.READY)
    return living.filter(promotion__isnull=False)


def _newest(rows: Iterable[Occupancy | Pointing], target: str) -> list[Earlier]:
    """One of each version, the last interval of it."""
    found: dict[uuid.UUID, Earlier] = {}
    for row in rows:
        if row.version_id not in found:
            until = row.ended_at or row.started_at
            found[row.version_id] = Earlier(target, row.version, row.promotion, until)
    return list(found.values())


def _target(row: Occupancy | Pointing) -> str:
    return f"{ALIAS_MARK}{row.alias}" if isinstance(row, Pointing) else row.stage
