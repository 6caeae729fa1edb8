"""The review queue: what waits for the actor, for others or for a gate, what was decided, and why each is where it is.

Lanes are conditions that the database decides, since they are counted and paged. What a gate says is known only once
it is judged: a promotion is in the lane of the blocked ones by what its gates said when somebody last acted on it
(`Promotion.held_by_gates`); the line of each row is judged anew.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from django.db.models import CharField, OuterRef, QuerySet, Subquery, Value
from django.db.models.expressions import RawSQL

from accounts.actor import Actor
from accounts.roles import Action
from core import text
from registry.lifecycle import State
from registry.models import Comment, Model, Promotion, ReviewRequest
from registry.models.promotions import PromotionQuerySet
from registry.outlook import Outlook, outlooks
from registry.parts import not_left_out, without_part_of
from registry.policy import ALIAS_MARK
from registry.references import target_named

COUNTED = 100  # beyond it a count says "more than"
_ASKED = 20  # of those that one was asked for, how many come before all others
_NAMED = 500  # models that a part of a name finds, up to which they are looked up by themselves
# What a row, and the outlook of its promotion, look at.
_SHOWN = ("model", "version__manifest", "version__registrar", "requester", "decided_by")


class Lane(StrEnum):
    """The part of the queue that is looked at."""

    MINE = "mine"
    WAITING = "waiting"
    BLOCKED = "blocked"
    AFTERWARDS = "afterwards"
    DECIDED = "decided"


@dataclass(frozen=True)
class Counts:
    """How many promotions are in each lane, up to COUNTED + 1; decided ones are not counted.

    What a gate holds and the actor may decide is in both of these lanes.
    """

    mine: int
    waiting: int
    blocked: int
    afterwards: int


@dataclass(frozen=True)
class Filters:
    """What the lanes are narrowed to; what is empty narrows nothing."""

    model: str = ""  # a part of its name, in any case
    target: str = ""  # a stage, '@' and an alias, or '@' alone for any alias
    requester: str = ""  # a username

    @classmethod
    def of(cls, *, model: str = "", target: str = "", requester: str = "") -> Filters:
        """As somebody wrote them: BadTarget, TooLong or BadCharacter, naming the field."""
        return cls(
            model=text.free_text("model", model.strip(), limit=255, lines=False),
            target=target if target in ("", ALIAS_MARK) else target_named(target),
            requester=text.free_text("requester", requester.strip(), limit=150, lines=False),
        )

    def __bool__(self) -> bool:
        return bool(self.model or self.target or self.requester)


@dataclass(frozen=True)
class Row:
    """One promotion of the queue, with one line that says why it is not through yet."""

    promotion: Promotion
    why: str
    failing: int = 0  # how many gates hold it now
    asked_by: str = ""  # who asked the actor to review it
    mentioned_by: str = ""  # who mentioned him in a comment on it, the last one


# The actor's approvals of open promotions that still count. Of the evidence, PostgreSQL compares all but what gates
# read; of that it has the digest which somebody's act on the promotion led to last.
_VOUCHED_FOR = """
SELECT a.promotion_id
  FROM registry_approval a JOIN registry_promotion p ON p.id = a.promotion_id
 WHERE a.reviewer_id = %s AND p.state = 'open'
   AND a.evidence = coalesce(nullif(p.judged_evidence, ''), a.evidence)
   AND a.looked_at->'policy' = p.policy
   AND coalesce((a.looked_at->>'round')::int, 1) = p.round
   AND coalesce((a.looked_at->>'archives_others')::bool, false)
       = (p.archive_existing AND NOT (p.policy->>'exclusive')::bool)
   AND (p.policy->>'approval_days' IS NULL
        OR a.at > now() - make_interval(days => (p.policy->>'approval_days')::int))
   AND coalesce((a.looked_at->>'incumbent')::int, 0) = coalesce(
       CASE WHEN starts_with(p.target, '@')
            THEN (SELECT v.number FROM registry_alias x JOIN registry_version v ON v.id = x.version_id
                   WHERE x.model_id = p.model_id AND x.name = substr(p.target, 2) AND v.id <> p.version_id)
            ELSE (SELECT max(o.number) FROM registry_occupancy o
                   WHERE o.model_id = p.model_id AND o.stage = p.target AND o.ended_at IS NULL
                     AND o.version_id <> p.version_id) END, 0)
"""


class Queue:
    """The queue as one actor sees it, narrowed by `filters`."""

    def __init__(self, actor: Actor, filters: Filters | None = None):
        self.actor = actor
        self.filters = filters or Filters()

    def lane(self, which: Lane) -> QuerySet[Promotion]:
        """The promotions of a lane, unordered."""
        rows = self._of(which, self._narrowed()).select_related(*_SHOWN)
        return rows.annotate(asked_by=self._asked_by, mentioned_by=self._mentioned_by)

    def counts(self) -> Counts:
        """How many there are in each lane. One query, and one for the models that a part of a name finds."""
        seen = self._narrowed()
        return Counts(**self._counted({lane.value: self._of(lane, seen) for lane in _COUNTED}))

    def count_to_decide(self) -> int:
        """How many wait for the actor, however the queue is narrowed, up to COUNTED + 1. One query."""
        return self._of(Lane.MINE, Promotion.objects.visible_to(self.actor))[: COUNTED + 1].count()

    def rows(self, found: Collection[Promotion]) -> list[Row]:
        """Each of these promotions with its line. A constant number of queries."""
        open_now = [promotion for promotion in found if promotion.state == State.OPEN]
        looks = outlooks(open_now, givers=[self.actor.user_id]) if open_now else {}
        return [
            Row(
                promotion,
                self._why(promotion, looks.get(promotion.pk)),
                failing=len(looks[promotion.pk].failing) if promotion.pk in looks else 0,
                asked_by=getattr(promotion, "asked_by", None) or "",
                mentioned_by=getattr(promotion, "mentioned_by", None) or "",
            )
            for promotion in found
        ]

    def asked_first(self, page: Sequence[Promotion]) -> list[Promotion]:
        """The first page of the actor's lane, what he was asked for before the rest of it: at most 20 more rows."""
        asked = self.lane(Lane.MINE).filter(review_requests__reviewer=self.actor.user_id)
        first = list(asked.order_by(*order(Lane.MINE))[:_ASKED])
        return [*first, *(promotion for promotion in page if promotion not in first)]

    def _of(self, which: Lane, seen: PromotionQuerySet) -> QuerySet[Promotion]:
        if which == Lane.DECIDED:
            # What went through without anybody's approval being asked is history, not review.
            return seen.filter(decided_at__isnull=False, policy__approvals__gt=0)
        if which == Lane.AFTERWARDS:
            return self._to_look_at(seen)
        if which == Lane.BLOCKED:
            return seen.open().filter(held_by_gates=True)
        mine = self._to_decide(seen)
        if which == Lane.MINE:
            return mine
        of_all = self._to_decide(Promotion.objects.visible_to(self.actor))
        return seen.open().filter(held_by_gates=False).exclude(pk__in=of_all.values("pk"))

    def _narrowed(self) -> PromotionQuerySet:
        seen = Promotion.objects.visible_to(self.actor)
        if self.filters.model:
            seen = seen.filter(model__in=self._named_like)
        if self.filters.target == ALIAS_MARK:
            seen = seen.filter(target__startswith=ALIAS_MARK)
        elif self.filters.target:
            seen = seen.filter(target=self.filters.target)
        if self.filters.requester:
            seen = seen.filter(requester__username=self.filters.requester)
        return seen

    @cached_property
    def _named_like(self) -> list[uuid.UUID] | QuerySet[Model]:
        """The models that the filter finds: by their ids where they are few, since a plan for many would walk through
        all promotions to find theirs."""
        named = Model.objects.visible_to(self.actor).filter(name__icontains=self.filters.model)
        few = list(named.values_list("pk", flat=True)[: _NAMED + 1])
        return few if len(few) <= _NAMED else named

    @property
    def _asked_by(self) -> Subquery:
        """Who asked the actor to review a promotion that is open."""
        asked = ReviewRequest.objects.filter(
            promotion=OuterRef("pk"), promotion__state=State.OPEN, reviewer=self.actor.user_id
        )
        return Subquery(asked.values("asked_by__username")[:1])

    @property
    def _mentioned_by(self) -> Subquery:
        """Whose comment on a promotion that is open mentions the actor, the newest one's."""
        said = Comment.objects.filter(
            promotion=OuterRef("pk"), promotion__state=State.OPEN, mentions=self.actor.user_id, deleted_at__isnull=True
        )
        return Subquery(said.order_by("-id").values("author__username")[:1])

    def _to_decide(self, seen: PromotionQuerySet) -> QuerySet[Promotion]:
        """Open promotions that the actor may approve, and has not yet with an approval that counts."""
        open_now = self._where_he_may(Action.APPROVE_PROMOTION, seen.open())
        free = not_left_out(self.actor.user_id, without_part_of(self.actor.user_id, open_now))
        return free.exclude(pk__in=RawSQL(_VOUCHED_FOR, [self.actor.user_id]))  # noqa: S611 - our own statement

    def _to_look_at(self, seen: QuerySet[Promotion]) -> QuerySet[Promotion]:
        """Bypasses and rollbacks that nobody has reviewed afterwards and the actor may."""
        owed = self._where_he_may(Action.REVIEW_AFTERWARDS, seen.filter(to_review=True, reviewed_at__isnull=True))
        return without_part_of(self.actor.user_id, owed, carrying_out_too=True)

    def _where_he_may(self, action: Action, promotions: QuerySet[Promotion]) -> QuerySet[Promotion]:
        if self.actor.may(action):
            return promotions
        allowed = [pk for pk in self.actor.model_roles if self.actor.may(action, pk)]
        return promotions.filter(model__in=allowed) if allowed else promotions.none()

    def _counted(self, lanes: dict[str, QuerySet[Promotion]]) -> dict[str, int]:
        """How many rows each of these has, up to COUNTED + 1. One query."""
        named = [
            rows.order_by().annotate(lane=Value(name, output_field=CharField())).values_list("lane")[: COUNTED + 1]
            for name, rows in lanes.items()
        ]
        counts = dict.fromkeys(lanes, 0)
        for (name,) in named[0].union(*named[1:], all=True):
            counts[name] += 1
        return counts

    def _why(self, promotion: Promotion, look: Outlook | None) -> str:
        if look is None:
            return promotion.reason
        # What holds it first: an approval alone would not do.
        gates = [f"{judged.title}: {judged.verdict.reason}" for judged in look.failing]
        lines = [f"needs {missing}" for missing in (*gates, *look.unvouched)]
        if look.stale:
            lines.append(
                f"{len(look.stale)} approval{'s no longer count' if len(look.stale) > 1 else ' no longer counts'}"
            )
        if any(approval.reviewer_id == self.actor.user_id for approval in look.counting):
            lines.append("you have approved")
        elif why := look.excludes(self.actor.user_id):
            lines.append(f"you cannot approve: {why}")
        line = "; ".join(lines) or "nothing is missing any more: it goes through when it is looked at next"
        return line[:1].upper() + line[1:]


_COUNTED = (Lane.MINE, Lane.WAITING, Lane.BLOCKED, Lane.AFTERWARDS)


def order(which: Lane) -> tuple[str, str]:
    """Those that wait oldest first; decided ones newest first."""
    if which == Lane.AFTERWARDS:
        return ("decided_at", "id")
    return ("-decided_at", "-id") if which == Lane.DECIDED else ("requested_at", "id")
