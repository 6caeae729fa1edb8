"""Accounts in Django's admin: people and what they may do are changed through the services, so that it is recorded."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.password_validation import validate_password
from django.db.models import Model as Row
from django.db.models import QuerySet

from accounts.actor import Actor
from accounts.admin_lists import Listed, ReadOnly
from accounts.models import (
    AuditChain,
    AuditCheckpoint,
    AuditEntry,
    AuditWitness,
    Grant,
    Team,
    Token,
    User,
    UserKind,
    Workspace,
)
from accounts.queries import session_actor
from accounts.roles import Role
from accounts.services import people, tokens
from core.errors import Refusal


def actor_in(request: Any, workspace: Workspace) -> Actor:
    """The signed-in administrator, acting in `workspace`."""
    return session_actor(
        request.user,
        workspace,
        address=request.META.get("REMOTE_ADDR") or None,
        request_id=getattr(request, "request_id", ""),
    )


class ThroughServices(Listed):
    """Rows that an operator changes; a refusal of the service is told instead of an error."""

    actions: Any = None  # what acts on many rows at once would pass the services by

    def changeform_view(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except Refusal as refusal:
            self.message_user(request, refusal.message, messages.ERROR)
            return self.response_post_save_change(request, None)

    def save_related(self, request: Any, form: Any, formsets: Any, change: bool) -> None:
        """Nothing: the service has written all of it."""


class WorkspaceForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Workspace
        fields = ("slug", "name", "folds_repeated_creates")


@admin.register(Workspace)
class WorkspaceAdmin(ThroughServices):
    form = WorkspaceForm
    list_display = ("slug", "name", "created_at")
    ordering = ("slug",)
    search_fields = ("slug", "name")

    def get_readonly_fields(self, request: Any, obj: Row | None = None) -> tuple[str, ...]:
        return ("slug",) if obj else ()

    def save_model(self, request: Any, obj: Workspace, form: Any, change: bool) -> None:
        folds = obj.folds_repeated_creates
        if not change:
            actor = actor_in(request, people.default_workspace())
            made = people.create_workspace(actor, slug=obj.slug, name=obj.name)
            obj.pk = made.pk
        people.edit_workspace(actor_in(request, obj), obj.slug, name=obj.name, folds_repeated_creates=folds)


class UserForm(forms.ModelForm):  # type: ignore[type-arg]
    """A user; the password is set anew when one is typed, and never shown."""

    new_password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="At least 12 characters. Left empty, it stays as it is. A service account has none.",
    )

    class Meta:
        model = User
        fields: ClassVar[tuple[str, ...]] = ("username", "kind", "display_name", "email", "responsible", "is_active")

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if kind := self.fields.get("kind"):  # absent where it is only shown
            kind.choices = [choice for choice in UserKind.choices if choice[0] != UserKind.SYSTEM]  # type: ignore[attr-defined]

    def clean_new_password(self) -> str:
        password = self.cleaned_data["new_password"]
        if password:
            validate_password(password, self.instance)
        return str(password)


@admin.register(User)
class UserAdmin(ThroughServices):
    form = UserForm
    list_display = ("username", "display_name", "kind", "is_active", "is_superuser", "created_at")
    list_filter = ("kind", "is_active", "is_superuser")
    search_fields = ("username__istartswith", "email__istartswith")
    ordering = ("username",)
    raw_id_fields = ("responsible",)

    def get_readonly_fields(self, request: Any, obj: Row | None = None) -> tuple[str, ...]:
        # Only the command line makes somebody an administrator of everything.
        return ("username", "kind", "is_superuser", "created_at", "last_login") if obj else ()

    def get_fields(self, request: Any, obj: Row | None = None) -> Any:
        fields = ["username", "kind", "display_name", "email", "responsible", "is_active", "new_password"]
        return [*fields, "is_superuser", "created_at", "last_login"] if obj else fields

    def has_change_permission(self, request: Any, obj: Row | None = None) -> bool:
        return super().has_change_permission(request, obj) and getattr(obj, "kind", "") != UserKind.SYSTEM

    def save_model(self, request: Any, obj: User, form: Any, change: bool) -> None:
        actor = actor_in(request, people.default_workspace())
        password = form.cleaned_data["new_password"]
        if not change:
            made = people.create_user(
                actor,
                username=obj.username,
                kind=UserKind(obj.kind),
                password=password or None,
                email=obj.email,
                display_name=obj.display_name,
                responsible=obj.responsible,
            )
            obj.pk = made.pk
        elif {"display_name", "email", "responsible"} & set(form.changed_data):
            people.edit_user(
                actor, obj.username, display_name=obj.display_name, email=obj.email, responsible=obj.responsible
            )
        if change and password:
            people.set_password(actor, obj.username, password)
        if "is_active" in form.changed_data:
            people.set_active(actor, obj.username, obj.is_active)


@admin.register(Team)
class TeamAdmin(ThroughServices):
    list_display = ("name", "workspace")
    list_select_related = ("workspace",)
    list_filter = ("workspace",)
    search_fields = ("name__istartswith",)
    ordering = ("-id",)
    raw_id_fields = ("members",)

    def get_readonly_fields(self, request: Any, obj: Row | None = None) -> tuple[str, ...]:
        return ("workspace", "name") if obj else ()

    def save_model(self, request: Any, obj: Team, form: Any, change: bool) -> None:
        usernames = [user.username for user in form.cleaned_data["members"]]
        obj.pk = people.set_team(actor_in(request, obj.workspace), name=obj.name, usernames=usernames).pk


@admin.register(Grant)
class GrantAdmin(ThroughServices):
    list_display = ("__str__", "workspace", "role", "created_at")
    list_select_related = ("workspace", "user", "team", "model")
    list_filter = ("workspace", "role")
    search_fields = ("user__username__istartswith", "team__name__istartswith")
    raw_id_fields = ("user", "team", "model")
    ordering = ("-id",)

    def has_change_permission(self, request: Any, obj: Row | None = None) -> bool:
        return False  # a grant is given or taken

    def has_delete_permission(self, request: Any, obj: Row | None = None) -> bool:
        return bool(request.user.is_superuser)

    def save_model(self, request: Any, obj: Grant, form: Any, change: bool) -> None:
        actor = actor_in(request, obj.workspace)
        obj.pk = people.give(actor, Role(obj.role), user=obj.user, team=obj.team, model_id=obj.model_id).pk

    def delete_model(self, request: Any, obj: Grant) -> None:
        people.take(actor_in(request, obj.workspace), obj.pk)


@admin.register(Token)
class TokenAdmin(ReadOnly):
    list_display = ("name", "public_id", "user", "workspace", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_select_related = ("user", "workspace")
    list_filter = ("workspace",)
    search_fields = ("public_id__exact", "user__username__istartswith")
    ordering = ("-created_at", "-id")
    exclude = ("secret_sha256",)
    actions = ("revoke",)

    @admin.action(description="Revoke the selected tokens")
    def revoke(self, request: Any, chosen: QuerySet[Token]) -> None:
        for token in chosen.select_related("workspace"):
            tokens.revoke(actor_in(request, token.workspace), token.pk)
        self.message_user(request, "They are revoked: what uses them is refused from now on.", messages.SUCCESS)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly):
    list_display = ("at", "verb", "actor_name", "subject", "workspace", "chain", "sequence")
    list_select_related = ("workspace", "chain")
    list_filter = ("workspace",)
    search_fields = ("hash__exact",)
    ordering = ("-id",)


@admin.register(AuditChain)
class AuditChainAdmin(ReadOnly):
    list_display = ("__str__", "last_sequence", "last_hash")
    search_fields = ("subject_id__exact",)
    ordering = ("id",)


@admin.register(AuditCheckpoint)
class AuditCheckpointAdmin(ReadOnly):
    list_display = ("number", "at", "digest", "public_key")
    search_fields = ("digest__exact",)
    ordering = ("-number",)


@admin.register(AuditWitness)
class AuditWitnessAdmin(ReadOnly):
    list_display = ("chain", "sequence", "hash")
    list_select_related = ("chain",)
    search_fields = ("chain__subject_id__exact",)
    ordering = ("chain",)
