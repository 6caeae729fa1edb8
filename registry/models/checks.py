"""What jobs outside report on a version."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.models import User
from core.ids import uuid7
from registry.gates import CheckState
from registry.models.catalog import Version


class Check(models.Model):
    """One report of a check on a version; the newest of each name is what counts."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="checks", db_index=False)
    name = models.CharField(max_length=100)
    state = models.CharField(max_length=16, choices=[(state.value, state.value) for state in CheckState])
    summary = models.TextField(blank=True)
    link = models.CharField(max_length=2000, blank=True)
    values = models.JSONField(default=dict)  # what it measured: name → number
    reporter = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    token_id = models.UUIDField(null=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=[s.value for s in CheckState]), name="check_in_a_known_state")
        ]
        indexes = [models.Index(fields=["version", "name", "-id"], name="check_newest_of_each_name")]

    def __str__(self) -> str:
        return f"{self.name} {self.state}"
