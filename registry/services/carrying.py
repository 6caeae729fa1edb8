"""Carrying promotions out: the one place where a stage changes, and where a protected alias moves."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import IntegrityError
from django.db.models import F, Q
from django.utils import timezone

from accounts.actor import Actor
from accounts.audit import Event
from accounts.verbs import Verb
from registry.errors import ExclusiveStageTaken
from registry.lifecycle import Act, Stage, State, after
from registry.models import Alias, Model, Occupancy, Pointing, Promotion, Version
from registry.outbox import emit_all, emit_promotion, of_alias, of_promotion, of_transition
from registry.outlook import Outlook, outlook
from registry.policy import Terms, tightened
from registry.ruling import Ruling
from registry.services.locks import edited, moment, ruled
from registry.wakeups import wake

_AT_ONCE = 20  # open promotions that one write settles; the sweep settles the others
_LOOK_AGAIN_AFTER = datetime.timedelta(minutes=1)
# What carrying a promotion out sets.
_DECIDED = (
    "state",
    "bypass",
    "rollback",
    "reason",
    "to_review",
    "decided_by",
    "decided_at",
    "decided_on",
    "decided_evidence",
    "entry_hash",
    "blocked_on",
    "look_again_at",
    "valid_from",
    "valid_until",
)


def settle(actor: Actor, promotion: Promotion, *, why: str = "") -> Promotion:
    """Carry an open promotion out when nothing is missing any more; else note what holds it. Its model is locked.

    A policy that was tightened since it was opened holds from here on. `why` is the reason that is written down when it
    is carried out.
    """
    return settle_by(actor, promotion, looked_at(actor, promotion), why=why)


def looked_at(actor: Actor, promotion: Promotion) -> Outlook:
    """Where an open promotion stands, held to the policy now in force. Its model is locked."""
    if not promotion.opened_now:
        follow(actor, promotion, ruled(promotion.model, promotion.target))
    return outlook(promotion)


def settle_by(actor: Actor, promotion: Promotion, look: Outlook, *told: Event, why: str = "") -> Promotion:
    """`settle`, once the outlook is known; `told` are the events that led here, told of with what comes of them."""
    if look.missing:
        _held(actor, promotion, look, told)
        return promotion
    return carry_out(actor, promotion, look, reason=why, told=told)


def settle_all(actor: Actor, model: Model, version: Version | None = None, *, why: str = "") -> None:
    """Settle the open promotions of a locked model, or of one version of it, whose policy has gates: what they look at
    has changed, which `why` says in words. Beyond the oldest few, the sweep does it soon after.
    """
    open_now = model.promotions.open().filter(policy__gates__0__isnull=False)
    if version:
        open_now = open_now.filter(version=version)
    oldest = list(open_now.select_related("version__manifest").order_by("requested_at")[:_AT_ONCE])
    if len(oldest) == _AT_ONCE:
        rest = open_now.exclude(pk__in=[promotion.pk for promotion in oldest])
        rest.update(look_again_at=timezone.now())
    for promotion in oldest:
        promotion.model = promotion.version.model = model
        if promotion.expires_at > timezone.now() and promotion.version.deleted_at is None:
            settle(actor, promotion, why=why)


def follow(actor: Actor, promotion: Promotion, now: Ruling) -> bool:
    """Hold an open promotion to the policy now in force when that is stricter than its own; returns whether it is.

    Approvals given under the former terms do not count any more, since the terms are evidence.
    """
    asked = tightened(promotion.terms, now.terms)
    if not asked:
        return False
    adopt(promotion, now)
    promotion.save(update_fields=["policy", "policy_revision"])
    emit_promotion(
        actor,
        Verb.PROMOTION_REOPENED,
        promotion,
        policy=now.terms.name,
        reason=f"the policy asks for {', '.join(asked)}",
    )
    wake(promotion.id)
    return True


def adopt(promotion: Promotion, now: Ruling) -> None:
    """Freeze the terms now in force on a promotion, unsaved."""
    promotion.policy = now.terms.as_json()
    promotion.policy_revision_id = now.revision_id


def _held(actor: Actor, promotion: Promotion, look: Outlook, told: Sequence[Event]) -> None:
    """Note what holds the promotion; announce it when only gates do, and others than were announced."""
    blocked_on = [[judged.title, judged.verdict.outcome.value] for judged in look.failing] if look.vouched else []
    events = [*told]
    if blocked_on and blocked_on != promotion.blocked_on:
        events.append(of_promotion(Verb.PROMOTION_BLOCKED, promotion, missing=list(look.missing)))
        wake(promotion.id)
    if events:
        emit_all(actor, promotion.model, events)
    now = {
        "blocked_on": blocked_on,
        "held_by_gates": bool(look.failing),
        "judged_evidence": look.evidence.digest if look.judged and look.given else "",
        "look_again_at": _look_again_at(look),
    }
    if any(getattr(promotion, field) != value for field, value in now.items()):
        for field, value in now.items():
            setattr(promotion, field, value)
        promotion.save(update_fields=now)


def _look_again_at(look: Outlook) -> datetime.datetime | None:
    """When the promotion may go through though nobody acts on it: a run goes on, a role is given back, time passes.

    An approval of other evidence needs somebody to act, so it is nothing to look out for.
    """
    would_count = any(approval.evidence == look.evidence.digest for approval in look.stale)
    if not look.vouched and not would_count:
        return None
    soon = timezone.now() + _LOOK_AGAIN_AFTER
    times = [judged.verdict.again_at for judged in look.failing]
    known = [time for time in times if time]
    # All of them have to pass, so the last one tells; where one may open at any time, soon.
    return max(soon, *known) if known and len(known) == len(times) else soon


def carry_out(
    actor: Actor,
    promotion: Promotion,
    look: Outlook,
    *,
    bypass: bool = False,
    rollback: bool = False,
    reason: str = "",
    told: Sequence[Event] = (),
    more: Mapping[str, str] | None = None,
) -> Promotion:
    """Do what an open promotion asks for, whose model is locked, and tell of it after the events that led here.

    The entry of the decision keeps what its gates say in `look`, and `more`.
    """
    evidence = look.evidence
    promotion.state = after(State(promotion.state), Act.CARRY_OUT)
    promotion.bypass, promotion.rollback, promotion.reason = bypass, rollback, reason
    promotion.to_review = bypass or rollback
    promotion.decided_by_id = actor.user_id
    promotion.decided_on, promotion.decided_evidence = evidence.as_json(), evidence.digest
    promotion.blocked_on, promotion.look_again_at = [], None
    moved = _point(promotion) if promotion.alias else _move(promotion)
    _holds_until(promotion, promotion.terms)
    edited(promotion.model, resolves_anew=True, labelled=bool(promotion.alias), also=[promotion.id])
    verb = Verb.PROMOTION_BYPASSED if bypass else Verb.PROMOTION_ROLLED_BACK if rollback else Verb.PROMOTION_PROMOTED
    decided = of_promotion(
        verb,
        promotion,
        evidence=evidence.digest,
        manifest=evidence.manifest,
        previous=moved.previous,
        reason=reason,
        # Kept nowhere else: what a gate says of the same evidence may be worded otherwise one day.
        gates=[
            {
                "gate": each.gate,
                "title": each.title,
                "outcome": each.verdict.outcome.value,
                "reason": each.verdict.reason,
            }
            for each in look.judged
        ],
        **(more or {}),
    )
    promotion.entry_hash = emit_all(actor, promotion.model, [*told, decided, *moved.events])[len(told)].hash
    promotion.save(update_fields=_DECIDED)
    if look.counting:
        promotion.approvals.filter(pk__in=[approval.pk for approval in look.counting]).update(counted=True)
    return promotion


# --- What moves -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Moved:
    """What happened besides the decision, and the numbers of the versions that were there before."""

    previous: list[int]
    events: Sequence[Event]


def _move(promotion: Promotion) -> _Moved:
    """Close the open occupancies of the candidate and of those it displaces, and open their next."""
    candidate, *displaced = _leaving(promotion)
    promotion.decided_at = now = moment(candidate, *displaced)
    left = [candidate, *displaced]
    entered = [promotion.target, *[Stage.ARCHIVED] * len(displaced)]
    Occupancy.objects.filter(pk__in=[held.pk for held in left]).update(ended_at=now)
    try:
        Occupancy.objects.bulk_create(
            Occupancy(
                model_id=promotion.model_id,
                version_id=held.version_id,
                number=held.number,
                stage=stage,
                exclusive=promotion.terms.exclusive and held is candidate,
                started_at=now,
                promotion=promotion,
            )
            for held, stage in zip(left, entered, strict=True)
        )
    except IntegrityError:
        raise ExclusiveStageTaken(stage=promotion.target) from None
    touched = Version.objects.filter(pk__in=[held.version_id for held in left])
    touched.update(updated_at=now, revision=F("revision") + 1)
    previous = sorted(held.number for held in displaced)
    archived = [_transitioned(promotion, held, Stage.ARCHIVED, []) for held in displaced]
    return _Moved(previous, [*archived, _transitioned(promotion, candidate, promotion.target, previous)])


def _transitioned(promotion: Promotion, held: Occupancy, stage: str, previous: list[int]) -> Event:
    return of_transition(promotion, held.version, left=held.stage, entered=stage, previous=previous)


def _leaving(promotion: Promotion) -> list[Occupancy]:
    """The open occupancies that end: the candidate's first, then those of the versions to archive, by number."""
    of_candidate = Q(version_id=promotion.version_id)
    if promotion.terms.exclusive or promotion.archive_existing:
        ending = of_candidate | Q(stage=promotion.target)
    else:
        ending = of_candidate
    held = Occupancy.objects.filter(ending, model_id=promotion.model_id, ended_at__isnull=True)
    # A version may have a long description and its manifest much that was found in it: only what is told of is read.
    held = held.select_related("version__manifest").only(
        "version",
        "number",
        "stage",
        "started_at",
        "version__number",
        "version__source",
        "version__location",
        "version__manifest__digest",
    )
    return sorted(held, key=lambda occupancy: (occupancy.version_id != promotion.version_id, occupancy.number))


def _point(promotion: Promotion) -> _Moved:
    previous = point(promotion.model, promotion.alias, promotion.version, promotion=promotion)
    event = of_alias(promotion.model, promotion.alias, promotion.version, previous, promotion=str(promotion.id))
    return _Moved(event.data["previous"], [event])


def point(model: Model, alias: str, version: Version | None, *, promotion: Promotion | None = None) -> int | None:
    """Let an alias of a locked model point at `version`, or at nothing; returns the number of the one before.

    The `promotion` that asks for it is decided, unsaved, at the very moment from which on the alias points there.
    """
    open_now = (
        Pointing.objects.filter(model=model, alias=alias, ended_at__isnull=True).select_related("version").first()
    )
    now = max(timezone.now(), open_now.started_at) if open_now else timezone.now()
    if open_now:
        open_now.ended_at = now
        open_now.save(update_fields=["ended_at"])
    touched = [touched.pk for touched in (open_now and open_now.version, version) if touched]
    Version.objects.filter(pk__in=touched).update(revision=F("revision") + 1)
    if version is None:
        Alias.objects.filter(model=model, name=alias).delete()
    else:
        Alias.objects.update_or_create(model=model, name=alias, defaults={"version": version, "promotion": promotion})
        Pointing.objects.create(model=model, alias=alias, version=version, started_at=now, promotion=promotion)
    if promotion:
        promotion.decided_at = now
    return open_now.version.number if open_now else None


def _holds_until(promotion: Promotion, terms: Terms) -> None:
    """The word for what was decided now holds as long as the policy says."""
    promotion.valid_from = promotion.decided_at
    if terms.approval_lifetime and promotion.decided_at:
        promotion.valid_until = promotion.decided_at + terms.approval_lifetime
