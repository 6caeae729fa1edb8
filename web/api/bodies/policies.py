"""Policies, and what is in force."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework import serializers

from registry.models import (
    Policy,
    PolicyRevision,
)
from registry.ruling import Ruling
from web.api.bodies.shared import url


class RulesBody(serializers.Serializer[Any]):
    """What a policy asks."""

    approvals = serializers.IntegerField(help_text="How many people must approve.")
    teams = serializers.ListField(child=serializers.CharField(), help_text="Of each of these a member must approve.")
    excluded_teams = serializers.ListField(child=serializers.CharField(), help_text="Whose members cannot approve.")
    exclusive = serializers.BooleanField(help_text="The stage has one occupant.")
    gates = serializers.ListField(child=serializers.DictField(), help_text="As they were written.")
    lifetime_days = serializers.IntegerField(help_text="After which an open promotion expires.")
    approval_days = serializers.IntegerField(allow_null=True, help_text="For which an approval holds; null: for ever.")
    bypass = serializers.BooleanField(help_text="An administrator may carry it out alone.")


class TermsBody(RulesBody):
    """The rules that a promotion is judged by, and where they come from."""

    name = serializers.CharField(help_text="The policy and its revision, in words.")
    why = serializers.CharField(help_text="Why this policy and no other; empty where none was written.")


class PolicyBody(RulesBody):
    id = serializers.UUIDField()
    target = serializers.CharField(help_text="The stage, or '@' and the alias, that is protected.")
    model = serializers.SerializerMethodField(help_text="The model it is for; null: for several.")
    pattern = serializers.SerializerMethodField(
        help_text="Of the names of the models it is for; null with `model` null too: all of the workspace."
    )
    revision = serializers.IntegerField()
    changed_by = serializers.CharField(help_text="Who wrote this revision.")
    comment = serializers.CharField(help_text="Why.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    retired_at = serializers.DateTimeField(allow_null=True, help_text="When it was taken away; null: it is in force.")
    page = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()

    def get_fields(self) -> dict[str, Any]:
        """What it asks stands beside what it is, as in the body that wrote it."""
        fields = super().get_fields()
        for name in RulesBody().get_fields():
            fields[name].source = f"terms.{name}"
        return fields

    def get_model(self, row: Policy) -> str | None:
        return row.model.name if row.model else None

    def get_pattern(self, row: Policy) -> str | None:
        return row.pattern or None

    def get_page(self, row: Policy) -> str:
        return settings.VOUCH_URL + row.page

    def get_url(self, row: Policy) -> str:
        return url("policies", row.id)


class PolicyRevisionBody(serializers.Serializer[PolicyRevision]):
    revision = serializers.IntegerField(source="number")
    changed_by = serializers.CharField(source="changed_by.username")
    changed_at = serializers.DateTimeField()
    comment = serializers.CharField()
    rules = RulesBody(allow_null=True, help_text="null: it was taken away.")


class RulingBody(serializers.Serializer[Ruling]):
    """What a promotion into a target needs, and by which policy."""

    target = serializers.CharField()
    terms = TermsBody()
    policy = serializers.UUIDField(source="policy.id", allow_null=True, default=None, help_text="null: as shipped.")
    revision = serializers.IntegerField(source="policy.revision", allow_null=True, default=None)
    asks = serializers.ListField(child=serializers.CharField(), help_text="The same in words.")


class Rulings(serializers.Serializer[Any]):
    items = RulingBody(many=True)
