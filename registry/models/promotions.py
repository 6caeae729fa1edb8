"""Promotions and the approvals that they collect."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import User
from core.ids import uuid7
from registry.lifecycle import Stage, State
from registry.models.catalog import STAGES, Model, Version
from registry.models.policies import PolicyRevision
from registry.policy import ALIAS_MARK, Terms


class _IsOpen(models.Func):
    """`state = 'open'`, written out: with a parameter PostgreSQL plans for any state, and few of all are open."""

    template = f"%(expressions)s = '{State.OPEN}'"
    output_field = models.BooleanField()


class PromotionQuerySet(models.QuerySet["Promotion"]):
    def visible_to(self, actor: Actor) -> Self:
        """Those of the models that the actor can see."""
        return self.filter(model__in=Model.objects.visible_to(actor))

    def open(self) -> Self:
        return self.filter(_IsOpen("state"))


class Promotion(models.Model):
    """A request to move a version to a stage, or a protected alias to a version, and what became of it.

    Every stage change has one, also a direct one and a rollback.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="promotions", db_index=False)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="promotions")
    target = models.CharField(max_length=256)  # a stage, or '@' and an alias
    from_stage = models.CharField(max_length=16, choices=STAGES)
    state = models.CharField(max_length=16, choices=[(s.value, s.value) for s in State], default=State.OPEN)
    # The terms of the policy that it was opened under, frozen.
    policy = models.JSONField()
    policy_revision = models.ForeignKey(PolicyRevision, null=True, on_delete=models.PROTECT, related_name="promotions")
    # Counts up each time it is reopened: approvals belong to the round that they were given in.
    round = models.PositiveSmallIntegerField(default=1)
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
    rollback = models.BooleanField(default=False)
    # What was decided on, with its digest, and the audit entry of the decision.
    decided_on = models.JSONField(null=True)
    decided_evidence = models.CharField(max_length=64, blank=True)
    entry_hash = models.CharField(max_length=64, blank=True)
    # The gates that alone hold it, as it was last announced.
    blocked_on = models.JSONField(default=list)
    # Whether a gate held it when it was last judged, and the digest of the evidence that its gates had a part in then.
    # Queues are narrowed by them; what a page tells of a promotion is judged anew.
    held_by_gates = models.BooleanField(default=False)
    judged_evidence = models.CharField(max_length=64, blank=True)
    # When it may go through without anybody doing anything.
    look_again_at = models.DateTimeField(null=True)
    # Until when the word for it holds, and when it was announced that it does not any more.
    valid_from = models.DateTimeField(null=True)
    valid_until = models.DateTimeField(null=True)
    lapsed_at = models.DateTimeField(null=True)
    # A bypass or a rollback is looked at afterwards.
    to_review = models.BooleanField(default=False)
    reviewed_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    reviewed_at = models.DateTimeField(null=True)
    review_agrees = models.BooleanField(null=True)
    review_note = models.TextField(blank=True)

    opened_now = False  # whether the very call that gave this object opened it

    objects: ClassVar[PromotionQuerySet] = PromotionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "target"], condition=Q(state=State.OPEN), name="one_open_promotion_for_each_target"
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
            models.Index(
                fields=["look_again_at"],
                condition=Q(state=State.OPEN, look_again_at__isnull=False),
                name="promotion_to_look_at_again",
            ),
            models.Index(
                fields=["requested_at", "id"],
                condition=Q(state=State.OPEN, held_by_gates=True),
                name="promotion_held_by_gates",
            ),
            models.Index(
                fields=["valid_until"],
                condition=Q(valid_until__isnull=False, lapsed_at__isnull=True),
                name="promotion_by_validity",
            ),
            models.Index(
                fields=["model", "-decided_at"],
                condition=Q(to_review=True, reviewed_at__isnull=True),
                name="promotion_to_review_afterwards",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} to {self.target}"

    @property
    def terms(self) -> Terms:
        return Terms.from_json(self.policy)

    @property
    def stage(self) -> Stage | None:
        """The stage that it is for; None when it is for an alias."""
        return None if self.alias else Stage(self.target)

    @property
    def alias(self) -> str:
        """The alias that it is for, without its '@'; empty when it is for a stage."""
        return self.target.removeprefix(ALIAS_MARK) if self.target.startswith(ALIAS_MARK) else ""

    @property
    def in_place(self) -> bool:
        """Whether the version is still where this promotion moved it. One query."""
        held = self.pointings if self.alias else self.occupancies.filter(stage=self.target)
        return held.filter(version=self.version_id, ended_at__isnull=True).exists()

    @property
    def awaits_review(self) -> bool:
        """Whether it is a bypass or a rollback that nobody has looked at afterwards yet."""
        return self.to_review and self.reviewed_at is None

    @property
    def has_lapsed(self) -> bool:
        """Whether the word for it does not hold any more, be its version still there or not."""
        return self.valid_until is not None and self.valid_until <= timezone.now()

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
    looked_at = models.JSONField(null=True)  # what the digest was made of
    # Whether the promotion was carried out on it: known from then on.
    counted = models.BooleanField(default=False)
    comment = models.TextField(blank=True)
    token_id = models.UUIDField(null=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["promotion", "reviewer", "evidence"], name="one_approval_of_each_reviewer_and_evidence"
            )
        ]

    def __str__(self) -> str:
        return f"{self.reviewer} approved"


class Revalidation(models.Model):
    """Somebody vouched anew for a version that has been in its stage for longer than an approval holds."""

    promotion = models.ForeignKey(Promotion, on_delete=models.CASCADE, related_name="revalidations")
    reviewer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    comment = models.TextField(blank=True)
    token_id = models.UUIDField(null=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["promotion", "-at"], name="revalidation_newest_first")]

    def __str__(self) -> str:
        return f"{self.reviewer} vouched anew"
