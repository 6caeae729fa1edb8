"""What gates look at and what they answer: the frame that every gate fits into. Pure Python."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

# As it is written in a policy: {"gate": "metric_threshold", "metric": "auc", "at_least": 0.9}.
Definition: TypeAlias = Mapping[str, Any]


# --- What gates look at -----------------------------------------------------------------------------------------------


class CheckState(StrEnum):
    """What a job outside reports of a check."""

    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class CheckFacts:
    """The newest report of a check. `values` are what it measured, by name; `others` each other account's newest."""

    state: CheckState
    reporter: str  # username
    at: datetime.datetime
    summary: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    others: tuple[CheckFacts, ...] = ()


@dataclass(frozen=True)
class RunFacts:
    """The run that a version came from. `ended_at` is None while it goes on."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    ended_at: datetime.datetime | None = None
    commit: str = ""
    datasets: tuple[str, ...] = ()  # names, each with its digest


@dataclass(frozen=True)
class Files:
    """What is known of a version's frozen files. `contents` as `lineage.inspection` writes it, None when not yet."""

    digest: str
    verified_at: datetime.datetime | None = None
    damage: str = ""
    contents: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Stay:
    """A stretch of time in a stage; `ended_at` is None while it lasts."""

    stage: str
    started_at: datetime.datetime
    ended_at: datetime.datetime | None


@dataclass(frozen=True)
class Candidate:
    """A version as gates see it. `files` is None when its bytes lie elsewhere, `run` when none is known here."""

    number: int
    description: str = ""
    model_description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Files | None = None
    run: RunFacts | None = None
    checks: Mapping[str, CheckFacts] = field(default_factory=dict)
    stays: tuple[Stay, ...] = ()

    def check(self, name: str, definition: Definition) -> CheckFacts | None:
        """The newest report of the check `name` by an account whose word counts for the gate so defined."""
        newest = self.checks.get(name)
        if newest is None or "reported_by" not in definition:
            return newest
        return next((each for each in (newest, *newest.others) if each.reporter in definition["reported_by"]), None)


@dataclass(frozen=True)
class Facts:
    """The candidate, the version that it would replace, or that was there last (None: none ever), and the time."""

    candidate: Candidate
    incumbent: Candidate | None
    now: datetime.datetime


# --- What they answer -------------------------------------------------------------------------------------------------


class Outcome(StrEnum):
    """UNKNOWN holds a promotion as FAIL does: what is not known was not vouched for."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Bound:
    """The limit that a gate held a metric to: of the run, or of a check where `check` names one. For pages."""

    metric: str
    check: str
    limit: float
    at_least: bool  # the other side is `at most`
    value: float | None  # of the candidate
    before: float | None  # of the version that it was compared with, where it was


@dataclass(frozen=True)
class Verdict:
    """What a gate says.

    `inputs` is what it read of the things that a reviewer vouches for: they belong to the evidence, so an approval ends
    to count when they change. Checks and times are no such inputs: they come and go after the approval.
    `again_at` is when the answer may become another one by itself. `bound` is there where a metric was held to a limit.
    """

    outcome: Outcome
    reason: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    again_at: datetime.datetime | None = None
    bound: Bound | None = None


@dataclass(frozen=True)
class Judged:
    """A gate of a policy with its verdict; `title` says in words what it asks, the same at every moment."""

    gate: str
    title: str
    verdict: Verdict

    @property
    def passed(self) -> bool:
        return self.verdict.outcome == Outcome.PASS


@dataclass(frozen=True)
class Gate:
    """A type of gate: what its definition may hold besides `gate`, what it asks in words, and the judgement."""

    about: str
    properties: Mapping[str, Any]  # JSON Schemas, by name
    required: Sequence[str]
    title: Callable[[Definition], str]
    judge: Callable[[Definition, Facts], Verdict]
    # Of a version's run, tags, checks and stays: what it looks at. The others are not fetched for it.
    reads: Sequence[str]
    one_of: Sequence[str] = ()  # exactly one of these must be there
    any_of: Sequence[str] = ()  # at least one of these
    together: Mapping[str, Sequence[str]] = field(default_factory=dict)  # what makes sense with others alone

    def schema(self, name: str) -> dict[str, Any]:
        """The JSON Schema of a definition of this type."""
        schema: dict[str, Any] = {
            "type": "object",
            "description": self.about,
            "properties": {"gate": {"const": name}, **self.properties},
            "required": ["gate", *self.required],
            "additionalProperties": False,
        }
        if self.one_of:
            schema["oneOf"] = [{"required": [one]} for one in self.one_of]
        if self.any_of:
            schema["anyOf"] = [{"required": [one]} for one in self.any_of]
        if self.together:
            schema["dependentRequired"] = {name: list(others) for name, others in self.together.items()}
        return schema


# --- Schemas that several gates use -----------------------------------------------------------------------------------

METRIC = {"type": "string", "minLength": 1, "maxLength": 250}
CHECK = {"type": "string", "minLength": 1, "maxLength": 100}
WITH_CHECK = {"reported_by": ["check"]}
DAYS = {"type": "integer", "minimum": 1, "maximum": 3650}


def listed(items: Mapping[str, Any], *, limit: int = 50) -> dict[str, Any]:
    """The schema of a list of such items: at least one, none twice."""
    return {"type": "array", "items": items, "minItems": 1, "maxItems": limit, "uniqueItems": True}


REPORTED_BY = {
    **listed({"type": "string", "minLength": 1, "maxLength": 150}),
    "description": "The accounts whose reports count; everybody's when it is not given.",
}


# --- Words that several gates use -------------------------------------------------------------------------------------


def number(value: float) -> str:
    """A number as a person reads it, never rounded to another one: a limit must not look as if it were met."""
    short = f"{value:g}"
    return short if float(short) == value or value != value else repr(value)


def span(time: datetime.timedelta) -> str:
    """A length of time in hours and minutes, rounded down: '3 h 20 min'."""
    minutes = max(0, int(time.total_seconds() // 60))
    told = [f"{minutes // 60} h" if minutes >= 60 else "", f"{minutes % 60} min" if minutes % 60 else ""]
    return " ".join(word for word in told if word) or "less than a minute"


def age(time: datetime.timedelta) -> str:
    """How long ago something was: '12 days', and below two days in hours and minutes."""
    return f"{time.days} days" if time.days >= 2 else span(time)


def days(count: int) -> str:
    """A number of days: '1 day', '7 days'."""
    return f"{count:g} day" + ("s" if count != 1 else "")
