"""The registry in Django's admin, to be looked at: everything here has a life cycle, which services keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet

from accounts.admin import actor_in
from accounts.admin_lists import ReadOnly
from core.errors import Refusal
from registry.models import (
    Alias,
    Approval,
    Attempt,
    Check,
    Comment,
    Delivery,
    Model,
    Notification,
    Occupancy,
    Pointing,
    Policy,
    PolicyRevision,
    Promotion,
    Revalidation,
    Version,
    Webhook,
)
from registry.services import redelivery, webhooks


@admin.register(Model)
class ModelAdmin(ReadOnly):
    list_display = ("name", "workspace", "last_version", "updated_at", "deleted_at")
    list_select_related = ("workspace",)
    list_filter = ("workspace",)
    search_fields = ("name__istartswith",)
    ordering = ("-id",)


@admin.register(Version)
class VersionAdmin(ReadOnly):
    list_display = ("__str__", "status", "registrar", "created_at", "deleted_at")
    list_select_related = ("model", "registrar")
    search_fields = ("model__name__exact",)
    ordering = ("-id",)


@admin.register(Alias)
class AliasAdmin(ReadOnly):
    list_display = ("name", "model", "version")
    list_select_related = ("model", "version__model")
    search_fields = ("model__name__exact",)
    ordering = ("-id",)


@admin.register(Occupancy)
class OccupancyAdmin(ReadOnly):
    list_display = ("version", "stage", "exclusive", "started_at", "ended_at")
    list_select_related = ("version__model",)
    search_fields = ("model__name__exact",)
    ordering = ("-id",)


@admin.register(Promotion)
class PromotionAdmin(ReadOnly):
    list_display = ("__str__", "state", "bypass", "requester", "requested_at", "decided_by", "decided_at")
    list_select_related = ("version__model", "requester", "decided_by")
    list_filter = ("state",)
    search_fields = ("model__name__exact",)
    ordering = ("-id",)


@admin.register(Approval)
class ApprovalAdmin(ReadOnly):
    list_display = ("promotion", "reviewer", "at", "evidence")
    list_select_related = ("promotion__version__model", "reviewer")
    search_fields = ("promotion__id__exact",)
    ordering = ("-id",)


@admin.register(Revalidation)
class RevalidationAdmin(ReadOnly):
    list_display = ("promotion", "reviewer", "at")
    list_select_related = ("promotion__version__model", "reviewer")
    search_fields = ("promotion__id__exact",)
    ordering = ("-id",)


@admin.register(Pointing)
class PointingAdmin(ReadOnly):
    list_display = ("alias", "version", "started_at", "ended_at")
    list_select_related = ("version__model",)
    search_fields = ("model__name__exact",)
    ordering = ("-id",)


@admin.register(Policy)
class PolicyAdmin(ReadOnly):
    list_display = ("__str__", "workspace", "target", "revision", "updated_at", "retired_at")
    list_select_related = ("workspace", "model")
    list_filter = ("workspace",)
    search_fields = ("model__name__exact", "pattern__exact", "target__exact")
    ordering = ("-id",)


@admin.register(PolicyRevision)
class PolicyRevisionAdmin(ReadOnly):
    list_display = ("policy", "number", "changed_by", "changed_at", "comment")
    list_select_related = ("policy__model", "changed_by")
    search_fields = ("policy__id__exact",)
    ordering = ("-id",)


@admin.register(Check)
class CheckAdmin(ReadOnly):
    list_display = ("name", "version", "state", "reporter", "at")
    list_select_related = ("version__model", "reporter")
    list_filter = ("state",)
    search_fields = ("version__model__name__exact",)
    ordering = ("-id",)


@admin.register(Comment)
class CommentAdmin(ReadOnly):
    list_display = ("id", "version", "author", "created_at", "edited_at", "deleted_at")
    list_select_related = ("version__model", "author")
    search_fields = ("version__model__name__exact",)
    ordering = ("-id",)


@admin.register(Notification)
class NotificationAdmin(ReadOnly):
    list_display = ("id", "user", "channel", "reason", "state", "attempts", "due_at", "finished_at", "error")
    list_select_related = ("user",)
    search_fields = ("user__username__exact",)
    ordering = ("-id",)


@admin.register(Webhook)
class WebhookAdmin(ReadOnly):
    list_display = ("__str__", "workspace", "model", "pattern", "format", "active", "disabled_because", "failing_since",
                    "failures", "created_at", "retired_at")  # fmt: skip
    list_select_related = ("workspace", "model")
    list_filter = ("workspace", "format", "active", "disabled_because")
    search_fields = ("id__exact", "model__name__exact")
    ordering = ("-id",)
    exclude = ("secret", "previous_secret", "authorization")
    actions = ("disable", "enable")

    @admin.action(description="Disable the selected webhooks")
    def disable(self, request: Any, chosen: QuerySet[Webhook]) -> None:
        self._switch(request, chosen, active=False)

    @admin.action(description="Enable the selected webhooks")
    def enable(self, request: Any, chosen: QuerySet[Webhook]) -> None:
        self._switch(request, chosen, active=True)

    def _switch(self, request: Any, chosen: QuerySet[Webhook], *, active: bool) -> None:
        for webhook in chosen.select_related("workspace"):
            with _told(self, request, webhook):
                webhooks.update(actor_in(request, webhook.workspace), webhook.pk, active=active)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly):
    list_display = ("id", "webhook", "verb", "state", "attempts", "status", "error", "due_at", "finished_at")
    list_select_related = ("webhook",)
    list_filter = ("state", "test")
    search_fields = ("id__exact", "webhook__id__exact")
    ordering = ("-id",)
    actions = ("redeliver",)

    @admin.action(description="Send the selected deliveries again")
    def redeliver(self, request: Any, chosen: QuerySet[Delivery]) -> None:
        for delivery in chosen.select_related("webhook__workspace"):
            with _told(self, request, delivery):
                redelivery.redeliver(actor_in(request, delivery.webhook.workspace), delivery.pk)


@admin.register(Attempt)
class AttemptAdmin(ReadOnly):
    list_display = ("delivery", "number", "at", "status", "duration_ms", "address", "error")
    list_select_related = ("delivery",)
    search_fields = ("delivery__id__exact", "delivery__webhook__id__exact")
    ordering = ("-id",)


@contextmanager
def _told(pages: ReadOnly, request: Any, row: Webhook | Delivery) -> Iterator[None]:
    """Says what became of the row: a refusal of one does not keep the others from being done."""
    try:
        yield
        pages.message_user(request, f"Done: {row}.", messages.SUCCESS)
    except Refusal as refusal:
        pages.message_user(request, f"{row}: {refusal.message}", messages.ERROR)
