"""What people say about a version or a promotion, and whom they ask to look at it."""

from __future__ import annotations

from django.db import models

from accounts.models import User
from core.ids import uuid7
from registry.models.catalog import Version
from registry.models.promotions import Promotion


class Comment(models.Model):
    """Words about a version, and about one promotion of it when they were written there. A deleted one stays a row."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="comments", db_index=False)
    promotion = models.ForeignKey(Promotion, null=True, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    mentions = models.ManyToManyField(User, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    edited_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["version", "id"], name="comment_by_version")]

    def __str__(self) -> str:
        return f"{self.author} on {self.version}"


class ReviewRequest(models.Model):
    """Somebody was asked to look at a promotion."""

    promotion = models.ForeignKey(Promotion, on_delete=models.CASCADE, related_name="review_requests", db_index=False)
    reviewer = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    asked_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["promotion", "reviewer"], name="reviewer_asked_once")]

    def __str__(self) -> str:
        return f"{self.reviewer} was asked"
