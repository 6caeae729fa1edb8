"""Policies, each with its revisions."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.db.models import Exists, F, OuterRef, Q, Value
from django.db.models.functions import Lower, Replace

from accounts.actor import Actor
from accounts.models import User, Workspace
from accounts.roles import Action
from accounts.roles import Scope as TokenScope
from core.ids import uuid7
from registry.models.catalog import Model
from registry.policy import Scope, Terms, in_words


class PolicyQuerySet(models.QuerySet["Policy"]):
    def living(self) -> Self:
        return self.filter(retired_at__isnull=True)

    def visible_to(self, actor: Actor) -> Self:
        """Those of the models that the actor can see, and of all models; retired ones too.

        Patterns he sees like that when he reads the whole workspace; otherwise those that fit a model that he can see,
        since they tell the names of others.
        """
        if TokenScope.READ not in actor.scopes or not (actor.roles or actor.model_roles):
            return self.none()
        seen = Model.objects.visible_to(actor)
        here = self.filter(workspace_id=actor.workspace_id)
        if actor.may(Action.READ) and not actor.model_glob:
            return here.filter(Q(model__isnull=True) | Q(model__in=seen))
        fits = models.Func(
            Lower("name"), OuterRef("like"), arg_joiner=" LIKE ", template="%(expressions)s", output_field=_YES_OR_NO
        )
        fitting = seen.annotate(fits=fits).filter(fits=True)
        of_several = Q(model__isnull=True) & (Q(pattern="") | Exists(fitting))
        return here.annotate(like=_AS_LIKE).filter(of_several | Q(model__in=seen))


_YES_OR_NO: models.BooleanField[bool, bool] = models.BooleanField()
# A pattern as SQL's LIKE has it. The other signs that mean something there are none that a pattern may hold.
_AS_LIKE = Replace(
    Replace(Replace(Lower(F("pattern")), Value("_"), Value(r"\_")), Value("*"), Value("%")), Value("?"), Value("_")
)


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
    def asks(self) -> list[str]:
        """What it asks, in words."""
        return in_words(self.terms, self.target)

    @property
    def page(self) -> str:
        """The path of its page."""
        return f"/policies/{self.id}"

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

    @property
    def asks(self) -> list[str]:
        """What it asked, in words; nothing when it took the policy away."""
        terms = Terms.of(self.rules, name=str(self), why="") if self.rules else None
        return in_words(terms, self.policy.target) if terms else []
