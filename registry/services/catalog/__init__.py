"""Models, versions and their tags."""

from registry.services.catalog.models import create_model, delete_model, describe_model, tag_model
from registry.services.catalog.registration import Origin, Registered, register_version
from registry.services.catalog.renaming import rename_model
from registry.services.catalog.versions import delete_version, describe_version, tag_version

__all__ = [
    "Origin",
    "Registered",
    "create_model",
    "delete_model",
    "delete_version",
    "describe_model",
    "describe_version",
    "register_version",
    "rename_model",
    "tag_model",
    "tag_version",
]
