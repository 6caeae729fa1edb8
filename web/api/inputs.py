"""What requests may hold: the form of each body. What the values mean is for the services to judge."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import UserKind
from accounts.roles import Role, Scope
from accounts.verbs import Verb
from core import text
from registry.formats import Format
from registry.gates import GATES, LIMIT, CheckState
from registry.lifecycle import Stage
from registry.models import MailWhen
from registry.policy import RULES

_NAME = r"^[A-Za-z0-9]([A-Za-z0-9 ._-]*[A-Za-z0-9_-])?$"
_ELSEWHERE = r"^[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9._:-]+(/[^\s?#%\\]*)?$"
_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
_LINES = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
KEY = r"^[\u0020-\u007e\u00a0-\u1fff]+$"
LINK = r"^([Hh][Tt][Tt][Pp][Ss]?://[A-Za-z0-9\[][A-Za-z0-9._:\[\]-]*([/?#][!-~]*)?)?$"
RECEIVER = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\x00-\x20\x7f-\x9f]+$"
_USERNAME = r"^[A-Za-z0-9_.@+-]+$"
TAG_KEY = {"type": "string", "minLength": 1, "maxLength": 250, "pattern": KEY}
TAG_VALUE = {"type": "string", "maxLength": 100000, "pattern": _LINES}


class Text(serializers.CharField):
    """A JSON string, taken as it is: never made from a number, never trimmed.

    `pattern` tells the OpenAPI document what the services let pass; it is they who refuse, and say why.
    """

    def __init__(self, *, lines: bool = False, pattern: str = "", **more: Any):
        self.pattern = pattern or (_LINES if lines else _LINE)
        more.setdefault("allow_blank", not more.get("required", True))
        super().__init__(trim_whitespace=False, **more)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A JSON integer: not a string of digits, not a boolean."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not (isinstance(data, int) or (isinstance(data, float) and data.is_integer())):
            self.fail("invalid")
        return super().to_internal_value(int(data))


class YesOrNo(serializers.BooleanField):
    """A JSON boolean."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


@extend_schema_field({"type": "object", "additionalProperties": TAG_VALUE, "propertyNames": TAG_KEY})
class Tags(serializers.DictField):
    """Key → value."""

    child = Text(max_length=100_000, lines=True, allow_blank=True)


@extend_schema_field({"type": "string", "enum": [str(stage) for stage in Stage]})
class StageName(Text):
    """A stage."""


@extend_schema_field({"type": "string", "pattern": "^(None|Staging|Production|Archived|@[A-Za-z0-9_-]{1,255})$"})
class Target(Text):
    """A stage, or '@' and an alias."""


class Input(serializers.Serializer[Any]):
    """A body: what it does not know is refused, so that a misspelt field is not silently dropped."""

    def to_internal_value(self, data: Any) -> Any:
        if unknown := sorted(set(data) - set(self.fields)):
            known = ", ".join(self.fields)
            raise serializers.ValidationError({unknown[0]: [f"There is no such field here; there are {known}."]})
        return super().to_internal_value(data)


class NewModel(Input):
    name = Text(max_length=255, pattern=_NAME)
    description = Text(max_length=100_000, lines=True, required=False)
    tags = Tags(required=False)


class Description(Input):
    description = Text(max_length=100_000, lines=True, allow_blank=True)


class TagValue(Input):
    value = Text(max_length=100_000, lines=True, allow_blank=True)


class AliasTarget(Input):
    version = Whole(min_value=1, max_value=2**31 - 1)


class _NewVersion(Input):
    description = Text(max_length=100_000, lines=True, required=False)
    tags = Tags(required=False)
    run_link = Text(max_length=1000, required=False)


class VersionOfUpload(_NewVersion):
    """From files sent before with PUT /uploads/{upload}/files/{path}."""

    upload = Text(max_length=255, pattern=_NAME)
    run_id = Text(max_length=64, required=False, help_text="The run that made it; may lie on another server.")


class VersionOfRun(_NewVersion):
    """From the artifacts of a run."""

    run_id = Text(max_length=64)
    path = Text(max_length=1000, help_text="The folder inside the run's artifacts.")


class VersionElsewhere(_NewVersion):
    """Of bytes that lie elsewhere: Vouch keeps no copy and no digest of them."""

    source = Text(  # type: ignore[assignment]  # shadows an attribute that only nested serializers have
        max_length=1000, pattern=_ELSEWHERE, help_text="Such as s3://bucket/path."
    )
    run_id = Text(max_length=64, required=False, help_text="The run that made it; may lie on another server.")


class PromotionToTarget(Input):
    model = Text(max_length=255, pattern=_NAME)
    version = Whole(min_value=1, max_value=2**31 - 1)
    target = Target(help_text="The stage, or '@' and the alias, that it is to hold.")
    comment = Text(max_length=10_000, lines=True, required=False)


class PromotionToStage(Input):
    model = Text(max_length=255, pattern=_NAME)
    version = Whole(min_value=1, max_value=2**31 - 1)
    stage = StageName(help_text="The same for a stage.")
    comment = Text(max_length=10_000, lines=True, required=False)


def _rule(name: str) -> dict[str, Any]:
    """What both kinds of field are told of a rule: its words and its limits."""
    said = RULES["properties"][name]
    limits = {"minimum": "min_value", "maximum": "max_value"}
    return {
        "required": False,
        "help_text": said.get("description", ""),
        **{ours: said[theirs] for theirs, ours in limits.items() if theirs in said},
    }


@extend_schema_field({key: value for key, value in RULES["properties"]["teams"].items() if key != "default"})
class TeamNames(serializers.JSONField):
    """A list of teams. The service judges it, and names the place of what is wrong."""


@extend_schema_field(
    {"type": "array", "items": {"oneOf": [gate.schema(name) for name, gate in GATES.items()]}, "maxItems": LIMIT}
)
class Gates(serializers.JSONField):
    """The gates of a policy. The service judges them, and names the place of what is wrong."""


class _Scoped(Input):
    """For a model, for the models whose name fits a pattern, or (neither) for all of the workspace."""

    model = Text(max_length=255, pattern=_NAME, required=False, allow_blank=False)
    pattern = Text(
        max_length=255,
        pattern=r"^[A-Za-z0-9 ._*?-]+$",
        required=False,
        allow_blank=False,
        help_text="Of names, in any case, with * and ? as in a shell.",
    )


class PolicyText(_Scoped):
    """A policy for a model, for the models whose name fits a pattern, or (neither) for all of the workspace."""

    target = Target(help_text="The stage, or '@' and the alias, that is protected.")
    approvals = Whole(**_rule("approvals"))
    teams = TeamNames(**_rule("teams"))
    excluded_teams = TeamNames(**_rule("excluded_teams"))
    exclusive = YesOrNo(**_rule("exclusive"))
    gates = Gates(**_rule("gates"))
    lifetime_days = Whole(**_rule("lifetime_days"))
    approval_days = Whole(**_rule("approval_days"), allow_null=True)
    bypass = YesOrNo(**_rule("bypass"))
    comment = Text(max_length=1000, lines=True, required=False, help_text="Why, for the list of revisions.")
    revision = Whole(
        min_value=0,
        max_value=2**31 - 1,
        required=False,
        help_text="The one that it must still have, 0 for none yet: refused with 412 otherwise.",
    )


class Approve(Input):
    evidence = Text(
        pattern=rf"^{text.DIGEST.pattern}$", help_text="The digest in the promotion that the reviewer looked at."
    )
    comment = Text(max_length=10_000, lines=True, required=False)


class Reason(Input):
    reason = Text(max_length=10_000, lines=True)


class OptionalReason(Input):
    reason = Text(max_length=10_000, lines=True, required=False)


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {"type": "number"},
        "propertyNames": TAG_KEY,
        "maxProperties": 100,
    }
)
class Values(serializers.JSONField):
    """What a check measured: name → number. The service says what is wrong with it."""


class Report(Input):
    check = Text(max_length=100, pattern=KEY, help_text="The name of the check, such as `evaluation` or `ci/tests`.")
    state = serializers.ChoiceField([str(state) for state in CheckState])
    summary = Text(max_length=10_000, lines=True, required=False, help_text="What came of it, in words.")
    link = Text(max_length=2000, required=False, pattern=LINK, help_text="An http or https page on which to read more.")
    values = Values(required=False, help_text="What it measured; gates can look at it.")


class ReportOnVersion(Report):
    model = Text(max_length=255, pattern=_NAME)
    version = Whole(min_value=1, max_value=2**31 - 1)


class NewComment(Input):
    text = Text(max_length=10_000, lines=True, help_text="`@username` mentions somebody who can see the model.")


class Reviewers(Input):
    reviewers = serializers.ListField(child=Text(max_length=150, pattern=_USERNAME), min_length=1, max_length=20)


class Rollback(Input):
    target = Target(help_text="The stage, or '@' and the alias.")
    to = Whole(
        min_value=1,
        max_value=2**31 - 1,
        required=False,
        help_text="The version that is to be there again; what was there last when left out.",
    )
    reason = Text(max_length=10_000, lines=True)


class ReviewAfterwards(Input):
    agrees = YesOrNo(help_text="Whether it was right.")
    note = Text(max_length=10_000, lines=True, required=False, help_text="Needed by who does not agree.")


class Revalidate(Input):
    comment = Text(max_length=10_000, lines=True, required=False)


class _Listening(Input):
    """What a webhook is told, and where."""

    name = Text(max_length=100, required=False, help_text="For people.")
    description = Text(max_length=5000, lines=True, required=False, help_text="For people.")
    verbs = serializers.ListField(
        child=Text(max_length=64, pattern=r"^[a-z_.]+$"),
        max_length=len(Verb),
        required=False,
        help_text="The kinds of events, such as `version.transitioned`; none: all that the format tells.",
    )
    targets = serializers.ListField(
        child=Target(max_length=256),
        max_length=50,
        required=False,
        help_text="Of moves, those that concern one of these; none: all.",
    )


class NewWebhook(_Listening, _Scoped):
    """A webhook for a model, for the models whose name fits a pattern, or (neither) for the workspace."""

    url = Text(
        max_length=2000, pattern=RECEIVER, help_text="https, and port 443 or 8443 unless the operator allows more."
    )
    format = serializers.ChoiceField([str(form) for form in Format], default=str(Format.VOUCH))
    secret = Text(
        max_length=500,
        required=False,
        allow_blank=False,
        write_only=True,
        help_text="For the formats mlflow and databricks; made here when left out, and always for the others.",
    )


class WebhookChange(_Listening):
    url = Text(max_length=2000, required=False, allow_blank=False, pattern=RECEIVER)
    owner = Text(max_length=150, required=False, allow_blank=False, help_text="Who is told when it fails.")
    active = YesOrNo(required=False)


class NewSecret(Input):
    overlap_hours = Whole(
        min_value=0, max_value=168, default=24, help_text="For which the secret of before signs as well."
    )
    secret = Text(
        max_length=500,
        required=False,
        allow_blank=False,
        write_only=True,
        help_text="For the formats mlflow and databricks; made here when left out.",
    )


class Since(Input):
    since = Text(max_length=64, help_text="What was owed before this time is left as it is.")


class HowToBeTold(Input):
    mail = serializers.ChoiceField(MailWhen.values, help_text="When you get mail: `digest` is once a day, all in one.")
    muted = YesOrNo(help_text="Be told of nothing at all.")
    slack_url = Text(
        max_length=2000,
        required=False,
        help_text="Your own incoming webhook of Slack or of what takes its form. Left out: it stays; empty: taken "
        "away. It is never shown again.",
    )


class Following(Input):
    muted = YesOrNo(required=False, help_text="Be told of nothing about the model, whatever part you have in it.")


class NewToken(Input):
    name = Text(max_length=100)
    scopes = serializers.ListField(child=serializers.ChoiceField([str(scope) for scope in Scope]), min_length=1)
    days = Whole(min_value=1, max_value=365, default=90)
    model_glob = Text(max_length=255, required=False, help_text="Only models named like this, with * and ?.")
    owner = Text(max_length=150, required=False, help_text="A service account, for administrators.")


class NewUser(Input):
    username = Text(max_length=150, pattern=r"^[A-Za-z0-9_.@+-]+$")
    kind = serializers.ChoiceField([str(UserKind.PERSON), str(UserKind.SERVICE)], default=str(UserKind.PERSON))
    password = Text(max_length=1000, required=False, allow_blank=False, write_only=True)
    email = Text(max_length=254, required=False, pattern=r"^([A-Za-z0-9_.+-]+@[A-Za-z0-9.-]+)?$")
    display_name = Text(max_length=255, required=False)


class UserChange(Input):
    active = YesOrNo()


class Members(Input):
    members = serializers.ListField(child=Text(max_length=150), max_length=1000)


class _NewGrant(Input):
    role = serializers.ChoiceField([str(role) for role in Role])
    model = Text(max_length=255, required=False, help_text="For one model only; otherwise for the workspace.")


class GrantToUser(_NewGrant):
    user = Text(max_length=150)


class GrantToTeam(_NewGrant):
    team = Text(max_length=63)
