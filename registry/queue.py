"""The review queue: what waits for the actor, what waits for others, what was decided, and why each is where it is."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from django.db.models import QuerySet

from accounts.actor import Actor
from accounts.roles import Action
from registry.lifecycle import State
from registry.models import Approval, Comment, Promotion, ReviewRequest
from registry.outlook import Outlook, evidences, outlooks
from registry.parts import without_part_of

COUNTED = 100  # beyond it a count says "more than"
_ASKED = 20  # of those that one was asked for, how many come before all others
_LOOKED_AT = 200  # the actor's own approvals on open promotions, of which it is asked whether they still count
# What a row, and the outlook of its promotion, look at.
_SHOWN = ("model", "version__manifest", "version__registrar", "requester", "decided_by")


class Lane(StrEnum):
    """The part of the queue that is looked at."""

    MINE = "mine"
    WAITING = "waiting"
    AFTERWARDS = "afterwards"
    DECIDED = "decided"


@dataclass(frozen=True)
class Counts:
    """How many promotions are open, or to be looked at afterwards, up to COUNTED + 1 of each."""

    mine: int
    waiting: int
    afterwards: int


@dataclass(frozen=True)
class Row:
    """One promotion of the queue, with one line that says why it is not through yet."""

    promotion: Promotion
    why: str
    asked_by: str = ""  # who asked the actor to review it
    mentioned_by: str = ""  # who mentioned him in a comment on it, the last one


class Queue:
    """The queue as one actor sees it."""

    def __init__(self, actor: Actor):
        self.actor = actor

    def lane(self, which: Lane) -> QuerySet[Promotion]:
        """The promotions of a lane, unordered."""
        seen = Promotion.objects.visible_to(self.actor).select_related(*_SHOWN)
        if which == Lane.DECIDED:
            # What went through without anybody's approval being asked is history, not review.
            return seen.exclude(state=State.OPEN).filter(policy__approvals__gt=0)
        if which == Lane.AFTERWARDS:
            return self._to_look_at(seen)
        mine = self._to_decide().values("pk")
        return seen.open().filter(pk__in=mine) if which == Lane.MINE else seen.open().exclude(pk__in=mine)

    def counts(self) -> Counts:
        """How many wait for the actor, for others, and for the actor to look at afterwards."""
        others = Promotion.objects.visible_to(self.actor).open().exclude(pk__in=self._to_decide().values("pk"))
        afterwards = self._to_look_at(Promotion.objects.visible_to(self.actor))
        return Counts(mine=self.count_to_decide(), waiting=_count(others), afterwards=_count(afterwards))

    def count_to_decide(self) -> int:
        """How many wait for the actor, up to COUNTED + 1."""
        return _count(self._to_decide())

    def rows(self, found: Collection[Promotion]) -> list[Row]:
        """Each of these promotions with its line. A constant number of queries."""
        open_now = [promotion for promotion in found if promotion.state == State.OPEN]
        looks = outlooks(open_now) if open_now else {}
        asked, mentioned = self._asked(open_now), self._mentioned(open_now)
        return [
            Row(
                promotion,
                self._why(promotion, looks.get(promotion.pk)),
                asked_by=asked.get(promotion.pk, ""),
                mentioned_by=mentioned.get(promotion.pk, ""),
            )
            for promotion in found
        ]

    def asked_first(self, page: Sequence[Promotion]) -> list[Promotion]:
        """The first page of the actor's lane, what he was asked for before the rest of it: at most 20 more rows."""
        asked = self.lane(Lane.MINE).filter(review_requests__reviewer=self.actor.user_id)
        first = list(asked.order_by(*order(Lane.MINE))[:_ASKED])
        return [*first, *(promotion for promotion in page if promotion not in first)]

    def _asked(self, open_now: Collection[Promotion]) -> dict[uuid.UUID, str]:
        """For each of these of which the actor was asked for a review: by whom."""
        if not open_now:
            return {}
        asked = ReviewRequest.objects.filter(promotion__in=open_now, reviewer=self.actor.user_id)
        return dict(asked.values_list("promotion", "asked_by__username"))

    def _mentioned(self, open_now: Collection[Promotion]) -> dict[uuid.UUID, str]:
        """For each of these on which a comment mentions the actor: whose, the newest one's."""
        if not open_now:
            return {}
        said = Comment.objects.filter(promotion__in=open_now, mentions=self.actor.user_id, deleted_at__isnull=True)
        newest = said.order_by("promotion", "-id").distinct("promotion")
        return {pk: name for pk, name in newest.values_list("promotion", "author__username") if pk}

    def _to_decide(self) -> QuerySet[Promotion]:
        """Open promotions that the actor may approve, and has not yet with an approval that counts."""
        open_now = self._where_he_may(Action.APPROVE_PROMOTION, Promotion.objects.visible_to(self.actor).open())
        free = without_part_of(self.actor.user_id, open_now)
        return free.exclude(pk__in=self._vouched_for)

    def _to_look_at(self, seen: QuerySet[Promotion]) -> QuerySet[Promotion]:
        """Bypasses and rollbacks that nobody has reviewed afterwards and the actor may."""
        owed = self._where_he_may(Action.REVIEW_AFTERWARDS, seen.filter(to_review=True, reviewed_at__isnull=True))
        return without_part_of(self.actor.user_id, owed, carrying_out_too=True)

    def _where_he_may(self, action: Action, promotions: QuerySet[Promotion]) -> QuerySet[Promotion]:
        if self.actor.may(action):
            return promotions
        allowed = [pk for pk in self.actor.model_roles if self.actor.may(action, pk)]
        return promotions.filter(model__in=allowed) if allowed else promotions.none()

    @cached_property
    def _vouched_for(self) -> list[uuid.UUID]:
        """Open promotions that the actor approved on the evidence of now: a digest, which only Python makes."""
        seen = Promotion.objects.visible_to(self.actor).open()
        own = Approval.objects.filter(reviewer=self.actor.user_id, promotion__in=seen)
        given = list(own.select_related("promotion__model", "promotion__version__manifest")[:_LOOKED_AT])
        if not given:
            return []
        now = evidences([approval.promotion for approval in given])
        return [a.promotion_id for a in given if a.evidence == now[a.promotion_id].digest]

    def _why(self, promotion: Promotion, look: Outlook | None) -> str:
        if look is None:
            return promotion.reason
        lines = [f"needs {missing}" for missing in look.missing]
        if look.stale:
            lines.append(
                f"{len(look.stale)} approval{'s no longer count' if len(look.stale) > 1 else ' no longer counts'}"
            )
        if any(approval.reviewer_id == self.actor.user_id for approval in look.counting):
            lines.append("you have approved")
        elif why := look.excluded.get(self.actor.user_id):
            lines.append(f"you cannot approve: {why}")
        line = "; ".join(lines)
        return line[:1].upper() + line[1:]


def order(which: Lane) -> tuple[str, str]:
    """Those that wait oldest first; decided ones newest first."""
    if which == Lane.AFTERWARDS:
        return ("decided_at", "id")
    return ("-decided_at", "-id") if which == Lane.DECIDED else ("requested_at", "id")


def _count(rows: QuerySet[Promotion]) -> int:
    return rows[: COUNTED + 1].count()
