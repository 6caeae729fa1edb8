"""One byte form for each JSON value, so that a digest of it means something."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """`value` as UTF-8 JSON with sorted keys and no spaces; ValueError for NaN and the infinities.

    In the manner of RFC 8785. The values we digest hold text, integers, booleans and null; a float is written as
    Python's shortest round-trip form, which every Python reproduces.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical form, 64 lower-case hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
