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


class ModelNotThen(NotFound):
    """There was no model named {name!r} at {at} that you can see."""


class VersionNotThen(NotFound):
    """The model {name!r} had no version {version} at {at}."""


class AliasNotThen(NotFound):
    """The model {name!r} had no alias {alias!r} at {at}."""


class NothingInStageThen(NotFound):
    """The model {name!r} had no version in {stage} at {at}."""


class PromotionNotFound(NotFound):
    """There is no promotion {promotion} that you can see."""


class ModelExists(Conflict):
    """A model named {name!r} exists already: register versions with it, or choose another name."""

    field = "name"


class LoosensPolicy(Conflict):
    """Renamed to {name!r}, the model would need less for {target}: the policy {policy} asks for {lost}. Write a policy
    for this model itself first, or choose a name that the same policies fit."""

    field = "new_name"


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


class TagsTooLong(Invalid):
    """The values of all its tags would be {length} characters long; at most {limit} fit on it: shorten or remove one
    first."""

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


class NothingBefore(Conflict):
    """Nothing else was in {target} of {name!r} before: ask for the promotion of a version."""

    field = "target"


class SeveralAtOnce(Conflict):
    """{target} of {name!r} holds several versions at once, so none takes the place of another there: ask for the
    promotion of the one that should be there, and archive what should not."""

    field = "target"


class NeverThere(Conflict):
    """Version {version} of {name!r} was never in {target} by a promotion of its own: ask for one{instead}."""

    field = "to"


class NotVouchedFor(Conflict):
    """Version {version} of {name!r} was in {target} before, but {why}: ask for a promotion{instead}."""

    field = "to"


class CannotServe(Conflict):
    """Version {version} of {name!r} cannot be rolled back to, {why}: ask for the promotion of another
    version{instead}."""

    field = "to"


class NothingToCompare(Conflict):
    """The bytes of version {version} of {name!r} lie elsewhere and no digest of them was kept, so nobody can tell
    whether they are those of then: ask for a promotion{instead}."""

    field = "to"


class BytesDiffer(Conflict):
    """Version {version} of {name!r} is not what was put into {target} {then}: {difference}. Do not serve it: register
    it anew from bytes that you trust and ask for a promotion{instead}."""

    field = "to"


class MovedMeanwhile(Conflict):
    """{target} of {name!r} was changed while the files of version {version} were read again, and nothing was rolled
    back: look at what is there now, then repeat."""

    field = "target"


class NothingToReview(Conflict):
    """This promotion is no bypass or rollback, so it is not to be reviewed afterwards."""


class ReviewedAlready(Conflict):
    """{reviewer} has reviewed this promotion afterwards already."""


class OwnDoing(Denied):
    """You cannot review this promotion afterwards: {why}. Somebody else has to look at it."""


class NotThereAnyMore(Conflict):
    """Version {version} is not in {target} by this promotion, so there is nothing to vouch for anew: see the promotion
    that moved there what is there now."""


class HoldsForEver(Conflict):
    """The policy {policy} sets no time after which this promotion must be vouched for anew."""


class FilesDamaged(Conflict):
    """The stored files of version {version} are damaged, so nobody can vouch for them anew: {damage}. Roll back, or
    promote another version."""


class RevalidatedAlready(Conflict):
    """You have vouched for this promotion anew already; it still needs: {missing}."""


class OpenAlready(Conflict):
    """The same is asked for already by the promotion {promotion}: see {page}."""


class PolicyNotFound(NotFound):
    """There is no policy for {target} of {scope} that you can see."""


class NoPolicy(NotFound):
    """There is no policy {policy} that you can see."""


class BadScope(Invalid):
    """{field} {value!r} will not do: {why}."""


class NoSuchTeam(Invalid):
    """{field} names {team!r}, which is no team of this workspace: make it first, or mend the name."""


class UnreadablePolicyFile(Invalid):
    """This is no file of policies: {why}."""


class BadPolicyFile(Invalid):
    """Line {line}: {why}"""


class BypassForbidden(Blocked):
    """The policy {policy} forbids a bypass. Missing: {missing}."""


class AliasProtected(Blocked):
    """The alias {alias!r} is protected by the policy {policy}: ask for the promotion of another version to @{alias};
    only an administrator can remove it, where the policy allows a bypass."""

    field = "alias"


class AliasInUse(Conflict):
    """The protected alias {alias!r} points at version {version} of {name!r}: move it to another version, or have
    it removed, first."""


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


# --- Checks, comments, reviewers that are asked ----------------------------------------------------------------------


class UnknownCheckState(Invalid):
    """{field} {value!r} is not what a check can be: use one of {known}."""

    field = "state"


class BadLink(Invalid):
    """{value!r} is no link: use an http or https URL of at most 2,000 ASCII characters, with a host and without
    credentials."""

    field = "link"


class BadValues(Invalid):
    """{field} {why}: give at most {limit} finite numbers by name, such as {{"auc": 0.93}}."""


class TooManyChecks(Conflict):
    """Version {version} of {name!r} has {limit} checks already, which is as many as fit on it: report one of those."""

    field = "check"


class CommentNotFound(NotFound):
    """There is no comment {comment} that you can see."""


class CommentDeleted(Conflict):
    """The comment was deleted, so nobody can change it any more."""


class NotYourComment(Denied):
    """Only the one who wrote a comment can {act}."""


class EmptyComment(Invalid):
    """A comment has to say something: {field} must not be empty."""

    field = "text"


class TooManyMentions(Invalid):
    """{field} mentions {count} people; at most {limit} can be."""

    field = "text"


class NotAsked(NotFound):
    """{username!r} was not asked to review this promotion."""


class NotYoursToAsk(Denied):
    """Only who asked for the promotion, and those who may review it, can say who is asked to review it."""


class NoSuchReviewer(Invalid):
    """{username!r} cannot be asked: nobody of that name holds a role that reviews {name!r}."""

    field = "reviewers"


class CannotReview(Conflict):
    """{username!r} cannot be asked: {why}."""

    field = "reviewers"


class TooManyReviewers(Invalid):
    """At most {limit} people can be asked to review one promotion."""

    field = "reviewers"


# --- Webhooks ---------------------------------------------------------------------------------------------------------


class WebhookNotFound(NotFound):
    """There is no webhook {webhook} that you may manage."""


class DeliveryNotFound(NotFound):
    """There is no delivery {delivery} of a webhook that you may manage."""


class TooManyWebhooks(Conflict):
    """The workspace has {limit} webhooks, which is as many as it can: delete one first, or have one hear more."""


class UnknownFormat(Invalid):
    """{field} {value!r} is not a format of webhooks: use one of {known}."""

    field = "format"


class UntoldVerb(Invalid):
    """{field} {value!r} is not an event that webhooks of the format {format} are told of: use one such as {example}, or
    none to be told of all."""


class UnknownEvent(Invalid):
    """{field} {value!r} is not an event that webhooks of the format {format} can ask for: use one of {known}."""

    field = "events"


class AskedTwice(Invalid):
    """{field} names {value} twice: name each event once."""

    field = "events"


class OnlyOfAll(Invalid):
    """{field} names {value}, which a webhook for one model never hears of: leave it out, or make one for all models."""

    field = "events"


class NeverHappens(Invalid):
    """{value} does not happen here, so there is nothing to send: test the webhook with another of its events."""

    field = "event"


class BadHeader(Invalid):
    """{field} cannot be sent as a header: use at most {limit} characters of printable ASCII on one line, without spaces
    around them."""

    field = "authorization"


class SendsNoHeader(Invalid):
    """Only webhooks of the format {known} send an authorization, not those of {format}: leave {field} out."""

    field = "authorization"


class NeededAnew(Invalid):
    """Another host must not get the {field} that the one before was given: send another one along, or an empty one for
    none."""


class TooMany(Invalid):
    """{field} has {count} entries; at most {limit} fit."""


class SecretIsMadeHere(Invalid):
    """A webhook of the format {format} signs with a secret that is made here and shown once: leave {field} out."""

    field = "secret"


class SignsNothing(Conflict):
    """A webhook of the format {format} signs nothing, so it has no secret."""


class BadOverlap(Invalid):
    """{field} {value!r} is not allowed: use a whole number of hours from 0 to {limit}."""

    field = "overlap_hours"


class NoSuchOwner(Invalid):
    """{username!r} cannot be the one who is told: nobody of that name may manage this webhook."""

    field = "owner"


class WebhookDisabled(Conflict):
    """The webhook is disabled, so nothing is sent to it: enable it first."""


class TooManyTests(Conflict):
    """{limit} tests of this webhook are on their way already: wait until one has come to an end."""


class TriedOnce(Conflict):
    """This delivery was a test, which is tried once: test the webhook anew."""


# --- Notifications ----------------------------------------------------------------------------------------------------


class UnknownMailWhen(Invalid):
    """{value!r} does not say when you get mail: use one of {known}."""

    field = "mail"


class NotFollowed(NotFound):
    """You neither follow the model {name!r} nor have you muted it."""
