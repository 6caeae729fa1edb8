"""What happened to one version, the newest first: requests, approvals, decisions, moves by others, and comments."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import CharField, F, Q, QuerySet, Value
from django.db.models.functions import Cast, Collate, Concat

from accounts.actor import Actor
from accounts.models import User
from accounts.verbs import Verb
from core.paging import Page, paginate_together
from registry.lifecycle import Stage, State
from registry.models import Approval, Comment, Occupancy, Promotion
from registry.queries import comments

# A request that nothing held was carried out in the call that made it: of that the move alone tells.
_ONE_CALL = datetime.timedelta(seconds=1)
_ASKED = "1"
_ORDER = ("-happened_at", "-place")
_DECIDED = {
    State.REJECTED: Verb.PROMOTION_REJECTED,
    State.WITHDRAWN: Verb.PROMOTION_WITHDRAWN,
    State.SUPERSEDED: Verb.PROMOTION_SUPERSEDED,
    State.EXPIRED: Verb.PROMOTION_EXPIRED,
}


@dataclass(frozen=True)
class Activity:
    """Something that happened to a version: `kind` is the event's, `by` who did it, `said` his words.

    `promotion` is the one that it belongs to, or that moved the version away (`version.transitioned`); `comment` what
    was written.
    """

    id: str
    kind: Verb
    at: datetime.datetime
    by: str
    said: str
    from_stage: str = ""
    to_stage: str = ""
    promotion: Promotion | None = None
    comment: Comment | None = None


def activities(actor: Actor, version_id: uuid.UUID, *, size: int, token: str = "") -> Page[Any]:
    """A page of `Activity` about a version that the actor can see; BadPageToken. At most six queries.

    Of promotions to stages: an alias is the model's. Of a promotion that was opened again only the last round is in its
    row: the log has all.
    """
    asked = Promotion.objects.filter(version=version_id, target__in=list(Stage), rollback=False)
    at_once = Q(decided_by=F("requester"), state=State.PROMOTED, decided_at__lte=F("requested_at") + _ONE_CALL)
    decided = Promotion.objects.filter(version=version_id, target__in=list(Stage), decided_at__isnull=False)
    given = Approval.objects.filter(promotion__version=version_id, promotion__target__in=list(Stage))
    moved = Occupancy.objects.filter(version=version_id, promotion__isnull=False).exclude(promotion__version=version_id)
    said = comments(actor).filter(version=version_id, deleted_at__isnull=True)
    page = paginate_together(
        [
            _placed(asked.exclude(at_once).select_related("requester"), "requested_at", _ASKED),
            _placed(given.select_related("reviewer", "promotion"), "at", "2"),
            _placed(decided.select_related("decided_by"), "decided_at", "3"),
            _placed(moved.select_related("promotion__version", "promotion__decided_by"), "started_at", "4"),
            _placed(said, "created_at", "5"),
        ],
        order=_ORDER,
        size=size,
        token=token,
        query=["activities", str(version_id)],
    )
    return Page([_told(row) for row in page.items], page.next_token)


def _placed(rows: QuerySet[Any], at: str, rank: str) -> QuerySet[Any]:
    """With the columns of the order. `rank` tells apart what comes from one row, in the order in which it happens."""
    place = Concat(Value(rank), Cast("pk", CharField()), output_field=CharField())
    placed: QuerySet[Any] = rows.annotate(happened_at=F(at), place=Collate(place, "C"))
    return placed


def _told(row: Any) -> Activity:
    asked, at = row.place.startswith(_ASKED), row.happened_at
    match row:
        case Promotion() if asked:
            return _of(row, Verb.PROMOTION_REQUESTED, at, row.requester, row.comment)
        case Promotion():
            return _of(row, _decision(row), at, row.decided_by, row.reason, id=f"{row.pk}.{row.state}")
        case Approval():
            return _of(row.promotion, Verb.PROMOTION_APPROVED, at, row.reviewer, row.comment, id=str(row.pk))
        case Occupancy(promotion=Promotion() as by):
            # Who enters a stage displaces those in it: so it was the promotion's target that the version left.
            moved = _of(by, Verb.VERSION_TRANSITIONED, at, by.decided_by, "", id=f"{by.pk}.{row.number}")
            return replace(moved, from_stage=by.target, to_stage=row.stage)
        case Comment():
            return Activity(str(row.pk), Verb.COMMENT_CREATED, at, row.author.username, row.text, comment=row)
    raise TypeError(f"no activity is made of {row!r}")


def _decision(promotion: Promotion) -> Verb:
    if promotion.state != State.PROMOTED:
        return _DECIDED[State(promotion.state)]
    if promotion.bypass:
        return Verb.PROMOTION_BYPASSED
    return Verb.PROMOTION_ROLLED_BACK if promotion.rollback else Verb.PROMOTION_PROMOTED


def _of(
    promotion: Promotion, kind: Verb, at: datetime.datetime, by: User | None, said: str, *, id: str = ""
) -> Activity:
    return Activity(
        id=id or str(promotion.pk),
        kind=kind,
        at=at,
        by=by.username if by else "",
        said=said,
        from_stage=promotion.from_stage,
        to_stage=promotion.target,
        promotion=promotion,
    )
