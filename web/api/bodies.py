"""What answers hold: the form of each body, by REST framework's serializers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import quote

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import AuditEntry, Grant, Team, Token, User, UserKind
from accounts.roles import Role, Scope
from lineage.inspection import Contents
from lineage.models import FolderFile, Run
from registry.earlier import Word, words
from registry.gates import CheckState, Outcome
from registry.history import Ending, How, Interval
from registry.lifecycle import Stage, State
from registry.models import (
    Alias,
    Approval,
    Check,
    Comment,
    Model,
    ModelTag,
    Occupancy,
    Policy,
    PolicyRevision,
    Promotion,
    ReviewRequest,
    Version,
    VersionTag,
)
from registry.models.catalog import VersionStatus
from registry.outlook import Outlook
from registry.revalidation import standing
from registry.ruling import Ruling

_STAGES = [str(stage) for stage in Stage]
_CHECK_STATES = [str(state) for state in CheckState]
_ROLES = [str(role) for role in Role]


def url(*parts: object) -> str:
    """The absolute address of a resource of this API."""
    return f"{settings.VOUCH_URL}/api/v1/" + "/".join(quote(str(part), safe="") for part in parts)


class Problem(serializers.Serializer[Any]):
    """What went wrong (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What is wrong and what to do, for people.")
    code = serializers.CharField(help_text="A stable name of the reason, for programs.")
    instance = serializers.CharField()
    request_id = serializers.CharField()
    field = serializers.CharField(required=False, help_text="The input at fault.")
    reasons = serializers.ListField(child=serializers.CharField(), required=False, help_text="What is missing.")
    link = serializers.CharField(required=False, help_text="A page on which to go on.")


def _tags(row: Model | Version) -> dict[str, str]:
    tags: Iterable[ModelTag | VersionTag] = row.tags.all()
    return {tag.key: tag.value for tag in sorted(tags, key=lambda tag: tag.key)}


class ModelBody(serializers.Serializer[Model]):
    name = serializers.CharField()
    description = serializers.CharField()
    tags = serializers.SerializerMethodField()
    aliases = serializers.SerializerMethodField()
    last_version = serializers.IntegerField(help_text="The highest number given out; 0 when there is no version yet.")
    generation = serializers.IntegerField(help_text="Moves when one of the model's URIs may point elsewhere.")
    created_by = serializers.CharField(source="created_by.username")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    url = serializers.SerializerMethodField()

    def get_tags(self, row: Model) -> dict[str, str]:
        return _tags(row)

    def get_aliases(self, row: Model) -> dict[str, int]:
        return {alias.name: alias.version.number for alias in row.aliases.all()}

    def get_url(self, row: Model) -> str:
        return url("models", row.name)


class AliasBody(serializers.Serializer[Alias]):
    alias = serializers.CharField(source="name")
    version = serializers.IntegerField(source="version.number")


class ContentsBody(serializers.Serializer[Contents]):
    """What was seen in a version's files, by their names and a few small ones; nothing is loaded."""

    mlmodel = serializers.CharField(help_text="The path of its MLmodel file; empty when there is none.")
    mlmodel_read = serializers.BooleanField(
        help_text="It could be read; if not, its signature, example and flavors are not known."
    )
    signature_inputs = serializers.BooleanField(help_text="The model says what goes in.")
    signature_outputs = serializers.BooleanField(help_text="The model says what comes out.")
    input_example = serializers.CharField(help_text="The path of its input example; empty when there is none.")
    flavors = serializers.ListField(child=serializers.CharField())
    environment = serializers.ListField(child=serializers.CharField(), help_text="Files that pin what it runs with.")
    model_cards = serializers.ListField(child=serializers.CharField())
    headings = serializers.ListField(child=serializers.CharField(), help_text="The headings of its model cards.")
    pickles = serializers.ListField(
        child=serializers.CharField(), help_text="Files that can run code when loaded, the first 50 of them."
    )
    pickle_count = serializers.IntegerField(help_text="How many such files there are.")
    problem = serializers.CharField(help_text="What could not be read, in words; empty when nothing.")


class VersionBody(serializers.Serializer[Version]):
    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField(source="number")
    stage = serializers.ChoiceField(_STAGES)
    description = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # a field, not the serializer's own
    manifest = serializers.SerializerMethodField(
        help_text="SHA-256 of the list of its files; null: they lie elsewhere."
    )
    size = serializers.SerializerMethodField(help_text="Bytes of all files together.")
    file_count = serializers.SerializerMethodField()
    contents = serializers.SerializerMethodField(
        help_text="What its files hold; null when they were not looked at yet, or lie elsewhere."
    )
    verified_at = serializers.SerializerMethodField(
        help_text="When its bytes were last compared with their digests; null when never."
    )
    damage = serializers.SerializerMethodField(
        help_text="What was found wrong with its bytes, in words; empty when nothing."
    )
    run_id = serializers.CharField(source="run_ref")
    run_link = serializers.CharField()
    status = serializers.ChoiceField(VersionStatus.values)
    status_message = serializers.CharField()
    valid_until = serializers.DateTimeField(
        allow_null=True, help_text="Until when it is vouched for in its stage; null: no end is set."
    )
    tags = serializers.SerializerMethodField()
    aliases = serializers.SerializerMethodField()
    registered_by = serializers.CharField(source="registrar.username")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    url = serializers.SerializerMethodField()
    checks_url = serializers.SerializerMethodField(help_text="What jobs outside report on it.")
    comments_url = serializers.SerializerMethodField(help_text="What people say about it.")

    def get_manifest(self, row: Version) -> str | None:
        return row.manifest.digest if row.manifest else None

    def get_size(self, row: Version) -> int | None:
        return row.manifest.size if row.manifest else None

    def get_file_count(self, row: Version) -> int | None:
        return row.manifest.file_count if row.manifest else None

    @extend_schema_field(ContentsBody(allow_null=True))
    def get_contents(self, row: Version) -> Any:
        seen = row.manifest.contents if row.manifest else None
        return ContentsBody(seen).data if seen else None

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_verified_at(self, row: Version) -> Any:
        moment = row.manifest.verified_at if row.manifest else None
        return serializers.DateTimeField().to_representation(moment) if moment else None

    def get_damage(self, row: Version) -> str:
        return row.manifest.damage if row.manifest else ""

    def get_tags(self, row: Version) -> dict[str, str]:
        return _tags(row)

    def get_aliases(self, row: Version) -> list[str]:
        return sorted(alias.name for alias in row.aliases.all())

    def get_url(self, row: Version) -> str:
        return url("models", row.model.name, "versions", row.number)

    def get_checks_url(self, row: Version) -> str:
        return url("models", row.model.name, "versions", row.number, "checks")

    def get_comments_url(self, row: Version) -> str:
        return url("models", row.model.name, "versions", row.number, "comments")


class FileBody(serializers.Serializer[FolderFile]):
    path = serializers.CharField()
    sha256 = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")


class Files(serializers.Serializer[Any]):
    files = FileBody(many=True)


class OccupancyBody(serializers.Serializer[Occupancy]):
    stage = serializers.ChoiceField(_STAGES)
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True, help_text="null: it holds the stage now.")
    promotion = serializers.UUIDField(source="promotion_id", allow_null=True)
    promoted_by = serializers.SerializerMethodField()
    bypass = serializers.SerializerMethodField()

    def get_promoted_by(self, row: Occupancy) -> str | None:
        by = row.promotion.decided_by if row.promotion else None
        return by.username if by else None

    def get_bypass(self, row: Occupancy) -> bool:
        return bool(row.promotion and row.promotion.bypass)


class VouchBody(serializers.Serializer[Approval]):
    reviewer = serializers.CharField(source="reviewer.username")
    at = serializers.DateTimeField()
    comment = serializers.CharField()


class WordBody(serializers.Serializer[Promotion]):
    """The promotion behind an interval."""

    id = serializers.UUIDField()
    requested_by = serializers.CharField(source="requester.username")
    promoted_by = serializers.CharField(source="decided_by.username")
    promoted_at = serializers.DateTimeField(source="decided_at")
    policy = serializers.CharField(source="terms.name")
    reason = serializers.CharField()
    bypass = serializers.BooleanField()
    rollback = serializers.BooleanField()
    entry_hash = serializers.CharField(help_text="Hash of the audit entry of the decision.")
    page = serializers.SerializerMethodField()

    def get_page(self, row: Promotion) -> str:
        return settings.VOUCH_URL + row.page


class EndingBody(serializers.Serializer[Ending]):
    how = serializers.ChoiceField([str(how) for how in How])
    version = serializers.IntegerField(allow_null=True, help_text="The one that came instead.")
    stage = serializers.ChoiceField(_STAGES, allow_null=True, help_text="Where the version went.")
    promotion = serializers.UUIDField(source="promotion.pk", default=None, allow_null=True)


class IntervalBody(serializers.Serializer[Interval]):
    """A version held the stage, or the alias pointed at it, from `started_at` until before `ended_at`."""

    version = serializers.IntegerField(source="held.version.number")
    started_at = serializers.DateTimeField(source="held.started_at")
    ended_at = serializers.DateTimeField(source="held.ended_at", allow_null=True, help_text="null: it lasts.")
    manifest = serializers.SerializerMethodField(help_text="SHA-256 of the list of its files.")
    deleted = serializers.SerializerMethodField(help_text="The version was deleted since.")
    promotion = WordBody(source="held.promotion", allow_null=True)
    approvals = VouchBody(many=True, help_text="Those that counted.")
    ending = EndingBody(allow_null=True, help_text="What ended it; null: it lasts.")

    def get_manifest(self, row: Interval) -> str | None:
        manifest = row.held.version.manifest
        return manifest.digest if manifest else None

    def get_deleted(self, row: Interval) -> bool:
        return row.held.version.deleted_at is not None


class PromotionBody(serializers.Serializer[Promotion]):
    id = serializers.UUIDField()
    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField(source="version.number")
    target = serializers.CharField(help_text="The stage, or '@' and the alias, asked for.")
    stage = serializers.ChoiceField(_STAGES, allow_null=True, help_text="The stage asked for; null for an alias.")
    from_stage = serializers.ChoiceField(_STAGES)
    state = serializers.ChoiceField([str(state) for state in State])
    comment = serializers.CharField()
    requester = serializers.CharField(source="requester.username")
    requested_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    decided_by = serializers.SerializerMethodField()
    decided_at = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField()
    bypass = serializers.BooleanField(help_text="Carried out by an administrator over the policy.")
    rollback = serializers.BooleanField(help_text="Back to an earlier version, by one person.")
    to_review = serializers.BooleanField(
        source="awaits_review", help_text="A bypass or a rollback that nobody has reviewed afterwards yet."
    )
    reviewed_by = serializers.SerializerMethodField(help_text="Who reviewed it afterwards.")
    reviewed_at = serializers.DateTimeField(allow_null=True)
    review_agrees = serializers.BooleanField(allow_null=True, help_text="Whether that one found it right.")
    review_note = serializers.CharField()
    valid_until = serializers.DateTimeField(allow_null=True, help_text="Until when the word for it holds.")
    lapsed_at = serializers.DateTimeField(allow_null=True, help_text="When it was told that it holds no more.")
    entry_hash = serializers.CharField(help_text="Hash of the audit entry of the decision; empty while open.")
    page = serializers.SerializerMethodField(help_text="The page on which it is reviewed.")
    url = serializers.SerializerMethodField()

    def get_decided_by(self, row: Promotion) -> str | None:
        return row.decided_by.username if row.decided_by else None

    def get_reviewed_by(self, row: Promotion) -> str | None:
        return row.reviewed_by.username if row.reviewed_by else None

    def get_page(self, row: Promotion) -> str:
        return settings.VOUCH_URL + row.page

    def get_url(self, row: Promotion) -> str:
        return url("promotions", row.id)


class RulesBody(serializers.Serializer[Any]):
    """What a policy asks."""

    approvals = serializers.IntegerField(help_text="How many people must approve.")
    teams = serializers.ListField(child=serializers.CharField(), help_text="Of each of these a member must approve.")
    excluded_teams = serializers.ListField(child=serializers.CharField(), help_text="Whose members cannot approve.")
    exclusive = serializers.BooleanField(help_text="The stage has one occupant.")
    gates = serializers.ListField(child=serializers.DictField(), help_text="As they were written.")
    lifetime_days = serializers.IntegerField(help_text="After which an open promotion expires.")
    approval_days = serializers.IntegerField(allow_null=True, help_text="For which an approval holds; null: for ever.")
    bypass = serializers.BooleanField(help_text="An administrator may carry it out alone.")


class TermsBody(RulesBody):
    """The rules that a promotion is judged by, and where they come from."""

    name = serializers.CharField(help_text="The policy and its revision, in words.")
    why = serializers.CharField(help_text="Why this policy and no other; empty where none was written.")


class PolicyBody(RulesBody):
    id = serializers.UUIDField()
    target = serializers.CharField(help_text="The stage, or '@' and the alias, that is protected.")
    model = serializers.SerializerMethodField(help_text="The model it is for; null: for several.")
    pattern = serializers.SerializerMethodField(
        help_text="Of the names of the models it is for; null with `model` null too: all of the workspace."
    )
    revision = serializers.IntegerField()
    changed_by = serializers.CharField(help_text="Who wrote this revision.")
    comment = serializers.CharField(help_text="Why.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    retired_at = serializers.DateTimeField(allow_null=True, help_text="When it was taken away; null: it is in force.")
    page = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()

    def get_fields(self) -> dict[str, Any]:
        """What it asks stands beside what it is, as in the body that wrote it."""
        fields = super().get_fields()
        for name in RulesBody().get_fields():
            fields[name].source = f"terms.{name}"
        return fields

    def get_model(self, row: Policy) -> str | None:
        return row.model.name if row.model else None

    def get_pattern(self, row: Policy) -> str | None:
        return row.pattern or None

    def get_page(self, row: Policy) -> str:
        return settings.VOUCH_URL + row.page

    def get_url(self, row: Policy) -> str:
        return url("policies", row.id)


class PolicyRevisionBody(serializers.Serializer[PolicyRevision]):
    revision = serializers.IntegerField(source="number")
    changed_by = serializers.CharField(source="changed_by.username")
    changed_at = serializers.DateTimeField()
    comment = serializers.CharField()
    rules = RulesBody(allow_null=True, help_text="null: it was taken away.")


class RulingBody(serializers.Serializer[Ruling]):
    """What a promotion into a target needs, and by which policy."""

    target = serializers.CharField()
    terms = TermsBody()
    policy = serializers.UUIDField(source="policy.id", allow_null=True, default=None, help_text="null: as shipped.")
    revision = serializers.IntegerField(source="policy.revision", allow_null=True, default=None)
    asks = serializers.ListField(child=serializers.CharField(), help_text="The same in words.")


class Rulings(serializers.Serializer[Any]):
    items = RulingBody(many=True)


class CheckBody(serializers.Serializer[Check]):
    """One report of a check."""

    model = serializers.CharField(source="version.model.name")
    version = serializers.IntegerField(source="version.number")
    check = serializers.CharField(source="name")
    state = serializers.ChoiceField(_CHECK_STATES)
    summary = serializers.CharField()
    link = serializers.CharField()
    values = serializers.DictField(child=serializers.FloatField())
    reporter = serializers.CharField(source="reporter.username")
    at = serializers.DateTimeField()
    url = serializers.SerializerMethodField(help_text="Every report of this check.")

    def get_url(self, row: Check) -> str:
        return url("models", row.version.model.name, "versions", row.version.number, "checks", row.name)


class ConcernedPromotion(serializers.Serializer[Promotion]):
    """A promotion with gates, as it is after a report. Its context holds the `outlooks` of open ones."""

    id = serializers.UUIDField()
    target = serializers.CharField(help_text="The stage, or '@' and the alias, asked for.")
    state = serializers.ChoiceField([str(state) for state in State])
    missing = serializers.SerializerMethodField(help_text="What it still lacks.")
    page = serializers.SerializerMethodField(help_text="The page on which it is reviewed.")
    url = serializers.SerializerMethodField()

    def get_missing(self, row: Promotion) -> list[str]:
        look = self.context["outlooks"].get(row.pk)
        return list(look.missing) if look else []

    def get_page(self, row: Promotion) -> str:
        return settings.VOUCH_URL + row.page

    def get_url(self, row: Promotion) -> str:
        return url("promotions", row.id)


class ReportedBody(CheckBody):
    """A report with what became of the promotions that may hang on it. Its context holds them and their `outlooks`."""

    promotions = serializers.SerializerMethodField(
        help_text="Of the version's promotions with gates: those that are open, and those decided since the report."
    )

    @extend_schema_field(ConcernedPromotion(many=True))
    def get_promotions(self, row: Check) -> Any:
        return ConcernedPromotion(self.context["promotions"], many=True, context=self.context).data


class CommentBody(serializers.Serializer[Comment]):
    """A comment; the words of a deleted one are gone."""

    id = serializers.UUIDField()
    model = serializers.CharField(source="version.model.name")
    version = serializers.IntegerField(source="version.number")
    promotion = serializers.UUIDField(source="promotion_id", allow_null=True, help_text="null: about the version.")
    author = serializers.CharField(source="author.username")
    text = serializers.SerializerMethodField()
    mentions = serializers.SerializerMethodField(help_text="Who is mentioned in it, of those who can see the model.")
    created_at = serializers.DateTimeField()
    edited_at = serializers.DateTimeField(allow_null=True)
    deleted_at = serializers.DateTimeField(allow_null=True)
    url = serializers.SerializerMethodField()

    def get_text(self, row: Comment) -> str:
        return "" if row.deleted_at else row.text

    def get_mentions(self, row: Comment) -> list[str]:
        return sorted(user.username for user in row.mentions.all())

    def get_url(self, row: Comment) -> str:
        return url("comments", row.id)


class GateBody(serializers.Serializer[Any]):
    """A gate of the policy and what it says now."""

    gate = serializers.CharField()
    title = serializers.CharField(help_text="What it asks, in words.")
    outcome = serializers.ChoiceField([str(outcome) for outcome in Outcome], source="verdict.outcome")
    reason = serializers.CharField(source="verdict.reason")


class ReviewRequestBody(serializers.Serializer[ReviewRequest]):
    reviewer = serializers.CharField(source="reviewer.username")
    asked_by = serializers.CharField(source="asked_by.username")
    at = serializers.DateTimeField()


class ApprovalBody(serializers.Serializer[Any]):
    reviewer = serializers.CharField(source="reviewer.username")
    at = serializers.DateTimeField()
    comment = serializers.CharField()
    evidence = serializers.CharField()
    counts = serializers.BooleanField(default=False, help_text="Given for the evidence as it is, by somebody who may.")


class LookedAt(serializers.Serializer[Any]):
    source = serializers.CharField()  # type: ignore[assignment]  # a field, not the serializer's own
    manifest = serializers.CharField(allow_null=True)
    incumbent = serializers.IntegerField(allow_null=True, help_text="The version that holds the stage now.")
    incumbent_manifest = serializers.CharField(allow_null=True)
    policy = TermsBody()
    inputs = serializers.DictField(required=False, help_text="What the gates read, by name.")
    round = serializers.IntegerField(required=False, help_text="How often it was reopened, and one.")


class RestoresBody(serializers.Serializer[Word]):
    promotion = serializers.UUIDField(source="promotion.id", help_text="The one that was decided.")
    decided_at = serializers.DateTimeField(source="promotion.decided_at")
    decided_by = serializers.CharField(source="promotion.decided_by.username")
    approved_by = serializers.ListField(child=serializers.CharField())
    bypass = serializers.BooleanField(source="promotion.bypass")


class PromotionDetail(PromotionBody):
    """A promotion with what it takes; `evidence` is what an approval must name.

    Its context holds the `outlook`, the newest `checks` of its version and the `review_requests`.
    """

    terms = TermsBody()
    policy = serializers.SerializerMethodField(help_text="The id of the policy; null: as shipped.")
    policy_revision = serializers.SerializerMethodField(help_text="Of the policy, as it holds for this promotion.")
    evidence = serializers.SerializerMethodField(help_text="Digest of what is decided on; null if nothing was.")
    looked_at = serializers.SerializerMethodField(help_text="What the digest covers; null when it is decided.")
    decided_on = serializers.SerializerMethodField(help_text="What it covered then; null while open, or not known.")
    missing = serializers.SerializerMethodField(help_text="What it still lacks.")
    restores = serializers.SerializerMethodField(
        help_text="On whose word the version of a rollback was there; null for others."
    )
    revalidation_missing = serializers.SerializerMethodField(
        help_text="What is missing until it is vouched for anew; empty where nothing runs out."
    )
    approvals = serializers.SerializerMethodField()
    gates = serializers.SerializerMethodField(help_text="What each gate says now; empty when it is decided.")
    checks = serializers.SerializerMethodField(help_text="The newest report of each check on the version.")
    review_requests = serializers.SerializerMethodField(help_text="Who was asked to review it.")
    comments_url = serializers.SerializerMethodField(help_text="What people say about it.")

    @extend_schema_field({"type": ["string", "null"], "format": "uuid"})
    def get_policy(self, row: Promotion) -> str | None:
        return str(row.policy_revision.policy_id) if row.policy_revision else None

    def get_policy_revision(self, row: Promotion) -> int | None:
        return row.policy_revision.number if row.policy_revision else None

    def get_evidence(self, row: Promotion) -> str | None:
        return self._outlook.evidence.digest if row.state == State.OPEN else row.decided_evidence or None

    @extend_schema_field(RestoresBody(allow_null=True))
    def get_restores(self, row: Promotion) -> Any:
        word = words([row]).get(row.pk) if row.rollback else None
        return RestoresBody(word).data if word else None

    def get_revalidation_missing(self, row: Promotion) -> list[str]:
        return list(standing(row).missing) if row.state == State.PROMOTED and row.valid_until else []

    @extend_schema_field(LookedAt(allow_null=True))
    def get_looked_at(self, row: Promotion) -> Any:
        return self._outlook.evidence.as_json() if row.state == State.OPEN else None

    @extend_schema_field(LookedAt(allow_null=True))
    def get_decided_on(self, row: Promotion) -> Any:
        return None if row.state == State.OPEN else row.decided_on

    def get_missing(self, row: Promotion) -> list[str]:
        return list(self._outlook.missing) if row.state == State.OPEN else []

    @extend_schema_field(GateBody(many=True))
    def get_gates(self, row: Promotion) -> Any:
        return GateBody(self._outlook.judged, many=True).data if row.state == State.OPEN else []

    @extend_schema_field(ApprovalBody(many=True))
    def get_approvals(self, row: Promotion) -> Any:
        look = self._outlook
        given = sorted((*look.counting, *look.stale), key=lambda approval: approval.at)
        decided = None if row.state == State.OPEN else row.decided_evidence
        return [
            {
                **ApprovalBody(approval).data,
                "counts": approval in look.counting if decided is None else approval.evidence == decided,
            }
            for approval in given
        ]

    @extend_schema_field(CheckBody(many=True))
    def get_checks(self, row: Promotion) -> Any:
        return CheckBody(self.context["checks"], many=True).data

    @extend_schema_field(ReviewRequestBody(many=True))
    def get_review_requests(self, row: Promotion) -> Any:
        return ReviewRequestBody(self.context["review_requests"], many=True).data

    def get_comments_url(self, row: Promotion) -> str:
        return url("promotions", row.id, "comments")

    @property
    def _outlook(self) -> Outlook:
        return cast(Outlook, self.context["outlook"])


class TokenBody(serializers.Serializer[Token]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    owner = serializers.CharField(source="user.username")
    scopes = serializers.ListField(child=serializers.ChoiceField([str(scope) for scope in Scope]))
    model_glob = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


class IssuedToken(TokenBody):
    token = serializers.CharField(help_text="The token itself: shown this once.")


class Me(serializers.Serializer[Any]):
    username = serializers.CharField()
    display_name = serializers.CharField()
    workspace = serializers.CharField()
    roles = serializers.ListField(child=serializers.ChoiceField(_ROLES))
    token = TokenBody()


class UserBody(serializers.Serializer[User]):
    username = serializers.CharField()
    kind = serializers.ChoiceField(UserKind.values)
    display_name = serializers.CharField()
    email = serializers.CharField()
    active = serializers.BooleanField(source="is_active")
    created_at = serializers.DateTimeField()


class TeamBody(serializers.Serializer[Team]):
    name = serializers.CharField()
    members = serializers.SerializerMethodField()

    def get_members(self, row: Team) -> list[str]:
        return sorted(member.username for member in row.members.all())


class GrantBody(serializers.Serializer[Grant]):
    id = serializers.IntegerField()
    role = serializers.ChoiceField(_ROLES)
    user = serializers.SerializerMethodField()
    team = serializers.SerializerMethodField()
    model = serializers.SerializerMethodField(help_text="null: for the whole workspace.")
    created_at = serializers.DateTimeField()

    def get_user(self, row: Grant) -> str | None:
        return row.user.username if row.user else None

    def get_team(self, row: Grant) -> str | None:
        return row.team.name if row.team else None

    def get_model(self, row: Grant) -> str | None:
        return row.model.name if row.model else None


class EntryBody(serializers.Serializer[AuditEntry]):
    sequence = serializers.IntegerField(help_text="Its place in its chain.")
    at = serializers.DateTimeField()
    verb = serializers.CharField()
    actor = serializers.CharField(source="actor_name")
    subject = serializers.CharField()
    data = serializers.DictField()  # type: ignore[assignment]  # a field, not the serializer's own
    request_id = serializers.CharField()
    hash = serializers.CharField()
    previous_hash = serializers.CharField()


class FlawBody(serializers.Serializer[Any]):
    chain = serializers.CharField(help_text="The model's id, after the word model.")
    sequence = serializers.IntegerField(help_text="The first bad entry of its chain.")
    problem = serializers.CharField(help_text="What is wrong with it.")
    verb = serializers.CharField(help_text="Of the entry as it stands there now; empty when there is none.")
    subject = serializers.CharField(help_text="Of the entry as it stands there now; empty when there is none.")


class VerdictBody(serializers.Serializer[Any]):
    chains = serializers.IntegerField(help_text="How many were to be checked.")
    entries = serializers.IntegerField(help_text="How many entries they have.")
    flaw = FlawBody(allow_null=True, help_text="The first that was found; null: they are whole.")


class MetricBody(serializers.Serializer[Any]):
    value = serializers.FloatField(allow_null=True, help_text="null: not a number.")
    step = serializers.IntegerField()
    timestamp_ms = serializers.IntegerField()


class RunInputBody(serializers.Serializer[Any]):
    name = serializers.CharField(source="dataset.name")
    digest = serializers.CharField(source="dataset.digest")
    source_type = serializers.CharField(source="dataset.source_type")
    source = serializers.CharField(source="dataset.source")  # type: ignore[assignment]  # a field, not the serializer's own
    tags = serializers.DictField(child=serializers.CharField())


class RunBody(serializers.Serializer[Run]):
    """A run with the last value of each metric."""

    id = serializers.SerializerMethodField()
    name = serializers.CharField()
    experiment = serializers.CharField(source="experiment.name")
    status = serializers.CharField()
    created_by = serializers.CharField(source="created_by.username")
    started_ms = serializers.IntegerField()
    ended_ms = serializers.IntegerField(allow_null=True)
    params = serializers.SerializerMethodField()
    metrics = serializers.SerializerMethodField()
    tags = serializers.SerializerMethodField()
    inputs = RunInputBody(many=True)

    def get_id(self, row: Run) -> str:
        return row.id.hex

    def get_params(self, row: Run) -> dict[str, str]:
        return {param.key: param.value for param in row.params.all()}

    @extend_schema_field(serializers.DictField(child=MetricBody()))
    def get_metrics(self, row: Run) -> Any:
        return {metric.key: MetricBody(metric).data for metric in row.metrics.all()}

    def get_tags(self, row: Run) -> dict[str, str]:
        return {tag.key: tag.value for tag in row.tags.all()}


class ResolvedPromotion(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    target = serializers.CharField(help_text="The stage that it moved the version to, or '@' and the alias.")
    promoted_at = serializers.DateTimeField()
    promoted_by = serializers.CharField()
    approved_by = serializers.ListField(child=serializers.CharField())
    bypass = serializers.BooleanField()
    rollback = serializers.BooleanField()
    entry_hash = serializers.CharField(help_text="Hash of the audit entry of the decision.")


class ResolvedBody(serializers.Serializer[Any]):
    """What a model URI points at, now or at a moment of the past, and on whose word."""

    uri = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True, help_text="The moment that was asked for; null: now.")
    deleted = serializers.BooleanField(help_text="The version, or its model, was deleted since.")
    model = serializers.CharField()
    version = serializers.IntegerField()
    stage = serializers.ChoiceField(_STAGES)
    artifact_uri = serializers.CharField(
        allow_null=True,
        help_text="Where to load it from: our address of its files, or its source; null for a deleted version.",
    )
    source = serializers.CharField()  # type: ignore[assignment]  # a field, not the serializer's own
    manifest = serializers.CharField(allow_null=True, help_text="SHA-256 of the list of its files.")
    size = serializers.IntegerField(allow_null=True)
    files = FileBody(many=True)
    run_id = serializers.CharField()
    registered_at = serializers.DateTimeField()
    promotion = ResolvedPromotion(
        allow_null=True, help_text="What pointed the protected alias at it, or else moved it into its stage."
    )
    generation = serializers.IntegerField(allow_null=True, help_text="Of the model now; null for the past.")
