"""Policies: write, take away, apply a file of them; and hold open promotions to what was tightened."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import OperationalError, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.actor import Actor
from accounts.audit import Event
from accounts.models import Team
from accounts.permissions import require
from accounts.queries import system_actor
from accounts.roles import Action
from accounts.verbs import Verb
from core import text
from core.errors import Invalid, NotFound, Refusal
from registry import policy as rules_of
from registry.errors import BadPolicyFile, NoSuchTeam, PolicyNotFound, Stale
from registry.lifecycle import State
from registry.models import Model, Policy, PolicyRevision, Promotion
from registry.outbox import emit_all
from registry.policy import Scope
from registry.policy_file import Change, Entry, changes
from registry.references import target_named
from registry.ruling import ruling
from registry.services.carrying import settle
from registry.services.locks import edit_policies, locked_model, locked_promotion

log = structlog.get_logger()

COMMENT_LIMIT = 1000
_AT_ONCE = 200  # open promotions that an edit looks at before it answers


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
    as `registry.policy.RULES` has it. A pattern is kept in lower case, as names fit it in any. Open promotions that it
    is stricter with are held to it at once. Raises BadScope, BadTarget, BadRules, BadGate, NoSuchTeam.
    """
    policy, changed = _write(actor, scope, target, rules, comment, expected)
    if changed:
        hold_open_promotions(actor.workspace_id, policy.target, policy.model_id)
    return policy


@transaction.atomic
def _write(
    actor: Actor, scope: Scope, target: object, rules: Mapping[str, Any], comment: str, expected: int | None
) -> tuple[Policy, bool]:
    model = _may_edit(actor, scope)
    wanted = target_named(target)
    said = rules_of.checked(rules, wanted)
    edit_policies(actor.workspace_id)
    found = _found(actor, model, scope, wanted)
    if expected is not None and expected != (found.revision if found else 0):
        raise Stale
    if found and found.rules == said:
        return found, False
    return _put(actor, model, scope, wanted, found, said, comment), True


def _put(
    actor: Actor,
    model: Model | None,
    scope: Scope,
    target: str,
    found: Policy | None,
    rules: dict[str, Any],
    comment: str,
) -> Policy:
    _refuse_unknown_teams(actor, rules)
    if found is None:
        policy = Policy.objects.create(
            workspace_id=actor.workspace_id, model=model, pattern=scope.pattern.lower(), target=target, rules=rules
        )
    else:
        policy = found
        policy.rules, policy.revision, policy.updated_at = rules, found.revision + 1, timezone.now()
        policy.save(update_fields=["rules", "revision", "updated_at"])
    _revised(actor, policy, rules, comment)
    return policy


def retire(
    actor: Actor,
    scope: Scope,
    target: object,
    *,
    comment: str = "",
    expected: int | None = None,
    only: uuid.UUID | None = None,
) -> None:
    """Take a policy away: a less specific one, or the shipped default, is in force from now on.

    `only`: if it is still the one with this id. Raises PolicyNotFound, Stale.
    """
    policy = _retire(actor, scope, target, comment, expected, only)
    hold_open_promotions(actor.workspace_id, policy.target, policy.model_id)


@transaction.atomic
def _retire(
    actor: Actor, scope: Scope, target: object, comment: str, expected: int | None, only: uuid.UUID | None
) -> Policy:
    model = _may_edit(actor, scope)
    wanted = target_named(target)
    edit_policies(actor.workspace_id)
    policy = _found(actor, model, scope, wanted)
    if policy is None or only not in (None, policy.pk):
        raise PolicyNotFound(target=wanted, scope=scope)
    if expected is not None and expected != policy.revision:
        raise Stale
    return _end(actor, policy, comment)


def _end(actor: Actor, policy: Policy, comment: str) -> Policy:
    policy.retired_at, policy.revision = timezone.now(), policy.revision + 1
    policy.save(update_fields=["retired_at", "revision"])
    _revised(actor, policy, None, comment)
    return policy


# --- A file of them ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Applied:
    """What applying a file has changed, and the open promotions that were reopened by it."""

    changes: tuple[Change, ...]
    reopened: tuple[Promotion, ...] = ()


def apply(
    actor: Actor, wanted: Sequence[Entry], *, comment: str = "", prune: bool = False, dry_run: bool = False
) -> Applied:
    """Write all of `wanted`, or nothing; with `prune` take away every policy of the workspace that is not among them.

    `dry_run`: find out whether it would be taken and what it would change, and leave everything as it is. Raises
    BadPolicyFile, naming the line, where the services for one policy raise what they do.
    """
    done = tuple(_apply(actor, wanted, comment, prune, dry_run))
    if dry_run:
        return Applied(done)
    reopened: dict[uuid.UUID, Promotion] = {}
    for target in sorted({change.entry.target for change in done}):
        reopened |= {held.pk: held for held in hold_open_promotions(actor.workspace_id, target)}
    return Applied(done, tuple(reopened.values()))


@transaction.atomic
def _apply(actor: Actor, wanted: Sequence[Entry], comment: str, prune: bool, dry_run: bool) -> list[Change]:
    models: dict[str, Model | None] = {}
    for entry in sorted(wanted, key=lambda entry: entry.scope.model):  # two that apply lock in the same order
        with _told_by_line(entry):
            models[entry.scope.model] = _may_edit(actor, entry.scope)
    if prune:  # before the lock on the policies, as whoever acts on a model takes them in this order
        ended = Policy.objects.living().visible_to(actor).filter(model__isnull=False).exclude(model__name__in=models)
        for name in ended.order_by("model__name").values_list("model__name", flat=True).distinct():
            locked_model(actor, name)
    edit_policies(actor.workspace_id)
    there = {(p.target, p.scope): p for p in Policy.objects.living().visible_to(actor).select_related("model")}
    found = changes([as_entry(policy) for policy in there.values()], wanted, prune=prune)
    for change in found:
        entry, policy = change.entry, there.get(change.entry.place)
        with _told_by_line(entry):
            if change.after is None and policy:
                require(actor, Action.EDIT_POLICY, policy.model)
                _end(actor, policy, comment)
            elif change.after is not None:
                model = models[entry.scope.model]
                _put(actor, model, entry.scope, entry.target, policy, dict(change.after), comment)
    transaction.set_rollback(dry_run)
    return found


@contextmanager
def _told_by_line(entry: Entry) -> Iterator[None]:
    """What is wrong with an entry of a file is told with its line."""
    try:
        yield
    except (Invalid, NotFound) as refusal:
        if not entry.line or isinstance(refusal, BadPolicyFile):
            raise
        raise BadPolicyFile(field=refusal.at_field, line=entry.line, why=refusal.message) from None


def as_entry(policy: Policy) -> Entry:
    """A policy, its model loaded, as a file has it."""
    return Entry(policy.scope, policy.target, policy.rules)


# --- The steps --------------------------------------------------------------------------------------------------------


def _may_edit(actor: Actor, scope: Scope) -> Model | None:
    """The model that the scope names, locked; None for a scope of several. Raises BadScope, ModelNotFound."""
    rules_of.refuse_bad_scope(scope, "policy")
    if scope.model:
        model = locked_model(actor, scope.model)
        require(actor, Action.EDIT_POLICY, model)
        return model
    require(actor, Action.EDIT_POLICY)
    return None


def _found(actor: Actor, model: Model | None, scope: Scope, target: str) -> Policy | None:
    here = Policy.objects.living().filter(workspace_id=actor.workspace_id, target=target, model=model)
    policy = here.filter(pattern=scope.pattern.lower()).first()
    if policy:
        policy.model = model
    return policy


def _refuse_unknown_teams(actor: Actor, rules: Mapping[str, Any]) -> None:
    """A team that is not there could never approve; one that is misspelt would leave nobody out."""
    for field in ("teams", "excluded_teams"):
        if rules[field]:
            here = Team.objects.filter(workspace=actor.workspace_id, name__in=rules[field])
            known = set(here.values_list("name", flat=True))
            for place, team in enumerate(rules[field]):
                if team not in known:
                    raise NoSuchTeam(field=f"{field}[{place}]", team=team)


def _revised(actor: Actor, policy: Policy, rules: dict[str, Any] | None, comment: str) -> None:
    comment = text.free_text("comment", comment, limit=COMMENT_LIMIT)
    PolicyRevision.objects.create(
        policy=policy, number=policy.revision, rules=rules, comment=comment, changed_by_id=actor.user_id
    )
    data = {
        "policy": str(policy.pk),
        "target": policy.target,
        "scope": str(policy.scope),
        "revision": policy.revision,
        "rules": rules,
        "comment": comment,
    }
    changed = Event(Verb.POLICY_CHANGED, f"policy for {policy.target} of {policy.scope}", data)
    emit_all(actor, policy.model, [changed])


# --- Open promotions --------------------------------------------------------------------------------------------------


def hold_open_promotions(
    workspace_id: int, target: str = "", model_id: uuid.UUID | None = None, *, at_once: bool = True
) -> list[Promotion]:
    """Hold open promotions (into `target`, of one model) to the policy now in force where it is stricter; those held.

    A transaction each, after the one of the edit: a promotion that is decided meanwhile looks for itself, and so does
    one that is busy now when somebody next acts on it. The sweep comes back to it, and to what is more than fits into
    one request (`at_once`).
    """
    here = Promotion.objects.open().filter(model__workspace=workspace_id, model__deleted_at__isnull=True)
    if target:
        here = here.filter(target=target)
    if model_id:
        here = here.filter(model=model_id)
    held = []
    oldest = here.select_related("model__workspace", "version").order_by("requested_at")
    for promotion in oldest[:_AT_ONCE] if at_once else oldest:
        if rules_of.tightened(promotion.terms, ruling(promotion.model, promotion.target).terms):
            try:
                if _hold(system_actor(promotion.model.workspace), promotion.pk):
                    held.append(promotion)
            except (Refusal, OperationalError):
                log.warning("promotion not held to its policy yet", promotion=str(promotion.pk), exc_info=True)
            except Exception:  # the edit is written: a fault about one promotion must not hide that
                log.exception("promotion not held to its policy", promotion=str(promotion.pk))
    return held


def hold_after_edits(since: datetime.datetime) -> int:
    """The same for what was edited since then, should it have been cut short; returns how many promotions were held."""
    edited = Policy.objects.filter(Q(updated_at__gte=since) | Q(retired_at__gte=since))
    about: Collection[tuple[int, str]] = set(edited.values_list("workspace", "target"))
    return sum(len(hold_open_promotions(workspace_id, target, at_once=False)) for workspace_id, target in about)


@transaction.atomic
def _hold(actor: Actor, promotion_id: uuid.UUID) -> bool:
    promotion = locked_promotion(actor, promotion_id)
    if promotion.state != State.OPEN or promotion.expires_at <= timezone.now():
        return False
    before: dict[str, Any] = promotion.policy
    return bool(settle(actor, promotion).policy != before)
