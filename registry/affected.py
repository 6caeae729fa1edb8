"""Who is affected when a version moves: the webhooks that will fire, and the people who are told.

Who loads a version from a stage is recorded nowhere, so nothing is said of that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

from accounts.actor import Actor
from accounts.audit import Event
from accounts.roles import Action
from accounts.verbs import Verb
from registry.lifecycle import Stage
from registry.models import Following, Promotion, Version, Webhook
from registry.outbox import listening, of_alias, of_promotion, of_transition, webhooks_of, would_fire

_NAMED = 10  # webhooks of one list of names
# What each act is told as, by its name in a form.
_VERBS = {
    "bypass": Verb.PROMOTION_BYPASSED,
    "reject": Verb.PROMOTION_REJECTED,
    "withdraw": Verb.PROMOTION_WITHDRAWN,
}


# How many people follow the model of each promotion, as an annotation: a page has it with the promotion itself.
FOLLOWERS = Coalesce(
    Subquery(
        Following.objects.filter(model=OuterRef("model"), muted=False, user__is_active=True)
        .order_by()
        .values("model")
        .annotate(count=Count("pk"))
        .values("count")
    ),
    0,
)


@dataclass(frozen=True)
class Fired:
    """The webhooks that an act makes fire; `names` are the first ten of those that the actor may manage."""

    count: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        """In words: "3 webhooks fire"."""
        if not self.count:
            return "no webhook fires"
        return "1 webhook fires" if self.count == 1 else f"{self.count} webhooks fire"


@dataclass(frozen=True)
class Affected:
    """Who is told of what becomes of a promotion, for each act on it; `followers` people follow the model."""

    followers: int
    carried_out: Fired  # with the last approval
    approve: Fired  # with one that is not the last
    bypass: Fired
    reject: Fired
    withdraw: Fired


def affected(actor: Actor, promotion: Promotion, displaced: Collection[Version], followers: int) -> Affected:
    """Who is affected by each act on an open promotion, whose model and version with manifest are loaded.

    `displaced` are the versions that it archives, or from which it takes the alias, with their manifests;
    `followers` is how many people follow the model (`FOLLOWERS`). One query.
    """
    model = promotion.model
    webhooks = list(listening(webhooks_of(model)))

    def fired(*events: Event) -> Fired:
        return _fired(would_fire(model, events, webhooks), actor)

    moved = _moves(promotion, displaced)
    approved = of_promotion(Verb.PROMOTION_APPROVED, promotion)
    return Affected(
        followers=followers,
        carried_out=fired(approved, of_promotion(Verb.PROMOTION_PROMOTED, promotion), *moved),
        approve=fired(approved),
        bypass=fired(of_promotion(_VERBS["bypass"], promotion), *moved),
        reject=fired(of_promotion(_VERBS["reject"], promotion)),
        withdraw=fired(of_promotion(_VERBS["withdraw"], promotion)),
    )


def webhooks_that_fire(version: Version, displaced: Mapping[str, Collection[Version]]) -> dict[str, Fired]:
    """How many webhooks fire when `version`, its model and manifest loaded, moves to each of these targets. One query.

    Each target, a stage or '@' and an alias, comes with what it displaces, as for `affected`.
    """
    webhooks = list(listening(webhooks_of(version.model)))
    stage = getattr(version, "stage", Stage.NONE)
    found = {}
    for target, others in displaced.items():
        promotion = Promotion(model=version.model, version=version, target=target, from_stage=stage)
        events = [of_promotion(Verb.PROMOTION_PROMOTED, promotion), *_moves(promotion, others)]
        found[target] = Fired(len(would_fire(version.model, events, webhooks)), ())
    return found


def _moves(promotion: Promotion, displaced: Collection[Version]) -> list[Event]:
    """The events of what moves when it is carried out: as `registry.services.carrying` tells them."""
    before = sorted(version.number for version in displaced)
    if promotion.alias:
        previous = before[-1] if before else None
        return [of_alias(promotion.model, promotion.alias, promotion.version, previous, promotion=str(promotion.pk))]
    archived = [
        of_transition(promotion, version, left=promotion.target, entered=Stage.ARCHIVED, previous=[])
        for version in displaced
    ]
    into = of_transition(
        promotion, promotion.version, left=promotion.from_stage, entered=promotion.target, previous=before
    )
    return [*archived, into]


def _fired(webhooks: Sequence[Webhook], actor: Actor) -> Fired:
    # Who maintains another model, or this one alone, manages none of the workspace's: their names are not for him.
    managed = [webhook for webhook in webhooks if actor.may(Action.EDIT_WEBHOOK, webhook.model_id)]
    return Fired(len(webhooks), tuple(sorted(map(str, managed))[:_NAMED]))
