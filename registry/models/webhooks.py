"""Webhooks, the deliveries owed to them (the outbox), and every attempt at one."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry, User, Workspace
from accounts.permissions import glob_as_regex
from accounts.roles import Action
from accounts.verbs import Verb
from core import sealing, text
from core.ids import uuid7
from registry.formats import Format, names_of
from registry.models.catalog import Model
from registry.policy import Scope
from registry.references import target_in


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def living(self) -> Self:
        return self.filter(retired_at__isnull=True)

    def visible_to(self, actor: Actor) -> Self:
        """Those that the actor may manage: of the workspace, or of the models that he maintains; retired ones too.

        A token that is bound to names reaches only those of single models: others tell of every model. Which models
        are seen does not matter here: a token for webhooks alone does not read.
        """
        here = self.filter(workspace_id=actor.workspace_id)
        if actor.model_glob:
            here = here.filter(model__name__regex=f"^{glob_as_regex(actor.model_glob)}$")
        if actor.may(Action.EDIT_WEBHOOK):
            return here
        return here.filter(model__in=[pk for pk in actor.model_roles if actor.may(Action.EDIT_WEBHOOK, pk)])


class Disabled(models.TextChoices):
    """Why nothing is sent."""

    BY_HAND = "by hand", "somebody switched it off"
    GONE = "gone", "the receiver answered 410 Gone"
    FAILING = "failing", "nothing was delivered in five days"
    TESTING = "test mode", "only tests are sent"


class Webhook(models.Model):
    """Somebody wants to be told of events: of a model, of those whose name fits a pattern, or of the workspace."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    model = models.ForeignKey(Model, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    pattern = models.CharField(max_length=255, blank=True)
    name = models.CharField(max_length=100, blank=True)
    description = models.TextField(blank=True)
    url = models.CharField(max_length=2000)
    verbs = ArrayField(models.CharField(max_length=64), default=list, blank=True)  # empty: every event
    # Stages, and aliases behind an '@': of what concerns another place nothing is told. Empty: every one.
    targets = ArrayField(models.CharField(max_length=256), default=list, blank=True)
    # What a client of MLflow or Databricks asked for, in the words of its wire: they tell events apart that are one
    # verb here. `verbs` follows from it then, and `targets` is empty. Empty itself: verbs and targets say all.
    events = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    format = models.CharField(max_length=16, default="vouch")
    # Sealed (`core.sealing`): the header Authorization that each message carries, and the secret that signs it; empty:
    # none. The secret before lives on for a while after a rotation.
    authorization = models.TextField(blank=True, editable=False)
    secret = models.TextField(blank=True, editable=False)
    previous_secret = models.TextField(blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, blank=True)
    owner = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")  # who is told when it fails
    active = models.BooleanField(default=True)
    disabled_because = models.CharField(max_length=16, choices=Disabled.choices, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    # Since when, and how many times in a row, no attempt has succeeded.
    failing_since = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)
    failed_at = models.DateTimeField(null=True, blank=True)  # the last of these
    # Until when one sender has it to itself, and until when a receiver in trouble is left alone.
    leased_until = models.DateTimeField(null=True, blank=True)
    rests_until = models.DateTimeField(null=True, blank=True)
    revision = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(default=timezone.now)
    retired_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[WebhookQuerySet] = WebhookQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(model__isnull=True) | Q(pattern=""), name="webhook_of_a_model_or_a_pattern"
            ),
            models.CheckConstraint(
                condition=Q(active=True, disabled_because="") | (Q(active=False) & ~Q(disabled_because="")),
                name="webhook_says_why_it_is_disabled",
            ),
        ]
        indexes = [
            models.Index(
                fields=["workspace"], condition=Q(active=True, retired_at__isnull=True), name="webhook_listening"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.origin

    @property
    def scope(self) -> Scope:
        """Whose events it is told. Its model, if it has one, is loaded."""
        return Scope(self.model.name if self.model else "", self.pattern)

    @property
    def page(self) -> str:
        return f"/webhooks/{self.pk}"

    @property
    def origin(self) -> str:
        """Scheme, host and port of its URL: what may be told of it, since the path of some is a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def heard(self) -> list[str]:
        """By what names a client of its format's wire would ask for what it hears; none where it has no wire."""
        return self.events or names_of(Format(self.format), self.verbs, self.targets)

    def hears(self, verb: str, data: Mapping[str, Any]) -> bool:
        """Whether it asked for an event, of a model that it is about. Not for a test, which is owed otherwise."""
        if verb == Verb.WEBHOOK_TESTED:
            return False
        if self.verbs and verb not in self.verbs:
            return False
        if self.pattern and not any(text.fits(name.lower(), self.pattern.lower()) for name in _names(data)):
            return False
        target = target_in(data)
        return not (self.targets and target) or target in self.targets

    def secrets(self, now: datetime.datetime) -> list[str]:
        """The secrets that sign at `now`, the newest first; none for a format that has no signature."""
        living = self.previous_secret and self.previous_until and self.previous_until > now
        return [self._opened(sealed) for sealed in (self.secret, self.previous_secret if living else "") if sealed]

    def header(self) -> str:
        """The header Authorization that its receiver is sent; empty: none."""
        return self._opened(self.authorization) if self.authorization else ""

    def _opened(self, sealed: str) -> str:
        """A secret, opened once for all that is sent in a turn."""
        if sealed not in self._plain:
            self._plain[sealed] = sealing.opened(sealed)
        return self._plain[sealed]

    @cached_property
    def _plain(self) -> dict[str, str]:
        return {}


def _names(data: Mapping[str, Any]) -> list[str]:
    """What the model of an event is called; of a rename also what it was."""
    return [str(data[key]) for key in ("model", "previous_name") if data.get(key)]


class DeliveryState(models.TextChoices):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(models.Model):
    """One event owed to one webhook, written with the event. Its id is the `webhook-id` of every attempt."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # No index of their own for webhook and entry: others begin with them, and every index costs each write.
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    entry = models.ForeignKey(AuditEntry, on_delete=models.PROTECT, related_name="deliveries", db_index=False)
    verb = models.CharField(max_length=64)  # that of the entry
    test = models.BooleanField(default=False)  # tried once, also when the webhook is disabled
    state = models.CharField(max_length=16, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    # Of these, how many had been made when somebody had it begin anew: the schedule counts from there.
    tried_before = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    # What came of the last attempt.
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["webhook", "entry"], name="delivery_once")]
        indexes = [
            models.Index(
                fields=["webhook", "due_at", "id"], condition=Q(state=DeliveryState.PENDING), name="delivery_due"
            ),
            models.Index(fields=["webhook", "-id"], name="delivery_newest_first"),
            models.Index(fields=["webhook", "state", "-id"], name="delivery_by_state"),
            models.Index(fields=["webhook", "verb", "-id"], name="delivery_by_verb"),
            models.Index(fields=["finished_at"], condition=~Q(state=DeliveryState.PENDING), name="delivery_to_prune"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} to {self.webhook_id}"


class Attempt(models.Model):
    """One send of a delivery, and what came of it."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries", db_index=False)
    number = models.PositiveSmallIntegerField()
    at = models.DateTimeField()
    headers = models.JSONField()  # as they were sent
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.TextField(blank=True)  # its first KiB
    duration_ms = models.PositiveIntegerField()
    address = models.CharField(max_length=45, blank=True)  # that was connected to
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["delivery", "number"], name="attempt_once")]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.delivery_id}"

    def shown_headers(self, *, whole: bool) -> dict[str, str]:
        """The headers as they were sent; not `whole`: without what the signature is, for who may not read answers."""
        return {
            name: value if whole or "signature" not in name.lower() else "…" for name, value in self.headers.items()
        }


class Bookmark(models.Model):
    """How far something that reads the events one after the other has come."""

    name = models.CharField(max_length=32, primary_key=True)
    entry = models.BigIntegerField(default=0)  # the id of the last one that it read

    def __str__(self) -> str:
        return f"{self.name} at {self.entry}"
