"""The history of a stage or an alias as intervals: which version, from when to when, on whose word, what ended it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

from django.db.models import Q, QuerySet
from django.utils import timezone

from core.errors import Invalid
from registry.lifecycle import Stage
from registry.models import Approval, Model, Occupancy, Pointing, Promotion
from registry.policy import ALIAS_MARK

Held: TypeAlias = Occupancy | Pointing
_Rows = TypeVar("_Rows", Occupancy, Pointing)
ALIASES_OFFERED = 50
ON_ONE_DAY = 50  # changes that the sentence about a day names


class WindowBackwards(Invalid):
    """The time asked for ends before it begins: let until be the same as from, or later."""

    field = "until"


class How(StrEnum):
    """What ended an interval."""

    REPLACED = "replaced"  # by a promotion of another version
    MOVED = "moved"  # to another stage, by a promotion of its own
    REMOVED = "removed"  # the alias was taken away
    DELETED = "deleted"  # the version, or its model


@dataclass(frozen=True)
class Ending:
    """`version` is the one that came instead; `stage` where the version went; `promotion` what did it, if one did."""

    how: How
    version: int | None = None
    stage: str | None = None
    promotion: Promotion | None = None


@dataclass(frozen=True)
class Interval:
    """A version held a stage, or an alias pointed at it; `approvals` are those that counted."""

    held: Held
    approvals: tuple[Approval, ...]
    ending: Ending | None  # None: it lasts

    @property
    def lasted(self) -> datetime.timedelta:
        """How long, or how long so far."""
        return max((self.held.ended_at or timezone.now()) - self.held.started_at, datetime.timedelta())


@dataclass(frozen=True)
class Window:
    """From one moment up to and with another; None: without a bound."""

    since: datetime.datetime | None = None
    until: datetime.datetime | None = None

    def __post_init__(self) -> None:
        if self.since and self.until and self.until < self.since:
            raise WindowBackwards


def intervals(model: Model, target: str, window: Window = Window()) -> QuerySet[Any]:
    """The intervals of `target`, a stage or '@' and an alias, that touch the window: occupancies or pointings, in no
    order yet.

    They hold their beginning and not their end, so what ended when the window begins does not touch it.
    """
    if target.startswith(ALIAS_MARK):
        pointings = Pointing.objects.filter(model=model, alias=target.removeprefix(ALIAS_MARK))
        return _within(pointings, window, apart=Q())
    # What is alone in its stage does not overlap with another that is.
    return _within(Occupancy.objects.filter(model=model, stage=target), window, apart=Q(exclusive=True))


def _within(rows: QuerySet[_Rows], window: Window, apart: Q) -> QuerySet[_Rows]:
    """Those that touch the window; `apart`: those among them that never overlap, of which an index finds the first."""
    found = rows.select_related(
        "version__manifest", "version__model", "promotion__decided_by", "promotion__requester", "promotion__version"
    )
    if window.until:
        found = found.filter(started_at__lte=window.until)
    if window.since:
        found = found.filter(Q(ended_at__isnull=True) | Q(ended_at__gt=window.since))
        before = rows.filter(apart, started_at__lte=window.since).order_by("-started_at")
        first = before.values_list("started_at", flat=True).first()
        if first:
            found = found.filter(Q(started_at__gte=first) | ~apart if apart else Q(started_at__gte=first))
    return found


def targets(model: Model, shown: str) -> list[str]:
    """What a page offers to look at: the stages that serve, the aliases that the model has, and what is shown."""
    names = model.aliases.order_by("name").values_list("name", flat=True)[:ALIASES_OFFERED]
    offered = [str(Stage.PRODUCTION), str(Stage.STAGING), *(f"{ALIAS_MARK}{name}" for name in names)]
    return offered if shown in offered else [*offered, shown]


def told(held: Sequence[Held]) -> list[Interval]:
    """Each of the intervals, all of one target, with its approvals and what ended it. At most two queries."""
    approvals = _approvals(held)
    endings = _ends_of_pointings(held) if held and isinstance(held[0], Pointing) else _ends_of_occupancies(held)
    return [Interval(each, tuple(approvals.get(each.pk, ())), endings.get(each.pk)) for each in held]


def _approvals(held: Iterable[Held]) -> dict[int, list[Approval]]:
    decided = {each.promotion.pk: each.promotion for each in held if each.promotion}
    given: dict[object, list[Approval]] = {}
    rows = Approval.objects.filter(promotion__in=list(decided)).select_related("reviewer").order_by("at")
    for approval in rows if decided else ():
        if approval.counted:
            given.setdefault(approval.promotion_id, []).append(approval)
    return {each.pk: given.get(each.promotion_id, []) for each in held}


def _ends_of_occupancies(held: Iterable[Held]) -> dict[int, Ending]:
    ended = {each.pk: each for each in held if isinstance(each, Occupancy) and each.ended_at}
    next_of: dict[tuple[object, object], list[Occupancy]] = {}
    if ended:
        following = Occupancy.objects.filter(
            version__in={each.version_id for each in ended.values()},
            started_at__in={each.ended_at for each in ended.values()},
        )
        for entered in following.select_related("promotion__version", "promotion__decided_by").order_by("pk"):
            next_of.setdefault((entered.version_id, entered.started_at), []).append(entered)
    found = {}
    for pk, each in ended.items():
        later = [entered for entered in next_of.get((each.version_id, each.ended_at), ()) if entered.pk > pk]
        found[pk] = _left(each, later[0]) if later else Ending(How.DELETED)
    return found


def _left(held: Occupancy, entered: Occupancy) -> Ending:
    promotion = entered.promotion
    if promotion and promotion.version_id != held.version_id:
        return Ending(How.REPLACED, promotion.version.number, entered.stage, promotion)
    return Ending(How.MOVED, None, entered.stage, promotion)


def _ends_of_pointings(held: Iterable[Held]) -> dict[int, Ending]:
    ended = {each.pk: each for each in held if isinstance(each, Pointing) and each.ended_at}
    if not ended:
        return {}
    some = next(iter(ended.values()))
    following = Pointing.objects.filter(
        model=some.model_id, alias=some.alias, started_at__in={each.ended_at for each in ended.values()}
    )
    later = list(following.select_related("version", "promotion__decided_by").order_by("pk"))
    found = {}
    for pk, each in ended.items():
        after = next((other for other in later if other.started_at == each.ended_at and other.pk > pk), None)
        if after:
            found[pk] = Ending(How.REPLACED, after.version.number, None, after.promotion)
        else:
            found[pk] = Ending(How.DELETED if each.version.deleted_at == each.ended_at else How.REMOVED)
    return found


# --- One day, in words ------------------------------------------------------------------------------------------------


def on_day(model: Model, target: str, first: datetime.datetime, last: datetime.datetime) -> str:
    """Who held `target` on the day that begins at `first` and whose last moment is `last`, and on whose word."""
    day = f"{first.day} {first:%B %Y}"
    rows = intervals(model, target, Window(first, last)).order_by("started_at", "pk")[: ON_ONE_DAY + 1]
    found = told(list(rows))
    alias = target.startswith(ALIAS_MARK)
    if not found:
        return f"On {day} (UTC) {target} pointed at nothing." if alias else f"On {day} (UTC) nothing was in {target}."
    holding = [f"v{each.held.version.number} {_when(each.held, first, last)}, {on_whose_word(each)}" for each in found]
    more = "; and more, in the list below" if len(found) > ON_ONE_DAY else ""
    where = f"{target} pointed at" if alias else f"{target} was held by"
    return f"On {day} (UTC) {where} {'; then '.join(holding[:ON_ONE_DAY])}{more}."


def _when(held: Held, first: datetime.datetime, last: datetime.datetime) -> str:
    ends_then = held.ended_at and held.ended_at <= last
    if held.started_at > first:
        since = f"from {held.started_at:%H:%M:%S}"
        return f"{since} to {held.ended_at:%H:%M:%S}" if ends_then else f"{since} on"
    if ends_then:
        return f"until {held.ended_at:%H:%M:%S}"
    return "all day" if last < timezone.now() else "all day so far"


def on_whose_word(interval: Interval) -> str:
    """In words, who put the version there and who vouched for it."""
    promotion = interval.held.promotion
    if promotion is None:
        return "without a promotion"
    by = promotion.decided_by.username if promotion.decided_by else "nobody"
    done = "put there over the policy" if promotion.bypass else "rolled back" if promotion.rollback else "promoted"
    names = [approval.reviewer.username for approval in interval.approvals]
    approved = f"approved by {' and '.join(names)}" if names else "with no approval"
    return f"{done} by {by} and {approved}"
