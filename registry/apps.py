"""Django's description of the app."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "registry"
