"""What held a stage or an alias when, and on whose word."""

from __future__ import annotations

from django.conf import settings
from rest_framework import serializers

from registry.history import Ending, How, Interval
from registry.models import (
    Approval,
    Promotion,
)
from web.api.bodies.shared import STAGES


class VouchBody(serializers.Serializer[Approval]):
    reviewer = serializers.CharField(source="reviewer.username")
    at = serializers.DateTimeField()
    comment = serializers.CharField()


class WordBody(serializers.Serializer[Promotion]):
    """The promotion behind an interval."""

    id = serializers.UUIDField()
    requested_by = serializers.CharField(source="requester.username")
    promoted_by = serializers.CharField(source="decided_by.username")
    promoted_at = serializers.DateTimeField(source="decided_at")
    policy = serializers.CharField(source="terms.name")
    reason = serializers.CharField()
    bypass = serializers.BooleanField()
    rollback = serializers.BooleanField()
    entry_hash = serializers.CharField(help_text="Hash of the audit entry of the decision.")
    page = serializers.SerializerMethodField()

    def get_page(self, row: Promotion) -> str:
        return settings.VOUCH_URL + row.page


class EndingBody(serializers.Serializer[Ending]):
    how = serializers.ChoiceField([str(how) for how in How])
    version = serializers.IntegerField(allow_null=True, help_text="The one that came instead.")
    stage = serializers.ChoiceField(STAGES, allow_null=True, help_text="Where the version went.")
    promotion = serializers.UUIDField(source="promotion.pk", default=None, allow_null=True)


class IntervalBody(serializers.Serializer[Interval]):
    """A version held the stage, or the alias pointed at it, from `started_at` until before `ended_at`."""

    version = serializers.IntegerField(source="held.version.number")
    started_at = serializers.DateTimeField(source="held.started_at")
    ended_at = serializers.DateTimeField(source="held.ended_at", allow_null=True, help_text="null: it lasts.")
    manifest = serializers.SerializerMethodField(help_text="SHA-256 of the list of its files.")
    deleted = serializers.SerializerMethodField(help_text="The version was deleted since.")
    promotion = WordBody(source="held.promotion", allow_null=True)
    approvals = VouchBody(many=True, help_text="Those that counted.")
    ending = EndingBody(allow_null=True, help_text="What ended it; null: it lasts.")

    def get_manifest(self, row: Interval) -> str | None:
        manifest = row.held.version.manifest
        return manifest.digest if manifest else None

    def get_deleted(self, row: Interval) -> bool:
        return row.held.version.deleted_at is not None
