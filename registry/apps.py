"""Django's description of the app."""

from django.apps import AppConfig

from core import sealing


class RegistryConfig(AppConfig):
    name = "registry"

    def ready(self) -> None:
        """Refuse to start with a key that could not open what was sealed, or networks that are none."""
        from registry.delivery import chat_egress, egress  # it imports the models

        sealing.box()
        egress()
        chat_egress()
