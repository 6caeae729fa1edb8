"""Gates on time: how long a version was tried in a stage, and how old its evaluation is."""

from __future__ import annotations

import datetime

from registry.gates.frame import (
    CHECK,
    DAYS,
    REPORTED_BY,
    WITH_CHECK,
    CheckState,
    Definition,
    Facts,
    Gate,
    Outcome,
    Verdict,
    age,
    days,
    span,
)
from registry.lifecycle import Stage

_NOTHING = datetime.timedelta()


# --- soak -------------------------------------------------------------------------------------------------------------


def _needed(definition: Definition) -> datetime.timedelta:
    return datetime.timedelta(hours=definition["hours"])


def _soak(definition: Definition, facts: Facts) -> Verdict:
    """The longest stay counts, at one go: many short ones show no more than each of them does."""
    stage, needed, version = definition["stage"], _needed(definition), facts.candidate
    stays = [stay for stay in version.stays if stay.stage == stage]
    past = max([stay.ended_at - stay.started_at for stay in stays if stay.ended_at], default=_NOTHING)
    current = max([facts.now - stay.started_at for stay in stays if stay.ended_at is None], default=None)
    longest = max(past, current or _NOTHING)
    if longest >= needed:
        return Verdict(Outcome.PASS, f"v{version.number} was in {stage} for {span(longest)}, {span(needed)} are needed")
    if current is not None:
        told = f"v{version.number} is in {stage} for {span(current)} of {span(needed)} so far"
        return Verdict(Outcome.UNKNOWN, told, again_at=facts.now + (needed - current))
    was = f"was in {stage} for {span(past)} at most" if stays else f"was never in {stage}"
    return Verdict(Outcome.FAIL, f"v{version.number} {was}, {span(needed)} at one go are needed")


SOAK = Gate(
    about="The version has been in a stage for so many hours at one go, now or before; several stays do not add up.",
    properties={
        "stage": {"enum": [stage.value for stage in Stage]},
        "hours": {"type": "number", "exclusiveMinimum": 0, "maximum": 8760},
    },
    required=["stage", "hours"],
    title=lambda definition: f"{span(_needed(definition))} in {definition['stage']}",
    judge=_soak,
    reads=["stays"],
)


# --- fresh_evaluation -------------------------------------------------------------------------------------------------


def _fresh_title(definition: Definition) -> str:
    what = f"reported by {definition['check']}" if "check" in definition else "evaluated"
    return f"{what} within {days(definition['days'])}"


def _fresh_evaluation(definition: Definition, facts: Facts) -> Verdict:
    at, told = _by_check(definition, facts) if "check" in definition else _by_run(facts)
    if at is None:
        return Verdict(Outcome.UNKNOWN, told)
    passed = facts.now - at
    if passed < _NOTHING:
        return Verdict(Outcome.UNKNOWN, f"{told} on {at:%Y-%m-%d}, which is yet to come", again_at=at)
    left = datetime.timedelta(days=definition["days"]) - passed
    if left >= _NOTHING:
        return Verdict(Outcome.PASS, f"{told} {age(passed)} ago", again_at=facts.now + left)
    return Verdict(Outcome.FAIL, f"{told} on {at:%Y-%m-%d}, more than {days(definition['days'])} ago")


def _by_run(facts: Facts) -> tuple[datetime.datetime | None, str]:
    run = facts.candidate.run
    if run is None:
        return None, "no run is known here, so nobody can tell when it was evaluated"
    return (run.ended_at, "its run ended") if run.ended_at else (None, "its run still goes on")


def _by_check(definition: Definition, facts: Facts) -> tuple[datetime.datetime | None, str]:
    name = definition["check"]
    check = facts.candidate.check(name, definition)
    if check is None:
        return None, f"nobody whose word counts has reported the check {name}"
    if check.state == CheckState.PENDING:
        return None, f"the check {name} is still running"
    if check.state == CheckState.SKIPPED:
        return None, f"the check {name} was skipped"
    return check.at, f"the check {name} was reported"


FRESH_EVALUATION = Gate(
    about="The version was evaluated not longer ago than that: by the end of its run, or by a check that is named here "
    "(whether it passed or failed).",
    properties={"days": DAYS, "check": CHECK, "reported_by": REPORTED_BY},
    required=["days"],
    together=WITH_CHECK,
    title=_fresh_title,
    judge=_fresh_evaluation,
    reads=["run", "checks"],
)
