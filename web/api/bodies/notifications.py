"""How people are told, and what they were told of."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework import serializers

from registry.models import Channel, Following, MailWhen, Notification, NotificationSettings, NotificationState, Reason
from registry.services.notices import mail_is_on


class HowToldBody(serializers.Serializer[NotificationSettings]):
    mail = serializers.ChoiceField(MailWhen.values)
    muted = serializers.BooleanField()
    slack = serializers.SerializerMethodField(help_text="Whether there is a `slack_url`, which is not shown.")
    address = serializers.CharField(source="user.email", help_text="Where mail goes; empty: nowhere.")
    mail_is_on = serializers.SerializerMethodField(help_text="Whether this Vouch sends mail at all.")
    digest_hour = serializers.SerializerMethodField(help_text="When digests go out, in UTC.")
    messages_per_day = serializers.SerializerMethodField(help_text="On each channel; what is beyond is a digest.")

    def get_slack(self, row: NotificationSettings) -> bool:
        return bool(row.slack_url)

    def get_mail_is_on(self, row: NotificationSettings) -> bool:
        return mail_is_on()

    def get_digest_hour(self, row: NotificationSettings) -> int:
        return int(settings.VOUCH_DIGEST_HOUR)

    def get_messages_per_day(self, row: NotificationSettings) -> int:
        return int(settings.VOUCH_MAILS_PER_DAY)


class FollowingBody(serializers.Serializer[Following]):
    model = serializers.CharField(source="model.name")
    muted = serializers.BooleanField()
    since = serializers.DateTimeField()


class NotificationBody(serializers.Serializer[Notification]):
    id = serializers.UUIDField()
    event = serializers.CharField(source="entry_id", help_text="The id of the event.")
    type = serializers.CharField(source="entry.verb")
    subject = serializers.CharField(source="entry.subject")
    at = serializers.DateTimeField(source="entry.at")
    channel = serializers.ChoiceField(Channel.values)
    reason = serializers.ChoiceField(Reason.values)
    state = serializers.ChoiceField(
        NotificationState.values,
        help_text="`gathered`: waits for the digest; `folded`: went out in one; `dropped`: you may not know it any "
        "more, or do not want it.",
    )
    attempts = serializers.IntegerField()
    due_at = serializers.SerializerMethodField(help_text="When it is sent or tried again; null when it is over.")
    finished_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField()

    def get_due_at(self, row: Notification) -> Any:
        return None if row.finished_at else serializers.DateTimeField().to_representation(row.due_at)
