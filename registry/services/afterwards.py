"""What is looked at after the fact: bypasses and rollbacks, and versions that stay longer than an approval holds."""

from __future__ import annotations

import uuid

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.actor import Actor
from accounts.permissions import require
from accounts.roles import Action
from accounts.verbs import Verb
from core import text
from registry.errors import (
    FilesDamaged,
    HoldsForEver,
    NothingToReview,
    NotThereAnyMore,
    OwnDoing,
    RevalidatedAlready,
    ReviewedAlready,
    SelfApproval,
)
from registry.lifecycle import State
from registry.models import Promotion, Revalidation, Version
from registry.outbox import emit_promotion
from registry.parts import had_part
from registry.revalidation import standing
from registry.services.locks import locked_promotion
from registry.services.promotions import COMMENT_LIMIT, reason_given


@transaction.atomic
def review_afterwards(actor: Actor, promotion_id: uuid.UUID, *, agrees: bool, note: str = "") -> Promotion:
    """Say of a bypass or a rollback whether it was right; once, by somebody who had no part in it.

    Who disagrees says why. Nothing moves by it. Raises NothingToReview, ReviewedAlready, OwnDoing, ReasonMissing.
    """
    promotion = locked_promotion(actor, promotion_id)
    require(actor, Action.REVIEW_AFTERWARDS, promotion.model)
    if not promotion.to_review:
        raise NothingToReview
    if promotion.reviewed_by:
        raise ReviewedAlready(reviewer=promotion.reviewed_by.username)
    if why := had_part([promotion], carrying_out_too=True)[promotion.pk].get(actor.user_id):
        raise OwnDoing(why=why)
    note = text.free_text("note", note, limit=COMMENT_LIMIT) if agrees else reason_given("note", note)
    promotion.reviewed_by_id, promotion.reviewed_at = actor.user_id, timezone.now()
    promotion.review_agrees, promotion.review_note = agrees, note
    promotion.save(update_fields=["reviewed_by", "reviewed_at", "review_agrees", "review_note"])
    emit_promotion(actor, Verb.PROMOTION_REVIEWED, promotion, agrees=agrees, note=note)
    return promotion


@transaction.atomic
def revalidate(actor: Actor, promotion_id: uuid.UUID, *, comment: str = "") -> Promotion:
    """Vouch anew for what a promotion put where it still is; its word holds on when as many did as its terms ask for.

    One person at least, and one of each team; nobody who had part in it. The bytes are not read again here, but files
    that are known to be damaged are refused. Raises NotThereAnyMore, HoldsForEver, SelfApproval, RevalidatedAlready,
    FilesDamaged.
    """
    promotion = locked_promotion(actor, promotion_id)
    require(actor, Action.APPROVE_PROMOTION, promotion.model)
    number = promotion.version.number
    if promotion.state != State.PROMOTED or not promotion.in_place:
        raise NotThereAnyMore(version=number, target=promotion.target)
    lifetime = promotion.terms.approval_lifetime
    if lifetime is None:
        raise HoldsForEver(policy=promotion.terms.name)
    before = standing(promotion, giver=actor.user_id)
    if why := before.excludes(actor.user_id):
        raise SelfApproval(why=why)
    if any(given.reviewer_id == actor.user_id for given in before.counting):
        raise RevalidatedAlready(missing="; ".join(before.missing))
    manifest = promotion.version.manifest
    if manifest and manifest.damage:
        raise FilesDamaged(version=number, damage=manifest.damage)
    comment = text.free_text("comment", comment, limit=COMMENT_LIMIT)
    given = Revalidation.objects.create(
        promotion=promotion, reviewer_id=actor.user_id, comment=comment, token_id=actor.token_id
    )
    missing = before.with_one_more(given).missing
    if not missing:
        promotion.valid_from = timezone.now()
        promotion.valid_until, promotion.lapsed_at = promotion.valid_from + lifetime, None
        promotion.save(update_fields=["valid_from", "valid_until", "lapsed_at"])
        Version.objects.filter(pk=promotion.version_id).update(revision=F("revision") + 1)  # its ETag: it shows this
    emit_promotion(
        actor,
        Verb.PROMOTION_REVALIDATED,
        promotion,
        complete=not missing,
        missing=list(missing),
        valid_until=promotion.valid_until.isoformat() if promotion.valid_until else None,
        comment=comment,
    )
    return promotion
