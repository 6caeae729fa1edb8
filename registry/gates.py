"""Gates: the rules of a policy that judge the evidence, each answering with a reason. Pure Python, no database.

A gate is one function, one JSON Schema of its definition and one row of GATES.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from jsonschema import Draft202012Validator

from registry.errors import BadGate

LIMIT = 30  # gates of one policy

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
    """The newest report of a check. `values` are what it measured, by name."""

    state: CheckState
    reporter: str  # username
    at: datetime.datetime
    summary: str = ""
    values: Mapping[str, float] = field(default_factory=dict)


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


@dataclass(frozen=True)
class Facts:
    """The candidate, the version that it would replace (None: nothing) and the time."""

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
class Verdict:
    """What a gate says.

    `inputs` is what it read of the things that a reviewer vouches for: they belong to the evidence, so an approval ends
    to count when they change. Checks and times are no such inputs: they come and go after the approval.
    `again_at` is when the answer may become another one by itself.
    """

    outcome: Outcome
    reason: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    again_at: datetime.datetime | None = None


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
    one_of: Sequence[str] = ()  # exactly one of these must be there

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
            schema["oneOf"] = [{"required": [name]} for name in self.one_of]
        return schema


# --- The gates --------------------------------------------------------------------------------------------------------

_METRIC = {"type": "string", "minLength": 1, "maxLength": 250}
_CHECK = {"type": "string", "minLength": 1, "maxLength": 100}
_NUMBER = {"type": "number"}


def _metric_title(definition: Definition) -> str:
    bound = "at least" if "at_least" in definition else "at most"
    return f"{_metric_name(definition)} {bound} {_limit(definition):g}"


def _metric_name(definition: Definition) -> str:
    measured_by = f" as measured by {definition['check']}" if "check" in definition else ""
    return f"{definition['metric']}{measured_by}"


def _limit(definition: Definition) -> float:
    return float(definition["at_least"] if "at_least" in definition else definition["at_most"])


def _metric_of(candidate: Candidate, definition: Definition) -> float | None:
    if "check" in definition:
        check = candidate.checks.get(definition["check"])
        return check.values.get(definition["metric"]) if check else None
    return candidate.run.metrics.get(definition["metric"]) if candidate.run else None


def _metric_threshold(definition: Definition, facts: Facts) -> Verdict:
    value = _metric_of(facts.candidate, definition)
    name = _metric_name(definition)
    if value is None:
        return Verdict(Outcome.UNKNOWN, f"v{facts.candidate.number} has no metric {name}", {name: None})
    limit = _limit(definition)
    good = value >= limit if "at_least" in definition else value <= limit  # NaN is neither
    word = "at least" if "at_least" in definition else "at most"
    reason = f"{name} is {value:g}, {word} {limit:g} is needed"
    return Verdict(Outcome.PASS if good else Outcome.FAIL, reason, {name: repr(value)})


def _checks_title(definition: Definition) -> str:
    by = f", reported by {' or '.join(definition['by'])}" if "by" in definition else ""
    return f"checks {', '.join(definition['names'])} passed{by}"


def _required_checks(definition: Definition, facts: Facts) -> Verdict:
    lacks = [told for name in definition["names"] if (told := _check_lacks(definition, name, facts))]
    if not lacks:
        return Verdict(Outcome.PASS, f"passed: {', '.join(definition['names'])}")
    failed = any(
        check.state == CheckState.FAILED
        for name in definition["names"]
        if (check := facts.candidate.checks.get(name)) is not None
    )
    return Verdict(Outcome.FAIL if failed else Outcome.UNKNOWN, "; ".join(lacks))


def _check_lacks(definition: Definition, name: str, facts: Facts) -> str:
    check = facts.candidate.checks.get(name)
    if check is None:
        return f"nobody has reported the check {name}"
    if "by" in definition and check.reporter not in definition["by"]:
        return f"the check {name} was reported by {check.reporter}, whose word does not count for it"
    if check.state == CheckState.PASSED:
        return ""
    if check.state == CheckState.PENDING:
        return f"the check {name} is still running"
    return f"the check {name} {'has failed' if check.state == CheckState.FAILED else 'was skipped'}" + (
        f": {check.summary}" if check.summary else ""
    )


GATES: dict[str, Gate] = {
    "metric_threshold": Gate(
        about="A metric of the version's run, or one that a check measured, is on the right side of a limit.",
        properties={"metric": _METRIC, "check": _CHECK, "at_least": _NUMBER, "at_most": _NUMBER},
        required=["metric"],
        one_of=["at_least", "at_most"],
        title=_metric_title,
        judge=_metric_threshold,
    ),
    "required_checks": Gate(
        about="Checks that jobs outside report have passed; `by` names the accounts whose word counts.",
        properties={
            "names": {"type": "array", "items": _CHECK, "minItems": 1, "maxItems": 50, "uniqueItems": True},
            "by": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 150},
                "minItems": 1,
                "maxItems": 50,
                "uniqueItems": True,
            },
        },
        required=["names"],
        title=_checks_title,
        judge=_required_checks,
    ),
}


# --- Judging, and refusing what cannot be judged ----------------------------------------------------------------------


def judge(definitions: Sequence[Definition], facts: Facts) -> tuple[Judged, ...]:
    """Each gate with its verdict, in the order of the policy."""
    return tuple(_judged(definition, facts) for definition in definitions)


def _judged(definition: Definition, facts: Facts) -> Judged:
    gate = GATES[definition["gate"]]
    return Judged(definition["gate"], gate.title(definition), gate.judge(definition, facts))


def checked(definitions: object, *, field: str = "gates") -> tuple[dict[str, Any], ...]:
    """`definitions` as they may stand in a policy; BadGate naming the field, such as `gates[1].at_least`."""
    if not isinstance(definitions, list | tuple):
        raise BadGate(field=field, why="is not a list", hint="give a list of gates")
    if len(definitions) > LIMIT:
        raise BadGate(field=field, why=f"holds {len(definitions)} gates", hint=f"at most {LIMIT} fit into a policy")
    return tuple(_checked(definition, f"{field}[{place}]") for place, definition in enumerate(definitions))


def _checked(definition: object, field: str) -> dict[str, Any]:
    if not isinstance(definition, Mapping):
        raise BadGate(field=field, why="is not an object", hint="write it like {'gate': 'metric_threshold', …}")
    name = definition.get("gate")
    if not isinstance(name, str) or name not in GATES:
        raise BadGate(field=f"{field}.gate", why=f"{name!r} is not a gate", hint=f"use one of {', '.join(GATES)}")
    errors = sorted(Draft202012Validator(GATES[name].schema(name)).iter_errors(definition), key=lambda e: list(e.path))
    for error in errors:
        raise BadGate(field=path_of(field, error.absolute_path), why=_told(name, error), hint=_takes(name))
    return dict(definition)


def path_of(field: str, path: Any) -> str:
    """The name of what lies at `path` below `field`, such as `gates[1].at_least`."""
    return field + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _told(name: str, error: Any) -> str:
    if error.validator == "oneOf":
        return f"needs exactly one of {', '.join(GATES[name].one_of)}"
    return str(error.message)


def _takes(name: str) -> str:
    gate = GATES[name]
    needs = f" and needs {', '.join(gate.required)}" if gate.required else ""
    return f"{name} takes {', '.join(gate.properties)}{needs}" if gate.properties else f"{name} takes nothing else"
