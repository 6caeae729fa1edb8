"""The registry in Django's admin, to be looked at: everything here has a life cycle, which services keep."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnly
from registry.models import Alias, Approval, Delivery, Model, Occupancy, Promotion, Version, Webhook


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


@admin.register(Webhook)
class WebhookAdmin(ReadOnly):
    list_display = ("url", "workspace", "model", "active", "created_at")
    list_select_related = ("workspace", "model")
    list_filter = ("workspace",)
    ordering = ("-id",)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly):
    list_display = ("id", "webhook", "state", "attempts", "due_at")
    list_select_related = ("webhook", "entry")
    list_filter = ("state",)
    ordering = ("-id",)
