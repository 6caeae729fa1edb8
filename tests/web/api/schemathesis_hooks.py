"""What schemathesis is told of this API: it meets things that are there, and waits briefly.

A valid request may still be refused for what it means (a page token that nobody gave out); such a refusal must carry
one of the codes below. Any other refusal of a request that fits the schema is a fault of the schema or of the door.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

import schemathesis

KNOWN: dict[str, list[str]] = json.loads(os.environ["VOUCH_FUZZ_KNOWN"])
REFUSED_FOR_THEIR_MEANING = {
    "bad-character",  # deceiving or control characters, of which Unicode has more than a pattern can tell
    "bad-email",
    "bad-page-token",
    "bad-path",
    "bad-reference",
    "bad-source",
    "key-used-for-another",
    "no-files",
    "reason-missing",
    "scope-missing",
    "stale",
    "weak-password",
    "wrong-digest",
    "wrong-length",
}
# Not with these: the rest of the run needs them.
_DESTROYS = {("DELETE", "/api/v1/models/{name}"), ("DELETE", "/api/v1/models/{name}/versions/{number}")}
_pick = random.Random(7)


@schemathesis.hook
def before_call(context: Any, case: Any, **kwargs: Any) -> None:
    """Put something that exists into two of three valid cases."""
    if (case.query or {}).get("wait") is not None and str(case.query["wait"]).isdecimal():
        case.query["wait"] = min(int(case.query["wait"]), 1) if int(case.query["wait"]) <= 60 else case.query["wait"]
    mode = getattr(getattr(case.meta, "generation", None), "mode", None)
    if mode is None or mode.name != "POSITIVE" or (case.method.upper(), case.path) in _DESTROYS:
        return
    for where in (case.path_parameters, case.query, case.body):
        if isinstance(where, dict):
            for name in where:
                if name in KNOWN and _pick.random() < 2 / 3:
                    where[name] = _pick.choice(KNOWN[name])


@schemathesis.check
def refusals_of_valid_requests_are_about_their_meaning(ctx: Any, response: Any, case: Any) -> None:
    """A valid request is refused for what it means, never for its form."""
    mode = getattr(getattr(case.meta, "generation", None), "mode", None)
    if mode is None or mode.name != "POSITIVE" or response.status_code not in (400, 412, 413, 415, 422):
        return
    code = response.json()["code"]
    assert code in REFUSED_FOR_THEIR_MEANING, f"{code}: the schema allows it and the door does not"
