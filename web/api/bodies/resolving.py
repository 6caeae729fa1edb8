"""What a model URI points at."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from web.api.bodies.catalog import FileBody
from web.api.bodies.shared import STAGES


class ResolvedPromotion(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    target = serializers.CharField(help_text="The stage that it moved the version to, or '@' and the alias.")
    promoted_at = serializers.DateTimeField()
    promoted_by = serializers.CharField()
    approved_by = serializers.ListField(child=serializers.CharField())
    bypass = serializers.BooleanField()
    rollback = serializers.BooleanField()
    entry_hash = serializers.CharField(help_text="Hash of the audit entry of the decision.")


class ResolvedBody(serializers.Serializer[Any]):
    """What a model URI points at, now or at a moment of the past, and on whose word."""

    uri = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True, help_text="The moment that was asked for; null: now.")
    deleted = serializers.BooleanField(help_text="The version, or its model, was deleted since.")
    model = serializers.CharField()
    version = serializers.IntegerField()
    stage = serializers.ChoiceField(STAGES)
    artifact_uri = serializers.CharField(
        allow_null=True,
        help_text="Where to load it from: our address of its files, or its source; null for a deleted version.",
    )
    source = serializers.CharField()  # type: ignore[assignment]  # a field, not the serializer's own
    manifest = serializers.CharField(allow_null=True, help_text="SHA-256 of the list of its files.")
    size = serializers.IntegerField(allow_null=True)
    files = FileBody(many=True)
    run_id = serializers.CharField()
    registered_at = serializers.DateTimeField()
    promotion = ResolvedPromotion(
        allow_null=True, help_text="What pointed the protected alias at it, or else moved it into its stage."
    )
    generation = serializers.IntegerField(allow_null=True, help_text="Of the model now; null for the past.")
