"""What jobs outside reported."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry.lifecycle import State
from registry.models import (
    Check,
    Promotion,
)
from web.api.bodies.shared import CHECK_STATES, url


class CheckBody(serializers.Serializer[Check]):
    """One report of a check."""

    model = serializers.CharField(source="version.model.name")
    version = serializers.IntegerField(source="version.number")
    check = serializers.CharField(source="name")
    state = serializers.ChoiceField(CHECK_STATES)
    summary = serializers.CharField()
    link = serializers.CharField()
    values = serializers.DictField(child=serializers.FloatField())
    reporter = serializers.CharField(source="reporter.username")
    at = serializers.DateTimeField()
    url = serializers.SerializerMethodField(help_text="Every report of this check.")

    def get_url(self, row: Check) -> str:
        return url("models", row.version.model.name, "versions", row.version.number, "checks", row.name)


class ConcernedPromotion(serializers.Serializer[Promotion]):
    """A promotion with gates, as it is after a report. Its context holds the `outlooks` of open ones."""

    id = serializers.UUIDField()
    target = serializers.CharField(help_text="The stage, or '@' and the alias, asked for.")
    state = serializers.ChoiceField([str(state) for state in State])
    missing = serializers.SerializerMethodField(help_text="What it still lacks.")
    page = serializers.SerializerMethodField(help_text="The page on which it is reviewed.")
    url = serializers.SerializerMethodField()

    def get_missing(self, row: Promotion) -> list[str]:
        look = self.context["outlooks"].get(row.pk)
        return list(look.missing) if look else []

    def get_page(self, row: Promotion) -> str:
        return settings.VOUCH_URL + row.page

    def get_url(self, row: Promotion) -> str:
        return url("promotions", row.id)


class ReportedBody(CheckBody):
    """A report with what became of the promotions that may hang on it. Its context holds them and their `outlooks`."""

    promotions = serializers.SerializerMethodField(
        help_text="Of the version's promotions with gates: those that are open, and those decided since the report."
    )

    @extend_schema_field(ConcernedPromotion(many=True))
    def get_promotions(self, row: Check) -> Any:
        return ConcernedPromotion(self.context["promotions"], many=True, context=self.context).data
