"""One promotion as its page shows it: evidence, who vouched, what is missing, what the one who looks may do."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.roles import NEEDS, Action
from accounts.verbs import Verb
from core.canonical import canonical_json, digest
from registry.affected import FOLLOWERS, Affected, affected
from registry.comparison import Comparison, compare
from registry.evidence import what_changed
from registry.inside import Inside, inside
from registry.lifecycle import Act, State
from registry.models import Approval, Check, Occupancy, Pointing, Promotion, Version
from registry.outlook import Outlook, outlook, outlook_then, outlooks
from registry.overview import outcome_of
from registry.queries import checks, find_promotion


@dataclass(frozen=True)
class Vouched:
    """An approval; `stale` says why it does not count, empty when it does."""

    approval: Approval
    stale: str


@dataclass(frozen=True)
class Standing:
    """A promotion, where it stands, and what the one who looks can do to it now: approve, reject, withdraw."""

    promotion: Promotion
    outlook: Outlook
    possible: frozenset[Act]


@dataclass(frozen=True)
class Moment:
    """Something that happened to the promotion: who did what when, and what he said."""

    at: datetime
    who: str
    what: str
    words: str = ""


@dataclass(frozen=True)
class Review:
    """Everything on the page. `cannot_approve` says why not, empty when the actor may."""

    promotion: Promotion
    outlook: Outlook
    comparison: Comparison
    inside: Inside
    affected: Affected | None  # None once it is decided
    approvals: tuple[Vouched, ...]
    timeline: tuple[Moment, ...]
    outcome: str
    vouched_by_next: bool  # whether the actor's approval would be the last that it needs
    has_approved: bool
    cannot_approve: str
    may_reject: bool
    may_withdraw: bool
    may_bypass: bool
    may_reopen: bool
    checks: tuple[Check, ...]  # the newest report of each on the version

    @property
    def is_open(self) -> bool:
        return self.promotion.state == State.OPEN

    @property
    def looked_at(self) -> str:
        """The evidence as JSON, for the form to send back: so that it can be said what changed meanwhile."""
        return canonical_json(self.outlook.evidence.as_json()).decode()

    @property
    def stamp(self) -> str:
        """What the page shows of what others may change, digested part by part: for `moved_since`."""
        now = {
            "state": [self.promotion.state, self.promotion.round, self.promotion.reviewed_at is not None],
            "evidence": self.outlook.evidence.digest if self.is_open else "",
            "approvals": [[str(each.approval.pk), each.stale] for each in self.approvals],
            "missing": list(self.outlook.missing) if self.is_open else [],
            "checks": [str(check.pk) for check in self.checks],
        }
        return "-".join(digest(now[part])[:_STAMPED] for part in _PARTS)


_STAMPED = 12  # digits of a digest: nobody gains by making two alike
_PARTS = {
    "state": "its state",
    "evidence": "the evidence that one vouches for",
    "approvals": "who has approved",
    "missing": "what is missing",
    "checks": "the checks",
}


def moved_since(stamp: str, now: Review) -> list[str]:
    """In words, what is not as it was when the page had this stamp; nothing for what is no stamp."""
    then, here = stamp.split("-"), now.stamp.split("-")
    if len(then) != len(here):
        return []
    return [words for words, before, after in zip(_PARTS.values(), then, here, strict=True) if before != after]


def review(actor: Actor, promotion_id: uuid.UUID) -> Review:
    """The promotion as `actor` sees it; PromotionNotFound. At most eleven queries, whatever it compares; one more when
    its policy has gates. Reads small files, so not to be called in a transaction."""
    promotion = find_promotion(actor, promotion_id, followers=FOLLOWERS)
    is_open = promotion.state == State.OPEN
    look = outlook(promotion, giver=actor.user_id) if is_open else outlook_then(promotion)
    before = _occupants_then(promotion, look)
    incumbent = max(before, key=lambda version: version.number, default=None)
    approvals = _approvals(promotion, look)
    mine = any(approval.reviewer_id == actor.user_id for approval in look.counting)
    cannot = _cannot_approve(actor, promotion, look)
    compared = compare(promotion.version, incumbent, look.judged if is_open else (), look.runs)
    return Review(
        promotion=promotion,
        outlook=look,
        comparison=compared,
        inside=inside(promotion.version, incumbent, compared.files),
        affected=_affected(actor, promotion, before) if is_open else None,
        approvals=approvals,
        timeline=_timeline(promotion, [vouched.approval for vouched in approvals]),
        outcome=outcome_of(promotion, _displaced(promotion, before)),
        vouched_by_next=look.vouched_with(actor.user_id),
        has_approved=mine,
        cannot_approve=cannot,
        may_reject=is_open and not cannot,
        may_withdraw=_may_withdraw(actor, promotion),
        may_bypass=is_open and promotion.terms.bypass and actor.may(Action.BYPASS_POLICY, promotion.model_id),
        may_reopen=promotion.state in _REOPENED and actor.may(Action.REQUEST_PROMOTION, promotion.model_id),
        checks=tuple(checks(promotion.version).order_by("name")),
    )


def standings(actor: Actor, promotions: Collection[Promotion]) -> list[Standing]:
    """Where each of these promotions of one workspace stands for `actor`, who can see them.

    A constant number of queries, when their models, and their versions with manifests, are loaded.
    """
    looks = outlooks(promotions, givers=[actor.user_id]) if promotions else {}
    return [Standing(each, looks[each.pk], _possible(actor, each, looks[each.pk])) for each in promotions]


def _possible(actor: Actor, promotion: Promotion, look: Outlook) -> frozenset[Act]:
    acts = set[Act]()
    if not _cannot_approve(actor, promotion, look):
        acts.add(Act.REJECT)
        if not any(approval.reviewer_id == actor.user_id for approval in look.counting):
            acts.add(Act.APPROVE)
    if _may_withdraw(actor, promotion):
        acts.add(Act.WITHDRAW)
    return frozenset(acts)


def _may_withdraw(actor: Actor, promotion: Promotion) -> bool:
    model_id = promotion.model_id
    theirs = promotion.requester_id == actor.user_id or actor.may(Action.DELETE_VERSION, model_id)
    return promotion.state == State.OPEN and theirs and actor.may(Action.WITHDRAW_PROMOTION, model_id)


def changed_since(actor: Actor, promotion_id: uuid.UUID, seen: str, then: object) -> str:
    """In words, what is not as it was when the evidence had the digest `seen`; empty when everything is.

    `then` is that evidence as the page had it, which is believed when its digest is `seen`.
    """
    promotion = find_promotion(actor, promotion_id)
    now = outlook(promotion).evidence
    if now.digest == seen:
        return ""
    try:
        return what_changed(then if isinstance(then, dict) and _is(then, seen) else None, now, promotion.target)
    except (LookupError, TypeError, AttributeError, ValueError):  # made up, with a digest of its own
        return what_changed(None, now, promotion.target)


def _is(content: Any, seen: str) -> bool:
    try:
        return digest(content) == seen
    except (ValueError, RecursionError):  # what no evidence is: NaN, half a character, a thousand levels
        return False


def _occupants_then(promotion: Promotion, look: Outlook) -> list[Version]:
    """The other versions in the stage: now, or just before the promotion was decided. At most 20, newest first."""
    if promotion.decided_at is None and (promotion.alias or not promotion.archive_existing):
        return [look.incumbent] if look.incumbent else []
    if promotion.alias:
        return _pointed_at_then(promotion)
    held = Occupancy.objects.filter(model_id=promotion.model_id, stage=promotion.target)
    held = held.exclude(version_id=promotion.version_id)
    if promotion.decided_at is None:
        held = held.filter(ended_at__isnull=True)
    else:
        ended_later = Q(ended_at__isnull=True) | Q(ended_at__gte=promotion.decided_at)
        held = held.filter(ended_later, started_at__lt=promotion.decided_at)
    return [occupancy.version for occupancy in _with_versions(held).order_by("-version__number")[:20]]


def _pointed_at_then(promotion: Promotion) -> list[Version]:
    """What the alias pointed at just before the promotion was decided."""
    before = Pointing.objects.filter(model_id=promotion.model_id, alias=promotion.alias)
    before = before.exclude(version_id=promotion.version_id).filter(started_at__lt=promotion.decided_at)
    before = before.filter(Q(ended_at__isnull=True) | Q(ended_at__gte=promotion.decided_at))
    return [at.version for at in before.select_related("version__manifest", "version__registrar")[:1]]


def _with_versions(held: QuerySet[Occupancy]) -> QuerySet[Occupancy]:
    return held.select_related("version__manifest", "version__registrar")


def _displaced(promotion: Promotion, before: Collection[Version]) -> list[int]:
    return [version.number for version in before] if _displaces(promotion) else []


def _affected(actor: Actor, promotion: Promotion, before: Collection[Version]) -> Affected:
    followers: int = getattr(promotion, "followers")  # noqa: B009 - as it was annotated
    return affected(actor, promotion, before if _displaces(promotion) else (), followers)


def _displaces(promotion: Promotion) -> bool:
    """Whether what is there has to leave for it."""
    return bool(promotion.alias or promotion.terms.exclusive or promotion.archive_existing)


def _approvals(promotion: Promotion, look: Outlook) -> tuple[Vouched, ...]:
    if promotion.state != State.OPEN:
        given = sorted((*look.counting, *look.stale), key=lambda approval: approval.at)
        went_through = promotion.state == State.PROMOTED
        late = "it was not among those on which this went through"
        return tuple(Vouched(a, late if went_through and not a.counted else "") for a in given)
    found = [Vouched(approval, "") for approval in look.counting]
    found += [Vouched(approval, _stale(promotion, look, approval)) for approval in look.stale]
    return tuple(sorted(found, key=lambda vouched: vouched.approval.at))


def _stale(promotion: Promotion, look: Outlook, approval: Approval) -> str:
    """Why an approval does not count."""
    if approval.evidence != look.evidence.digest:
        return what_changed(approval.looked_at, look.evidence, promotion.target)
    lifetime = promotion.terms.approval_lifetime
    if lifetime and approval.at + lifetime <= timezone.now():
        return f"it was given more than {promotion.terms.approval_days} days ago"
    return "its giver may not review this any more"


def _cannot_approve(actor: Actor, promotion: Promotion, look: Outlook) -> str:
    if promotion.state != State.OPEN:
        return f"it is {promotion.state}"
    if not actor.may(Action.APPROVE_PROMOTION, promotion.model_id):
        wanted = ", ".join(sorted(NEEDS[Action.APPROVE_PROMOTION].roles))
        return f"you do not hold a role that reviews ({wanted})"
    return look.excludes(actor.user_id)


_DECISIONS = {
    State.PROMOTED: "carried it out",
    State.REJECTED: "rejected it",
    State.WITHDRAWN: "withdrew it",
    State.SUPERSEDED: "closed it",
    State.EXPIRED: "let it expire",
}


_REOPENED = (State.REJECTED, State.WITHDRAWN, State.EXPIRED)
_IN_THE_LOG = {
    Verb.PROMOTION_REJECTED: "rejected it",
    Verb.PROMOTION_WITHDRAWN: "withdrew it",
    Verb.PROMOTION_EXPIRED: "let it expire",
    Verb.PROMOTION_REOPENED: "opened it again",
}


def _timeline(promotion: Promotion, approvals: Collection[Approval]) -> tuple[Moment, ...]:
    asked = Moment(promotion.requested_at, promotion.requester.username, "asked for it", promotion.comment)
    moments = [] if promotion.rollback else [asked]
    moments += [Moment(a.at, a.reviewer.username, "approved", a.comment) for a in approvals]
    if promotion.decided_at and promotion.decided_by:
        what = _DECISIONS[State(promotion.state)]
        if promotion.bypass or promotion.rollback:
            what = "bypassed the policy" if promotion.bypass else "rolled back to it"
        moments.append(Moment(promotion.decided_at, promotion.decided_by.username, what, promotion.reason))
    if promotion.reviewed_at and promotion.reviewed_by:
        what = "agreed afterwards" if promotion.review_agrees else "did not agree afterwards"
        moments.append(Moment(promotion.reviewed_at, promotion.reviewed_by.username, what, promotion.review_note))
    if promotion.round > 1:
        moments = sorted([*moments, *_earlier_rounds(promotion)], key=lambda moment: moment.at)
    return tuple(moments)


def _earlier_rounds(promotion: Promotion) -> list[Moment]:
    """How it ended and was opened again before: the row tells of the last round only, the log of all."""
    entries = AuditEntry.objects.filter(
        chain__subject_id=promotion.model_id, verb__in=_IN_THE_LOG, data__promotion=str(promotion.pk)
    ).exclude(hash=promotion.entry_hash)
    return [
        Moment(entry.at, entry.actor_name, _IN_THE_LOG[Verb(entry.verb)], entry.data.get("reason", ""))
        for entry in entries.order_by("sequence")[:50]
    ]
