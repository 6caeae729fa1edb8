"""What people said, and whom they asked to review."""

from __future__ import annotations

from rest_framework import serializers

from registry.models import (
    Comment,
    ReviewRequest,
)
from web.api.bodies.shared import url


class CommentBody(serializers.Serializer[Comment]):
    """A comment; the words of a deleted one are gone."""

    id = serializers.UUIDField()
    model = serializers.CharField(source="version.model.name")
    version = serializers.IntegerField(source="version.number")
    promotion = serializers.UUIDField(source="promotion_id", allow_null=True, help_text="null: about the version.")
    author = serializers.CharField(source="author.username")
    text = serializers.SerializerMethodField()
    mentions = serializers.SerializerMethodField(help_text="Who is mentioned in it, of those who can see the model.")
    created_at = serializers.DateTimeField()
    edited_at = serializers.DateTimeField(allow_null=True)
    deleted_at = serializers.DateTimeField(allow_null=True)
    url = serializers.SerializerMethodField()

    def get_text(self, row: Comment) -> str:
        return "" if row.deleted_at else row.text

    def get_mentions(self, row: Comment) -> list[str]:
        return sorted(user.username for user in row.mentions.all())

    def get_url(self, row: Comment) -> str:
        return url("comments", row.id)


class ReviewRequestBody(serializers.Serializer[ReviewRequest]):
    reviewer = serializers.CharField(source="reviewer.username")
    asked_by = serializers.CharField(source="asked_by.username")
    at = serializers.DateTimeField()
