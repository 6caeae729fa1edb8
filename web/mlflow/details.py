"""What a refusal says besides its message, in the types of google.rpc, which Databricks' SDK reads.

On the routes that both wires share it cannot be known which client asks; MLflow's ignore what they do not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings

from core.errors import Invalid, Refusal
from registry.errors import ReviewNeeded
from registry.gates import Judged

_DOMAIN = "vouch"
_TYPES = "type.googleapis.com/google.rpc."


def details(refusal: Refusal) -> Iterator[dict[str, Any]]:
    """ErrorInfo always; then what is missing, the field at fault and the page to go on, where there are such."""
    approvals: Sequence[str] = refusal.context.get("approvals", ())
    gates: Sequence[Judged] = refusal.context.get("gates", ())
    yield _typed("ErrorInfo", reason=_reason(refusal), domain=_DOMAIN, metadata=_metadata(refusal, gates))
    if violations := [*(_approval(words) for words in approvals), *(_gate(judged) for judged in gates)]:
        yield _typed("PreconditionFailure", violations=violations)
    if isinstance(refusal, Invalid) and refusal.at_field:
        violation = {"field": refusal.at_field, "description": refusal.message}
        yield _typed("BadRequest", field_violations=[violation])
    if refusal.link:
        link = {"description": "The promotion", "url": settings.VOUCH_URL + refusal.link}
        yield _typed("Help", links=[link])


def _typed(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": _TYPES + kind, **fields}


def _reason(refusal: Refusal) -> str:
    """In capitals. A gate is told before an approval: somebody has to mend something, not only to wait."""
    if isinstance(refusal, ReviewNeeded):
        return "GATE_FAILED" if refusal.context["gates"] else "APPROVAL_MISSING"
    return refusal.code.replace("-", "_").upper()


def _metadata(refusal: Refusal, gates: Sequence[Judged]) -> dict[str, str]:
    found = {name: str(refusal.context[name]) for name in ("promotion", "page") if name in refusal.context}
    return found | ({"gates": "; ".join(judged.title for judged in gates)} if gates else {})


def _approval(words: str) -> dict[str, str]:
    return {"type": "APPROVAL", "subject": "approval", "description": words}


def _gate(judged: Judged) -> dict[str, str]:
    return {"type": "GATE", "subject": judged.title, "description": judged.verdict.reason}
