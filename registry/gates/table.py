"""The table of gates, and judging by it. Another type of gate is one function, one schema and one row here."""

from __future__ import annotations

from collections.abc import Sequence

from registry.gates.checks import REQUIRED_CHECKS
from registry.gates.files import DIGEST, LINEAGE, SIGNATURE
from registry.gates.frame import Definition, Facts, Gate, Judged
from registry.gates.metrics import METRIC_THRESHOLD, NOT_WORSE
from registry.gates.times import FRESH_EVALUATION, SOAK
from registry.gates.words import DESCRIPTION, REQUIRED_TAGS

GATES: dict[str, Gate] = {
    "metric_threshold": METRIC_THRESHOLD,
    "not_worse": NOT_WORSE,
    "required_tags": REQUIRED_TAGS,
    "description": DESCRIPTION,
    "required_checks": REQUIRED_CHECKS,
    "digest": DIGEST,
    "signature": SIGNATURE,
    "lineage": LINEAGE,
    "soak": SOAK,
    "fresh_evaluation": FRESH_EVALUATION,
}


def judge(definitions: Sequence[Definition], facts: Facts) -> tuple[Judged, ...]:
    """Each gate with its verdict, in the order of the policy."""
    return tuple(_judged(definition, facts) for definition in definitions)


def _judged(definition: Definition, facts: Facts) -> Judged:
    gate = GATES[definition["gate"]]
    return Judged(definition["gate"], gate.title(definition), gate.judge(definition, facts))
