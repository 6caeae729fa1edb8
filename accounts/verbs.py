"""Every audit verb, which is also the webhook type: `noun.past_participle`."""

from __future__ import annotations

from enum import StrEnum


class Verb(StrEnum):
    MODEL_CREATED = "model.created"
    MODEL_UPDATED = "model.updated"
    MODEL_TAGGED = "model.tagged"
    MODEL_DELETED = "model.deleted"
    VERSION_REGISTERED = "version.registered"
    VERSION_REPEATED = "version.repeated"
    VERSION_UPDATED = "version.updated"
    VERSION_TAGGED = "version.tagged"
    VERSION_DELETED = "version.deleted"
    VERSION_TRANSITIONED = "version.transitioned"
    ALIAS_SET = "alias.set"
    ALIAS_REMOVED = "alias.removed"
    PROMOTION_REQUESTED = "promotion.requested"
    PROMOTION_APPROVED = "promotion.approved"
    PROMOTION_REJECTED = "promotion.rejected"
    PROMOTION_WITHDRAWN = "promotion.withdrawn"
    PROMOTION_SUPERSEDED = "promotion.superseded"
    PROMOTION_EXPIRED = "promotion.expired"
    PROMOTION_PROMOTED = "promotion.promoted"
    PROMOTION_BYPASSED = "promotion.bypassed"
    TOKEN_CREATED = "token.created"
    TOKEN_REVOKED = "token.revoked"
    TOKEN_USED_FROM_NEW_ADDRESS = "token.used_from_new_address"
    GRANT_GIVEN = "grant.given"
    GRANT_REVOKED = "grant.revoked"
    USER_CREATED = "user.created"
    USER_UPDATED = "user.updated"
    USER_SIGNED_IN = "user.signed_in"
    TEAM_CREATED = "team.created"
    TEAM_UPDATED = "team.updated"
    WORKSPACE_CREATED = "workspace.created"
