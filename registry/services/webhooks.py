"""Webhooks: make one, change it, give it a new secret, take it away. Nothing here resolves a name or connects."""

from __future__ import annotations

import datetime
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
from accounts.queries import REPEATED_WITHIN, folds_repeated_creates
from accounts.roles import Action
from accounts.verbs import Verb
from core.addresses import checked_url
from registry.delivery import call_sender, egress
from registry.errors import BadOverlap, SignsNothing, Stale, TooManyWebhooks
from registry.formats import Format, verbs_behind
from registry.models import Webhook
from registry.models.webhooks import Disabled
from registry.outbox import emit_all
from registry.policy import Scope, refuse_bad_scope
from registry.services import webhook_parts as parts
from registry.services.locks import locked_for_webhooks, locked_webhook
from registry.services.redelivery import end_pending
from registry.services.webhook_secrets import put_header, put_secret, replace_header, replace_secret

LIMIT = 100  # of a workspace: each event looks at all of them
LONGEST_OVERLAP = 7 * 24


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
    description: str = "",
    verbs: Sequence[str] = (),
    targets: Sequence[str] = (),
    events: Sequence[str] = (),
    format: str = Format.VOUCH,
    secret: str | None = None,
    authorization: str = "",
    disabled: Disabled | None = None,
    folds: bool = False,
) -> Issued:
    """Have events told to `url`: those of a model, of models whose name fits a pattern, or of the workspace.

    `verbs` (none: all that the format tells) and `targets` (stages, or '@' and an alias; none: all) narrow them; or
    `events` does instead of both, in the words of the wire of `mlflow` or `databricks`. For these a secret can be
    given, an empty one to have nothing signed, and for `databricks` a header `authorization`. `disabled`: why it is
    that from the beginning. The actor is who is told when it fails. `folds`: what the same user has made alike a
    moment before is returned in its place, for clients that repeat a call. Raises BadScope, ModelNotFound,
    TooManyWebhooks, BadUrl, UnknownFormat, UntoldVerb, BadTarget, TooMany, UnknownEvent, AskedTwice, OnlyOfAll,
    SecretIsMadeHere, BadHeader, SendsNoHeader.
    """
    refuse_bad_scope(scope, "webhook")
    model = locked_for_webhooks(actor, scope.model) if scope.model else None
    require(actor, Action.EDIT_WEBHOOK, model)
    workspace = Workspace.objects.select_for_update(no_key=True).get(pk=actor.workspace_id)
    form = parts.known_format(format)
    asked = parts.known_events(form, events, of_one_model=model is not None)
    webhook = Webhook(
        workspace=workspace,
        model=model,
        pattern=scope.pattern.lower(),
        name=parts.known_name(name),
        description=parts.known_description(description),
        url=checked_url("url", url, egress()),
        verbs=verbs_behind(form, asked) if asked else parts.known_verbs(form, verbs),
        targets=[] if asked else parts.known_targets(targets),
        events=asked,
        format=form,
        owner=User.objects.get(pk=actor.user_id),
        active=disabled is None,
        disabled_because=disabled or "",
        disabled_at=timezone.now() if disabled else None,
    )
    plain = put_secret(webhook, parts.new_secret(form, secret))
    header = put_header(webhook, parts.known_header(form, authorization))
    if folds and (earlier := _made_before(webhook, plain, header)):
        return Issued(earlier)
    if Webhook.objects.living().filter(workspace=workspace).count() >= LIMIT:
        raise TooManyWebhooks(limit=LIMIT)
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
    description: str | None = None,
    url: object = None,
    verbs: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    events: Sequence[str] | None = None,
    owner: str | None = None,
    secret: str | None = None,
    authorization: str | None = None,
    active: bool | None = None,
    disabled: Disabled | None = None,
    secret_is_shown: bool = True,
) -> Issued:
    """Change what is not None; the same again changes nothing. What it is about and its format stay.

    `expected` is the revision that it must still have, or Stale. `events` replace verbs and targets, and other verbs
    or targets replace those. `owner` names the user who is told when it fails. `active`: switch it off (`disabled`
    says why, by hand if nothing), which ends what it is owed, or on again, which forgets that it failed.

    Another host gets another secret at once, which is returned, and no header: what the receiver of before trusts is
    never signed for somebody else. A caller who cannot be shown a secret (`secret_is_shown`) has to send along what
    the webhook has of both, or NeededAnew. Raises WebhookNotFound, NoSuchOwner, and what `create` does.
    """
    webhook = locked_webhook(actor, webhook_id)
    _refuse_stale(webhook, expected)
    form, origin = Format(webhook.format), webhook.origin
    asked = None if events is None else parts.known_events(form, events, of_one_model=webhook.model_id is not None)
    wanted: dict[str, Any] = {
        "name": None if name is None else parts.known_name(name),
        "description": None if description is None else parts.known_description(description),
        "url": None if url is None else checked_url("url", url, egress()),
        "verbs": None if verbs is None else parts.known_verbs(form, verbs),
        "targets": None if targets is None else parts.known_targets(targets),
        "owner": None if owner is None else parts.known_owner(webhook, owner),
    }
    if asked:
        wanted |= {"events": asked, "verbs": verbs_behind(form, asked), "targets": []}
    elif any(wanted[what] is not None and set(wanted[what]) != set(getattr(webhook, what)) for what in _HEARD):
        wanted["events"] = []
    changed = [what for what, value in wanted.items() if value is not None and value != getattr(webhook, what)]
    for what in changed:
        setattr(webhook, what, wanted[what])
    moved = webhook.origin != origin
    plain = replace_secret(webhook, secret, moved=moved, is_shown=secret_is_shown)
    if replace_header(webhook, authorization, moved=moved, is_asked=not secret_is_shown):
        changed.append("authorization")
    switched = _switch(webhook, active, disabled)
    if not changed and not switched and plain is None:
        return Issued(webhook)
    if "url" in changed or (switched and webhook.active):
        webhook.failing_since, webhook.failures, webhook.rests_until = None, 0, None
        transaction.on_commit(call_sender, robust=True)
    _save(webhook)
    if switched:  # switched on, what somebody wrote down in the very moment in which it was disabled
        end_pending(webhook, f"the webhook was disabled: {switched.label}")
    if changed:
        _tell(actor, webhook, Verb.WEBHOOK_UPDATED, changed=changed)
    if plain is not None:
        why = "its events go to another host" if moved else "another one was given" if plain else "it was taken away"
        _tell(actor, webhook, Verb.WEBHOOK_SECRET_ROTATED, reason=why)
    if switched:
        _tell(actor, webhook, Verb.WEBHOOK_ENABLED if webhook.active else Verb.WEBHOOK_DISABLED)
    return Issued(webhook, plain or "")


_HEARD = ("verbs", "targets")


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
    if form in parts.UNSIGNED:
        raise SignsNothing(format=form)
    if (
        isinstance(overlap_hours, bool)
        or not isinstance(overlap_hours, int)
        or not 0 <= overlap_hours <= LONGEST_OVERLAP
    ):
        raise BadOverlap(value=overlap_hours, limit=LONGEST_OVERLAP)
    before = webhook.secret
    plain = put_secret(webhook, parts.new_secret(form, secret))
    if overlap_hours and before:
        webhook.previous_secret = before
        webhook.previous_until = timezone.now() + datetime.timedelta(hours=overlap_hours)
    _save(webhook)
    _tell(actor, webhook, Verb.WEBHOOK_SECRET_ROTATED, overlap_hours=overlap_hours)
    return Issued(webhook, plain)


@transaction.atomic
def delete(actor: Actor, webhook_id: uuid.UUID, *, expected: int | None = None) -> None:
    """Take it away: what it was still owed is not sent any more, and its secrets and its header are forgotten.

    Raises WebhookNotFound, Stale.
    """
    webhook = locked_webhook(actor, webhook_id)
    _refuse_stale(webhook, expected)
    webhook.retired_at = timezone.now()
    put_secret(webhook, "")
    put_header(webhook, "")
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
        "events": webhook.events,
        "active": webhook.active,
        "owner": webhook.owner.username if webhook.owner else None,
        **more,
    }
    emit_all(actor, webhook.model, [Event(verb, f"webhook {webhook}", data)])


def _made_before(webhook: Webhook, secret: str, header: str) -> Webhook | None:
    """The webhook that its owner made alike within the last minutes, and that nobody has changed since."""
    if not folds_repeated_creates(webhook.workspace_id):
        return None
    same = ("workspace", "model", "pattern", "name", "description", "url", "verbs", "targets", "events", "format",
            "owner", "disabled_because")  # fmt: skip
    since, now = timezone.now() - REPEATED_WITHIN, timezone.now()
    alike = Webhook.objects.living().filter(**{name: getattr(webhook, name) for name in same})
    for earlier in alike.filter(created_at__gte=since, revision=1).order_by("-id"):
        if earlier.secrets(now) == ([secret] if secret else []) and earlier.header() == header:
            return earlier
    return None


def _switch(webhook: Webhook, active: bool | None, because: Disabled | None) -> Disabled | None:
    """Switch it on or off; returns why it is or was off, or None when that is as it was.

    One that is off already stays off for its reason, unless it is to take tests alone from now on, or does so far.
    """
    if active is None or (active and webhook.active):
        return None
    before = Disabled(webhook.disabled_because) if webhook.disabled_because else None
    if active:
        webhook.active, webhook.disabled_because, webhook.disabled_at = True, "", None
        return before
    if before and (because in (None, before) or Disabled.TESTING not in (because, before)):
        return None
    reason = because or Disabled.BY_HAND
    webhook.active, webhook.disabled_because, webhook.disabled_at = False, reason, timezone.now()
    return reason
