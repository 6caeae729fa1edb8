"""Gates on metrics: a limit, and a comparison with the version that would be replaced."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from registry.gates.frame import (
    CHECK,
    METRIC,
    REPORTED_BY,
    WITH_CHECK,
    Bound,
    Candidate,
    CheckState,
    Definition,
    Facts,
    Gate,
    Outcome,
    Verdict,
    number,
)

# Finite, and so small that no arithmetic of the gates leaves the floats.
_LIMIT = {"type": "number", "minimum": -1e300, "maximum": 1e300}
# What a comparison of floats forgives, as a part of what is compared: 0.35 - 0.05 is not quite 0.3.
_NOISE = 1e-9


def _named(definition: Definition) -> str:
    measured_by = f" as measured by {definition['check']}" if "check" in definition else ""
    return f"{definition['metric']}{measured_by}"


def _value(candidate: Candidate, definition: Definition) -> float | None:
    values: Mapping[str, Any] = candidate.run.metrics if candidate.run else {}
    if "check" in definition:
        check = candidate.check(definition["check"], definition)
        values = check.values if check and check.state == CheckState.PASSED else {}
    value = values.get(definition["metric"])
    if value is None:
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number beyond the floats
        return math.inf if value > 0 else -math.inf


def _inputs(definition: Definition, values: Mapping[str, float | None]) -> dict[str, Any]:
    """Metrics as evidence, in which NaN has no place as a number. What a check measured is none: it comes later."""
    if "check" in definition:
        return {}
    return {name: None if value is None else repr(value) for name, value in values.items()}


# --- metric_threshold -------------------------------------------------------------------------------------------------


def _bound(definition: Definition) -> str:
    if "at_least" in definition:
        return f"at least {number(definition['at_least'])}"
    return f"at most {number(definition['at_most'])}"


def _threshold(definition: Definition, facts: Facts) -> Verdict:
    value, name = _value(facts.candidate, definition), _named(definition)
    inputs = _inputs(definition, {name: value})
    limit = definition.get("at_least", definition.get("at_most"))
    bound = _bounded(definition, float(limit), "at_least" in definition, value)
    if value is None:
        return Verdict(Outcome.UNKNOWN, f"v{facts.candidate.number} has no metric {name}", inputs, bound=bound)
    # NaN is on neither side.
    good = value >= definition["at_least"] if "at_least" in definition else value <= definition["at_most"]
    reason = f"{name} is {number(value)}, {_bound(definition)} is needed"
    return Verdict(Outcome.PASS if good else Outcome.FAIL, reason, inputs, bound=bound)


def _bounded(
    definition: Definition, limit: float, at_least: bool, value: float | None, before: float | None = None
) -> Bound:
    return Bound(definition["metric"], definition.get("check", ""), limit, at_least, value, before)


METRIC_THRESHOLD = Gate(
    about="A metric of the version's run, or one that a check measured, is on the right side of a limit.",
    properties={"metric": METRIC, "check": CHECK, "reported_by": REPORTED_BY, "at_least": _LIMIT, "at_most": _LIMIT},
    required=["metric"],
    one_of=["at_least", "at_most"],
    together=WITH_CHECK,
    title=lambda definition: f"{_named(definition)} {_bound(definition)}",
    judge=_threshold,
    reads=["run", "checks"],
)


# --- not_worse --------------------------------------------------------------------------------------------------------


def _margin(definition: Definition) -> str:
    by = definition.get("by", 0)
    return f"{by * 100:g} %" if definition.get("relative") else number(by)


def _not_worse_title(definition: Definition) -> str:
    by = f" by more than {_margin(definition)}" if definition.get("by") else ""
    return f"{_named(definition)} not worse than before{by}, {definition['direction']} is better"


def _not_worse(definition: Definition, facts: Facts) -> Verdict:
    before, name = facts.incumbent, _named(definition)
    if before is None:
        return Verdict(Outcome.PASS, "there is no version before it to compare with")
    value, former = _value(facts.candidate, definition), _value(before, definition)
    inputs = _inputs(definition, {name: value, f"{name} before": former})
    if value is None or former is None:
        lacks = facts.candidate if value is None else before
        return Verdict(Outcome.UNKNOWN, f"v{lacks.number} has no metric {name} to compare", inputs)
    if math.isnan(former):
        return Verdict(Outcome.UNKNOWN, f"{name} of v{before.number} is not a number, so nothing compares", inputs)
    higher, allowed = definition["direction"] == "higher", _allowed(definition, former)
    bound = _bounded(definition, former - allowed if higher else former + allowed, higher, value, former)
    reason = f"{name} is {number(value)}, that of v{before.number} is {number(former)}"
    if definition.get("by"):
        reason += f", and at most {_margin(definition)} worse is allowed"
    return Verdict(Outcome.PASS if _holds_up(definition, value, former) else Outcome.FAIL, reason, inputs, bound=bound)


def _allowed(definition: Definition, former: float) -> float:
    """By how much it may be worse than the former value."""
    by = definition.get("by", 0)
    return float(by * abs(former) if definition.get("relative") else by)


def _holds_up(definition: Definition, value: float, former: float) -> bool:
    worse_by = former - value if definition["direction"] == "higher" else value - former  # NaN, or both infinite: NaN
    if value == former or worse_by <= 0:
        return True
    if not math.isfinite(worse_by):
        return False
    allowed = _allowed(definition, former)
    # Of the numbers that the rounding happened at: a small margin between large metrics forgives as much as they do.
    return bool(worse_by <= allowed + _NOISE * max(abs(former), allowed))


NOT_WORSE = Gate(
    about="A metric is not worse than that of the version which would be replaced, or by no more than a margin.",
    properties={
        "metric": METRIC,
        "check": CHECK,
        "reported_by": REPORTED_BY,
        "direction": {"enum": ["higher", "lower"], "description": "Which values are better."},
        "by": {"type": "number", "minimum": 0, "maximum": 1e300, "default": 0, "description": "The margin."},
        "relative": {
            "type": "boolean",
            "default": False,
            "description": "The margin is a part of the former value: 0.02 allows 2 % less, of 0 nothing.",
        },
    },
    required=["metric", "direction"],
    together=WITH_CHECK,
    title=_not_worse_title,
    judge=_not_worse,
    reads=["run", "checks"],
)
