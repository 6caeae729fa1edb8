"""Webhooks: make one, change it, give it a new secret, take it away. Nothing here resolves a name or connects."""

from __future__ import annotations

import base64
import datetime
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor
from accounts.audit import Event
from accounts.models import User, Workspace
from accounts.permissions import require
from accounts.queries import session_actor
from accounts.roles import Action
from accounts.verbs import Verb
from core import sealing, text
from core.addresses import checked_url
from registry.delivery import call_sender, egress
from registry.errors import (
    BadOverlap,
    NoSuchOwner,
    SecretIsMadeHere,
    SignsNothing,
    Stale,
    TooMany,
    TooManyWebhooks,
    UnknownFormat,
    UntoldVerb,
)
from registry.formats import Format, example_of, tells
from registry.models import Webhook
from registry.models.webhooks import Disabled
from registry.outbox import emit_all
from registry.policy import Scope, refuse_bad_scope
from registry.references import target_named
from registry.services.locks import locked_for_webhooks, locked_webhook
from registry.services.redelivery import end_pending

LIMIT = 100  # of a workspace: each event looks at all of them
TARGETS_LIMIT = 50
NAME_LIMIT = 100
SECRET_LIMIT = 500
LONGEST_OVERLAP = 7 * 24
# Their receivers are set up with a secret that somebody chose; those of the others verify with one of this form.
_CHOSEN = frozenset({Format.MLFLOW, Format.DATABRICKS})
_UNSIGNED = frozenset({Format.SLACK})


@dataclass(frozen=True)
class Issued:
    """A webhook as it was written, and its secret if that is new: shown this once, and kept sealed."""

    webhook: Webhook
    secret: str = field(default="", repr=False)


@transaction.atomic
def create(
    actor: Actor,
    *,
    url: object,
    scope: Scope = Scope(),  # noqa: B008 - it is frozen
    name: str = "",
    verbs: Sequence[str] = (),
    targets: Sequence[str] = (),
    format: str = Format.VOUCH,
    secret: str | None = None,
) -> Issued:
    """Have events told to `url`: those of a model, of models whose name fits a pattern, or of the workspace.

    `verbs` (none: all that the format tells) and `targets` (stages, or '@' and an alias; none: all) narrow them. A
    secret can be given for the formats `mlflow` and `databricks`. The actor is who is told when it fails. Raises
    BadScope, ModelNotFound, TooManyWebhooks, BadUrl, UnknownFormat, UntoldVerb, BadTarget, TooMany, SecretIsMadeHere.
    """
    refuse_bad_scope(scope, "webhook")
    model = locked_for_webhooks(actor, scope.model) if scope.model else None
    require(actor, Action.EDIT_WEBHOOK, model)
    workspace = Workspace.objects.select_for_update(no_key=True).get(pk=actor.workspace_id)
    if Webhook.objects.living().filter(workspace=workspace).count() >= LIMIT:
        raise TooManyWebhooks(limit=LIMIT)
    form = _format(format)
    webhook = Webhook(
        workspace=workspace,
        model=model,
        pattern=scope.pattern.lower(),
        name=_name(name),
        url=checked_url("url", url, egress()),
        verbs=_verbs(form, verbs),
        targets=_targets(targets),
        format=form,
        owner=User.objects.get(pk=actor.user_id),
    )
    plain = _put_secret(webhook, _new_secret(form, secret))
    webhook.save()
    _tell(actor, webhook, Verb.WEBHOOK_CREATED)
    return Issued(webhook, plain)


@transaction.atomic
def update(
    actor: Actor,
    webhook_id: uuid.UUID,
    *,
    expected: int | None = None,
    name: str | None = None,
    url: object = None,
    verbs: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    owner: str | None = None,
    active: bool | None = None,
) -> Issued:
    """Change what is not None; the same again changes nothing. What it is about and its format stay.

    `expected` is the revision that it must still have, or Stale. `owner` names the user who is told when it fails.
    `active`: switch it off, which ends what it is owed, or on again, which forgets that it failed. Another host gets
    another secret at once, which is returned: what the receiver of before trusts is never signed for somebody else.
    Raises WebhookNotFound, NoSuchOwner, and what `create` does.
    """
    webhook = locked_webhook(actor, webhook_id)
    _refuse_stale(webhook, expected)
    form, origin = Format(webhook.format), webhook.origin
    wanted = {
        "name": None if name is None else _name(name),
        "url": None if url is None else checked_url("url", url, egress()),
        "verbs": None if verbs is None else _verbs(form, verbs),
        "targets": None if targets is None else _targets(targets),
        "owner": None if owner is None else _owner(webhook, owner),
    }
    changed = [what for what, value in wanted.items() if value is not None and value != getattr(webhook, what)]
    switched = active is not None and active != webhook.active
    if not changed and not switched:
        return Issued(webhook)
    for what in changed:
        setattr(webhook, what, wanted[what])
    plain = ""
    if moved := webhook.origin != origin and form not in _UNSIGNED:
        plain = _put_secret(webhook, _new_secret(form, None))
    because = webhook.disabled_because
    if switched:
        webhook.active = not webhook.active
        webhook.disabled_because = "" if webhook.active else Disabled.BY_HAND
        webhook.disabled_at = None if webhook.active else timezone.now()
    if "url" in changed or (switched and webhook.active):
        webhook.failing_since, webhook.failures, webhook.rests_until = None, 0, None
        transaction.on_commit(call_sender, robust=True)
    _save(webhook)
    if switched:  # switched on, what somebody wrote down in the very moment in which it was disabled
        end_pending(webhook, f"the webhook was disabled: {Disabled(webhook.disabled_because or because).label}")
    if changed:
        _tell(actor, webhook, Verb.WEBHOOK_UPDATED, changed=changed)
    if moved:
        _tell(actor, webhook, Verb.WEBHOOK_SECRET_ROTATED, reason="its events go to another host")
    if switched:
        _tell(actor, webhook, Verb.WEBHOOK_ENABLED if webhook.active else Verb.WEBHOOK_DISABLED)
    return Issued(webhook, plain)


@transaction.atomic
def rotate(
    actor: Actor,
    webhook_id: uuid.UUID,
    *,
    overlap_hours: int = 24,
    secret: str | None = None,
    expected: int | None = None,
) -> Issued:
    """Give it a new secret; the one before signs as well for `overlap_hours`, 0 to 168, and any older one no more.

    Formats with one signature sign with the new one only. Raises WebhookNotFound, Stale, BadOverlap, SignsNothing,
    SecretIsMadeHere.
    """
    webhook = locked_webhook(actor, webhook_id)
    _refuse_stale(webhook, expected)
    form = Format(webhook.format)
    if form in _UNSIGNED:
        raise SignsNothing(format=form)
    if (
        isinstance(overlap_hours, bool)
        or not isinstance(overlap_hours, int)
        or not 0 <= overlap_hours <= LONGEST_OVERLAP
    ):
        raise BadOverlap(value=overlap_hours, limit=LONGEST_OVERLAP)
    before = webhook.secret
    plain = _put_secret(webhook, _new_secret(form, secret))
    if overlap_hours:
        webhook.previous_secret = before
        webhook.previous_until = timezone.now() + datetime.timedelta(hours=overlap_hours)
    _save(webhook)
    _tell(actor, webhook, Verb.WEBHOOK_SECRET_ROTATED, overlap_hours=overlap_hours)
    return Issued(webhook, plain)


@transaction.atomic
def delete(actor: Actor, webhook_id: uuid.UUID, *, expected: int | None = None) -> None:
    """Take it away: what it was still owed is not sent any more, and its secrets are forgotten.

    Raises WebhookNotFound, Stale.
    """
    webhook = locked_webhook(actor, webhook_id)
    _refuse_stale(webhook, expected)
    webhook.retired_at = timezone.now()
    _put_secret(webhook, "")
    _save(webhook)
    end_pending(webhook, "the webhook was deleted")
    _tell(actor, webhook, Verb.WEBHOOK_DELETED)


# --- The steps --------------------------------------------------------------------------------------------------------


def _refuse_stale(webhook: Webhook, expected: int | None) -> None:
    if expected is not None and expected != webhook.revision:
        raise Stale


def _save(webhook: Webhook) -> None:
    """Save a locked webhook as edited now. Who has the lease on it is for the sender to say."""
    webhook.revision += 1
    webhook.updated_at = timezone.now()
    written = {column.attname for column in Webhook._meta.concrete_fields} - {"id", "created_at", "leased_until"}
    webhook.save(update_fields=written)


def _tell(actor: Actor, webhook: Webhook, verb: Verb, **more: Any) -> None:
    """Never a secret, and of the URL the origin alone: the path of some is one, and others hear of this event."""
    data = {
        "webhook": str(webhook.pk),
        "name": webhook.name,
        "origin": webhook.origin,
        "scope": str(webhook.scope),
        "format": webhook.format,
        "verbs": webhook.verbs,
        "targets": webhook.targets,
        "active": webhook.active,
        "owner": webhook.owner.username if webhook.owner else None,
        **more,
    }
    emit_all(actor, webhook.model, [Event(verb, f"webhook {webhook}", data)])


def _put_secret(webhook: Webhook, plain: str) -> str:
    """Seal a secret into it, in place of all that it has."""
    webhook.secret = sealing.sealed(plain) if plain else ""
    webhook.previous_secret, webhook.previous_until = "", None
    return plain


def _new_secret(form: Format, given: str | None) -> str:
    """The secret of a new webhook: the one that was given, one that is made, or none if nothing is signed."""
    if given is not None:
        if form not in _CHOSEN:
            raise SecretIsMadeHere(format=form)
        return text.free_text("secret", given, limit=SECRET_LIMIT, lines=False, empty=False)
    if form in _UNSIGNED:
        return ""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _format(value: str) -> Format:
    try:
        return Format(value)
    except ValueError:
        raise UnknownFormat(value=value, known=", ".join(Format)) from None


def _name(value: object) -> str:
    return text.free_text("name", value, limit=NAME_LIMIT, lines=False)


def _verbs(form: Format, values: Sequence[str]) -> list[str]:
    told = tells(form) - {Verb.WEBHOOK_TESTED}
    for place, value in enumerate(values):
        if value not in told:
            raise UntoldVerb(field=f"verbs[{place}]", value=value, format=form, example=example_of(form))
    return list(dict.fromkeys(values))


def _targets(values: Sequence[str]) -> list[str]:
    if len(values) > TARGETS_LIMIT:
        raise TooMany(field="targets", count=len(values), limit=TARGETS_LIMIT)
    named = [target_named(value, field=f"targets[{place}]") for place, value in enumerate(values)]
    return list(dict.fromkeys(named))


def _owner(webhook: Webhook, username: str) -> User:
    """The user of this name, who may manage the webhook."""
    user = User.objects.named(username).filter(is_active=True).first()
    if user is None or not session_actor(user, webhook.workspace).may(Action.EDIT_WEBHOOK, webhook.model_id):
        raise NoSuchOwner(username=username)
    return user
