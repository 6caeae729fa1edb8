"""Gates: the rules of a policy that judge the evidence, each answering with a reason. Pure Python, no database."""

from registry.gates.definitions import LIMIT, checked, path_of
from registry.gates.frame import (
    Bound,
    Candidate,
    CheckFacts,
    CheckState,
    Definition,
    Facts,
    Files,
    Gate,
    Judged,
    Outcome,
    RunFacts,
    Stay,
    Verdict,
)
from registry.gates.table import GATES, judge

__all__ = [
    "GATES",
    "LIMIT",
    "Bound",
    "Candidate",
    "CheckFacts",
    "CheckState",
    "Definition",
    "Facts",
    "Files",
    "Gate",
    "Judged",
    "Outcome",
    "RunFacts",
    "Stay",
    "Verdict",
    "checked",
    "judge",
    "path_of",
]
