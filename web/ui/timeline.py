"""Which version held what when, as a picture: a lane for each stage and protected alias, a bar for each interval.

Places along the lanes are per cent of their width, so that a lane is as wide as the screen and its words stay legible.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from registry.lanes import Lane, Stay
from registry.lifecycle import Stage
from web.ui.tags import lasting

BAR, GAP = 22, 4  # pixels
TRACKS = 6  # of bars above each other, where several versions held a stage at once
_NOW = 98.0  # per cent: where today's line is
_LEAST = 0.6  # per cent: how wide a bar is at least
_TICKS = (0.0, 0.5, 1.0)  # of the way from the first moment to now


@dataclass(frozen=True)
class Bar:
    """An interval: `x` and `width` in per cent, `y` in pixels; `said` tells it in words, with exact times."""

    stay: Stay
    x: str
    width: str
    y: int
    said: str


@dataclass(frozen=True)
class Row:
    """A lane: its bars, and how high it is, in pixels."""

    target: str
    kind: str
    bars: tuple[Bar, ...]
    height: int
    more: bool


@dataclass(frozen=True)
class Tick:
    x: str
    anchor: str
    words: str


@dataclass(frozen=True)
class Timeline:
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    now: str
    said: str
    marked: bool  # by bypass or rollback, at least one of them
    bar: int = BAR


def timeline(name: str, lanes: Sequence[Lane], now: datetime.datetime) -> Timeline | None:
    """The picture of these lanes up to `now`; None when nothing was ever in one of them.

    Where a lane does not hold all of its history, the picture begins with what it holds, for all lanes.
    """
    if not lanes:
        return None
    first = _first(lanes)
    span = max(now - first, datetime.timedelta(seconds=1))
    rows = tuple(_row(lane, first, span, now) for lane in lanes)
    moved = [bar.stay.promotion for row in rows for bar in row.bars if bar.stay.promotion]
    return Timeline(
        rows=rows,
        ticks=tuple(_tick(share, first, span) for share in _TICKS),
        now=_percent(_NOW),
        said=f"What of {name} was where from {_day(first)} to now",
        marked=any(promotion.bypass or promotion.rollback for promotion in moved),
    )


def _first(lanes: Sequence[Lane]) -> datetime.datetime:
    cut = [min(stay.since for stay in lane.stays if stay.until) for lane in lanes if lane.more]
    return max(cut) if cut else min(stay.since for lane in lanes for stay in lane.stays)


def _row(lane: Lane, first: datetime.datetime, span: datetime.timedelta, now: datetime.datetime) -> Row:
    bars: list[Bar] = []
    free_from: list[float] = []  # of each track, in per cent
    for stay in sorted(lane.stays, key=lambda stay: stay.since):
        if stay.until and stay.until <= first:
            continue
        start = _place(max(stay.since, first), first, span)
        end = _place(stay.until or now, first, span)
        track = next((at for at, free in enumerate(free_from) if free <= start), len(free_from))
        if track == len(free_from) and track < TRACKS:
            free_from.append(0.0)
        track = min(track, TRACKS - 1)
        free_from[track] = max(free_from[track], end)
        width = max(end - start, _LEAST)
        bars.append(Bar(stay, _percent(start), _percent(width), track * (BAR + GAP) + GAP, _said(stay, now)))
    kind = lane.target.lower() if lane.target in list(Stage) else "alias"
    return Row(lane.target, kind, tuple(bars), max(len(free_from), 1) * (BAR + GAP) + GAP, lane.more)


def _place(moment: datetime.datetime, first: datetime.datetime, span: datetime.timedelta) -> float:
    return max(0.0, min(1.0, (moment - first) / span)) * _NOW


def _percent(share: float) -> str:
    return f"{share:.2f}%"


def _tick(share: float, first: datetime.datetime, span: datetime.timedelta) -> Tick:
    moment = first + span * share
    words = "now" if share == 1 else _day(moment) if span.days >= 2 else f"{moment.astimezone(datetime.UTC):%H:%M}"
    return Tick(_percent(share * _NOW), ("start", "middle", "end")[_TICKS.index(share)], words)


def _day(moment: datetime.datetime) -> str:
    moment = moment.astimezone(datetime.UTC)
    return f"{moment.day} {moment:%b %Y}"


def _exactly(moment: datetime.datetime) -> str:
    return f"{_day(moment)}, {moment.astimezone(datetime.UTC):%H:%M:%S} UTC"


def _said(stay: Stay, now: datetime.datetime) -> str:
    where = f"under {stay.target}" if stay.alias != stay.target else f"in {stay.target}"
    until = f"to {_exactly(stay.until)}" if stay.until else "until now"
    length = lasting(max((stay.until or now) - stay.since, datetime.timedelta()))
    by = ""
    if stay.promotion:
        how = " by bypass" if stay.promotion.bypass else " by rollback" if stay.promotion.rollback else ""
        by = f"; {stay.promotion.by}{how}"
    return f"v{stay.number} {where} from {_exactly(stay.since)} {until}, {length}{by}"
