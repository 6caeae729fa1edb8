"""Events, as webhooks in Vouch's own format are told of them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class EventBody(serializers.Serializer[Any]):
    type = serializers.CharField(help_text="What happened: the verb of the audit entry.")
    timestamp = serializers.DateTimeField()
    id = serializers.CharField(help_text="The same for every webhook and here; a number that grows.")
    workspace = serializers.CharField()
    model = serializers.CharField(allow_null=True)
    sequence = serializers.IntegerField(help_text="Its place among the events of its model: 1, 2, 3 … without a gap.")
    hash = serializers.CharField(help_text="Of the audit entry.")
    actor = serializers.CharField()
    subject = serializers.CharField()
    link = serializers.CharField(allow_null=True, help_text="A page to read on.")
    data = serializers.DictField()  # type: ignore[assignment]  # a field, not the serializer's own


class EventPage(serializers.Serializer[Any]):
    items = EventBody(many=True)
    after = serializers.CharField(help_text="Where to go on; grows also while nothing is found.")
    more = serializers.BooleanField(help_text="Whether there may be more at once.")
