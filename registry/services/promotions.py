"""Promotions: ask, approve, reject, withdraw, carry out. The one place where a stage changes."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence

import structlog
from django.conf import settings
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.actor import Actor
from accounts.permissions import require
from accounts.queries import system_actor
from accounts.roles import Action
from accounts.verbs import Verb
from core import text
from core.errors import Refusal
from registry.errors import (
    AlreadyApproved,
    AlreadyThere,
    EvidenceChanged,
    ExclusiveStageTaken,
    NothingToArchive,
    NotYourPromotion,
    PromotionNotFound,
    PromotionOverdue,
    ReasonMissing,
    ReviewNeeded,
    SelfApproval,
)
from registry.evidence import Evidence, gather
from registry.lifecycle import Act, Stage, State, after, stage_named
from registry.models import Approval, Model, Occupancy, Promotion, Version
from registry.outbox import emit, emit_promotion
from registry.outlook import excluded, outlook
from registry.policy import policy_for
from registry.services.catalog import edited, locked_model, moment, version_of
from registry.services.closing import close
from registry.wakeups import wake

log = structlog.get_logger()

COMMENT_LIMIT = 10_000


# --- Writes -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def request(actor: Actor, name: object, number: object, stage: object, *, comment: str = "") -> Promotion:
    """Ask for a version to be moved to a stage.

    Carried out at once where the policy asks for no approval. The open promotion of the same version and stage is
    found again rather than opened twice. Raises AlreadyThere.
    """
    model = locked_model(actor, name)
    version = version_of(model, number)
    require(actor, Action.REQUEST_PROMOTION, model)
    target = stage_named(stage)
    if version.stage == target:
        raise AlreadyThere(name=model.name, version=version.number, stage=target)
    promotion = _open(actor, model, version, target, comment=comment)
    return _settle(actor, promotion)


def transition(
    actor: Actor, name: object, number: object, stage: object, *, comment: str = "", archive_existing: bool = False
) -> Version:
    """Move a version to a stage as the stock clients ask: directly where the actor may, else open a promotion.

    The stage that it holds already is a no-op. An administrator bypasses a policy that allows it, which is marked.
    `archive_existing` archives the other versions in the stage. Raises NothingToArchive; and ReviewNeeded, after the
    promotion has been opened (or the open one found), naming what is missing and its page.
    """
    version, review = _transition(actor, name, number, stage, comment, archive_existing)
    if review:
        raise review
    return version


def _review_needed(promotion: Promotion, missing: Sequence[str]) -> ReviewNeeded:
    return ReviewNeeded(
        name=promotion.model.name,
        version=promotion.version.number,
        stage=promotion.stage,
        missing="; ".join(missing),
        promotion=promotion.id,
        page=settings.VOUCH_URL + promotion.page,
        reasons=missing,
        link=promotion.page,
    )


# Durable: the refusal names a promotion, which must not be rolled back by a transaction around this one.
@transaction.atomic(durable=True)
def _transition(
    actor: Actor, name: object, number: object, stage: object, comment: str, archive_existing: bool
) -> tuple[Version, ReviewNeeded | None]:
    model = locked_model(actor, name)
    version = version_of(model, number)
    require(actor, Action.REQUEST_PROMOTION, model)
    target = stage_named(stage)
    if archive_existing and target in (Stage.NONE, Stage.ARCHIVED):
        raise NothingToArchive(stage=target)
    if version.stage == target:
        return version, None
    promotion = _open(actor, model, version, target, comment=comment, archive_existing=archive_existing)
    promotion = _settle(actor, promotion)
    if promotion.state == State.OPEN and promotion.terms.bypass and actor.may(Action.BYPASS_POLICY, model.id):
        promotion = _carry_out(actor, promotion, gather(promotion), bypass=True, reason=comment)
    if promotion.state == State.OPEN:
        return version, _review_needed(promotion, outlook(promotion).missing)
    return version_of(model, number), None


@transaction.atomic
def bypass(actor: Actor, promotion_id: uuid.UUID, *, reason: str) -> Promotion:
    """Carry out an open promotion over its policy: an administrator may, with a reason, where the policy allows it."""
    promotion = _locked(actor, promotion_id)
    require(actor, Action.BYPASS_POLICY, promotion.model)
    after(State(promotion.state), Act.CARRY_OUT)
    _in_time(promotion)
    reason = _reason("reason", reason)
    if not promotion.terms.bypass:
        raise _review_needed(promotion, ("the policy forbids a bypass", *outlook(promotion).missing))
    return _carry_out(actor, promotion, gather(promotion), bypass=True, reason=reason)


@transaction.atomic
def approve(actor: Actor, promotion_id: uuid.UUID, *, evidence: str, comment: str = "") -> Promotion:
    """Vouch for a promotion; it is carried out when this was the last approval needed.

    `evidence` is the digest of what the reviewer looked at. Raises SelfApproval, EvidenceChanged, AlreadyApproved.
    """
    promotion = _locked(actor, promotion_id)
    require(actor, Action.APPROVE_PROMOTION, promotion.model)
    after(State(promotion.state), Act.APPROVE)
    _in_time(promotion)
    if why := excluded(promotion).get(actor.user_id):
        raise SelfApproval(why=why)
    now = gather(promotion)
    if evidence != now.digest:
        raise EvidenceChanged(sent=str(evidence)[:12] or "none", now=now.digest[:12])
    if promotion.approvals.filter(reviewer_id=actor.user_id, evidence=evidence).exists():
        raise AlreadyApproved
    Approval.objects.create(
        promotion=promotion,
        reviewer_id=actor.user_id,
        evidence=evidence,
        comment=text.free_text("comment", comment, limit=COMMENT_LIMIT),
        token_id=actor.token_id,
    )
    emit_promotion(actor, Verb.PROMOTION_APPROVED, promotion, comment=comment, evidence=evidence)
    return _settle(actor, promotion)


@transaction.atomic
def reject(actor: Actor, promotion_id: uuid.UUID, *, reason: str) -> Promotion:
    """End a promotion with a reason."""
    promotion = _locked(actor, promotion_id)
    require(actor, Action.APPROVE_PROMOTION, promotion.model)
    after(State(promotion.state), Act.REJECT)
    if why := excluded(promotion).get(actor.user_id):
        raise SelfApproval(why=f"{why}; withdraw it instead")
    return close(actor, promotion, Act.REJECT, _reason("reason", reason))


@transaction.atomic
def withdraw(actor: Actor, promotion_id: uuid.UUID, *, reason: str = "") -> Promotion:
    """Take a promotion back: the one who asked for it may, or a maintainer."""
    promotion = _locked(actor, promotion_id)
    require(actor, Action.WITHDRAW_PROMOTION, promotion.model)
    after(State(promotion.state), Act.WITHDRAW)
    if promotion.requester_id != actor.user_id and not actor.may(Action.DELETE_VERSION, promotion.model.id):
        raise NotYourPromotion
    reason = text.free_text("reason", reason, limit=COMMENT_LIMIT)
    return close(actor, promotion, Act.WITHDRAW, reason)


_EXPIRED_AT_ONCE = 500


def expire_due(now: datetime.datetime) -> int:
    """Close open promotions whose lifetime is over, the oldest first; returns how many. A transaction each."""
    due = Promotion.objects.open().filter(expires_at__lte=now).select_related("model__workspace").order_by("expires_at")
    closed = 0
    for promotion in due[:_EXPIRED_AT_ONCE]:
        try:
            closed += _expire(system_actor(promotion.model.workspace), promotion.pk, now)
        except (Refusal, OperationalError):  # it is gone, or busy; the next sweep looks again
            log.warning("promotion not expired yet", promotion=str(promotion.pk), exc_info=True)
    return closed


@transaction.atomic
def _expire(actor: Actor, promotion_id: uuid.UUID, now: datetime.datetime) -> bool:
    promotion = _locked(actor, promotion_id)
    if promotion.state != State.OPEN or promotion.expires_at > now:
        return False
    close(actor, promotion, Act.EXPIRE, _OVERDUE)
    return True


_OVERDUE = "nobody decided in time"


# --- The steps --------------------------------------------------------------------------------------------------------


def _locked(actor: Actor, promotion_id: uuid.UUID) -> Promotion:
    """The promotion as it is once its model's row is locked; PromotionNotFound."""
    seen = Promotion.objects.visible_to(actor).filter(pk=promotion_id).select_related("model").first()
    if seen is None:
        raise PromotionNotFound(promotion=promotion_id)
    model = locked_model(actor, seen.model.name)
    promotion = Promotion.objects.select_related("version").get(pk=promotion_id)
    promotion.model = promotion.version.model = model
    return promotion


def _in_time(promotion: Promotion) -> None:
    """Refuse what the sweep is about to close: it may be late, a decision must not be."""
    if promotion.expires_at <= timezone.now():
        raise PromotionOverdue(at=f"{promotion.expires_at:%Y-%m-%d %H:%M} UTC")


def _open(
    actor: Actor, model: Model, version: Version, target: Stage, *, comment: str, archive_existing: bool = False
) -> Promotion:
    promotion = Promotion.objects.open().filter(version=version, stage=target).first()
    if promotion and promotion.expires_at <= timezone.now():
        promotion.model, promotion.version = model, version
        close(actor, promotion, Act.EXPIRE, _OVERDUE)
        promotion = None
    if promotion is None:
        terms = policy_for(target)
        promotion = Promotion.objects.create(
            model=model,
            version=version,
            stage=target,
            from_stage=version.stage,
            policy=terms.as_json(),
            archive_existing=archive_existing,
            comment=text.free_text("comment", comment, limit=COMMENT_LIMIT),
            requester_id=actor.user_id,
            requester_token=actor.token_id,
            expires_at=timezone.now() + terms.lifetime,
        )
        promotion.opened_now = True
        promotion.model, promotion.version = model, version
        emit_promotion(actor, Verb.PROMOTION_REQUESTED, promotion, comment=comment)
    promotion.model, promotion.version = model, version
    promotion.askers.add(actor.user_id)  # whoever finds the open one asks for it as well, so he cannot vouch for it
    return promotion


def _settle(actor: Actor, promotion: Promotion) -> Promotion:
    """Carry the promotion out when nothing is missing any more."""
    look = outlook(promotion)
    return promotion if look.missing else _carry_out(actor, promotion, look.evidence)


def _carry_out(
    actor: Actor, promotion: Promotion, evidence: Evidence, *, bypass: bool = False, reason: str = ""
) -> Promotion:
    terms, model = promotion.terms, promotion.model
    leaving = _leaving(promotion)
    now = moment(*leaving)
    promotion.state = after(State(promotion.state), Act.CARRY_OUT)
    promotion.decided_by_id, promotion.decided_at = actor.user_id, now
    promotion.bypass, promotion.reason = bypass, text.free_text("reason", reason, limit=COMMENT_LIMIT)
    promotion.decided_evidence = evidence.digest
    candidate, incumbents = leaving[0], leaving[1:]
    for incumbent in incumbents:
        _move(promotion, incumbent, Stage.ARCHIVED, now, exclusive=False)
    _move(promotion, candidate, promotion.target, now, exclusive=terms.exclusive)
    edited(model, resolves_anew=True)
    archived = sorted(incumbent.number for incumbent in incumbents)
    entry = emit_promotion(
        actor,
        Verb.PROMOTION_BYPASSED if bypass else Verb.PROMOTION_PROMOTED,
        promotion,
        evidence=evidence.digest,
        manifest=evidence.manifest,
        previous=archived,
        reason=reason,
    )
    promotion.entry_hash = entry.hash
    promotion.save()
    wake(promotion.id)
    for number in archived:
        _tell(actor, promotion, number, promotion.stage, Stage.ARCHIVED)
    _tell(actor, promotion, promotion.version.number, candidate.stage, promotion.stage)
    return promotion


def _leaving(promotion: Promotion) -> list[Occupancy]:
    """The open occupancies that end: the candidate's first, then those of the versions to archive."""
    now_held = Occupancy.objects.filter(model_id=promotion.model_id, ended_at__isnull=True).select_related("version")
    candidate = now_held.get(version_id=promotion.version_id)
    if not (promotion.terms.exclusive or promotion.archive_existing):
        return [candidate]
    return [candidate, *now_held.filter(stage=promotion.stage).exclude(version_id=promotion.version_id)]


def _move(promotion: Promotion, left: Occupancy, stage: Stage, now: datetime.datetime, *, exclusive: bool) -> None:
    """Close a version's open occupancy and open its next."""
    left.ended_at = now
    left.save(update_fields=["ended_at"])
    try:
        with transaction.atomic():
            Occupancy.objects.create(
                model_id=promotion.model_id,
                version_id=left.version_id,
                number=left.number,
                stage=stage,
                exclusive=exclusive,
                started_at=now,
                promotion=promotion,
            )
    except IntegrityError:
        raise ExclusiveStageTaken(stage=stage) from None
    Version.objects.filter(pk=left.version_id).update(updated_at=now, revision=F("revision") + 1)


def _reason(field: str, value: str) -> str:
    if not text.free_text(field, value, limit=COMMENT_LIMIT).strip():
        raise ReasonMissing(field=field)
    return value


def _tell(actor: Actor, promotion: Promotion, number: int, left: str, entered: str) -> None:
    emit(
        actor,
        Verb.VERSION_TRANSITIONED,
        promotion.model,
        subject=f"{promotion.model.name} v{number}",
        promotion=str(promotion.id),
        version=number,
        from_stage=left,
        stage=entered,
    )
