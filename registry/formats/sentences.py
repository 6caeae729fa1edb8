"""Each event as one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from accounts.verbs import Verb
from registry.formats.told import Told
from registry.formats.words import plain

_Show: TypeAlias = Callable[[object], str]

_SAID_AS_IT_IS = frozenset(
    (
        "address",
        "alias",
        "author",
        "check",
        "from_stage",
        "key",
        "owner",
        "previous_name",
        "role",
        "stage",
        "state",
        "value",
        "version",
    )
)


def sentence(told: Told, show: _Show = plain) -> str:
    """The event in one sentence of plain text; `show` makes what users named fit for where it is shown."""
    template = _TEMPLATES[told.verb]
    return (template if isinstance(template, str) else template(told.data)).format(it=_Parts(told, show))


@dataclass(frozen=True)
class _Parts:
    """What the templates name, each part made fit by `show` on its own."""

    told: Told
    show: _Show

    def __getattr__(self, name: str) -> str:
        """One of `_SAID_AS_IT_IS` of the event's data; empty when they do not have it."""
        if name not in _SAID_AS_IT_IS:
            raise AttributeError(name)
        return self._said(name)

    @property
    def actor(self) -> str:
        return self.show(self.told.actor)

    @property
    def subject(self) -> str:
        return self.show(self.told.subject)

    @property
    def model(self) -> str:
        return self.show(self.told.model)

    @property
    def it(self) -> str:
        """The model and the number of the version."""
        return f"{self.model} v{self._said('version')}"

    @property
    def target(self) -> str:
        """Where a promotion leads."""
        return f"the alias {self._said('alias')}" if self.told.data.get("alias") else self._said("stage")

    @property
    def promotion(self) -> str:
        return f"the promotion of {self.it} to {self.target}"

    @property
    def replaced(self) -> str:
        """The versions that were there before."""
        numbers = [f"v{self.show(number)}" for number in _listed(self.told.data.get("previous"))]
        return f", in place of {_and(numbers)}" if numbers else ""

    @property
    def why(self) -> str:
        return self._after_colon(self.told.data.get("reason"))

    @property
    def noted(self) -> str:
        return self._after_colon(self.told.data.get("note"))

    @property
    def summed_up(self) -> str:
        return self._after_colon(self.told.data.get("summary"))

    @property
    def quoted(self) -> str:
        words = self._said("text")
        return f": “{words}”" if words else ""

    @property
    def lacking(self) -> str:
        return self._after_colon("; ".join(str(each) for each in _listed(self.told.data.get("missing"))))

    @property
    def asked_for(self) -> str:
        return self._names("asked")

    @property
    def asked_no_more(self) -> str:
        return self._names("unasked")

    @property
    def members_named(self) -> str:
        names = self._names("members")
        return f" with {names}" if names else " without members"

    def _names(self, key: str) -> str:
        return _and([self.show(name) for name in _listed(self.told.data.get(key))])

    def _said(self, key: str) -> str:
        value = self.told.data.get(key)
        return "" if value is None else self.show(value)

    def _after_colon(self, value: object) -> str:
        words = self.show(value).rstrip(" .") if value else ""
        return f": {words}" if words else ""


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# --- The sentences ----------------------------------------------------------------------------------------------------

_Data: TypeAlias = Mapping[str, Any]


def _tagged(what: str) -> Callable[[_Data], str]:
    def of(data: _Data) -> str:
        if data.get("value") is None:
            return f"{{it.actor}} removed the tag {{it.key}} from {what}."
        return f"{{it.actor}} set the tag {{it.key}} of {what} to {{it.value}}."

    return of


def _alias_removed(data: _Data) -> str:
    bypass = ", bypassing its policy" if data.get("bypass") else ""
    return f"{{it.actor}} took the alias {{it.alias}} of {{it.model}} away{bypass}."


def _revalidated(data: _Data) -> str:
    missing = "; still missing{it.lacking}" if data.get("missing") else ""
    return f"{{it.actor}} vouched anew for {{it.it}} in {{it.target}}{missing}."


def _reviewed(data: _Data) -> str:
    agrees = "agreed" if data.get("agrees") else "did not agree"
    return f"{{it.actor}} {agrees} afterwards with {{it.promotion}}{{it.noted}}."


def _review_requested(data: _Data) -> str:
    if data.get("unasked"):
        return "{it.actor} no longer asks {it.asked_no_more} to review {it.promotion}."
    return "{it.actor} asked {it.asked_for} to review {it.promotion}."


def _policy_changed(data: _Data) -> str:
    return f"{{it.actor}} {'changed' if data.get('rules') is not None else 'retired'} the {{it.subject}}."


def _granted(did: str, to: str) -> Callable[[_Data], str]:
    def of(data: _Data) -> str:
        team = "the team " if data.get("team") else ""
        model = ", held for one model" if data.get("model") else ""
        return f"{{it.actor}} {did} the role {{it.role}} {to} {team}{{it.subject}}{model}."

    return of


def _user_updated(data: _Data) -> str:
    changed = data.get("changed")
    if changed == "active":
        return f"{{it.actor}} {'enabled' if data.get('active') else 'disabled'} the {{it.subject}}."
    if changed == "operator":
        return "{it.actor} made the {it.subject} an administrator of every workspace."
    return f"{{it.actor}} changed the {'password' if changed == 'password' else 'details'} of the {{it.subject}}."


def _exported(data: _Data) -> str:
    # Without a model, the subject is the log itself.
    return "{it.actor} exported " + ("the audit log of {it.model}." if data.get("model") else "{it.subject}.")


_TEMPLATES: Mapping[Verb, str | Callable[[_Data], str]] = {
    Verb.MODEL_CREATED: "{it.actor} created the model {it.model}.",
    Verb.MODEL_UPDATED: "{it.actor} changed the description of the model {it.model}.",
    Verb.MODEL_RENAMED: "{it.actor} renamed the model {it.previous_name} to {it.model}.",
    Verb.MODEL_TAGGED: _tagged("the model {it.model}"),
    Verb.MODEL_DELETED: "{it.actor} deleted the model {it.model}.",
    Verb.VERSION_REGISTERED: "{it.actor} registered {it.it}.",
    Verb.VERSION_REPEATED: "{it.actor} repeated the registration of {it.it}, which was there already.",
    Verb.VERSION_UPDATED: "{it.actor} changed the description of {it.it}.",
    Verb.VERSION_TAGGED: _tagged("{it.it}"),
    Verb.VERSION_DELETED: "{it.actor} deleted {it.it}.",
    Verb.VERSION_TRANSITIONED: "{it.actor} moved {it.it} from {it.from_stage} to {it.stage}{it.replaced}.",
    Verb.ALIAS_SET: "{it.actor} pointed the alias {it.alias} of {it.model} at v{it.version}{it.replaced}.",
    Verb.ALIAS_REMOVED: _alias_removed,
    Verb.PROMOTION_REQUESTED: "{it.actor} asked for {it.promotion}.",
    Verb.PROMOTION_APPROVED: "{it.actor} approved {it.promotion}.",
    Verb.PROMOTION_REJECTED: "{it.actor} rejected {it.promotion}{it.why}.",
    Verb.PROMOTION_WITHDRAWN: "{it.actor} withdrew {it.promotion}{it.why}.",
    Verb.PROMOTION_SUPERSEDED: "The promotion of {it.it} to {it.target} has become pointless{it.why}.",
    Verb.PROMOTION_EXPIRED: "The promotion of {it.it} to {it.target} expired{it.why}.",
    Verb.PROMOTION_PROMOTED: "{it.actor} carried out {it.promotion}{it.replaced}.",
    Verb.PROMOTION_BYPASSED: "{it.actor} carried out {it.promotion}{it.replaced}, bypassing its policy{it.why}.",
    Verb.PROMOTION_ROLLED_BACK: (
        "{it.actor} rolled {it.target} of {it.model} back to v{it.version}{it.replaced}{it.why}."
    ),
    Verb.PROMOTION_BLOCKED: "The promotion of {it.it} to {it.target} is held back by gates alone{it.lacking}.",
    Verb.PROMOTION_REOPENED: "The promotion of {it.it} to {it.target} was reopened by {it.actor}{it.why}.",
    Verb.PROMOTION_LAPSED: "What was approved of {it.it} in {it.target} does not hold any more: vouch for it anew.",
    Verb.PROMOTION_REVALIDATED: _revalidated,
    Verb.PROMOTION_REVIEWED: _reviewed,
    Verb.PROMOTION_REVIEW_REQUESTED: _review_requested,
    Verb.CHECK_REPORTED: "{it.actor} reported the check {it.check} of {it.it} as {it.state}{it.summed_up}.",
    Verb.COMMENT_CREATED: "{it.actor} commented on {it.it}{it.quoted}.",
    Verb.COMMENT_UPDATED: "{it.actor} changed a comment on {it.it}{it.quoted}.",
    Verb.COMMENT_DELETED: "{it.actor} deleted a comment of {it.author} on {it.it}.",
    Verb.POLICY_CHANGED: _policy_changed,
    Verb.TOKEN_CREATED: "{it.actor} created the {it.subject} of {it.owner}.",
    Verb.TOKEN_REVOKED: "{it.actor} revoked the {it.subject}.",
    Verb.TOKEN_USED_FROM_NEW_ADDRESS: "{it.actor} used the {it.subject} from a new address, {it.address}.",
    Verb.GRANT_GIVEN: _granted("gave", "to"),
    Verb.GRANT_REVOKED: _granted("took", "from"),
    Verb.USER_CREATED: "{it.actor} created the {it.subject}.",
    Verb.USER_UPDATED: _user_updated,
    Verb.USER_SIGNED_IN: "{it.actor} signed in.",
    Verb.TEAM_CREATED: "{it.actor} created the {it.subject}{it.members_named}.",
    Verb.TEAM_UPDATED: "{it.actor} changed the {it.subject}, now{it.members_named}.",
    Verb.WORKSPACE_CREATED: "{it.actor} created the {it.subject}.",
    Verb.WORKSPACE_UPDATED: "{it.actor} changed the {it.subject}.",
    Verb.AUDIT_EXPORTED: _exported,
    Verb.WEBHOOK_CREATED: "{it.actor} created the {it.subject}.",
    Verb.WEBHOOK_UPDATED: "{it.actor} changed the {it.subject}.",
    Verb.WEBHOOK_DELETED: "{it.actor} deleted the {it.subject}.",
    Verb.WEBHOOK_ENABLED: "{it.actor} enabled the {it.subject}.",
    Verb.WEBHOOK_DISABLED: "The {it.subject} was disabled by {it.actor}{it.why}.",
    Verb.WEBHOOK_SECRET_ROTATED: "{it.actor} gave the {it.subject} a new secret.",
    Verb.WEBHOOK_TESTED: "{it.actor} tested the {it.subject}.",
    Verb.WEBHOOK_REDELIVERED: "{it.actor} had events delivered again to the {it.subject}.",
}
