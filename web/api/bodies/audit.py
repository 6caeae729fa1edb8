"""The log and its verification."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.models import AuditEntry


class EntryBody(serializers.Serializer[AuditEntry]):
    sequence = serializers.IntegerField(help_text="Its place in its chain.")
    at = serializers.DateTimeField()
    verb = serializers.CharField()
    actor = serializers.CharField(source="actor_name")
    subject = serializers.CharField()
    data = serializers.DictField()  # type: ignore[assignment]  # a field, not the serializer's own
    request_id = serializers.CharField()
    hash = serializers.CharField()
    previous_hash = serializers.CharField()


class FlawBody(serializers.Serializer[Any]):
    chain = serializers.CharField(help_text="The model's id, after the word model.")
    sequence = serializers.IntegerField(help_text="The first bad entry of its chain.")
    problem = serializers.CharField(help_text="What is wrong with it.")
    verb = serializers.CharField(help_text="Of the entry as it stands there now; empty when there is none.")
    subject = serializers.CharField(help_text="Of the entry as it stands there now; empty when there is none.")


class VerdictBody(serializers.Serializer[Any]):
    chains = serializers.IntegerField(help_text="How many were to be checked.")
    entries = serializers.IntegerField(help_text="How many entries they have.")
    flaw = FlawBody(allow_null=True, help_text="The first that was found; null: they are whole.")
