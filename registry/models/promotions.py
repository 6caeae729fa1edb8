"""Promotions and the approvals that they collect."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q

from accounts.actor import Actor
from accounts.models import User
from core.ids import uuid7
from registry.lifecycle import Stage, State
from registry.models.catalog import STAGES, Model, Version
from registry.policy import Terms


class PromotionQuerySet(models.QuerySet["Promotion"]):
    def visible_to(self, actor: Actor) -> Self:
        """Those of the models that the actor can see."""
        return self.filter(model__in=Model.objects.visible_to(actor))

    def open(self) -> Self:
        return self.filter(state=State.OPEN)


class Promotion(models.Model):
    """A request to move a version to a stage, and what became of it. Every stage change has one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="promotions", db_index=False)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="promotions")
    stage = models.CharField(max_length=16, choices=STAGES)
    from_stage = models.CharField(max_length=16, choices=STAGES)
    state = models.CharField(max_length=16, choices=[(s.value, s.value) for s in State], default=State.OPEN)
    # The terms of the policy that it was opened under, frozen.
    policy = models.JSONField()
    archive_existing = models.BooleanField(default=False)
    comment = models.TextField(blank=True)
    requester = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    # Everybody who asked for it: a second request finds the open promotion.
    askers = models.ManyToManyField(User, related_name="+")
    requester_token = models.UUIDField(null=True)
    requested_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    decided_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)
    bypass = models.BooleanField(default=False)
    # What was decided on, and the audit entry of the decision.
    decided_evidence = models.CharField(max_length=64, blank=True)
    entry_hash = models.CharField(max_length=64, blank=True)

    opened_now = False  # whether the very call that gave this object opened it

    objects: ClassVar[PromotionQuerySet] = PromotionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "stage"], condition=Q(state=State.OPEN), name="one_open_promotion_for_each_stage"
            ),
            models.CheckConstraint(
                condition=Q(state=State.OPEN, decided_at__isnull=True)
                | (~Q(state=State.OPEN) & Q(decided_at__isnull=False)),
                name="promotion_decided_unless_open",
            ),
            models.CheckConstraint(
                condition=~Q(state=State.REJECTED) | ~Q(reason=""), name="promotion_rejected_with_a_reason"
            ),
        ]
        indexes = [
            models.Index(fields=["model", "-requested_at", "-id"], name="promotion_by_model"),
            models.Index(fields=["state", "-requested_at", "-id"], name="promotion_by_state"),
            models.Index(
                fields=["-decided_at", "-id"], condition=Q(decided_at__isnull=False), name="promotion_by_decision"
            ),
            models.Index(fields=["expires_at"], condition=Q(state=State.OPEN), name="promotion_by_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.version} to {self.stage}"

    @property
    def terms(self) -> Terms:
        return Terms.from_json(self.policy)

    @property
    def target(self) -> Stage:
        return Stage(self.stage)

    @property
    def page(self) -> str:
        """The path of its page."""
        return f"/promotions/{self.id}"


class Approval(models.Model):
    """Somebody vouched for a promotion, having seen the evidence with this digest."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    promotion = models.ForeignKey(Promotion, on_delete=models.CASCADE, related_name="approvals")
    reviewer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    evidence = models.CharField(max_length=64)
    comment = models.TextField(blank=True)
    token_id = models.UUIDField(null=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["promotion", "reviewer", "evidence"], name="one_approval_of_each_reviewer_and_evidence"
            )
        ]

    def __str__(self) -> str:
        return f"{self.reviewer} approved"
