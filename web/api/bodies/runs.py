"""Runs with what they recorded."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from lineage.models import Run


class MetricBody(serializers.Serializer[Any]):
    value = serializers.FloatField(allow_null=True, help_text="null: not a number.")
    step = serializers.IntegerField()
    timestamp_ms = serializers.IntegerField()


class RunInputBody(serializers.Serializer[Any]):
    name = serializers.CharField(source="dataset.name")
    digest = serializers.CharField(source="dataset.digest")
    source_type = serializers.CharField(source="dataset.source_type")
    source = serializers.CharField(source="dataset.source")  # type: ignore[assignment]  # a field, not the serializer's own
    tags = serializers.DictField(child=serializers.CharField())


class RunBody(serializers.Serializer[Run]):
    """A run with the last value of each metric."""

    id = serializers.SerializerMethodField()
    name = serializers.CharField()
    experiment = serializers.CharField(source="experiment.name")
    status = serializers.CharField()
    created_by = serializers.CharField(source="created_by.username")
    started_ms = serializers.IntegerField()
    ended_ms = serializers.IntegerField(allow_null=True)
    params = serializers.SerializerMethodField()
    metrics = serializers.SerializerMethodField()
    tags = serializers.SerializerMethodField()
    inputs = RunInputBody(many=True)

    def get_id(self, row: Run) -> str:
        return row.id.hex

    def get_params(self, row: Run) -> dict[str, str]:
        return {param.key: param.value for param in row.params.all()}

    @extend_schema_field(serializers.DictField(child=MetricBody()))
    def get_metrics(self, row: Run) -> Any:
        return {metric.key: MetricBody(metric).data for metric in row.metrics.all()}

    def get_tags(self, row: Run) -> dict[str, str]:
        return {tag.key: tag.value for tag in row.tags.all()}
