"""Identifiers that sort by the time they were made."""

from __future__ import annotations

import datetime
import secrets
import time
import uuid

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def uuid7() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | secrets.randbits(80)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return uuid.UUID(int=value)


def first_at(moment: datetime.datetime) -> uuid.UUID:
    """What no id of `uuid7` made at that time (aware) or later is below: a bound for a list that is ordered by them."""
    milliseconds = (moment - _EPOCH) // datetime.timedelta(milliseconds=1)
    return uuid.UUID(int=max(milliseconds, 0) << 80)
