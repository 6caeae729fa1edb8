"""Webhooks, what they were sent, and what came of it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework import serializers

from registry.formats import Format
from registry.models import Attempt, Delivery, Webhook
from registry.models.webhooks import DeliveryState, Disabled


class WebhookBody(serializers.Serializer[Webhook]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    url = serializers.CharField(help_text="Who is told.")
    model = serializers.SerializerMethodField(help_text="The model it is for; null: for several.")
    pattern = serializers.SerializerMethodField(
        help_text="Of the names of the models it is for; null with `model` null too: all of the workspace."
    )
    verbs = serializers.ListField(child=serializers.CharField(), help_text="None: all that the format tells.")
    targets = serializers.ListField(child=serializers.CharField(), help_text="None: all.")
    events = serializers.ListField(
        child=serializers.CharField(),
        help_text="What a client of MLflow or Databricks asked for, in the words of its wire; none: `verbs` and "
        "`targets` say all. Other verbs or targets replace them.",
    )
    format = serializers.ChoiceField([str(form) for form in Format])
    signed = serializers.SerializerMethodField(help_text="Whether it has a secret.")
    sends_authorization = serializers.SerializerMethodField(
        help_text="Whether what is sent carries a header Authorization, which a client of Databricks gave."
    )
    owner = serializers.CharField(
        source="owner.username", allow_null=True, default=None, help_text="Told when it fails."
    )
    active = serializers.BooleanField()
    disabled_because = serializers.SerializerMethodField(help_text="null: it is not.")
    disabled_at = serializers.DateTimeField(allow_null=True)
    failing_since = serializers.DateTimeField(allow_null=True, help_text="null: the last attempt succeeded.")
    failures = serializers.IntegerField(help_text="How many attempts in a row have failed.")
    rests_until = serializers.DateTimeField(allow_null=True, help_text="Until when its receiver is left alone.")
    previous_secret_until = serializers.DateTimeField(
        source="previous_until", allow_null=True, help_text="Until when the secret of before signs as well."
    )
    revision = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    retired_at = serializers.DateTimeField(allow_null=True, help_text="When it was deleted; null: it is there.")
    page = serializers.SerializerMethodField()

    def get_model(self, row: Webhook) -> str | None:
        return row.model.name if row.model else None

    def get_pattern(self, row: Webhook) -> str | None:
        return row.pattern or None

    def get_signed(self, row: Webhook) -> bool:
        return bool(row.secret)

    def get_sends_authorization(self, row: Webhook) -> bool:
        return bool(row.authorization)

    def get_disabled_because(self, row: Webhook) -> str | None:
        return Disabled(row.disabled_because).label if row.disabled_because else None

    def get_page(self, row: Webhook) -> str:
        return settings.VOUCH_URL + row.page


class IssuedWebhook(WebhookBody):
    secret = serializers.SerializerMethodField(
        help_text="What is sent is signed with it; shown this once. null: it has none, or no new one."
    )

    def get_secret(self, row: Webhook) -> str | None:
        return self.context.get("secret") or None


class OwedEventBody(serializers.Serializer[Any]):
    """The entry of the audit log that is told."""

    id = serializers.CharField(source="pk", help_text="As in the payload.")
    verb = serializers.CharField()
    subject = serializers.CharField()
    at = serializers.DateTimeField()
    actor = serializers.CharField(source="actor_name")


class DeliveryBody(serializers.Serializer[Delivery]):
    id = serializers.UUIDField(help_text="The `webhook-id` of each attempt.")
    type = serializers.CharField(source="verb")
    test = serializers.BooleanField()
    state = serializers.ChoiceField(DeliveryState.values)
    attempts = serializers.IntegerField(help_text="How many were made.")
    due_at = serializers.SerializerMethodField(help_text="When the next attempt is due; null: there is none.")
    finished_at = serializers.DateTimeField(allow_null=True)
    status = serializers.IntegerField(allow_null=True, help_text="What the last attempt was answered with.")
    error = serializers.CharField(help_text="What was wrong with the last attempt; empty: nothing.")
    event = OwedEventBody(source="entry")

    def get_due_at(self, row: Delivery) -> str | None:
        pending = row.state == DeliveryState.PENDING
        return serializers.DateTimeField().to_representation(row.due_at) if pending else None


class SendBody(serializers.Serializer[Attempt]):
    number = serializers.IntegerField()
    at = serializers.DateTimeField()
    status = serializers.IntegerField(allow_null=True, help_text="null: there was no answer.")
    duration_ms = serializers.IntegerField()
    error = serializers.CharField()
    address = serializers.CharField(help_text="The one that was connected to, or tried last.")


class AttemptBody(SendBody):
    headers = serializers.SerializerMethodField(
        help_text="As they were sent; the signature is shown to administrators alone."
    )
    answer = serializers.SerializerMethodField(
        help_text="The first KiB of it, for administrators; null for others, as it may hold what is behind a firewall."
    )

    def get_headers(self, row: Attempt) -> dict[str, str]:
        return row.shown_headers(whole=self.context["answers"])

    def get_answer(self, row: Attempt) -> str | None:
        return row.answer if self.context["answers"] else None


class _Tried(DeliveryBody):
    """A delivery with those of its attempts that the context holds."""

    def to_representation(self, row: Delivery) -> Any:
        row.sends = self.context["tries"]  # type: ignore[attr-defined]
        return super().to_representation(row)


class TestBody(_Tried):
    tries = SendBody(many=True, source="sends", help_text="Empty until it was tried.")


class DeliveryDetail(_Tried):
    tries = AttemptBody(many=True, source="sends", help_text="The newest first, a hundred at most.")


class CountBody(serializers.Serializer[Any]):
    count = serializers.IntegerField(help_text="How many are sent again.")
