"""Policies: write, take away; and hold open promotions to what was tightened."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.permissions import require
from accounts.queries import system_actor
from accounts.roles import Action
from accounts.verbs import Verb
from core import text
from registry import policy as rules_of
from registry.errors import BadScope, PolicyNotFound, Stale
from registry.lifecycle import State
from registry.models import Model, Policy, PolicyRevision, Promotion
from registry.policy import Scope
from registry.references import target_named
from registry.ruling import ruling
from registry.services.carrying import settle
from registry.services.locks import locked_model, locked_promotion

COMMENT_LIMIT = 1000
_PATTERN = re.compile(r"[A-Za-z0-9 ._*?-]{1,255}")


def write(
    actor: Actor,
    scope: Scope,
    target: object,
    rules: Mapping[str, Any],
    *,
    comment: str = "",
    expected: int | None = None,
) -> Policy:
    """Write the policy for a scope and a target: a new one, or the next revision. The same rules again change nothing.

    `expected` is the revision that it must still have (0: there must be none yet), or Stale. What it does not say is
    as `registry.policy.RULES` has it. Open promotions that it is stricter with are held to it at once. Raises BadScope,
    BadTarget, BadRules, BadGate.
    """
    policy, changed = _write(actor, scope, target, rules, comment, expected)
    if changed:
        hold_open_promotions(actor.workspace_id, policy.target)
    return policy


@transaction.atomic
def _write(
    actor: Actor, scope: Scope, target: object, rules: Mapping[str, Any], comment: str, expected: int | None
) -> tuple[Policy, bool]:
    model = _may_edit(actor, scope)
    wanted, said = target_named(target), rules_of.checked(rules)
    comment = text.free_text("comment", comment, limit=COMMENT_LIMIT)
    found = _locked(actor, model, scope, wanted)
    if expected is not None and expected != (found.revision if found else 0):
        raise Stale
    if found and found.rules == said:
        return found, False
    if found is None:
        policy = Policy.objects.create(
            workspace_id=actor.workspace_id, model=model, pattern=scope.pattern, target=wanted, rules=said
        )
    else:
        policy = found
        policy.rules, policy.revision, policy.updated_at = said, found.revision + 1, timezone.now()
        policy.save(update_fields=["rules", "revision", "updated_at"])
    _revised(actor, policy, said, comment)
    return policy, True


def retire(actor: Actor, scope: Scope, target: object, *, comment: str = "", expected: int | None = None) -> None:
    """Take a policy away: a less specific one, or the shipped default, is in force from now on. PolicyNotFound."""
    hold_open_promotions(actor.workspace_id, _retire(actor, scope, target, comment, expected).target)


@transaction.atomic
def _retire(actor: Actor, scope: Scope, target: object, comment: str, expected: int | None) -> Policy:
    model = _may_edit(actor, scope)
    wanted = target_named(target)
    policy = _locked(actor, model, scope, wanted)
    if policy is None:
        raise PolicyNotFound(target=wanted, scope=scope)
    if expected is not None and expected != policy.revision:
        raise Stale
    policy.retired_at, policy.revision = timezone.now(), policy.revision + 1
    policy.save(update_fields=["retired_at", "revision"])
    _revised(actor, policy, None, text.free_text("comment", comment, limit=COMMENT_LIMIT))
    return policy


def _may_edit(actor: Actor, scope: Scope) -> Model | None:
    """The model that the scope names, locked; None for a scope of several. Raises BadScope, ModelNotFound."""
    if scope.model and scope.pattern:
        raise BadScope(
            field="pattern", value=scope.pattern, why="a policy is for a model or for a pattern, not for both"
        )
    if scope.model:
        model = locked_model(actor, scope.model)
        require(actor, Action.EDIT_POLICY, model)
        return model
    if scope.pattern and not _PATTERN.fullmatch(scope.pattern):
        raise BadScope(
            field="pattern",
            value=scope.pattern,
            why="use letters, digits, spaces, dots, underscores, hyphens, and '*' and '?' as in a shell",
        )
    require(actor, Action.EDIT_POLICY)
    return None


def _locked(actor: Actor, model: Model | None, scope: Scope, target: str) -> Policy | None:
    here = Policy.objects.living().filter(workspace_id=actor.workspace_id, target=target, pattern=scope.pattern)
    policy = here.filter(model=model).select_for_update(of=("self",), no_key=True).first()
    if policy:
        policy.model = model
    return policy


def _revised(actor: Actor, policy: Policy, rules: dict[str, Any] | None, comment: str) -> None:
    PolicyRevision.objects.create(
        policy=policy, number=policy.revision, rules=rules, comment=comment, changed_by_id=actor.user_id
    )
    audit.record(
        actor,
        Verb.POLICY_CHANGED,
        subject=f"policy for {policy.target} of {policy.scope}",
        data={
            "policy": str(policy.pk),
            "target": policy.target,
            "scope": str(policy.scope),
            "revision": policy.revision,
            "rules": rules,
            "comment": comment,
        },
        chain_of=policy.model_id,
    )


# --- Open promotions --------------------------------------------------------------------------------------------------


def hold_open_promotions(workspace_id: int, target: str = "") -> int:
    """Hold open promotions (into `target`) to the policy now in force where it is stricter; returns how many were.

    A transaction each, after the one of the edit: a promotion that is decided meanwhile looks for itself.
    """
    here = Promotion.objects.open().filter(model__workspace=workspace_id)
    if target:
        here = here.filter(target=target)
    held = 0
    for promotion in here.select_related("model__workspace").order_by("requested_at"):
        if rules_of.tightened(promotion.terms, ruling(promotion.model, promotion.target).terms):
            held += _hold(system_actor(promotion.model.workspace), promotion.pk)
    return held


@transaction.atomic
def _hold(actor: Actor, promotion_id: uuid.UUID) -> bool:
    promotion = locked_promotion(actor, promotion_id)
    if promotion.state != State.OPEN:
        return False
    before: dict[str, Any] = promotion.policy
    return bool(settle(actor, promotion).policy != before)
