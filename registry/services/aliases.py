"""Aliases: names that point at a version. One that a policy protects is moved by a promotion, on every door."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from accounts.actor import Actor
from accounts.permissions import require
from accounts.roles import Action
from accounts.verbs import Verb
from core import text
from registry.errors import AliasInUse, AliasNotFound, AliasProtected, ReviewNeeded
from registry.models import Alias, Model
from registry.outbox import emit, emit_all, of_alias
from registry.policy import ALIAS_MARK
from registry.references import alias_name
from registry.ruling import rulings
from registry.services.carrying import point
from registry.services.locks import edited, hold_policies, locked_model, ruled, version_of
from registry.services.promotions import take_or_ask


def set_alias(actor: Actor, name: object, alias: object, number: object, *, comment: str = "") -> Alias:
    """Point an alias at a version; it moves when it pointed at another one.

    Where a policy protects the alias this is a promotion: carried out when nothing is missing, else opened (or the
    open one found) and ReviewNeeded raised, naming what is missing and its page.
    """
    pointer, review = _set(actor, name, alias, number, comment)
    if review:
        raise review
    return pointer


# Durable: the refusal names a promotion, which must not be rolled back by a transaction around this one.
@transaction.atomic(durable=True)
def _set(actor: Actor, name: object, alias: object, number: object, comment: str) -> tuple[Alias, ReviewNeeded | None]:
    model = locked_model(actor, name)
    version = version_of(model, number)
    require(actor, Action.SET_ALIAS, model)
    wanted = alias_name(alias)
    pointer = model.aliases.filter(name=wanted, version=version).first()
    if pointer:
        return pointer, None
    now = ruled(model, f"{ALIAS_MARK}{wanted}")
    if now.free:
        previous = point(model, wanted, version)
        edited(model, resolves_anew=True, labelled=True)
        emit_all(actor, model, [of_alias(model, wanted, version, previous)])
        return model.aliases.get(name=wanted), None
    return Alias(model=model, name=wanted, version=version), take_or_ask(actor, version, now, comment=comment)


@transaction.atomic
def remove_alias(actor: Actor, name: object, alias: str, *, missing_ok: bool = False) -> None:
    """Take an alias away; AliasNotFound unless `missing_ok`; AliasProtected where a policy asks for more than that."""
    model = locked_model(actor, name)
    require(actor, Action.SET_ALIAS, model)
    pointer = model.aliases.filter(name=text.searchable(alias)).first()
    if pointer is None:
        if missing_ok:
            return
        raise AliasNotFound(name=model.name, alias=alias)
    now = ruled(model, f"{ALIAS_MARK}{pointer.name}")
    if not now.free and not (now.terms.bypass and actor.may(Action.BYPASS_POLICY, model.id)):
        raise AliasProtected(alias=pointer.name, policy=now.terms.name)
    point(model, pointer.name, None)
    edited(model, resolves_anew=True, labelled=True)
    emit(
        actor,
        Verb.ALIAS_REMOVED,
        model,
        subject=f"{model.name}@{pointer.name}",
        alias=pointer.name,
        bypass=not now.free,
    )


def refuse_protected(model: Model, pointing: Mapping[str, int]) -> None:
    """Raise AliasInUse when one of these aliases, each with the version that it points at, is protected by a policy."""
    if not pointing:
        return
    hold_policies(model.workspace_id)
    for target, now in rulings(model, [f"{ALIAS_MARK}{alias}" for alias in pointing]).items():
        if not now.free:
            alias = target.removeprefix(ALIAS_MARK)
            raise AliasInUse(alias=alias, name=model.name, version=pointing[alias])
