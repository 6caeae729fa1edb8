"""Whom an event concerns, and why; and who of them may know of it."""

from __future__ import annotations

import datetime
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.db.models import Q

from accounts.models import AuditEntry, User, UserKind
from accounts.queries import holders_by_model, session_actor
from accounts.roles import NEEDS, Action, Role
from accounts.verbs import Verb
from lineage.queries import as_uuid
from registry.lifecycle import Stage
from registry.models import Following, Model, Notification, NotificationSettings, Promotion, Reason, Webhook
from registry.models.discussion import ReviewRequest

DECISIONS = frozenset(
    {
        Verb.PROMOTION_PROMOTED,
        Verb.PROMOTION_BYPASSED,
        Verb.PROMOTION_ROLLED_BACK,
        Verb.PROMOTION_REJECTED,
        Verb.PROMOTION_WITHDRAWN,
        Verb.PROMOTION_SUPERSEDED,
        Verb.PROMOTION_EXPIRED,
    }
)
_TO_REQUESTER = DECISIONS | {
    Verb.PROMOTION_APPROVED,
    Verb.PROMOTION_BLOCKED,
    Verb.PROMOTION_REOPENED,
    Verb.PROMOTION_LAPSED,
    Verb.COMMENT_CREATED,
}
_TO_REVIEWERS = DECISIONS | {Verb.PROMOTION_REOPENED}
# Of a version's move the promotion tells that moved it: each has one.
_TO_FOLLOWERS = DECISIONS | {Verb.PROMOTION_REQUESTED, Verb.PROMOTION_LAPSED}
_TO_FOLLOWERS_ALWAYS = frozenset({Verb.VERSION_REGISTERED, Verb.POLICY_CHANGED})
_SERVING = frozenset({Stage.STAGING, Stage.PRODUCTION})
_MENTIONING = frozenset({Verb.COMMENT_CREATED, Verb.COMMENT_UPDATED})

# A request or an approval that is the last thing needed is told with what came of it: in the same call, so one of the
# next entries of the chain.
_LEADS_ON = frozenset({Verb.PROMOTION_REQUESTED, Verb.PROMOTION_APPROVED})
_ENTRIES_OF_A_CALL = 3
_ONE_CALL = datetime.timedelta(seconds=10)

_MANAGES_WEBHOOKS = NEEDS[Action.EDIT_WEBHOOK].roles
_RANK = {reason: rank for rank, reason in enumerate(Reason)}


@dataclass(frozen=True)
class Concerned:
    """One person who is to be told of one event."""

    entry: AuditEntry
    user: User
    reason: Reason


def concerned(entries: Sequence[AuditEntry]) -> list[Concerned]:
    """Whom each of the entries concerns, in their order; nobody twice for one.

    The chain of each is loaded. Never who did it himself, is inactive, has muted it, or may not know of it. What
    concerns a service account goes to the person who answers for it. About a dozen queries, however many entries.
    """
    telling = [entry for entry in entries if entry.verb in _TELLING]
    told_with_another = _led_straight_on(telling)
    about = [entry for entry in telling if entry.pk not in told_with_another]
    pairs = _Pairs()
    for entry, user_id, reason in _named(about):
        pairs.add(entry, user_id, reason)
    for entry, user_id in _following(about):
        pairs.add(entry, user_id, Reason.FOLLOWER)
    users = User.objects.exclude(kind=UserKind.SYSTEM).select_related("responsible").in_bulk(pairs.user_ids)
    found: dict[tuple[int, int], Concerned] = {}
    for (entry_id, user_id), reason in pairs.reasons.items():
        entry, user = pairs.entries[entry_id], users.get(user_id)
        if user is None or user.pk == entry.actor_id:
            continue
        if user.kind == UserKind.SERVICE and user.responsible and reason != Reason.FOLLOWER:
            user = user.responsible
        before = found.get((entry_id, user.pk))
        if user.pk != entry.actor_id and (before is None or _RANK[reason] < _RANK[before.reason]):
            found[entry_id, user.pk] = Concerned(entry, user, reason)
    wanted = without_muted(found.values())
    knowing = may_know((each.entry, each.user) for each in wanted)
    return [each for each in wanted if (each.entry.pk, each.user.pk) in knowing]


@dataclass
class _Pairs:
    """Who is concerned by what, each pair with its weightiest reason."""

    entries: dict[int, AuditEntry] = field(default_factory=dict)
    reasons: dict[tuple[int, int], Reason] = field(default_factory=dict)

    def add(self, entry: AuditEntry, user_id: int, reason: Reason) -> None:
        self.entries[entry.pk] = entry
        before = self.reasons.get((entry.pk, user_id), reason)
        self.reasons[entry.pk, user_id] = min(before, reason, key=_RANK.__getitem__)

    @property
    def user_ids(self) -> set[int]:
        return {user_id for _, user_id in self.reasons}


# --- By their part in it ----------------------------------------------------------------------------------------------


def _named(entries: Sequence[AuditEntry]) -> Iterator[tuple[AuditEntry, int, Reason]]:
    """Who asked, was asked, is mentioned, or owns the webhook."""
    requesters, reviewers = _parts_in_promotions(entries)
    ids = dict(User.objects.filter(username__in=_names(entries)).values_list("username", "pk"))
    told_before = _told_of_comments(entries)
    owners = _owners(entries)
    for entry in entries:
        promotion = as_uuid(str(entry.data.get("promotion", "")))
        if promotion in requesters and entry.verb in _TO_REQUESTER:
            yield entry, requesters[promotion], Reason.REQUESTER
        if entry.verb in _TO_REVIEWERS and promotion:
            for reviewer in reviewers[promotion]:
                yield entry, reviewer, Reason.REVIEWER
        if entry.verb == Verb.PROMOTION_REVIEW_REQUESTED:
            for name in entry.data.get("asked") or ():
                if name in ids:
                    yield entry, ids[name], Reason.REVIEWER
        if entry.verb in _MENTIONING:
            for name in entry.data.get("mentions") or ():
                if name in ids and (entry.data.get("comment"), ids[name]) not in told_before:
                    yield entry, ids[name], Reason.MENTIONED
        if entry.verb == Verb.WEBHOOK_DISABLED and entry.data.get("webhook") in owners:
            yield entry, owners[entry.data["webhook"]], Reason.OWNER


def _parts_in_promotions(
    entries: Sequence[AuditEntry],
) -> tuple[dict[uuid.UUID, int], dict[uuid.UUID, list[int]]]:
    """Who asked for each promotion that the entries are about, and who was asked to review it."""
    wanted = _ids(entries, "promotion")
    requesters = dict(Promotion.objects.filter(pk__in=wanted).values_list("pk", "requester_id"))
    reviewers: dict[uuid.UUID, list[int]] = defaultdict(list)
    for promotion, reviewer in ReviewRequest.objects.filter(promotion__in=wanted).values_list("promotion", "reviewer"):
        reviewers[promotion].append(reviewer)
    return requesters, reviewers


def _ids(entries: Iterable[AuditEntry], key: str) -> set[uuid.UUID]:
    found = (as_uuid(str(entry.data.get(key, ""))) for entry in entries)
    return {each for each in found if each}


def _names(entries: Sequence[AuditEntry]) -> set[str]:
    return {name for entry in entries for key in ("asked", "mentions") for name in entry.data.get(key) or ()}


def _told_of_comments(entries: Sequence[AuditEntry]) -> set[tuple[str, int]]:
    """(comment, user) for those who were told of a comment that was changed: once is enough."""
    changed = [entry.data.get("comment") for entry in entries if entry.verb == Verb.COMMENT_UPDATED]
    if not changed:
        return set()
    told = Notification.objects.filter(reason=Reason.MENTIONED, entry__data__comment__in=changed)
    told = told.filter(user__username__in=_names(entries))
    return set(told.values_list("entry__data__comment", "user_id"))


def _owners(entries: Sequence[AuditEntry]) -> dict[str, int]:
    ids = _ids((entry for entry in entries if entry.verb == Verb.WEBHOOK_DISABLED), "webhook")
    owned = Webhook.objects.filter(pk__in=ids, owner__isnull=False) if ids else Webhook.objects.none()
    return {str(pk): owner for pk, owner in owned.values_list("pk", "owner_id") if owner}


# --- By their wish ----------------------------------------------------------------------------------------------------


def _following(entries: Sequence[AuditEntry]) -> Iterator[tuple[AuditEntry, int]]:
    """Who follows the model, of what followers are told of."""
    telling = [entry for entry in entries if _is_for_followers(entry)]
    models = {entry.chain.subject_id for entry in telling}
    followers: dict[uuid.UUID, list[int]] = defaultdict(list)
    for model, user in Following.objects.filter(model__in=models, muted=False).values_list("model", "user"):
        followers[model].append(user)
    for entry in telling:
        for user in followers.get(entry.chain.subject_id, ()) if entry.chain.subject_id else ():
            yield entry, user


def _is_for_followers(entry: AuditEntry) -> bool:
    if entry.verb in _TO_FOLLOWERS_ALWAYS:
        return True
    return entry.verb in _TO_FOLLOWERS and ("alias" in entry.data or entry.data.get("stage") in _SERVING)


def without_muted(found: Iterable[Concerned]) -> list[Concerned]:
    """`found` without those who have muted the model or everything: it wins over every part they have in it."""
    listed = list(found)
    users = {each.user.pk for each in listed}
    models = {each.entry.chain.subject_id for each in listed}
    deaf = set(NotificationSettings.objects.filter(user__in=users, muted=True).values_list("user", flat=True))
    muted = set(Following.objects.filter(user__in=users, model__in=models, muted=True).values_list("model", "user"))
    return [
        each for each in listed if each.user.pk not in deaf and (each.entry.chain.subject_id, each.user.pk) not in muted
    ]


def _led_straight_on(entries: Sequence[AuditEntry]) -> set[int]:
    """Those of the entries that are told of with the decision that they led to in the same call."""
    leading = [entry for entry in entries if entry.verb in _LEADS_ON]
    if not leading:
        return set()
    places = Q()
    for entry in leading:
        last = entry.sequence + _ENTRIES_OF_A_CALL
        places |= Q(chain=entry.chain_id, sequence__gt=entry.sequence, sequence__lte=last)
    by_promotion = defaultdict(list)
    for decision in AuditEntry.objects.filter(places, verb__in=DECISIONS):
        by_promotion[decision.data.get("promotion")].append(decision)
    return {
        entry.pk
        for entry in leading
        for decision in by_promotion[entry.data.get("promotion")]
        if decision.actor_id == entry.actor_id and abs(decision.at - entry.at) < _ONE_CALL
    }


# --- Who may know -----------------------------------------------------------------------------------------------------


def may_know(pairs: Iterable[tuple[AuditEntry, User]]) -> set[tuple[int, int]]:
    """(entry, user) for those pairs in which the user may know of the entry now, whose chain is loaded.

    He is active and can see the model, which is still there; of webhooks, he may manage them.
    """
    knowing: set[tuple[int, int]] = set()
    by_need: dict[tuple[int, frozenset[Role]], list[tuple[AuditEntry, User]]] = defaultdict(list)
    for entry, user in pairs:
        if not entry.workspace_id:
            continue
        if entry.chain.subject_id:
            roles = _MANAGES_WEBHOOKS if entry.verb == Verb.WEBHOOK_DISABLED else frozenset(Role)
            by_need[entry.workspace_id, roles].append((entry, user))
        elif user.is_active and entry.workspace:
            actor = session_actor(user, entry.workspace)  # a webhook of a whole workspace that failed: this is rare
            if actor.may(Action.EDIT_WEBHOOK):
                knowing.add((entry.pk, user.pk))
    for (workspace_id, roles), asked in by_need.items():
        subjects = {entry.chain.subject_id for entry, _ in asked if entry.chain.subject_id}
        models = Model.objects.living().filter(pk__in=subjects).values_list("pk", flat=True)
        holding = holders_by_model(
            {user.pk for _, user in asked}, roles, workspace_id=workspace_id, model_ids=list(models)
        )
        reached = {(model, user) for model, users in holding.items() for user in users}
        knowing |= {(entry.pk, user.pk) for entry, user in asked if (entry.chain.subject_id, user.pk) in reached}
    return knowing


_TELLING = (
    _TO_REQUESTER
    | _TO_FOLLOWERS
    | _TO_FOLLOWERS_ALWAYS
    | _MENTIONING
    | {Verb.PROMOTION_REVIEW_REQUESTED, Verb.WEBHOOK_DISABLED}
)
