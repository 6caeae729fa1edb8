"""A promotion once it is carried out, as its page shows it: on whose word, who looks at it again, how long it holds."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.actor import Actor
from accounts.roles import Action
from registry.earlier import Word, words
from registry.lifecycle import State
from registry.models import Promotion, Revalidation
from registry.parts import had_part
from registry.revalidation import standing


@dataclass(frozen=True)
class Hindsight:
    """What follows from a promotion that was carried out."""

    word: Word | None  # of a rollback: on whose word the version was there
    may_review: bool  # the actor, a bypass or a rollback that nobody has reviewed yet
    runs_out: bool  # its version is still there, on a word that holds for a time
    vouched_anew: tuple[Revalidation, ...]
    missing: tuple[str, ...]  # for it to hold on
    may_revalidate: bool


def hindsight(actor: Actor, promotion: Promotion) -> Hindsight | None:
    """Of a promotion that was carried out, as `actor` sees it; None of any other. At most nine queries."""
    if promotion.state != State.PROMOTED:
        return None
    word = words([promotion]).get(promotion.pk) if promotion.rollback else None
    runs_out = promotion.valid_until is not None and promotion.in_place
    anew = standing(promotion, giver=actor.user_id) if runs_out else None
    may_review = promotion.awaits_review and actor.may(Action.REVIEW_AFTERWARDS, promotion.model_id)
    if may_review:
        # Who carried out a bypass does not vouch for it anew either, so then they are the same people.
        same = anew.excluded if anew and promotion.bypass else None
        excluded = had_part([promotion], carrying_out_too=True)[promotion.pk] if same is None else same
        may_review = actor.user_id not in excluded
    if anew is None:
        return Hindsight(word, may_review, runs_out=False, vouched_anew=(), missing=(), may_revalidate=False)
    has_done = any(given.reviewer_id == actor.user_id for given in anew.counting)
    may = actor.may(Action.APPROVE_PROMOTION, promotion.model_id) and not anew.excludes(actor.user_id)
    return Hindsight(word, may_review, True, anew.counting, anew.missing, may and not has_done)
