"""Django's description of the app."""

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class LineageConfig(AppConfig):
    name = "lineage"

    def ready(self) -> None:
        """Refuse to start with an address that is none: the first upload would be late to say so."""
        from lineage.storage.address import BadStore, address_of

        if settings.VOUCH_ARTIFACTS:
            try:
                address_of(settings.VOUCH_ARTIFACTS)
            except BadStore as refusal:
                raise ImproperlyConfigured(f"VOUCH_ARTIFACTS: {refusal.message}") from None
