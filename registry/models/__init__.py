"""The registry's tables."""

from registry.models.catalog import Alias, Model, ModelTag, Occupancy, Version, VersionTag
from registry.models.promotions import Approval, Promotion
from registry.models.webhooks import Delivery, Webhook

__all__ = [
    "Alias",
    "Approval",
    "Delivery",
    "Model",
    "ModelTag",
    "Occupancy",
    "Promotion",
    "Version",
    "VersionTag",
    "Webhook",
]
