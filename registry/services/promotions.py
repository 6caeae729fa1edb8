"""Promotions: ask, approve, reject, withdraw, carry out. The one place where a stage changes."""

from __future__ import annotations

import datetime
import uuid

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Workspace
from accounts.permissions import require
from accounts.queries import system_actor
from accounts.roles import Action
from accounts.verbs import Verb
from core import text
from registry.errors import (
    AlreadyApproved,
    AlreadyThere,
    EvidenceChanged,
    ExclusiveStageTaken,
    NothingToArchive,
    NotYourPromotion,
    PromotionNotFound,
    ReasonMissing,
    ReviewNeeded,
    SelfApproval,
)
from registry.evidence import Evidence, gather
from registry.lifecycle import Act, Stage, State, after, stage_named
from registry.models import Approval, Model, Occupancy, Promotion, Version
from registry.outbox import emit
from registry.outlook import Outlook as Outlook
from registry.outlook import excluded as excluded
from registry.outlook import outlook as outlook
from registry.policy import policy_for
from registry.services.catalog import edited, locked_model, version_of
from registry.wakeups import wake

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
    promotion, version = _transition(actor, name, number, stage, comment, archive_existing)
    if promotion is not None and promotion.state == State.OPEN:
        missing = outlook(promotion).missing
        raise ReviewNeeded(
            name=promotion.model.name,
            version=version.number,
            stage=promotion.stage,
            missing="; ".join(missing),
            promotion=promotion.id,
            page=settings.VOUCH_URL + promotion.page,
            reasons=missing,
            link=promotion.page,
        )
    return version


@transaction.atomic
def _transition(
    actor: Actor, name: object, number: object, stage: object, comment: str, archive_existing: bool
) -> tuple[Promotion | None, Version]:
    model = locked_model(actor, name)
    version = version_of(model, number)
    require(actor, Action.REQUEST_PROMOTION, model)
    target = stage_named(stage)
    if archive_existing and target in (Stage.NONE, Stage.ARCHIVED):
        raise NothingToArchive(stage=target)
    if version.stage == target:
        return None, version
    promotion = _open(actor, model, version, target, comment=comment, archive_existing=archive_existing)
    promotion = _settle(actor, promotion)
    if promotion.state == State.OPEN and promotion.terms.bypass and actor.may(Action.BYPASS_POLICY, model.id):
        promotion = _carry_out(actor, promotion, gather(promotion), bypass=True, reason=comment)
    return promotion, version_of(model, number)


@transaction.atomic
def bypass(actor: Actor, promotion_id: uuid.UUID, *, reason: str) -> Promotion:
    """Carry out an open promotion over its policy: an administrator may, with a reason, where the policy allows it."""
    promotion = _locked(actor, promotion_id)
    require(actor, Action.BYPASS_POLICY, promotion.model)
    after(State(promotion.state), Act.CARRY_OUT)
    reason = _reason("reason", reason)
    if not promotion.terms.bypass:
        raise ReviewNeeded(
            name=promotion.model.name,
            version=promotion.version.number,
            stage=promotion.stage,
            missing="the policy forbids a bypass; " + "; ".join(outlook(promotion).missing),
            promotion=promotion.id,
            page=settings.VOUCH_URL + promotion.page,
        )
    return _carry_out(actor, promotion, gather(promotion), bypass=True, reason=reason)


@transaction.atomic
def approve(actor: Actor, promotion_id: uuid.UUID, *, evidence: str, comment: str = "") -> Promotion:
    """Vouch for a promotion; it is carried out when this was the last approval needed.

    `evidence` is the digest of what the reviewer looked at. Raises SelfApproval, EvidenceChanged, AlreadyApproved.
    """
    promotion = _locked(actor, promotion_id)
    require(actor, Action.APPROVE_PROMOTION, promotion.model)
    after(State(promotion.state), Act.APPROVE)
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
    _emit(actor, Verb.PROMOTION_APPROVED, promotion, comment=comment, evidence=evidence)
    return _settle(actor, promotion)


@transaction.atomic
def reject(actor: Actor, promotion_id: uuid.UUID, *, reason: str) -> Promotion:
    """End a promotion with a reason."""
    promotion = _locked(actor, promotion_id)
    require(actor, Action.APPROVE_PROMOTION, promotion.model)
    state = after(State(promotion.state), Act.REJECT)
    if why := excluded(promotion).get(actor.user_id):
        raise SelfApproval(why=f"{why}; withdraw it instead")
    return _close(actor, promotion, state, Verb.PROMOTION_REJECTED, _reason("reason", reason))


@transaction.atomic
def withdraw(actor: Actor, promotion_id: uuid.UUID, *, reason: str = "") -> Promotion:
    """Take a promotion back: the one who asked for it may, or a maintainer."""
    promotion = _locked(actor, promotion_id)
    require(actor, Action.WITHDRAW_PROMOTION, promotion.model)
    state = after(State(promotion.state), Act.WITHDRAW)
    if promotion.requester_id != actor.user_id and not actor.may(Action.DELETE_VERSION, promotion.model.id):
        raise NotYourPromotion
    reason = text.free_text("reason", reason, limit=COMMENT_LIMIT)
    return _close(actor, promotion, state, Verb.PROMOTION_WITHDRAWN, reason)


def expire_due(now: datetime.datetime) -> int:
    """Close the open promotions whose lifetime is over; returns how many. Each in a transaction of its own."""
    due = Promotion.objects.open().filter(expires_at__lte=now).values_list("pk", "model__workspace_id")
    return sum(_expire(promotion_id, Workspace.objects.get(pk=workspace_id), now) for promotion_id, workspace_id in due)


@transaction.atomic
def _expire(promotion_id: uuid.UUID, workspace: Workspace, now: datetime.datetime) -> bool:
    actor = system_actor(workspace)
    promotion = _locked(actor, promotion_id)
    if promotion.state != State.OPEN or promotion.expires_at > now:
        return False
    _close(actor, promotion, after(State.OPEN, Act.EXPIRE), Verb.PROMOTION_EXPIRED, "nobody decided in time")
    return True


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


def _open(
    actor: Actor, model: Model, version: Version, target: Stage, *, comment: str, archive_existing: bool = False
) -> Promotion:
    promotion = Promotion.objects.open().filter(version=version, stage=target).first()
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
        _emit(actor, Verb.PROMOTION_REQUESTED, promotion, comment=comment)
    promotion.model, promotion.version = model, version
    return promotion


def _settle(actor: Actor, promotion: Promotion) -> Promotion:
    """Carry the promotion out when nothing is missing any more."""
    look = outlook(promotion)
    return promotion if look.missing else _carry_out(actor, promotion, look.evidence)


def _carry_out(
    actor: Actor, promotion: Promotion, evidence: Evidence, *, bypass: bool = False, reason: str = ""
) -> Promotion:
    now, terms, model = timezone.now(), promotion.terms, promotion.model
    promotion.state = after(State(promotion.state), Act.CARRY_OUT)
    promotion.decided_by_id, promotion.decided_at = actor.user_id, now
    promotion.bypass, promotion.reason = bypass, text.free_text("reason", reason, limit=COMMENT_LIMIT)
    promotion.decided_evidence = evidence.digest
    archived = _vacate(promotion, now) if terms.exclusive or promotion.archive_existing else []
    came_from = _move(promotion, promotion.version, Stage(promotion.stage), now, exclusive=terms.exclusive)
    edited(model, resolves_anew=True)
    entry = _emit(
        actor,
        Verb.PROMOTION_BYPASSED if bypass else Verb.PROMOTION_PROMOTED,
        promotion,
        evidence=evidence.digest,
        manifest=evidence.manifest,
        previous=archived,
        reason=reason,
    )
    promotion.entry_hash = entry
    promotion.save()
    wake(promotion.id)
    for number in archived:
        _tell(actor, promotion, number, promotion.stage, Stage.ARCHIVED)
    _tell(actor, promotion, promotion.version.number, came_from, promotion.stage)
    return promotion


def _vacate(promotion: Promotion, now: datetime.datetime) -> list[int]:
    """Archive the other occupants of the stage; returns their numbers."""
    others = Occupancy.objects.filter(model_id=promotion.model_id, stage=promotion.stage, ended_at__isnull=True)
    numbers = []
    for occupancy in others.exclude(version_id=promotion.version_id).select_related("version"):
        _move(promotion, occupancy.version, Stage.ARCHIVED, now, exclusive=False)
        numbers.append(occupancy.version.number)
    return sorted(numbers)


def _move(promotion: Promotion, version: Version, stage: Stage, now: datetime.datetime, *, exclusive: bool) -> str:
    """Close the version's open occupancy and open the next; returns the stage that it left."""
    left = Occupancy.objects.get(version=version, ended_at__isnull=True)
    left.ended_at = now
    left.save(update_fields=["ended_at"])
    try:
        with transaction.atomic():
            Occupancy.objects.create(
                model_id=promotion.model_id,
                version=version,
                stage=stage,
                exclusive=exclusive,
                started_at=now,
                promotion=promotion,
            )
    except IntegrityError:
        raise ExclusiveStageTaken(stage=stage) from None
    version.updated_at = now
    version.revision += 1
    version.save(update_fields=["updated_at", "revision"])
    return left.stage


def _close(actor: Actor, promotion: Promotion, state: State, verb: Verb, reason: str) -> Promotion:
    promotion.state, promotion.reason = state, reason
    promotion.decided_by_id, promotion.decided_at = actor.user_id, timezone.now()
    promotion.entry_hash = _emit(actor, verb, promotion, reason=reason)
    promotion.save(update_fields=["state", "reason", "decided_by", "decided_at", "entry_hash"])
    wake(promotion.id)
    return promotion


def _reason(field: str, value: str) -> str:
    if not text.free_text(field, value, limit=COMMENT_LIMIT).strip():
        raise ReasonMissing(field=field)
    return value


def _emit(actor: Actor, verb: Verb, promotion: Promotion, **data: object) -> str:
    """Emit an event about the promotion; returns the hash of its audit entry."""
    return emit(
        actor,
        verb,
        promotion.model,
        subject=f"{promotion.model.name} v{promotion.version.number} to {promotion.stage}",
        promotion=str(promotion.id),
        version=promotion.version.number,
        stage=promotion.stage,
        **data,
    ).hash


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
