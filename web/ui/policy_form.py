"""The form of a policy: what is typed into it, as fields or as YAML, and at which field a refusal shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.http import QueryDict

from accounts.actor import Actor
from accounts.models import Team
from accounts.roles import Action
from core.errors import Invalid, Refusal
from registry import policy as rules_of
from registry import policy_file
from registry.delivery_log import manageable_models
from registry.errors import BadGate, BadRules, BadTarget, ModelNotFound, Stale
from registry.gates import GATES
from registry.lifecycle import Stage
from registry.models import Policy
from registry.policy import ALIAS_MARK, RULES, Scope
from registry.policy_file import Entry
from registry.references import target_named
from registry.services.policies import as_entry
from web.ui.gate_rows import TITLES, Row, label_of, numbered, rows_posted

_WHOLE = re.compile(r"[0-9]{1,9}")
_GATE = re.compile(r"gates\[([0-9]+)\](?:\.([a-z_]+))?.*")
_TEAMS_SHOWN = 30


class NothingNamed(Invalid):
    """Nothing is written here: write {what}, or choose all models."""


class NoAlias(Invalid):
    """Nothing is written here: write the name of the alias, such as champion, or choose a stage."""

    field = "alias"


class NotOnePolicy(Invalid):
    """This form writes one policy, and there are {count}: leave one of them, or use manage.py policy apply for all."""

    field = "yaml"


class OtherPlace(Invalid):
    """This is the page of the policy for {wanted}, and what is written is for {found}: leave target, model and pattern
    as they are, or write a new policy."""

    field = "yaml"


@dataclass(frozen=True)
class Typed:
    """What is in the fields."""

    target: str = Stage.PRODUCTION  # a stage, or "alias"
    alias: str = ""
    about: str = "all"  # or pattern, or model
    pattern: str = ""
    model: str = ""
    approvals: str = "1"
    teams: str = ""
    excluded_teams: str = ""
    exclusive: str = ""  # true, false, or empty: as shipped
    lifetime_days: str = "30"
    approval_days: str = ""
    bypass: bool = True
    gates: tuple[Row, ...] = ()
    comment: str = ""
    revision: str = ""
    yaml: str = ""
    as_yaml: bool = False

    @classmethod
    def asked_for(cls, query: QueryDict) -> Typed:
        """A new one, begun with what a link says of its scope and target."""
        stage = next((each for each in Stage if each == query.get("target")), None)
        alias = query.get("target", "")[:256].removeprefix(ALIAS_MARK) if stage is None else ""
        model, pattern = query.get("model", "")[:255], query.get("pattern", "")[:255]
        return cls(
            target=stage or ("alias" if alias else Stage.PRODUCTION),
            alias=alias,
            about="model" if model else "pattern" if pattern else "all",
            model=model,
            pattern=pattern,
        )

    @classmethod
    def of(cls, entry: Entry, *, revision: str = "", comment: str = "") -> Typed:
        """A policy as it is."""
        rules, scope = entry.rules, entry.scope
        is_alias = entry.target.startswith(ALIAS_MARK)
        return cls(
            target="alias" if is_alias else entry.target,
            alias=entry.target.removeprefix(ALIAS_MARK) if is_alias else "",
            about="model" if scope.model else "pattern" if scope.pattern else "all",
            pattern=scope.pattern,
            model=scope.model,
            approvals=str(rules["approvals"]),
            teams=" ".join(rules["teams"]),
            excluded_teams=" ".join(rules["excluded_teams"]),
            exclusive="true" if rules["exclusive"] else "false",
            lifetime_days=str(rules["lifetime_days"]),
            approval_days=str(rules["approval_days"] or ""),
            bypass=rules["bypass"],
            gates=tuple(Row.of(definition, place) for place, definition in enumerate(rules["gates"])),
            comment=comment,
            revision=revision,
        )

    @classmethod
    def posted(cls, sent: QueryDict) -> Typed:
        """What somebody sent."""
        plain = ("target", "alias", "about", "pattern", "model", "approvals", "teams", "excluded_teams", "exclusive",
                 "lifetime_days", "approval_days", "revision")  # fmt: skip
        words: dict[str, Any] = {name: sent.get(name, "").strip() for name in plain}
        long = {name: sent.get(name, "").replace("\r\n", "\n") for name in ("comment", "yaml")}
        rows = rows_posted(sent)
        return cls(**words, **long, bypass="bypass" in sent, gates=rows, as_yaml=sent.get("way") == "yaml")

    # --- What it says -------------------------------------------------------------------------------------------------

    @property
    def entry(self) -> Entry:
        """The policy, checked. Raises NothingNamed, NoAlias, BadScope, BadTarget, BadRules, BadGate, BadPolicyFile."""
        if self.as_yaml:
            entries = policy_file.read(self.yaml)
            if len(entries) != 1:
                raise NotOnePolicy(count=len(entries))
            rules_of.refuse_bad_scope(entries[0].scope, "policy")
            return entries[0]
        scope, target = self._scope, self._target
        rules_of.refuse_bad_scope(scope, "policy")
        return Entry(scope, target, rules_of.checked(self.rules, target))

    @property
    def _scope(self) -> Scope:
        if self.about == "pattern":
            if not self.pattern:
                raise NothingNamed(field="pattern", what="a pattern, such as churn-*")
            return Scope(pattern=self.pattern.lower())
        if self.about == "model":
            if not self.model:
                raise NothingNamed(field="model", what="the name of the model")
            return Scope(model=self.model)
        return Scope()

    @property
    def _target(self) -> str:
        if self.target != "alias":
            return str(target_named(self.target))
        if not self.alias:
            raise NoAlias
        return target_named(f"{ALIAS_MARK}{self.alias.removeprefix(ALIAS_MARK)}", field="alias")

    @property
    def rules(self) -> dict[str, Any]:
        """The rules as they were typed, unchecked."""
        rules: dict[str, Any] = {
            "approvals": _whole(self.approvals),
            "teams": self.teams.replace(",", " ").split(),
            "excluded_teams": self.excluded_teams.replace(",", " ").split(),
            "gates": [row.definition for row in self.gates],
            "lifetime_days": _whole(self.lifetime_days),
            "approval_days": _whole(self.approval_days) if self.approval_days else None,
            "bypass": self.bypass,
        }
        said = {"true": True, "false": False}
        return rules | ({"exclusive": said[self.exclusive]} if self.exclusive in said else {})

    @property
    def expected(self) -> int:
        """The revision that the form was filled from; 0 for a new policy."""
        return int(self.revision) if _WHOLE.fullmatch(self.revision) else 0

    def at(self, policy: Policy) -> Typed:
        """The same for the place of a policy, which no form changes."""
        place = Typed.of(as_entry(policy))
        return replace(
            self, target=place.target, alias=place.alias, about=place.about, pattern=place.pattern, model=place.model
        )

    # --- What the buttons of the form do ------------------------------------------------------------------------------

    def with_gate(self, gate: str) -> Typed:
        return replace(self, gates=numbered([*self.gates, Row(gate)])) if gate in GATES else self

    def without_gate(self, place: str) -> Typed:
        return replace(self, gates=numbered([row for row in self.gates if str(row.place) != place]))

    def written_out(self) -> Typed:
        """The same as YAML. Raises what `entry` does."""
        return self if self.as_yaml else replace(self, as_yaml=True, yaml=policy_file.written([self.entry]))

    def filled_in(self) -> Typed:
        """The same as fields. Raises what `entry` does."""
        return Typed.of(self.entry, revision=self.revision, comment=self.comment) if self.as_yaml else self


def _whole(said: str) -> object:
    return int(said) if _WHOLE.fullmatch(said) else said


@dataclass(frozen=True)
class Told:
    """A refusal as the form tells it: the message, the id of the field at fault, and for gates where that is."""

    message: str
    wrong: str
    code: str
    where: str = ""

    @property
    def summary(self) -> str:
        """The message for where the field is not in sight."""
        return f"{self.where}: {self.message}" if self.where else self.message


def told(refusal: Refusal, typed: Typed) -> Told:
    """The refusal in the words of the form."""
    gate = _GATE.fullmatch(refusal.at_field or "")
    if isinstance(refusal, BadGate | BadRules) and gate and not typed.as_yaml and int(gate[1]) < len(typed.gates):
        row, name = typed.gates[int(gate[1])], gate[2] or ""
        where = ", ".join(part for part in (f"Gate {row.place + 1}, {row.title}", label_of(name)) if part)
        return Told(row.in_words(refusal.context), _wrong(refusal, typed), refusal.code, where)
    return Told(_message(refusal), _wrong(refusal, typed), refusal.code)


def _message(refusal: Refusal) -> str:
    schema = RULES["properties"].get(refusal.at_field or "", {})
    if isinstance(refusal, BadRules) and "minimum" in schema:
        return f"Use a whole number from {schema['minimum']} to {schema['maximum']:,}."
    if isinstance(refusal, BadTarget) and refusal.at_field == "alias":
        return "Use letters, digits, underscores and hyphens; latest, v1 and the names of stages are taken."
    return _CHANGED if isinstance(refusal, Stale) else refusal.message


_CHANGED = (
    "Somebody has changed the policy since you opened this page. What is typed here is yours: compare it with what is "
    "in force now, beside it, and save again if it should replace that."
)


def _wrong(refusal: Refusal, typed: Typed) -> str:
    if typed.as_yaml:
        return "" if isinstance(refusal, Stale) else "yaml"
    if isinstance(refusal, ModelNotFound):
        return "model"
    at = (refusal.at_field or "").replace("If-Match", "")
    if gate := _GATE.fullmatch(at):
        return f"gate-{gate[1]}" + (f"-{gate[2]}" if gate[2] and gate[2] != "gate" else "")
    return at.partition("[")[0]


@dataclass(frozen=True)
class Form:
    """What the form offers."""

    typed: Typed
    anywhere: bool  # its owner may write policies of all models, not only those of `models`
    models: list[str]
    teams: list[str]

    @property
    def stages(self) -> list[str]:
        return list(Stage)

    @property
    def kinds(self) -> Mapping[str, str]:
        """The gates that can be added, each with its title."""
        return {name: TITLES.get(name, name) for name in GATES}


def form_of(actor: Actor, typed: Typed) -> Form:
    """The form for somebody: who maintains single models only is offered those. At most two queries."""
    named = Team.objects.filter(workspace=actor.workspace_id).order_by("name").values_list("name", flat=True)
    teams = list(named[:_TEAMS_SHOWN])
    if actor.may(Action.EDIT_POLICY):
        return Form(typed, True, [], teams)
    return Form(replace(typed, about="model"), False, manageable_models(actor), teams)


def place_of(policy: Policy, entry: Entry) -> Entry:
    """`entry`, which is for the place of `policy`; OtherPlace."""
    if as_entry(policy).place != entry.place:
        raise OtherPlace(wanted=as_entry(policy), found=entry)
    return entry
