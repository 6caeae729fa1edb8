"""Lineage in Django's admin, to be looked at: clients write it, nobody edits it."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnly
from lineage.models import Dataset, Experiment, LoggedModel, Manifest, Run


@admin.register(Experiment)
class ExperimentAdmin(ReadOnly):
    list_display = ("name", "workspace", "created_at", "deleted_at")
    list_select_related = ("workspace",)
    list_filter = ("workspace",)
    search_fields = ("name__exact",)
    ordering = ("-id",)


@admin.register(Run)
class RunAdmin(ReadOnly):
    list_display = ("id", "name", "experiment", "status", "created_by", "created_at")
    list_select_related = ("experiment", "created_by")
    search_fields = ("id__exact",)
    search_help_text = "The run's whole id."
    ordering = ("-id",)


@admin.register(LoggedModel)
class LoggedModelAdmin(ReadOnly):
    list_display = ("id", "name", "experiment", "status", "created_at")
    list_select_related = ("experiment",)
    search_fields = ("id__exact",)
    ordering = ("-id",)


@admin.register(Dataset)
class DatasetAdmin(ReadOnly):
    list_display = ("name", "digest", "experiment", "source_type")
    list_select_related = ("experiment",)
    search_fields = ("id__exact",)
    ordering = ("-id",)


@admin.register(Manifest)
class ManifestAdmin(ReadOnly):
    list_display = ("digest", "workspace", "file_count", "size", "created_at", "verified_at", "damage")
    list_select_related = ("workspace",)
    search_fields = ("digest__exact",)
    ordering = ("-id",)
