"""What the bodies of several modules use."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.conf import settings
from rest_framework import serializers

from accounts.roles import Role
from registry.gates import CheckState
from registry.lifecycle import Stage

STAGES = [str(stage) for stage in Stage]
ROLES = [str(role) for role in Role]
CHECK_STATES = [str(state) for state in CheckState]


def url(*parts: object) -> str:
    """The absolute address of a resource of this API."""
    return f"{settings.VOUCH_URL}/api/v1/" + "/".join(quote(str(part), safe="") for part in parts)


class Problem(serializers.Serializer[Any]):
    """What went wrong (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What is wrong and what to do, for people.")
    code = serializers.CharField(help_text="A stable name of the reason, for programs.")
    instance = serializers.CharField()
    request_id = serializers.CharField()
    field = serializers.CharField(required=False, help_text="The input at fault.")
    reasons = serializers.ListField(child=serializers.CharField(), required=False, help_text="What is missing.")
    link = serializers.CharField(required=False, help_text="A page on which to go on.")
