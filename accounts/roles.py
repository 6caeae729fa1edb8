"""The table of roles, token scopes and actions: what each action needs. Pure data (SECURITY: roles)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    VIEWER = "viewer"
    CONTRIBUTOR = "contributor"
    REVIEWER = "reviewer"
    MAINTAINER = "maintainer"
    ADMINISTRATOR = "administrator"


class Scope(StrEnum):
    """What a token may be used for, within what its owner may do."""

    READ = "read"
    REGISTER = "register"
    REQUEST = "request"
    REVIEW = "review"
    WEBHOOK = "webhook"
    ADMIN = "admin"


class Action(StrEnum):
    READ = "read"
    LOG_RUN = "run.log"
    UPLOAD_ARTIFACT = "artifact.upload"
    CREATE_MODEL = "model.create"
    EDIT_MODEL = "model.edit"
    RENAME_MODEL = "model.rename"
    DELETE_MODEL = "model.delete"
    REGISTER_VERSION = "version.register"
    EDIT_VERSION = "version.edit"
    DELETE_OWN_VERSION = "version.delete-own"
    DELETE_VERSION = "version.delete"
    SET_ALIAS = "alias.set"
    REQUEST_PROMOTION = "promotion.request"
    WITHDRAW_PROMOTION = "promotion.withdraw"
    APPROVE_PROMOTION = "promotion.approve"
    BYPASS_POLICY = "promotion.bypass"
    ROLL_BACK = "promotion.roll-back"
    REVIEW_AFTERWARDS = "promotion.review-afterwards"
    REPORT_CHECK = "check.report"
    COMMENT = "comment.create"
    MODERATE_COMMENTS = "comment.moderate"
    EDIT_POLICY = "policy.edit"
    EDIT_WEBHOOK = "webhook.edit"
    READ_ANSWERS = "webhook.read-answers"
    EDIT_NOTIFICATIONS = "notification.edit"
    READ_AUDIT = "audit.read"
    EDIT_GRANTS = "grant.edit"
    EDIT_USERS = "user.edit"


@dataclass(frozen=True)
class Need:
    """Any one of `roles`, and a token with `scope`."""

    roles: frozenset[Role]
    scope: Scope


_ANYBODY = frozenset(Role)
_MAINTAINERS = frozenset({Role.MAINTAINER, Role.ADMINISTRATOR})
_CONTRIBUTORS = _MAINTAINERS | {Role.CONTRIBUTOR}
_REVIEWERS = _MAINTAINERS | {Role.REVIEWER}

NEEDS: dict[Action, Need] = {
    Action.READ: Need(_ANYBODY, Scope.READ),
    Action.LOG_RUN: Need(_CONTRIBUTORS, Scope.REGISTER),
    Action.UPLOAD_ARTIFACT: Need(_CONTRIBUTORS, Scope.REGISTER),
    Action.CREATE_MODEL: Need(_CONTRIBUTORS, Scope.REGISTER),
    Action.EDIT_MODEL: Need(_CONTRIBUTORS, Scope.REGISTER),
    # Whoever loads it by its former name finds nothing any more.
    Action.RENAME_MODEL: Need(_MAINTAINERS, Scope.REGISTER),
    Action.DELETE_MODEL: Need(_MAINTAINERS, Scope.REGISTER),
    Action.REGISTER_VERSION: Need(_CONTRIBUTORS, Scope.REGISTER),
    Action.EDIT_VERSION: Need(_CONTRIBUTORS, Scope.REGISTER),
    Action.DELETE_OWN_VERSION: Need(_CONTRIBUTORS, Scope.REGISTER),
    Action.DELETE_VERSION: Need(_MAINTAINERS, Scope.REGISTER),
    Action.SET_ALIAS: Need(_CONTRIBUTORS, Scope.REGISTER),
    Action.REQUEST_PROMOTION: Need(_CONTRIBUTORS | _REVIEWERS, Scope.REQUEST),
    Action.WITHDRAW_PROMOTION: Need(_CONTRIBUTORS | _REVIEWERS, Scope.REQUEST),
    Action.APPROVE_PROMOTION: Need(_REVIEWERS, Scope.REVIEW),
    Action.BYPASS_POLICY: Need(frozenset({Role.ADMINISTRATOR}), Scope.ADMIN),
    Action.ROLL_BACK: Need(_REVIEWERS, Scope.REVIEW),
    Action.REVIEW_AFTERWARDS: Need(_REVIEWERS, Scope.REVIEW),
    Action.REPORT_CHECK: Need(_CONTRIBUTORS, Scope.REGISTER),
    Action.COMMENT: Need(_CONTRIBUTORS | _REVIEWERS, Scope.REQUEST),
    Action.MODERATE_COMMENTS: Need(_MAINTAINERS, Scope.REQUEST),
    Action.EDIT_POLICY: Need(_MAINTAINERS, Scope.ADMIN),
    Action.EDIT_WEBHOOK: Need(_MAINTAINERS, Scope.WEBHOOK),
    # What a receiver answered may hold what is behind a firewall.
    Action.READ_ANSWERS: Need(frozenset({Role.ADMINISTRATOR}), Scope.WEBHOOK),
    # One's own: who is told of what one may see.
    Action.EDIT_NOTIFICATIONS: Need(_ANYBODY, Scope.WEBHOOK),
    Action.READ_AUDIT: Need(_MAINTAINERS, Scope.READ),
    Action.EDIT_GRANTS: Need(_MAINTAINERS, Scope.ADMIN),
    Action.EDIT_USERS: Need(frozenset({Role.ADMINISTRATOR}), Scope.ADMIN),
}
