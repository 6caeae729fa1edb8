"""Promotions: ask, approve, reject, withdraw, reopen, bypass."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Token, User
from accounts.permissions import require
from accounts.roles import Action
from accounts.verbs import Verb
from core import text
from registry.errors import (
    AlreadyApproved,
    AlreadyThere,
    BypassForbidden,
    EvidenceChanged,
    LookAgain,
    NothingToArchive,
    NotYourPromotion,
    OpenAlready,
    PromotionOverdue,
    ReasonMissing,
    ReviewNeeded,
    SelfApproval,
)
from registry.evidence import what_changed
from registry.lifecycle import Act, Stage, State, after, stage_named
from registry.models import Approval, Promotion, Version
from registry.outbox import emit_promotion, of_promotion
from registry.outlook import Outlook, outlook
from registry.policy import ALIAS_MARK
from registry.references import target_named
from registry.ruling import Ruling
from registry.services.carrying import adopt, carry_out, follow, looked_at, settle, settle_by
from registry.services.closing import OVERDUE, close
from registry.services.locks import locked_model, locked_promotion, ruled, version_of

COMMENT_LIMIT = 10_000


@transaction.atomic
def request(actor: Actor, name: object, number: object, target: object, *, comment: str = "") -> Promotion:
    """Ask for a version to be moved to a stage, or for an alias ('@champion') to be pointed at it.

    Carried out at once where the policy asks for nothing. The open promotion of the same version and target is found
    again rather than opened twice. Raises AlreadyThere.
    """
    model = locked_model(actor, name)
    version = version_of(model, number)
    require(actor, Action.REQUEST_PROMOTION, model)
    wanted = target_named(target)
    if holds(version, wanted):
        raise AlreadyThere(name=model.name, version=version.number, target=wanted)
    return settle(actor, open_for(actor, version, ruled(model, wanted), comment=comment))


def holds(version: Version, target: str) -> bool:
    """Whether the version, found `with_stage()`, holds the stage or the alias already."""
    if target.startswith(ALIAS_MARK):
        return version.aliases.filter(name=target.removeprefix(ALIAS_MARK)).exists()
    return version.stage == target


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
    now = ruled(model, target)
    if review := take_or_ask(actor, version, now, comment=comment, archive_existing=archive_existing):
        return version, review
    return version_of(model, number), None


def take_or_ask(
    actor: Actor, version: Version, now: Ruling, *, comment: str = "", archive_existing: bool = False
) -> ReviewNeeded | None:
    """Do at once what `now` rules about, where the actor may: with nothing missing, or as an administrator past it.

    Else the promotion stays open, and what is returned says what it lacks. The model is locked.
    """
    promotion = open_for(actor, version, now, comment=comment, archive_existing=archive_existing)
    look = looked_at(actor, promotion)
    if settle_by(actor, promotion, look).state != State.OPEN:
        return None
    if promotion.terms.bypass and actor.may(Action.BYPASS_POLICY, promotion.model_id):
        carry_out(actor, promotion, look, bypass=True, reason=comment)
        return None
    return _review_needed(promotion, look)


def _review_needed(promotion: Promotion, look: Outlook) -> ReviewNeeded:
    return ReviewNeeded(
        name=promotion.model.name,
        version=promotion.version.number,
        target=promotion.target,
        missing="; ".join(look.missing),
        promotion=promotion.id,
        page=settings.VOUCH_URL + promotion.page,
        reasons=look.missing,
        link=promotion.page,
        approvals=look.unvouched,
        gates=look.failing,
    )


@transaction.atomic
def bypass(actor: Actor, promotion_id: uuid.UUID, *, reason: str) -> Promotion:
    """Carry out an open promotion over its policy: an administrator may, with a reason, where the policy allows it.

    It is listed to be reviewed afterwards. Raises BypassForbidden.
    """
    promotion = locked_promotion(actor, promotion_id)
    require(actor, Action.BYPASS_POLICY, promotion.model)
    after(State(promotion.state), Act.CARRY_OUT)
    _in_time(promotion)
    reason = reason_given("reason", reason)
    now = ruled(promotion.model, promotion.target)
    look = outlook(promotion)
    if not (promotion.terms.bypass and now.terms.bypass):
        raise BypassForbidden(
            policy=now.terms.name, missing="; ".join(look.missing), reasons=look.missing, link=promotion.page
        )
    return carry_out(actor, promotion, look, bypass=True, reason=reason)


def approve(
    actor: Actor, promotion_id: uuid.UUID, *, evidence: str, comment: str = "", archive_existing: bool = False
) -> Promotion:
    """Vouch for a promotion; it is carried out when this was the last thing needed.

    `evidence` is the digest of what the reviewer looked at: with `archive_existing`, of a promotion that archives the
    other versions in the stage. Raises SelfApproval, AlreadyApproved; and EvidenceChanged,
    which a policy that was tightened since is a reason for too.
    """
    return _approved(actor, promotion_id, evidence, comment, archive_existing)


def approve_as_it_stands(
    actor: Actor, promotion_id: uuid.UUID, *, comment: str = "", archive_existing: bool = False
) -> Promotion:
    """The same over a wire that has no word for what the reviewer looked at: he vouches for what there is now.

    The audit entry says that no digest was posted. Such an approval is only taken as somebody's first word: when what
    he approved has changed since, nothing tells that he has seen how. `archive_existing` archives the other versions in
    the stage, which earlier approvals were not given for. Raises SelfApproval, AlreadyApproved, LookAgain,
    NothingToArchive.
    """
    return _approved(actor, promotion_id, None, comment, archive_existing)


def _approved(
    actor: Actor, promotion_id: uuid.UUID, evidence: str | None, comment: str, archive_existing: bool = False
) -> Promotion:
    promotion, changed = _approve(actor, promotion_id, evidence, comment, archive_existing)
    if changed:
        raise changed
    return promotion


# Durable: when the policy was tightened, the promotion is held to it though the approval is refused. Undone with the
# refusal, its page would go on to show the evidence that is refused.
@transaction.atomic(durable=True)
def _approve(
    actor: Actor, promotion_id: uuid.UUID, evidence: str | None, comment: str, archive_existing: bool
) -> tuple[Promotion, EvidenceChanged | None]:
    reviewer = User.objects.get(pk=actor.user_id)  # before the lock, which others wait for
    promotion = locked_promotion(actor, promotion_id)
    require(actor, Action.APPROVE_PROMOTION, promotion.model)
    after(State(promotion.state), Act.APPROVE)
    _in_time(promotion)
    follow(actor, promotion, ruled(promotion.model, promotion.target))
    if archive_existing:
        _archive_others(promotion)
    look = outlook(promotion, giver=actor.user_id)
    if why := look.excludes(actor.user_id):
        raise SelfApproval(why=why)
    if evidence is not None and evidence != look.evidence.digest:
        return promotion, EvidenceChanged(sent=str(evidence)[:12] or "none", now=look.evidence.digest[:12])
    if any(approval.reviewer_id == actor.user_id for approval in look.counting):
        raise AlreadyApproved
    if evidence is None:
        _first_word(actor, promotion, look)
    approval = _approval(actor, reviewer, promotion, look, text.free_text("comment", comment, limit=COMMENT_LIMIT))
    unseen = {} if evidence is not None else {"digest_posted": False}
    told = of_promotion(Verb.PROMOTION_APPROVED, promotion, comment=comment, evidence=look.evidence.digest, **unseen)
    return settle_by(actor, promotion, look.with_approval(approval), told), None


def _first_word(actor: Actor, promotion: Promotion, look: Outlook) -> None:
    """Refuse an approval without a digest when the actor has approved other evidence before."""
    for earlier in reversed(look.stale):
        if earlier.reviewer_id == actor.user_id and earlier.evidence != look.evidence.digest:
            raise LookAgain(
                changed=what_changed(earlier.looked_at, look.evidence, promotion.target),
                page=settings.VOUCH_URL + promotion.page,
                link=promotion.page,
            )


def _archive_others(promotion: Promotion) -> None:
    """Let the promotion archive the other versions in its stage, which a change of the evidence is."""
    if promotion.stage not in (Stage.STAGING, Stage.PRODUCTION):
        raise NothingToArchive(stage=promotion.target)
    if not promotion.archive_existing:
        promotion.archive_existing = True
        promotion.save(update_fields=["archive_existing"])


def _approval(actor: Actor, reviewer: User, promotion: Promotion, look: Outlook, comment: str) -> Approval:
    """The actor's approval of what he looked at; one of his that has become too old is given anew."""
    own = [a for a in look.stale if (a.reviewer_id, a.evidence) == (actor.user_id, look.evidence.digest)]
    approval = own[0] if own else Approval(promotion=promotion, reviewer=reviewer)
    approval.evidence, approval.looked_at = look.evidence.digest, look.evidence.as_json()
    approval.comment, approval.token_id, approval.at = comment, actor.token_id, timezone.now()
    approval.save()
    return approval


@transaction.atomic
def reject(actor: Actor, promotion_id: uuid.UUID, *, reason: str) -> Promotion:
    """End a promotion with a reason."""
    promotion = locked_promotion(actor, promotion_id)
    require(actor, Action.APPROVE_PROMOTION, promotion.model)
    after(State(promotion.state), Act.REJECT)
    if why := outlook(promotion, giver=actor.user_id).excludes(actor.user_id):
        raise SelfApproval(why=f"{why}; withdraw it instead")
    return close(actor, promotion, Act.REJECT, reason_given("reason", reason))


@transaction.atomic
def withdraw(actor: Actor, promotion_id: uuid.UUID, *, reason: str = "") -> Promotion:
    """Take a promotion back: the one who asked for it may, or a maintainer."""
    promotion = locked_promotion(actor, promotion_id)
    require(actor, Action.WITHDRAW_PROMOTION, promotion.model)
    after(State(promotion.state), Act.WITHDRAW)
    if promotion.requester_id != actor.user_id and not actor.may(Action.DELETE_VERSION, promotion.model.id):
        raise NotYourPromotion
    reason = text.free_text("reason", reason, limit=COMMENT_LIMIT)
    return close(actor, promotion, Act.WITHDRAW, reason)


@transaction.atomic
def reopen(actor: Actor, promotion_id: uuid.UUID, *, reason: str) -> Promotion:
    """Open a rejected, withdrawn or expired promotion again, under the policy that is in force now.

    What was approved before does not count any more: a rejection is not walked around. Whoever reopens it asks for it,
    as the one does who asked first. Raises OpenAlready, AlreadyThere, PromotionClosed.
    """
    promotion = locked_promotion(actor, promotion_id)
    require(actor, Action.REQUEST_PROMOTION, promotion.model)
    promotion.state = after(State(promotion.state), Act.REOPEN)
    reason = reason_given("reason", reason)
    model = promotion.model
    version = version_of(model, promotion.version.number)
    if holds(version, promotion.target):
        raise AlreadyThere(name=model.name, version=version.number, target=promotion.target)
    for other in Promotion.objects.open().filter(version=version, target=promotion.target):
        raise OpenAlready(promotion=other.pk, page=settings.VOUCH_URL + other.page, link=other.page)
    now = ruled(model, promotion.target)
    adopt(promotion, now)
    promotion.version = version
    promotion.round += 1
    promotion.decided_by, promotion.decided_at, promotion.reason, promotion.entry_hash = None, None, "", ""
    promotion.blocked_on, promotion.look_again_at = [], None
    promotion.held_by_gates, promotion.judged_evidence = False, ""
    promotion.from_stage, promotion.expires_at = version.stage, timezone.now() + now.terms.lifetime
    promotion.save()
    _asks(actor, promotion)
    emit_promotion(actor, Verb.PROMOTION_REOPENED, promotion, reason=reason, policy=now.terms.name)
    return settle(actor, promotion)


# --- The steps --------------------------------------------------------------------------------------------------------


def _in_time(promotion: Promotion) -> None:
    """Refuse what the sweep is about to close: it may be late, a decision must not be."""
    if promotion.expires_at <= timezone.now():
        raise PromotionOverdue(at=f"{promotion.expires_at:%Y-%m-%d %H:%M} UTC")


def open_for(
    actor: Actor, version: Version, now: Ruling, *, comment: str = "", archive_existing: bool = False
) -> Promotion:
    """The open promotion of `version`, whose model is locked, to what `now` rules; opened when there is none."""
    model, target = version.model, now.target
    promotion = Promotion.objects.open().filter(version=version, target=target).first()
    if promotion and promotion.expires_at <= timezone.now():
        promotion.model, promotion.version = model, version
        close(actor, promotion, Act.EXPIRE, OVERDUE)
        promotion = None
    if promotion is None:
        promotion = Promotion(
            model=model,
            version=version,
            target=target,
            from_stage=version.stage,
            archive_existing=archive_existing,
            comment=text.free_text("comment", comment, limit=COMMENT_LIMIT),
            requester_id=actor.user_id,
            requester_token=actor.token_id,
            expires_at=timezone.now() + now.terms.lifetime,
        )
        adopt(promotion, now)
        promotion.save(force_insert=True)
        promotion.opened_now = True
        emit_promotion(
            actor,
            Verb.PROMOTION_REQUESTED,
            promotion,
            from_stage=promotion.from_stage,
            comment=comment,
            policy=now.terms.name,
        )
    promotion.model, promotion.version = model, version
    if archive_existing:
        _archive_others(promotion)
    _asks(actor, promotion)
    return promotion


def _asks(actor: Actor, promotion: Promotion) -> None:
    """Note that the actor asks for it, so that he cannot vouch for it: also one who finds the open one, or reopens it.

    Whoever made the token that he asks by asks with him.
    """
    askers = {actor.user_id}
    if actor.token_id:
        askers.update(Token.objects.filter(pk=actor.token_id).values_list("created_by", flat=True))
    through = Promotion.askers.through
    through.objects.bulk_create(
        (through(promotion_id=promotion.pk, user_id=asker) for asker in askers), ignore_conflicts=True
    )


def reason_given(field: str, value: str) -> str:
    """`value` as the reason of a decision; ReasonMissing when there is none."""
    if not text.free_text(field, value, limit=COMMENT_LIMIT).strip():
        raise ReasonMissing(field=field)
    return value
