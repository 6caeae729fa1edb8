"""Which version holds each stage and alias of a model now, and which held them before: the board, and its history."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BigIntegerField, F, Func, OuterRef, QuerySet, Value
from django.db.models.functions import Concat
from django.utils import timezone

from registry.lifecycle import Stage
from registry.models import Model, Occupancy, Pointing
from registry.policy import ALIAS_MARK

ON_BOARD = 5  # versions shown in each column of the board
IN_LANE = 30  # the newest intervals of a stage or an alias that its history shows
SERVING = (Stage.PRODUCTION, Stage.STAGING)
_COLUMNS = (Stage.NONE, Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED)
_LANES = 8  # of aliases, by name
_ALIASES = 1000


@dataclass(frozen=True)
class Moved:
    """What of the promotion that put a version somewhere is shown there."""

    id: uuid.UUID
    target: str
    version_id: uuid.UUID
    bypass: bool
    rollback: bool
    valid_until: datetime.datetime | None
    by: str

    @property
    def page(self) -> str:
        """The path of its page."""
        return f"/promotions/{self.id}"

    @property
    def has_lapsed(self) -> bool:
        """Whether the word for it does not hold any more."""
        return self.valid_until is not None and self.valid_until <= timezone.now()


@dataclass(frozen=True)
class Stay:
    """A version held `target`, a stage or '@' and an alias, from one moment to another (None: it does)."""

    target: str
    number: int
    version_id: uuid.UUID
    since: datetime.datetime
    until: datetime.datetime | None
    deleted: bool
    promotion: Moved | None

    @property
    def own(self) -> Moved | None:
        """The promotion that moved this very version here, and not another one out of whose way it went."""
        promotion = self.promotion
        mine = promotion and promotion.version_id == self.version_id and promotion.target == self.target
        return promotion if mine else None

    @property
    def alias(self) -> str:
        return self.target.removeprefix(ALIAS_MARK)


@dataclass(frozen=True)
class Column:
    """A stage with its newest occupants; `more` when there are others."""

    stage: Stage
    stays: tuple[Stay, ...]
    more: bool


@dataclass(frozen=True)
class Lane:
    """What holds one target and held it last, the newest first; `more` when there were earlier ones."""

    target: str
    stays: tuple[Stay, ...]
    more: bool


@dataclass(frozen=True)
class Places:
    """The board, the aliases by name, and the history of what serves: Production, Staging and protected aliases."""

    board: tuple[Column, ...]
    aliases: tuple[Stay, ...]
    lanes: tuple[Lane, ...]

    def holders(self) -> dict[str, list[int]]:
        """By target, the numbers of the versions that hold what one version holds at a time: a stage with one version
        or none, an alias that a promotion set."""
        held = {stay.target: [stay.number] for stay in self.aliases if stay.promotion}
        for column in self.board:
            if column.stage in SERVING and len(column.stays) <= 1:
                held[column.stage] = [stay.number for stay in column.stays]
        return held


def places(model: Model) -> Places:
    """What holds the stages and aliases of a model, and held them. One query."""
    occupancies = Occupancy.objects.filter(model=model).annotate(place=F("stage"))
    pointings = Pointing.objects.filter(model=model).annotate(place=Concat(Value(ALIAS_MARK), "alias"))
    open_now = [
        occupancies.filter(stage=stage, ended_at__isnull=True).order_by("-started_at")[: ON_BOARD + 1]
        for stage in _COLUMNS
    ]
    held = [occupancies.filter(stage=stage).order_by("-started_at") for stage in SERVING]
    # Those that are over by themselves too: where many last, they alone tell whether there were earlier ones.
    past = [rows[: IN_LANE + 1] for stage in held for rows in (stage, stage.filter(ended_at__isnull=False))]
    pointing_now = pointings.filter(ended_at__isnull=True)
    protected = pointing_now.filter(promotion__isnull=False).order_by("alias")[:_LANES]
    pointed = pointings.filter(pk__in=_newest_of(protected))
    parts: Sequence[QuerySet[Occupancy] | QuerySet[Pointing]] = [
        *open_now, *past, pointing_now.order_by("alias")[:_ALIASES], pointed
    ]  # fmt: skip
    rows = reduce(lambda found, more: found.union(more), [part.values_list(*_SHOWN) for part in parts])
    stays = sorted((_stay(row) for row in rows), key=lambda stay: (stay.since, stay.number), reverse=True)
    aliases = sorted(
        (stay for stay in stays if stay.target.startswith(ALIAS_MARK) and stay.until is None), key=lambda s: s.target
    )
    guarded = [stay.target for stay in aliases if stay.promotion][:_LANES]
    return Places(
        board=tuple(_column(stage, stays) for stage in _COLUMNS),
        aliases=tuple(aliases),
        lanes=tuple(lane for target in (*SERVING, *guarded) if (lane := _lane(target, stays)).stays),
    )


def _newest_of(protected: QuerySet[Pointing]) -> QuerySet[Pointing, Any]:
    """The ids of the newest intervals of each of these aliases: one that moves often hides no other's history."""
    same = Pointing.objects.filter(model=OuterRef("model"), alias=OuterRef("alias")).order_by("-started_at")
    newest = ArraySubquery(same.values("pk")[: IN_LANE + 2])  # one of them lasts
    each = Func(newest, function="unnest", output_field=BigIntegerField(), set_returning=True)
    return Pointing.objects.filter(pk__in=protected.values("pk")).annotate(each=each).values("each")


_SHOWN = (
    "place",
    "version__number",
    "version_id",
    "started_at",
    "ended_at",
    "version__deleted_at",
    "promotion_id",
    "promotion__target",
    "promotion__version_id",
    "promotion__bypass",
    "promotion__rollback",
    "promotion__valid_until",
    "promotion__decided_by__username",
)


def _stay(row: tuple[Any, ...]) -> Stay:
    target, number, version_id, since, until, deleted_at, *told = row
    promotion_id, asked, moved_id, bypass, rollback, valid_until, by = told
    moved = (
        Moved(promotion_id, asked, moved_id, bypass, rollback, valid_until, by or "nobody") if promotion_id else None
    )
    return Stay(target, number, version_id, since, until, deleted_at is not None, moved)


def _column(stage: Stage, stays: Sequence[Stay]) -> Column:
    here = [stay for stay in stays if stay.target == stage and stay.until is None]
    return Column(stage, tuple(here[:ON_BOARD]), len(here) > ON_BOARD)


def _lane(target: str, stays: Sequence[Stay]) -> Lane:
    there = [stay for stay in stays if stay.target == target]
    open_now = [stay for stay in there if stay.until is None]
    ended = [stay for stay in there if stay.until is not None]
    return Lane(target, (*open_now, *ended[:IN_LANE]), len(ended) > IN_LANE)
