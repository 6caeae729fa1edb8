"""Gates on a version's files, and on where it came from.

What lies in files belongs to their digest, which is evidence already: it is no input of a gate, and that somebody looks
into them later makes no approval stale.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from registry.gates.frame import DAYS, Candidate, Definition, Facts, Files, Gate, Outcome, Verdict, age, days, listed

_ELSEWHERE = "its files do not lie here"
_NOT_YET = "nobody has looked into its files yet"


# --- digest -----------------------------------------------------------------------------------------------------------


def _digest_title(definition: Definition) -> str:
    within = f" within {days(definition['within_days'])}" if "within_days" in definition else ""
    return f"files verified against their digest{within}"


def _digest(definition: Definition, facts: Facts) -> Verdict:
    files = facts.candidate.files
    if files is None:
        return Verdict(Outcome.FAIL, f"{_ELSEWHERE}, so nobody can tell whether they stay the same")
    if files.damage:
        return Verdict(Outcome.FAIL, f"its files are damaged: {files.damage}")
    if files.verified_at is None:
        return Verdict(Outcome.UNKNOWN, f"{files.digest[:12]} was never verified")
    passed = facts.now - files.verified_at
    if "within_days" not in definition:
        return Verdict(Outcome.PASS, f"{files.digest[:12]} was verified {age(passed)} ago")
    left = datetime.timedelta(days=definition["within_days"]) - passed
    if left >= datetime.timedelta():
        return Verdict(Outcome.PASS, f"{files.digest[:12]} was verified {age(passed)} ago", again_at=facts.now + left)
    told = f"{files.digest[:12]} was last verified on {files.verified_at:%Y-%m-%d}"
    return Verdict(Outcome.UNKNOWN, f"{told}, more than {days(definition['within_days'])} ago")


DIGEST = Gate(
    about="The version's files lie here and their bytes are those that were frozen, as somebody compared; "
    "`within_days`: not longer ago than that.",
    properties={"within_days": DAYS},
    required=[],
    title=_digest_title,
    judge=_digest,
    reads=[],
)


# --- signature --------------------------------------------------------------------------------------------------------


def _not_seen(files: Files | None) -> Verdict | None:
    """The verdict where nobody knows what lies in the files; None when it is known."""
    if files is None:
        return Verdict(Outcome.FAIL, f"{_ELSEWHERE}, so nobody can look into them")
    if files.contents is None and files.damage:
        return Verdict(Outcome.FAIL, f"its files are damaged: {files.damage}")
    return Verdict(Outcome.UNKNOWN, _NOT_YET) if files.contents is None else None


def _signature_title(definition: Definition) -> str:
    return "a model signature" + (" and an input example" if definition.get("input_example") else "")


def _signature(definition: Definition, facts: Facts) -> Verdict:
    files = facts.candidate.files
    if unseen := _not_seen(files):
        return unseen
    seen = (files.contents if files else None) or {}
    if problem := seen.get("problem"):
        return Verdict(Outcome.FAIL, str(problem))
    if not seen.get("mlmodel"):
        return Verdict(Outcome.FAIL, "there is no MLmodel file, which holds the signature")
    if not seen.get("mlmodel_read"):
        return Verdict(Outcome.UNKNOWN, f"{seen['mlmodel']} could not be read")
    sides = [side for side in ("inputs", "outputs") if seen.get(f"signature_{side}")]
    if not sides:
        return Verdict(Outcome.FAIL, f"{seen['mlmodel']} says neither what goes in nor what comes out")
    told = f"{seen['mlmodel']} names {' and '.join(sides)}"
    if not definition.get("input_example"):
        return Verdict(Outcome.PASS, told)
    if not seen.get("input_example"):
        return Verdict(Outcome.FAIL, f"{seen['mlmodel']} names no input example")
    return Verdict(Outcome.PASS, f"{told}, an example is {seen['input_example']}")


SIGNATURE = Gate(
    about="The MLmodel file among the version's files holds a signature; with `input_example` an example as well.",
    properties={"input_example": {"type": "boolean", "default": False}},
    required=[],
    title=_signature_title,
    judge=_signature,
    reads=[],
)


# --- lineage ----------------------------------------------------------------------------------------------------------


def _lineage_title(definition: Definition) -> str:
    return f"it is known where it came from: {', '.join(_asked(definition))}"


def _asked(definition: Definition) -> list[str]:
    """What must be known, in the order of the table."""
    return [part for part in _PARTS if part in definition.get("of", _PARTS)]


def _lineage(definition: Definition, facts: Facts) -> Verdict:
    found = [_PARTS[part](facts.candidate) for part in _asked(definition)]
    lacks = [verdict for verdict in found if verdict.outcome != Outcome.PASS]
    outcomes = {verdict.outcome for verdict in found}
    worst = next(outcome for outcome in (Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS) if outcome in outcomes)
    inputs = {name: value for verdict in found for name, value in verdict.inputs.items()}
    return Verdict(worst, "; ".join(verdict.reason for verdict in lacks or found), inputs)


def _answer(good: bool, yes: str, no: str, **inputs: Any) -> Verdict:
    return Verdict(Outcome.PASS if good else Outcome.FAIL, yes if good else no, inputs)


def _run(version: Candidate) -> Verdict:
    known = version.run is not None
    return _answer(known, "its run is known", "no run is known here", run="known" if known else None)


def _commit(version: Candidate) -> Verdict:
    commit = version.run.commit if version.run else ""
    return _answer(bool(commit), f"made by commit {commit[:12]}", "its run names no code commit", commit=commit or None)


def _dataset(version: Candidate) -> Verdict:
    datasets = version.run.datasets if version.run else ()
    read = f"its run read {len(datasets)} data set{'s' if len(datasets) > 1 else ''}"
    return _answer(bool(datasets), read, "its run names no data set", datasets="; ".join(sorted(datasets)) or None)


def _environment(version: Candidate) -> Verdict:
    if unseen := _not_seen(version.files):
        return unseen
    named = list(((version.files.contents if version.files else None) or {}).get("environment", ()))
    lacks = "no file among its files says what it runs in, such as requirements.txt"
    return _answer(bool(named), f"it runs in what {', '.join(map(str, named[:3]))} says", lacks)


_PARTS: dict[str, Callable[[Candidate], Verdict]] = {
    "run": _run,
    "commit": _commit,
    "dataset": _dataset,
    "environment": _environment,
}

LINEAGE = Gate(
    about="It is known where the version came from: its run, the commit of the code, a data set that the run read, and "
    "a file that says which packages it runs with. `of` names some of these.",
    properties={"of": listed({"enum": list(_PARTS)})},
    required=[],
    title=_lineage_title,
    judge=_lineage,
    reads=["run"],
)
