"""Which policy is in force for a model and a target, and why that one."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db.models import OuterRef, Q, Subquery

from core import text
from registry.models import Model, Policy, PolicyRevision
from registry.policy import SHIPPED, Terms, in_words, shipped


@dataclass(frozen=True)
class Ruling:
    """The terms in force for `target`; `policy` is None where no policy was written and the shipped default holds."""

    target: str
    terms: Terms
    policy: Policy | None
    revision_id: int | None  # of the policy's newest revision

    @property
    def asks(self) -> list[str]:
        """What it asks, in words."""
        return in_words(self.terms, self.target)

    @property
    def free(self) -> bool:
        """Whether nothing is asked at all."""
        return not (self.terms.asks_people or self.terms.gates)


def ruling(model: Model, target: str) -> Ruling:
    """What is in force for promotions of `model` into `target`. One query."""
    return rulings(model, [target])[target]


def rulings(model: Model, targets: Collection[str] = ()) -> dict[str, Ruling]:
    """The same for several targets, by target; for every stage and every alias with a policy where none are named.

    One query, whatever their number.
    """
    return rulings_of([model], targets)[model.pk]


def rulings_of(models: Collection[Model], targets: Collection[str] = ()) -> dict[uuid.UUID, dict[str, Ruling]]:
    """The same for several models of one workspace, by their ids. One query, whatever their number."""
    if not models:
        return {}
    here = Policy.objects.living().filter(Q(model__in=models) | Q(model__isnull=True))
    here = here.filter(workspace_id__in={model.workspace_id for model in models})
    if targets:
        here = here.filter(target__in=targets)
    newest_one = PolicyRevision.objects.filter(policy=OuterRef("pk"), number=OuterRef("revision")).values("pk")
    policies = list(here.annotate(newest=Subquery(newest_one)).order_by("pattern"))
    return {model.pk: _rulings(model, policies, targets) for model in models}


def _rulings(model: Model, policies: Iterable[Policy], targets: Collection[str]) -> dict[str, Ruling]:
    fitting = [policy for policy in policies if _fits(policy, model)]
    wanted = targets or [*SHIPPED, *sorted({policy.target for policy in fitting} - set(SHIPPED))]
    return {target: _chosen(target, [p for p in fitting if p.target == target], model) for target in wanted}


def _fits(policy: Policy, model: Model) -> bool:
    if policy.model_id:
        if policy.model_id == model.pk:
            policy.model = model
        return policy.model_id == model.pk
    # Whatever the case, as names are kept apart: `Churn` must not slip past a policy for `churn*`.
    return not policy.pattern or text.fits(model.name.lower(), policy.pattern.lower())


def _chosen(target: str, fitting: Iterable[Policy], model: Model) -> Ruling:
    ranked = sorted(fitting, key=lambda policy: policy.scope.rank, reverse=True)
    if not ranked:
        return Ruling(target, shipped(target), None, None)
    policy = ranked[0]
    terms = Terms.of(policy.rules, name=str(policy), why=_why(policy, ranked[1:], model))
    return Ruling(target, terms, policy, getattr(policy, "newest", None))


def _why(policy: Policy, others: Collection[Policy], model: Model) -> str:
    if policy.model_id:
        why = f"it is written for the model {model.name}"
    elif policy.pattern:
        why = f"its pattern {policy.pattern} fits the name {model.name}"
    else:
        why = "it is written for all models of the workspace"
    if not others:
        return f"{why}; no other policy for {policy.target} fits"
    wider = [str(other.scope) for other in others if other.scope.rank < policy.scope.rank]
    equal = [str(other.scope) for other in others if other.scope.rank == policy.scope.rank]
    if wider:
        why += f", which is more specific than {' and '.join(wider)}"
    if equal:
        why += f"; it is as specific as {' and '.join(equal)} and comes first by the alphabet"
    return why
