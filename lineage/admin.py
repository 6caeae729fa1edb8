"""Lineage in Django's admin, to be looked at: clients write it, nobody edits it."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin_lists import ReadOnly
from lineage.models import Dataset, DirectUpload, Experiment, Folder, LoggedModel, Manifest, Run


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


@admin.register(Folder)
class FolderAdmin(ReadOnly):
    list_display = ("id", "workspace", "run", "logged_model", "upload_owner", "upload_name", "created_at")
    list_select_related = ("workspace", "run", "logged_model", "upload_owner")
    search_fields = ("run__id__exact", "upload_name__exact")
    search_help_text = "A run’s whole id, or the name of an upload."
    ordering = ("-id",)


@admin.register(DirectUpload)
class DirectUploadAdmin(ReadOnly):
    list_display = ("path", "folder", "uploaded_by", "begun_at", "expires_at", "arrived_at", "taken_at")
    list_select_related = ("folder", "uploaded_by")
    search_fields = ("folder__run__id__exact",)
    search_help_text = "A run’s whole id."
    ordering = ("-id",)
