"""What schemathesis is told of this API: it meets things that are there, waits briefly, and does not end itself.

A valid request may still be refused for what it means (a page token that nobody gave out); such a refusal must carry
one of the codes below. Any other refusal of a request that fits the schema is a fault of the schema or of the door.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from typing import Any

import schemathesis

# Parameter or field → values that exist, and path parameters that the run itself needs alive.
KNOWN: dict[str, list[Any]] = json.loads(os.environ["VOUCH_FUZZ_KNOWN"])
KEEP: dict[str, list[str]] = json.loads(os.environ["VOUCH_FUZZ_KEEP"])
REFUSED_FOR_THEIR_MEANING = {
    "bad-day",  # one that no calendar has
    "bad-character",  # deceiving or control characters, of which Unicode has more than a pattern can tell
    "bad-email",
    "bad-page-token",
    "bad-path",
    "bad-gate",
    "bad-rules",  # a team that is needed and left out, an exclusive Archived, a number that no double holds
    "bad-scope",
    "bad-target",
    "bad-url",  # a host that is none, an address that is not public
    "no-such-event",  # a number that no event has had yet
    "no-such-owner",
    "no-such-team",
    "not-yet",  # a moment that has not come
    "nothing-to-wait-for",  # a moment in the past
    "bad-source",
    "bad-time",  # the year 0 and leap seconds, which RFC 3339 has and no calendar of ours
    "empty-comment",
    "key-used-for-another",
    "no-files",
    "no-such-reviewer",
    "reason-missing",
    "secret-is-made-here",
    "stale",
    "two-beginnings",
    "untold-verb",
    "weak-password",
    "wrong-digest",
}
_DESTROYS = {("DELETE", "/api/v1/models/{name}"), ("DELETE", "/api/v1/models/{name}/versions/{number}")}
_pick = random.Random(7)


def _is_valid(case: Any) -> bool:
    mode = getattr(getattr(case.meta, "generation", None), "mode", None)
    return mode is not None and mode.name == "POSITIVE"


@schemathesis.hook
def before_call(context: Any, case: Any, **kwargs: Any) -> None:
    """Put something that exists into two of three valid cases, and nothing that the run needs into what ends it."""
    wait = str((case.query or {}).get("wait", ""))
    if wait.isdecimal() and 1 < int(wait) <= 60:
        case.query["wait"] = 1
    where = case.path_parameters or {}
    if case.method.upper() in ("DELETE", "PATCH"):
        for name, values in KEEP.items():
            if str(where.get(name)) in values:
                where[name] = KEEP["instead"][0] if name == "token_id" else "4000000000"
    # A chain of calls follows what it made itself.
    in_chain = case.meta is not None and case.meta.phase.name.name == "STATEFUL"
    if in_chain or not _is_valid(case) or (case.method.upper(), case.path) in _DESTROYS:
        return
    for given in (case.path_parameters, case.query, case.body):
        if isinstance(given, dict):
            for name in given:
                if name in KNOWN and _pick.random() < 2 / 3:
                    given[name] = _pick.choice(KNOWN[name])
    if "/uploads/" in case.path and isinstance(case.body, bytes) and _pick.random() < 2 / 3:
        case.headers["X-Content-SHA256"] = hashlib.sha256(case.body).hexdigest()


@schemathesis.check
def refusals_of_valid_requests_are_about_their_meaning(ctx: Any, response: Any, case: Any) -> None:
    """A valid request is refused for what it means, never for its form."""
    if _is_valid(case) and response.status_code in (400, 412, 413, 415, 422):
        code = response.json()["code"]
        assert code in REFUSED_FOR_THEIR_MEANING, f"{code}: the schema allows it and the door does not"
