"""The registry's tables."""

from registry.models.catalog import Alias, Model, ModelTag, Occupancy, Pointing, Version, VersionTag
from registry.models.checks import Check
from registry.models.discussion import Comment, ReviewRequest
from registry.models.policies import Policy, PolicyRevision
from registry.models.promotions import Approval, Promotion, Revalidation
from registry.models.webhooks import Attempt, Bookmark, Delivery, Webhook

__all__ = [
    "Alias",
    "Approval",
    "Attempt",
    "Bookmark",
    "Check",
    "Comment",
    "Delivery",
    "Model",
    "ModelTag",
    "Occupancy",
    "Pointing",
    "Policy",
    "PolicyRevision",
    "Promotion",
    "Revalidation",
    "ReviewRequest",
    "Version",
    "VersionTag",
    "Webhook",
]
