"""What a promotion needs: the terms of a policy, what they may hold, and when new ones are stricter. Pure Python."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from jsonschema import Draft202012Validator

from core import text
from registry import gates
from registry.errors import BadRules, BadScope
from registry.lifecycle import Stage

ALIAS_MARK = "@"
_PATTERN = re.compile(r"[A-Za-z0-9 ._*?-]{1,255}")
_TEAM = {"type": "string", "pattern": r"^[A-Za-z0-9_-]{1,63}$"}
_TEAMS = {"type": "array", "items": _TEAM, "maxItems": 20, "uniqueItems": True}

# What a policy says, as JSON Schema; the gates have schemas of their own.
RULES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "approvals": {
            "type": "integer",
            "minimum": 0,
            "maximum": 20,
            "default": 1,
            "description": "How many people must approve; 0: carried out as soon as the gates pass.",
        },
        "teams": {**_TEAMS, "default": [], "description": "Teams of which a member must approve, each of them."},
        "excluded_teams": {
            **_TEAMS,
            "default": [],
            "description": "Teams whose members cannot approve, besides those who had part in it.",
        },
        "exclusive": {
            "type": "boolean",
            "description": "The stage has one occupant; the one before is archived. As shipped if left out: true for "
            "Production alone. An alias always has one.",
        },
        "gates": {"type": "array", "default": [], "maxItems": gates.LIMIT},
        "lifetime_days": {
            "type": "integer",
            "minimum": 1,
            "maximum": 365,
            "default": 30,
            "description": "Days after which an open promotion expires.",
        },
        "approval_days": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": 3650,
            "default": None,
            "description": "Days for which an approval holds; a version that stays longer must be vouched for anew. "
            "null: for ever.",
        },
        "bypass": {"type": "boolean", "default": True, "description": "An administrator may carry it out alone."},
    },
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Terms:
    """The rules that one promotion is judged by."""

    name: str  # the policy and its revision, for people and for the evidence
    approvals: int  # how many people must approve; 0: carried out as soon as the gates pass
    exclusive: bool  # the stage has one occupant, and the one before is archived
    bypass: bool  # an administrator may carry it out alone, which is marked
    lifetime_days: int  # after which an open promotion expires
    teams: tuple[str, ...] = ()  # of each of these a member must approve
    excluded_teams: tuple[str, ...] = ()  # whose members may not
    gates: tuple[gates.Definition, ...] = ()
    approval_days: int | None = None  # for which an approval holds; None: for ever
    why: str = ""  # why this policy and no other

    @property
    def lifetime(self) -> datetime.timedelta:
        return datetime.timedelta(days=self.lifetime_days)

    @property
    def approval_lifetime(self) -> datetime.timedelta | None:
        return datetime.timedelta(days=self.approval_days) if self.approval_days else None

    @property
    def asks_people(self) -> bool:
        """Whether anybody has to approve."""
        return self.approvals > 0 or bool(self.teams)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Terms:
        lists = ("teams", "excluded_teams", "gates")
        known: dict[str, Any] = {key: tuple(item) if key in lists else item for key, item in value.items()}
        return cls(**known)

    @classmethod
    def of(cls, rules: Mapping[str, Any], *, name: str, why: str) -> Terms:
        """The terms that these rules, checked before, make."""
        return cls.from_json({**rules, "name": name, "why": why})

    @property
    def rules(self) -> dict[str, Any]:
        """What of it a policy says: everything but its name and why it was chosen."""
        rules = self.as_json()
        del rules["name"], rules["why"]
        return rules


def default(name: str, target: str) -> Any:
    """What a policy for `target` says of a rule that it does not name."""
    return shipped(target).exclusive if name == "exclusive" else RULES["properties"][name]["default"]


def checked(rules: object, target: str) -> dict[str, Any]:
    """`rules` as a policy for `target` keeps them, what they do not say filled in.

    Raises BadRules or BadGate, naming the field.
    """
    if not isinstance(rules, Mapping):
        raise BadRules(field="rules", why="is not an object", hint="write it like {'approvals': 2}")
    for name in rules:
        if name not in RULES["properties"]:
            raise BadRules(field=str(name), why="is nothing that a policy says", hint=_SAYS)
    for name, most in (("teams", 20), ("excluded_teams", 20), ("gates", gates.LIMIT)):
        # Before the schema, whose comparison of each item with each would take hours for a list that fills a request.
        if isinstance(rules.get(name), list) and len(rules[name]) > most:
            raise BadRules(field=name, why=f"holds {len(rules[name])}", hint=f"at most {most} are allowed")
    for error in sorted(Draft202012Validator(RULES).iter_errors(rules), key=lambda error: list(error.path)):
        field = gates.path_of("", error.absolute_path).removeprefix(".") or "rules"
        raise BadRules(field=field, why=f"will not do: {error.message}", hint=_SAYS)
    _storable(rules, "")
    filled = {name: rules[name] if name in rules else default(name, target) for name in RULES["properties"]}
    if filled["exclusive"] and target in (Stage.NONE, Stage.ARCHIVED):
        raise BadRules(
            field="exclusive", why=f"is true for {target}", hint="versions that serve nobody are not counted"
        )
    both = sorted(set(filled["teams"]) & set(filled["excluded_teams"]))
    if both:
        raise BadRules(
            field="excluded_teams", why=f"holds {both[0]}, whose approval is needed", hint="take it out of one"
        )
    whole = {name: int(value) for name, value in filled.items() if isinstance(value, float)}  # 2.0 is an integer there
    return {**filled, **whole, "gates": list(gates.checked(filled["gates"]))}


_SAYS = f"a policy says {', '.join(RULES['properties'])}"
_LARGEST = 2**53  # beyond it the database's numbers are not the ones that were written


def _storable(value: object, field: str) -> None:
    """Refuse what the database could not hold, or would give back as something else."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            text.free_text(field, key, limit=250, lines=False)
            _storable(inner, f"{field}.{key}".removeprefix("."))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            _storable(inner, f"{field}[{place}]")
    elif isinstance(value, str):
        text.free_text(field, value, limit=1000, lines=False)
    elif isinstance(value, int | float):
        if not -_LARGEST <= value <= _LARGEST:  # NaN is neither
            raise BadRules(field=field, why=f"is {value}", hint=f"use a number from -{_LARGEST} to {_LARGEST}")
    elif value is not None:
        raise BadRules(field=field, why=f"is a {type(value).__name__}", hint="use text, numbers, true, false and lists")


def tightened(before: Terms, now: Terms) -> list[str]:
    """In words, what `now` asks that `before` did not; empty when it asks no more.

    A gate that is not the same counts as one that was not there. The lifetime of a request is no matter of strictness.
    """
    return list(_tightened(before, now))


def _tightened(before: Terms, now: Terms) -> Iterator[str]:
    if now.approvals > before.approvals:
        yield f"{now.approvals} approvals instead of {before.approvals}"
    for team in sorted(set(now.teams) - set(before.teams)):
        yield f"an approval by the team {team}"
    for team in sorted(set(now.excluded_teams) - set(before.excluded_teams)):
        yield f"no approval by the team {team}"
    for definition in now.gates:
        if definition not in before.gates:
            yield f"the gate {gates.GATES[definition['gate']].title(definition)}"
    if now.exclusive and not before.exclusive:
        yield "one occupant only"
    if before.bypass and not now.bypass:
        yield "no bypass"
    if now.approval_days and now.approval_days < (before.approval_days or float("inf")):
        yield f"approvals hold for {now.approval_days} days only"


def in_words(terms: Terms, target: str) -> list[str]:
    """What the terms ask of a promotion into `target`, for people, a phrase each."""
    asks = []
    if terms.approvals:
        who = "one reviewer" if terms.approvals == 1 else f"{terms.approvals} reviewers"
        asks.append(f"an approval by {who} who had no part in it")
    asks += [f"an approval by a member of the team {team}" for team in terms.teams]
    asks += [gates.GATES[definition["gate"]].title(definition) for definition in terms.gates]
    if not asks:
        return ["nothing: it is carried out at once"]
    if terms.excluded_teams:
        asks.append(f"no approval by members of {' or '.join(terms.excluded_teams)}")
    if terms.exclusive and not target.startswith(ALIAS_MARK):
        asks.append("one occupant: the version before is archived")
    if terms.approval_days:
        asks.append(f"to be vouched for anew after {terms.approval_days} days")
    if not terms.bypass:
        asks.append("no bypass by an administrator")
    return asks


def differences(before: Terms, now: Terms, target: str) -> tuple[list[str], list[str]]:
    """In words, what `now` says that `before` did not, and what it does not say any more; both empty for the same."""
    then, said = _in_full(before, target), _in_full(now, target)
    return [each for each in said if each not in then], [each for each in then if each not in said]


def _in_full(terms: Terms, target: str) -> list[str]:
    lasting = f"open for {terms.lifetime_days} day{'s' if terms.lifetime_days != 1 else ''}, then it expires"
    return [*in_words(terms, target), lasting]


# --- Which policy -----------------------------------------------------------------------------------------------------

_DIRECT = Terms(name="shipped default, direct", approvals=0, exclusive=False, bypass=True, lifetime_days=30)
_REVIEWED = Terms(name="shipped default, reviewed", approvals=1, exclusive=True, bypass=True, lifetime_days=30)

SHIPPED: dict[str, Terms] = {
    Stage.NONE: _DIRECT,
    Stage.STAGING: _DIRECT,
    Stage.PRODUCTION: _REVIEWED,
    Stage.ARCHIVED: _DIRECT,
}
_FREE_ALIAS = Terms(name="shipped default, free alias", approvals=0, exclusive=True, bypass=True, lifetime_days=30)


_CONFORMING = Terms(name="conformance run, open", approvals=0, exclusive=False, bypass=True, lifetime_days=30)


def shipped(target: str) -> Terms:
    """The terms for `target`, a stage or '@' and an alias, where no policy was written."""
    if settings.VOUCH_CONFORMANCE and target in SHIPPED:
        return _CONFORMING
    return SHIPPED.get(target, _FREE_ALIAS)


@dataclass(frozen=True)
class Scope:
    """Which models something is for: one, those whose name fits a pattern, or (neither) all of the workspace."""

    model: str = ""
    pattern: str = ""  # `*` and `?` as in a shell

    @property
    def rank(self) -> tuple[int, int, int]:
        """The higher, the more specific: a model, then the pattern with most letters of its own, then the workspace."""
        if self.model:
            return (2, 0, 0)
        if not self.pattern:
            return (0, 0, 0)
        wild = sum(self.pattern.count(mark) for mark in "*?")
        return (1, len(self.pattern) - wild, -wild)

    def __str__(self) -> str:
        return f"model {self.model}" if self.model else f"models {self.pattern}" if self.pattern else "all models"


def refuse_bad_scope(scope: Scope, of: str) -> None:
    """Refuse a scope of both kinds, and a pattern that no name can fit; `of` says what it is for. Raises BadScope."""
    if scope.model and scope.pattern:
        why = f"a {of} is for a model or for a pattern, not for both"
        raise BadScope(field="pattern", value=scope.pattern, why=why)
    if scope.pattern and not _PATTERN.fullmatch(scope.pattern):
        why = "use letters, digits, spaces, dots, underscores, hyphens, and '*' and '?' as in a shell"
        raise BadScope(field="pattern", value=scope.pattern, why=why)
