"""Promotions with what they take."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry.earlier import Word, words
from registry.gates import Outcome
from registry.lifecycle import State
from registry.models import (
    Promotion,
)
from registry.outlook import Outlook
from registry.revalidation import standing
from web.api.bodies.checks import CheckBody
from web.api.bodies.discussion import ReviewRequestBody
from web.api.bodies.policies import TermsBody
from web.api.bodies.shared import STAGES, url


class PromotionBody(serializers.Serializer[Promotion]):
    id = serializers.UUIDField()
    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField(source="version.number")
    target = serializers.CharField(help_text="The stage, or '@' and the alias, asked for.")
    stage = serializers.ChoiceField(STAGES, allow_null=True, help_text="The stage asked for; null for an alias.")
    from_stage = serializers.ChoiceField(STAGES)
    state = serializers.ChoiceField([str(state) for state in State])
    comment = serializers.CharField()
    requester = serializers.CharField(source="requester.username")
    requested_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    decided_by = serializers.SerializerMethodField()
    decided_at = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField()
    bypass = serializers.BooleanField(help_text="Carried out by an administrator over the policy.")
    rollback = serializers.BooleanField(help_text="Back to an earlier version, by one person.")
    to_review = serializers.BooleanField(
        source="awaits_review", help_text="A bypass or a rollback that nobody has reviewed afterwards yet."
    )
    reviewed_by = serializers.SerializerMethodField(help_text="Who reviewed it afterwards.")
    reviewed_at = serializers.DateTimeField(allow_null=True)
    review_agrees = serializers.BooleanField(allow_null=True, help_text="Whether that one found it right.")
    review_note = serializers.CharField()
    valid_until = serializers.DateTimeField(allow_null=True, help_text="Until when the word for it holds.")
    lapsed_at = serializers.DateTimeField(allow_null=True, help_text="When it was told that it holds no more.")
    entry_hash = serializers.CharField(help_text="Hash of the audit entry of the decision; empty while open.")
    page = serializers.SerializerMethodField(help_text="The page on which it is reviewed.")
    url = serializers.SerializerMethodField()

    def get_decided_by(self, row: Promotion) -> str | None:
        return row.decided_by.username if row.decided_by else None

    def get_reviewed_by(self, row: Promotion) -> str | None:
        return row.reviewed_by.username if row.reviewed_by else None

    def get_page(self, row: Promotion) -> str:
        return settings.VOUCH_URL + row.page

    def get_url(self, row: Promotion) -> str:
        return url("promotions", row.id)


class GateBody(serializers.Serializer[Any]):
    """A gate of the policy and what it says now."""

    gate = serializers.CharField()
    title = serializers.CharField(help_text="What it asks, in words.")
    outcome = serializers.ChoiceField([str(outcome) for outcome in Outcome], source="verdict.outcome")
    reason = serializers.CharField(source="verdict.reason")


class ApprovalBody(serializers.Serializer[Any]):
    reviewer = serializers.CharField(source="reviewer.username")
    at = serializers.DateTimeField()
    comment = serializers.CharField()
    evidence = serializers.CharField()
    counts = serializers.BooleanField(default=False, help_text="Given for the evidence as it is, by somebody who may.")


class LookedAt(serializers.Serializer[Any]):
    source = serializers.CharField()  # type: ignore[assignment]  # a field, not the serializer's own
    manifest = serializers.CharField(allow_null=True)
    incumbent = serializers.IntegerField(allow_null=True, help_text="The version that holds the stage now.")
    incumbent_manifest = serializers.CharField(allow_null=True)
    policy = TermsBody()
    inputs = serializers.DictField(required=False, help_text="What the gates read, by name.")
    round = serializers.IntegerField(required=False, help_text="How often it was reopened, and one.")


class RestoresBody(serializers.Serializer[Word]):
    promotion = serializers.UUIDField(source="promotion.id", help_text="The one that was decided.")
    decided_at = serializers.DateTimeField(source="promotion.decided_at")
    decided_by = serializers.CharField(source="promotion.decided_by.username")
    approved_by = serializers.ListField(child=serializers.CharField())
    bypass = serializers.BooleanField(source="promotion.bypass")


class PromotionDetail(PromotionBody):
    """A promotion with what it takes; `evidence` is what an approval must name.

    Its context holds the `outlook`, the newest `checks` of its version and the `review_requests`.
    """

    terms = TermsBody()
    policy = serializers.SerializerMethodField(help_text="The id of the policy; null: as shipped.")
    policy_revision = serializers.SerializerMethodField(help_text="Of the policy, as it holds for this promotion.")
    evidence = serializers.SerializerMethodField(help_text="Digest of what is decided on; null if nothing was.")
    looked_at = serializers.SerializerMethodField(help_text="What the digest covers; null when it is decided.")
    decided_on = serializers.SerializerMethodField(help_text="What it covered then; null while open, or not known.")
    missing = serializers.SerializerMethodField(help_text="What it still lacks.")
    restores = serializers.SerializerMethodField(
        help_text="On whose word the version of a rollback was there; null for others."
    )
    revalidation_missing = serializers.SerializerMethodField(
        help_text="What is missing until it is vouched for anew; empty where nothing runs out."
    )
    approvals = serializers.SerializerMethodField()
    gates = serializers.SerializerMethodField(help_text="What each gate says now; empty when it is decided.")
    checks = serializers.SerializerMethodField(help_text="The newest report of each check on the version.")
    review_requests = serializers.SerializerMethodField(help_text="Who was asked to review it.")
    comments_url = serializers.SerializerMethodField(help_text="What people say about it.")

    @extend_schema_field({"type": ["string", "null"], "format": "uuid"})
    def get_policy(self, row: Promotion) -> str | None:
        return str(row.policy_revision.policy_id) if row.policy_revision else None

    def get_policy_revision(self, row: Promotion) -> int | None:
        return row.policy_revision.number if row.policy_revision else None

    def get_evidence(self, row: Promotion) -> str | None:
        return self._outlook.evidence.digest if row.state == State.OPEN else row.decided_evidence or None

    @extend_schema_field(RestoresBody(allow_null=True))
    def get_restores(self, row: Promotion) -> Any:
        word = words([row]).get(row.pk) if row.rollback else None
        return RestoresBody(word).data if word else None

    def get_revalidation_missing(self, row: Promotion) -> list[str]:
        return list(standing(row).missing) if row.state == State.PROMOTED and row.valid_until else []

    @extend_schema_field(LookedAt(allow_null=True))
    def get_looked_at(self, row: Promotion) -> Any:
        return self._outlook.evidence.as_json() if row.state == State.OPEN else None

    @extend_schema_field(LookedAt(allow_null=True))
    def get_decided_on(self, row: Promotion) -> Any:
        return None if row.state == State.OPEN else row.decided_on

    def get_missing(self, row: Promotion) -> list[str]:
        return list(self._outlook.missing) if row.state == State.OPEN else []

    @extend_schema_field(GateBody(many=True))
    def get_gates(self, row: Promotion) -> Any:
        return GateBody(self._outlook.judged, many=True).data if row.state == State.OPEN else []

    @extend_schema_field(ApprovalBody(many=True))
    def get_approvals(self, row: Promotion) -> Any:
        look = self._outlook
        given = sorted((*look.counting, *look.stale), key=lambda approval: approval.at)
        is_open = row.state == State.OPEN
        return [{**ApprovalBody(a).data, "counts": a in look.counting if is_open else a.counted} for a in given]

    @extend_schema_field(CheckBody(many=True))
    def get_checks(self, row: Promotion) -> Any:
        return CheckBody(self.context["checks"], many=True).data

    @extend_schema_field(ReviewRequestBody(many=True))
    def get_review_requests(self, row: Promotion) -> Any:
        return ReviewRequestBody(self.context["review_requests"], many=True).data

    def get_comments_url(self, row: Promotion) -> str:
        return url("promotions", row.id, "comments")

    @property
    def _outlook(self) -> Outlook:
        return cast(Outlook, self.context["outlook"])
