"""Policies, each with its revisions."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q

from accounts.actor import Actor
from accounts.models import User, Workspace
from core.ids import uuid7
from registry.models.catalog import Model
from registry.policy import Scope, Terms


class PolicyQuerySet(models.QuerySet["Policy"]):
    def living(self) -> Self:
        return self.filter(retired_at__isnull=True)

    def visible_to(self, actor: Actor) -> Self:
        """Those of the workspace, and of the models in it that the actor can see."""
        seen = Q(model__isnull=True) | Q(model__in=Model.objects.visible_to(actor))
        return self.living().filter(seen, workspace_id=actor.workspace_id)


class Policy(models.Model):
    """What a promotion into `target` needs, for one model, the models whose name fits a pattern, or all of them.

    `rules` are those of the newest revision. One that was taken away stays as a row, for its revisions.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    model = models.ForeignKey(Model, null=True, blank=True, on_delete=models.CASCADE, related_name="policies")
    pattern = models.CharField(max_length=255, blank=True)
    target = models.CharField(max_length=256)  # a stage, or '@' and an alias
    rules = models.JSONField()
    revision = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[PolicyQuerySet] = PolicyQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "target", "model", "pattern"],
                condition=Q(retired_at__isnull=True),
                nulls_distinct=False,
                name="one_policy_for_each_scope_and_target",
            ),
            models.CheckConstraint(
                condition=Q(model__isnull=True) | Q(pattern=""), name="policy_of_a_model_or_a_pattern"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target} of {self.scope}, revision {self.revision}"

    @property
    def terms(self) -> Terms:
        """What it says, without why it was chosen."""
        return Terms.of(self.rules, name=str(self), why="")

    @property
    def scope(self) -> Scope:
        return Scope(self.model.name if self.model else "", self.pattern)


class PolicyRevision(models.Model):
    """What a policy said from one edit to the next; nothing changes it. `rules` null: it was taken away."""

    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    rules = models.JSONField(null=True)
    comment = models.TextField(blank=True)
    changed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["policy", "number"], name="policy_revision_once")]

    def __str__(self) -> str:
        return f"{self.policy_id} revision {self.number}"
