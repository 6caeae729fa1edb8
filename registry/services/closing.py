"""How an open promotion ends without being carried out: one function for whoever ends it."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils import timezone

from accounts.actor import Actor
from accounts.verbs import Verb
from registry.lifecycle import Act, State, after
from registry.models import Model, Promotion
from registry.outbox import emit_promotion
from registry.wakeups import wake

OVERDUE = "nobody decided in time"

_TOLD_AS = {
    Act.REJECT: Verb.PROMOTION_REJECTED,
    Act.WITHDRAW: Verb.PROMOTION_WITHDRAWN,
    Act.SUPERSEDE: Verb.PROMOTION_SUPERSEDED,
    Act.EXPIRE: Verb.PROMOTION_EXPIRED,
}


def close(actor: Actor, promotion: Promotion, act: Act, reason: str) -> Promotion:
    """End `promotion`, whose model is locked, by `act`; PromotionClosed when it is not open any more."""
    promotion.state, promotion.reason = after(State(promotion.state), act), reason
    promotion.decided_by_id, promotion.decided_at = actor.user_id, timezone.now()
    promotion.look_again_at = None
    promotion.entry_hash = emit_promotion(actor, _TOLD_AS[act], promotion, reason=reason).hash
    promotion.save(update_fields=["state", "reason", "decided_by", "decided_at", "entry_hash", "look_again_at"])
    wake(promotion.id)
    return promotion


def supersede(actor: Actor, model: Model, promotions: QuerySet[Promotion], *, why: str) -> None:
    """End those of a locked model's promotions, all of them open, which have become pointless."""
    for promotion in promotions.select_related("version"):
        promotion.model = model
        close(actor, promotion, Act.SUPERSEDE, why)
