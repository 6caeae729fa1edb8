"""Tokens, users, teams, grants."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.models import Grant, Team, Token, User, UserKind
from accounts.roles import Scope
from web.api.bodies.shared import ROLES


class TokenBody(serializers.Serializer[Token]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    owner = serializers.CharField(source="user.username")
    scopes = serializers.ListField(child=serializers.ChoiceField([str(scope) for scope in Scope]))
    model_glob = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


class IssuedToken(TokenBody):
    token = serializers.CharField(help_text="The token itself: shown this once.")


class Me(serializers.Serializer[Any]):
    username = serializers.CharField()
    display_name = serializers.CharField()
    workspace = serializers.CharField()
    roles = serializers.ListField(child=serializers.ChoiceField(ROLES))
    token = TokenBody()


class UserBody(serializers.Serializer[User]):
    username = serializers.CharField()
    kind = serializers.ChoiceField(UserKind.values)
    display_name = serializers.CharField()
    email = serializers.CharField()
    active = serializers.BooleanField(source="is_active")
    created_at = serializers.DateTimeField()


class TeamBody(serializers.Serializer[Team]):
    name = serializers.CharField()
    members = serializers.SerializerMethodField()

    def get_members(self, row: Team) -> list[str]:
        return sorted(member.username for member in row.members.all())


class GrantBody(serializers.Serializer[Grant]):
    id = serializers.IntegerField()
    role = serializers.ChoiceField(ROLES)
    user = serializers.SerializerMethodField()
    team = serializers.SerializerMethodField()
    model = serializers.SerializerMethodField(help_text="null: for the whole workspace.")
    created_at = serializers.DateTimeField()

    def get_user(self, row: Grant) -> str | None:
        return row.user.username if row.user else None

    def get_team(self, row: Grant) -> str | None:
        return row.team.name if row.team else None

    def get_model(self, row: Grant) -> str | None:
        return row.model.name if row.model else None
