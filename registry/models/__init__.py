"""The registry's tables."""

from registry.models.catalog import Alias, FormerName, Model, ModelTag, Occupancy, Pointing, Version, VersionTag
from registry.models.checks import Check
from registry.models.discussion import Comment, ReviewRequest
from registry.models.notifications import (
    Channel,
    Following,
    MailWhen,
    Notification,
    NotificationSettings,
    NotificationState,
    Reason,
)
from registry.models.policies import Policy, PolicyRevision
from registry.models.promotions import Approval, Promotion, Revalidation
from registry.models.webhooks import Attempt, Bookmark, Delivery, Webhook

__all__ = [
    "Alias",
    "Approval",
    "Attempt",
    "Bookmark",
    "Channel",
    "Check",
    "Comment",
    "Delivery",
    "Following",
    "FormerName",
    "MailWhen",
    "Model",
    "ModelTag",
    "Notification",
    "NotificationSettings",
    "NotificationState",
    "Occupancy",
    "Pointing",
    "Policy",
    "PolicyRevision",
    "Promotion",
    "Reason",
    "Revalidation",
    "ReviewRequest",
    "Version",
    "VersionTag",
    "Webhook",
]
