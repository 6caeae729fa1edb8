"""Moments and days as they come from outside."""

from __future__ import annotations

import datetime
import re

from django.utils import timezone

from core.errors import Invalid

# RFC 3339, section 5.6: with a zone always, since a time without one is a different moment for each reader.
_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d{1,30}))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class BadMoment(Invalid):
    """{field} {value!r} is not a time with a zone: write it as 2026-07-01T12:00:00Z or 2026-07-01T14:00:00+02:00
    (RFC 3339; in a URL the + is written %2B)."""


class BadDay(Invalid):
    """{field} {value!r} is neither a day, such as 2026-07-01, nor a time with a zone, such as 2026-07-01T12:00:00Z or
    2026-07-01T14:00:00+02:00 (RFC 3339; in a URL the + is written %2B)."""


class NoDay(Invalid):
    """{field} {value!r} is not a day: write it as 2026-07-01."""


class NotYet(Invalid):
    """{field} {value!r} has not come yet: here it is {now} now. Leave {field} out to ask for the present."""


def moment(field: str, value: str) -> datetime.datetime:
    """`value`, RFC 3339 with a zone, in UTC; BadMoment.

    What is finer than a microsecond is cut off, as no time is kept to more than that.
    """
    found = _read(value)
    if found is None:
        raise BadMoment(field=field, value=value)
    return found


def past(field: str, value: str) -> datetime.datetime:
    """A `moment` that is not in the future; BadMoment, NotYet."""
    found, now = moment(field, value), timezone.now()
    if found > now:
        raise NotYet(field=field, value=value, now=f"{now:%Y-%m-%dT%H:%M:%SZ}")
    return found


def span(field: str, value: str) -> tuple[datetime.datetime, datetime.datetime]:
    """First and last moment of `value`: of a day in UTC, or twice the same for a time; BadDay.

    The last moment of a day is its last microsecond.
    """
    first = _read_day(value)
    if first:
        return first, first.replace(hour=23, minute=59, second=59, microsecond=999_999)
    found = _read(value)
    if found is None:
        raise BadDay(field=field, value=value)
    return found, found


def past_day(field: str, value: str) -> tuple[datetime.datetime, datetime.datetime]:
    """First and last moment, in UTC, of a day that has begun; NoDay, NotYet."""
    first, now = _read_day(value), timezone.now()
    if first is None:
        raise NoDay(field=field, value=value)
    if first > now:
        raise NotYet(field=field, value=value, now=f"{now:%Y-%m-%d, %H:%M} UTC")
    return first, first.replace(hour=23, minute=59, second=59, microsecond=999_999)


def _read_day(value: str) -> datetime.datetime | None:
    if not _DAY.fullmatch(value):
        return None
    try:
        return datetime.datetime.fromisoformat(value).replace(tzinfo=datetime.UTC)
    except ValueError:
        return None


def _read(value: str) -> datetime.datetime | None:
    parts = _MOMENT.fullmatch(value)
    if parts is None:
        return None
    day, time, fraction, zone = parts.groups()
    zone = "+00:00" if zone in "Zz" else zone
    try:
        whole = datetime.datetime.fromisoformat(f"{day}T{time}.{(fraction or '')[:6]:0<6}{zone}")
        return whole.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return None
