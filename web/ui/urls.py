"""The paths of the pages."""

from __future__ import annotations

from django.urls import path, register_converter

from core.text import NAME
from web.ui import (
    appearance,
    audit,
    compare,
    deliveries,
    experiments,
    history,
    lineage,
    members,
    models,
    notifications,
    policies,
    policy_edit,
    profile,
    promotions,
    reviews,
    runs,
    sign_in,
    teams,
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


class AccountName(ModelName):
    """A user's name."""

    regex = audit.ACCOUNT.pattern


register_converter(ModelName, "model")
register_converter(AccountName, "account")
register_converter(VersionNumber, "number")

urlpatterns = [
    path("", sign_in.home, name="home"),
    path("sign-in", sign_in.sign_in, name="sign-in"),
    path("sign-out", sign_in.sign_out, name="sign-out"),
    path("workspace", sign_in.choose_workspace, name="workspace"),
    path("appearance", appearance.appearance, name="appearance"),
    path("models", models.models, name="models"),
    path("models/<model:name>", models.model, name="model"),
    path("models/<model:name>/compare", compare.compare, name="compare"),
    path("models/<model:name>/history", history.history, name="history"),
    path("models/<model:name>/versions/<number:number>/evidence", history.evidence, name="evidence"),
    path("models/<model:name>/versions/<number:number>/evidence/page", history.evidence_page, name="evidence-page"),
    path("models/<model:name>/following", notifications.follow, name="follow"),
    path("models/<model:name>/rollback", models.roll_back, name="roll-back"),
    path("models/<model:name>/versions/<number:number>", models.version, name="version"),
    path("models/<model:name>/versions/<number:number>/files/<path:path>", models.file, name="file"),
    path("models/<model:name>/versions/<number:number>/lineage", lineage.lineage, name="lineage"),
    path("experiments", experiments.experiments, name="experiments"),
    path("experiments/<number:experiment_id>", experiments.experiment, name="experiment"),
    path("experiments/<number:experiment_id>/compare", experiments.compare, name="compare-runs"),
    path("runs/<str:run_id>", runs.run, name="run"),
    path("runs/<str:run_id>/files/<path:path>", runs.run_file, name="run-file"),
    path("reviews", reviews.reviews, name="reviews"),
    path("promotions/<uuid:promotion_id>", promotions.promotion, name="promotion"),
    path("policies", policies.policies, name="policies"),
    path("policies/new", policy_edit.new, name="new-policy"),
    path("policies/<uuid:policy_id>", policies.policy, name="policy"),
    path("policies/<uuid:policy_id>/edit", policy_edit.edit, name="edit-policy"),
    path("notifications", notifications.notifications, name="notifications"),
    path("webhooks", webhooks.webhooks, name="webhooks"),
    path("webhooks/new", webhooks.new, name="new-webhook"),
    path("webhooks/<uuid:webhook_id>", webhooks.webhook, name="webhook"),
    path("webhooks/<uuid:webhook_id>/edit", webhooks.edit, name="edit-webhook"),
    path("webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>", deliveries.delivery, name="delivery"),
    path("audit", audit.audit, name="audit"),
    path("audit/verify", audit.verify, name="verify-audit"),
    path("audit/export", audit.export, name="export-audit"),
    path("members", members.members, name="members"),
    path("members/new", members.new, name="new-member"),
    path("members/accounts/<account:username>", members.member, name="member"),
    path("members/teams/<model:name>", teams.team, name="team"),
    path("profile", profile.profile, name="profile"),
    path("tokens", tokens.tokens, name="tokens"),
]
