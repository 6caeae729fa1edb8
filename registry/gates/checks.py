"""The gate on what jobs outside report."""

from __future__ import annotations

from registry.gates.frame import CHECK, CheckFacts, CheckState, Definition, Facts, Gate, Outcome, Verdict, listed


def _title(definition: Definition) -> str:
    by = f", reported by {' or '.join(definition['by'])}" if "by" in definition else ""
    return f"checks {', '.join(definition['names'])} passed{by}"


def _judge(definition: Definition, facts: Facts) -> Verdict:
    checks = {name: facts.candidate.checks.get(name) for name in definition["names"]}
    lacks = [told for name, check in checks.items() if (told := _lacks(definition, name, check))]
    if not lacks:
        return Verdict(Outcome.PASS, f"passed: {', '.join(definition['names'])}")
    failed = any(check and _counts(definition, check) and check.state == CheckState.FAILED for check in checks.values())
    return Verdict(Outcome.FAIL if failed else Outcome.UNKNOWN, "; ".join(lacks))


def _counts(definition: Definition, check: CheckFacts) -> bool:
    return "by" not in definition or check.reporter in definition["by"]


def _lacks(definition: Definition, name: str, check: CheckFacts | None) -> str:
    if check is None:
        return f"nobody has reported the check {name}"
    if not _counts(definition, check):
        return f"the check {name} was reported by {check.reporter}, whose word does not count for it"
    if check.state == CheckState.PASSED:
        return ""
    if check.state == CheckState.PENDING:
        return f"the check {name} is still running"
    return f"the check {name} {'has failed' if check.state == CheckState.FAILED else 'was skipped'}" + (
        f": {check.summary}" if check.summary else ""
    )


REQUIRED_CHECKS = Gate(
    about="Checks that jobs outside report have passed; `by` names the accounts whose word counts.",
    properties={"names": listed(CHECK), "by": listed({"type": "string", "minLength": 1, "maxLength": 150})},
    required=["names"],
    title=_title,
    judge=_judge,
)
