"""The paths of the pages."""

from __future__ import annotations

from django.urls import path, register_converter

from core.text import NAME
from web.ui import (
    compare,
    deliveries,
    history,
    models,
    notifications,
    policies,
    promotions,
    reviews,
    sign_in,
    tokens,
    webhooks,
)


class ModelName:
    """A model's name; a path with anything else is nobody's page."""

    regex = NAME.pattern

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class VersionNumber(ModelName):
    """A version's number, as it is written."""

    regex = "[1-9][0-9]{0,9}"


register_converter(ModelName, "model")
register_converter(VersionNumber, "number")

urlpatterns = [
    path("", sign_in.home, name="home"),
    path("sign-in", sign_in.sign_in, name="sign-in"),
    path("sign-out", sign_in.sign_out, name="sign-out"),
    path("workspace", sign_in.choose_workspace, name="workspace"),
    path("models", models.models, name="models"),
    path("models/<model:name>", models.model, name="model"),
    path("models/<model:name>/compare", compare.compare, name="compare"),
    path("models/<model:name>/history", history.history, name="history"),
    path("models/<model:name>/versions/<number:number>/evidence", history.evidence, name="evidence"),
    path("models/<model:name>/following", notifications.follow, name="follow"),
    path("models/<model:name>/rollback", models.roll_back, name="roll-back"),
    path("models/<model:name>/versions/<number:number>", models.version, name="version"),
    path("models/<model:name>/versions/<number:number>/files/<path:path>", models.file, name="file"),
    path("reviews", reviews.reviews, name="reviews"),
    path("promotions/<uuid:promotion_id>", promotions.promotion, name="promotion"),
    path("policies", policies.policies, name="policies"),
    path("policies/<uuid:policy_id>", policies.policy, name="policy"),
    path("notifications", notifications.notifications, name="notifications"),
    path("webhooks", webhooks.webhooks, name="webhooks"),
    path("webhooks/new", webhooks.new, name="new-webhook"),
    path("webhooks/<uuid:webhook_id>", webhooks.webhook, name="webhook"),
    path("webhooks/<uuid:webhook_id>/edit", webhooks.edit, name="edit-webhook"),
    path("webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>", deliveries.delivery, name="delivery"),
    path("tokens", tokens.tokens, name="tokens"),
]
