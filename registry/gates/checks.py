"""The gate on what jobs outside report."""

from __future__ import annotations

from registry.gates.frame import (
    CHECK,
    REPORTED_BY,
    CheckFacts,
    CheckState,
    Definition,
    Facts,
    Gate,
    Outcome,
    Verdict,
    listed,
)


def _title(definition: Definition) -> str:
    by = f", reported by {' or '.join(definition['reported_by'])}" if "reported_by" in definition else ""
    return f"checks {', '.join(definition['names'])} passed{by}"


def _judge(definition: Definition, facts: Facts) -> Verdict:
    checks = {name: facts.candidate.check(name, definition) for name in definition["names"]}
    lacks = [told for name, check in checks.items() if (told := _lacks(name, check, facts.candidate.checks.get(name)))]
    if not lacks:
        return Verdict(Outcome.PASS, f"passed: {', '.join(definition['names'])}")
    failed = any(check and check.state == CheckState.FAILED for check in checks.values())
    return Verdict(Outcome.FAIL if failed else Outcome.UNKNOWN, "; ".join(lacks))


def _lacks(name: str, check: CheckFacts | None, newest: CheckFacts | None) -> str:
    if newest is None:
        return f"nobody has reported the check {name}"
    if check is None:
        return f"the check {name} was reported by {newest.reporter}, whose word does not count for it"
    if check.state == CheckState.PASSED:
        return ""
    if check.state == CheckState.PENDING:
        return f"the check {name} is still running"
    return f"the check {name} {'has failed' if check.state == CheckState.FAILED else 'was skipped'}" + (
        f": {check.summary}" if check.summary else ""
    )


REQUIRED_CHECKS = Gate(
    about="Checks that jobs outside report have passed; `reported_by` names the accounts whose word counts.",
    properties={"names": listed(CHECK), "reported_by": REPORTED_BY},
    required=["names"],
    title=_title,
    judge=_judge,
    reads=["checks"],
)
