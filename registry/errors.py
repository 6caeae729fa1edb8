"""Why the registry refuses, one class a reason; each docstring is the message."""

from __future__ import annotations

from core.errors import Blocked, Conflict, Denied, Invalid, NotFound


class ModelNotFound(NotFound):
    """There is no model named {name!r} that you can see."""


class VersionNotFound(NotFound):
    """The model {name!r} has no version {version}."""


class AliasNotFound(NotFound):
    """The model {name!r} has no alias {alias!r}."""


class NothingInStage(NotFound):
    """The model {name!r} has no version in {stage}."""


class PromotionNotFound(NotFound):
    """There is no promotion {promotion} that you can see."""


class ModelExists(Conflict):
    """A model named {name!r} exists already: register versions with it, or choose another name."""

    field = "name"


class LooksLikeAnother(Conflict):
    """The name {name!r} differs from that of the model {other!r} in upper and lower case only: choose another one."""

    field = "name"


class Stale(Conflict):
    """It has changed since you read it (If-Match): read it again and decide anew."""

    field = "If-Match"


class UnknownStage(Invalid):
    """{field} {value!r} is not a stage: use one of {known}."""


class BadTarget(Invalid):
    """{field} {value!r} is neither a stage nor an alias: use one of {known}, or an alias such as '@champion'."""


class BadGate(Invalid):
    """{field} {why}: {hint}."""


class BadRules(Invalid):
    """{field} {why}: {hint}."""


class UnknownVerb(Invalid):
    """{value!r} is not a verb of the audit log: use one such as promotion.promoted; docs/openapi.yaml lists them."""

    field = "verb"


class NothingToArchive(Invalid):
    """archive_existing_versions makes sense for a stage that serves, Staging or Production, not for {stage}."""

    field = "archive_existing_versions"


class BadReference(Invalid):
    """{value!r} is not a model URI: use models:/NAME/NUMBER, models:/NAME/STAGE, models:/NAME@ALIAS or
    models:/NAME/latest."""

    field = "uri"


class BadSource(Invalid):
    """{value!r} is not a URI of bytes elsewhere: use one such as s3://bucket/path, with a host, without credentials,
    query or '..'; what lies here is named by upload, or by run_id and path."""

    field = "source"


class BadVersionNumber(Invalid):
    """{value!r} is not a version: use a whole number from 1."""

    field = "version"


class BadAlias(Invalid):
    """The alias {value!r} will not do: use 1 to 255 letters, digits, underscores and hyphens; 'latest', the names of
    stages and 'v' followed by digits are taken."""

    field = "alias"


class TooManyTags(Invalid):
    """At most {limit} tags fit on it: remove one first."""

    field = "tags"


class NoFiles(Invalid):
    """There are no files at {origin}: upload them first."""

    field = "upload"


class NobodyAsked(NotFound):
    """Nobody has asked for version {version} of {name!r} to be moved to {stage}, or it has been decided: ask for it."""


class AskedByAnother(NotFound):
    """{creator!r} has not asked for version {version} of {name!r} to be moved to {stage}: {requester!r} has."""

    field = "creator"


class PromotionClosed(Conflict):
    """The promotion is {state}, so one cannot {act} it any more."""


class PromotionOverdue(Conflict):
    """The promotion expired at {at}: ask for it anew."""


class EvidenceChanged(Conflict):
    """What you looked at has changed since (evidence {sent}, now {now}): look at the promotion again, then decide."""

    field = "evidence"


class LookAgain(Conflict):
    """What you approved has changed since: {changed}. Look at the promotion at {page} and approve it there, or send the
    digest of its evidence."""

    field = "evidence"


class AlreadyApproved(Conflict):
    """You have approved this promotion already."""


class AlreadyThere(Conflict):
    """Version {version} of {name!r} is in {target} already."""

    field = "target"


class OpenAlready(Conflict):
    """The same is asked for already by the promotion {promotion}: see {page}."""


class PolicyNotFound(NotFound):
    """There is no policy for {target} of {scope} that you can see."""


class BadScope(Invalid):
    """{field} {value!r} will not do: {why}."""


class BypassForbidden(Blocked):
    """The policy {policy} forbids a bypass. Missing: {missing}."""


class AliasProtected(Blocked):
    """The alias {alias!r} is protected by the policy {policy}: ask for the promotion of another version to @{alias};
    only an administrator can remove it, where the policy allows a bypass."""

    field = "alias"


class AliasInUse(Conflict):
    """The protected alias {alias!r} points at version {version} of {name!r}: move it to another version first."""


class SelfApproval(Denied):
    """You cannot approve this promotion: {why}. Somebody else has to vouch for it."""


class NotYourPromotion(Denied):
    """Only the one who asked for a promotion, or a maintainer, can withdraw it."""


class NotYourVersion(Denied):
    """You can delete versions that you registered yourself; ask a maintainer for others."""


class ReasonMissing(Invalid):
    """Say why: {field} must not be empty."""


class StageInUse(Conflict):
    """Version {version} of {name!r} is in {stage}: move it to Archived first."""


class ExclusiveStageTaken(Conflict):
    """Two versions were moved into {stage} at once and the other one came first: look again, then repeat."""


class ReviewNeeded(Blocked):
    """{name!r} version {version} is not in {target} yet. It needs: {missing}. See promotion {promotion} at {page}"""
