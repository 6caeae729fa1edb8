"""Who wants to be told of what by mail or in a chat, and every message that is owed to somebody."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry, User
from core.ids import uuid7
from registry.models.catalog import Model


class Following(models.Model):
    """Somebody wants to be told of what happens to a model; or, muted, of nothing about it whatever his part in it."""

    # No index of its own for the model: the constraint begins with it.
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="followings", db_index=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    muted = models.BooleanField(default=False)
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "user"], name="following_once")]

    def __str__(self) -> str:
        return f"{self.user} {'has muted' if self.muted else 'follows'} {self.model}"


class MailWhen(models.TextChoices):
    """When somebody gets mail."""

    AT_ONCE = "at_once", "at once"
    DIGEST = "digest", "once a day, all in one"
    NEVER = "never", "never"


class NotificationSettings(models.Model):
    """How a user is told, in all workspaces. There is a row only for those who changed something."""

    user = models.OneToOneField(User, primary_key=True, on_delete=models.CASCADE, related_name="+")
    mail = models.CharField(max_length=16, choices=MailWhen.choices, default=MailWhen.AT_ONCE)
    # The user's own incoming webhook of Slack or a like. It lets whoever has it write there: sealed (`core.sealing`).
    slack_url = models.TextField(blank=True, editable=False)
    muted = models.BooleanField(default=False)  # everything
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"settings of {self.user}"


class Channel(models.TextChoices):
    MAIL = "mail"
    SLACK = "slack"


class Reason(models.TextChoices):
    """Why somebody is told, the weightiest first; who has several is told the first."""

    REVIEWER = "reviewer", "you were asked to review it"
    MENTIONED = "mentioned", "you are mentioned"
    REQUESTER = "requester", "you asked for this promotion"
    OWNER = "owner", "the webhook is yours"
    FOLLOWER = "follower", "you follow this model"


class NotificationState(models.TextChoices):
    PENDING = "pending"  # to be sent by itself
    GATHERED = "gathered"  # waits for the digest
    SENT = "sent"
    FOLDED = "folded"  # went out in a digest
    DROPPED = "dropped"  # he does not want it any more, or must not know it any more
    FAILED = "failed"  # given up


NOT_FINISHED = (NotificationState.PENDING, NotificationState.GATHERED)


class NotificationQuerySet(models.QuerySet["Notification"]):
    def shown_to(self, actor: Actor) -> Self:
        """The actor's own of his workspace, but for those of models that he cannot see any more."""
        own = self.filter(user_id=actor.user_id, entry__workspace_id=actor.workspace_id)
        seen = Q(entry__chain__subject_id__in=Model.objects.visible_to(actor).values("pk"))
        return own.filter(seen | Q(entry__chain__subject_id__isnull=True))


class Notification(models.Model):
    """One event of which one person is told on one channel."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # No index of their own for entry and user: others begin with them.
    entry = models.ForeignKey(AuditEntry, on_delete=models.PROTECT, related_name="+", db_index=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    channel = models.CharField(max_length=8, choices=Channel.choices)
    reason = models.CharField(max_length=16, choices=Reason.choices)
    state = models.CharField(max_length=16, choices=NotificationState.choices, default=NotificationState.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    # When it is sent, tried again, or looked at again should its sender have died: taking it moves this on.
    due_at = models.DateTimeField()
    fills_the_day = models.BooleanField(default=False)  # the last one before the daily cap, which says so
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)

    objects: ClassVar[NotificationQuerySet] = NotificationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["entry", "user", "channel"], name="notification_once"),
            models.CheckConstraint(
                condition=Q(state__in=NOT_FINISHED, finished_at__isnull=True)
                | (~Q(state__in=NOT_FINISHED) & Q(finished_at__isnull=False)),
                name="notification_finished_or_due",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state__in=NOT_FINISHED), name="notification_due"),
            models.Index(fields=["user", "-entry", "-id"], name="notification_newest_first"),
            # For counting what a person got in a day.
            models.Index(
                fields=["user", "channel", "finished_at"],
                condition=Q(state=NotificationState.SENT),
                name="notification_sent",
            ),
            models.Index(fields=["finished_at"], condition=~Q(state__in=NOT_FINISHED), name="notification_to_prune"),
        ]

    def __str__(self) -> str:
        return f"{self.entry_id} to {self.user_id} by {self.channel}"
