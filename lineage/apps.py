"""Django's description of the app."""

from django.apps import AppConfig


class LineageConfig(AppConfig):
    name = "lineage"
