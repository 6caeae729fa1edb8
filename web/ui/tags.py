"""How pages write times, sizes, numbers and digests. Built into every template."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from typing import Any

from django import template
from django.conf import settings
from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils import timezone
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from registry.gates import Bound, Judged
from registry.mentions import marked
from registry.models import Comment
from web.ui import bullets, role_words
from web.ui.appearance import CHOICES, chosen

register = template.Library()

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_STEPS = ((3600, 60, "min"), (86_400, 3600, "h"), (30 * 86_400, 86_400, "day"))


@register.simple_tag
def conformance() -> bool:
    """Whether this is a conformance run, which every page tells."""
    return bool(settings.VOUCH_CONFORMANCE)


@register.simple_tag(takes_context=True)
def appearance(context: template.Context) -> str:
    """`light`, `dark`, or nothing: as the person's system has it."""
    return chosen(context.get("request"))


@register.simple_tag
def appearances() -> list[tuple[str, str]]:
    """What can be chosen: value and words."""
    return list(CHOICES.items())


@register.filter
def when(moment: datetime.datetime | None) -> SafeString | str:
    """How long ago, or the day when that was more than a month; the exact time in UTC as its title."""
    if moment is None:
        return "never"
    moment = moment.astimezone(datetime.UTC)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        f"{moment.day} {moment:%B %Y, %H:%M:%S} UTC",
        _relative(moment),
    )


@register.filter
def since(moment: datetime.datetime) -> SafeString:
    """For how long something lasts already; since when exactly as its title."""
    moment = moment.astimezone(datetime.UTC)
    lasts = timezone.now() - moment
    return format_html(
        '<time datetime="{}" title="since {}">{}</time>',
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        f"{moment.day} {moment:%B %Y, %H:%M:%S} UTC",
        lasting(max(lasts, datetime.timedelta())) if lasts < datetime.timedelta(days=2) else f"{lasts.days:,} days",
    )


@register.filter
def exactly(moment: datetime.datetime | None) -> SafeString | str:
    """The time to the minute, in UTC."""
    if moment is None:
        return "never"
    moment = moment.astimezone(datetime.UTC)
    return format_html(
        '<time datetime="{}">{}</time>',
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        f"{moment.day} {moment:%b %Y, %H:%M} UTC",
    )


@register.filter
def lasting(length: datetime.timedelta) -> str:
    """How long something lasted, in its two largest units."""
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days:,} day{'s' if days > 1 else ''}{f' {hours} h' if hours else ''}"
    if hours:
        return f"{hours} h{f' {minutes} min' if minutes else ''}"
    return f"{minutes} min" if minutes else f"{seconds} s"


@register.filter
def when_ms(milliseconds: int | None) -> SafeString | str:
    """The same for milliseconds since 1970, which a client may have made up."""
    if milliseconds is None:
        return "never"
    try:
        return when(datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC))
    except (OverflowError, ValueError, OSError):
        return f"{milliseconds} ms after 1970"


@register.filter
def took(run: object) -> str:
    """How long a run took, by its own clock; empty while it has not ended."""
    started, ended = getattr(run, "started_ms", None), getattr(run, "ended_ms", None)
    if started is None or ended is None or ended < started:
        return ""
    seconds = (ended - started) / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _relative(moment: datetime.datetime) -> str:
    seconds = (timezone.now() - moment).total_seconds()
    past, away = seconds >= 0, abs(seconds)
    if away < 60:
        return "just now" if past else "in a moment"
    for below, unit, name in _STEPS:
        if away < below:
            count = int(away // unit)
            said = f"{count} {name}{'s' if name == 'day' and count > 1 else ''}"
            return f"{said} ago" if past else f"in {said}"
    return f"{moment.day} {moment:%b %Y}"


@register.filter
def size(count: int | None) -> SafeString | str:
    """A number of bytes, in the decimal unit that leaves one to three digits; all of them as its title."""
    if count is None:
        return "–"
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    said = f"{value:.0f}" if unit == 0 or value >= 99.5 else f"{value:.1f}"
    return format_html('<span class="nowrap" title="{} bytes">{} {}</span>', intcomma(count), said, _UNITS[unit])


@register.filter
def number(value: float | None) -> SafeString | str:
    """A measured value with six significant digits; every digit as its title."""
    if value is None:
        return "–"
    return format_html('<span class="num" title="{}">{}</span>', repr(value), plain_number(value))


@register.filter
def signed(value: float | None) -> SafeString | str:
    """A difference, with its sign."""
    if value is None:
        return ""
    said = "±0" if value == 0 else f"{'+' if value > 0 else '−'}{plain_number(abs(value))}"
    return format_html('<span class="num" title="{}">{}</span>', repr(value), said)


@register.filter
def percent(value: float | None) -> str:
    """A relative difference in per cent, with its sign."""
    if value is None or value == 0:
        return ""
    sign, share = "+" if value > 0 else "−", abs(value) * 100
    if share < 0.05:
        return f"{sign}<0.1 %"
    return f"{sign}{share:,.1f} %" if share < 10_000 else f"{sign}>9,999 %"


def plain_number(value: float) -> str:
    """A measured value with six significant digits, as text."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value) or abs(value) > 1.7e308:  # an infinity is stored as the largest number
        return "∞" if value > 0 else "−∞"
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{int(value):,}".replace("-", "−")
    return f"{value:.6g}".replace("-", "−")


@register.filter
def bounded(bound: Bound) -> SafeString:
    """The limit of a gate, in words."""
    return format_html("{} {}", "must be at least" if bound.at_least else "must be at most", number(bound.limit))


@register.filter
def bullet(judged: Judged) -> SafeString:
    """A metric against the limit that a gate holds it to, as a small picture."""
    return bullets.bullet(judged)


@register.filter
def short(digest: str | None) -> SafeString | str:
    """The first twelve digits of a digest; all of them as its title."""
    if not digest:
        return "–"
    return format_html('<code class="digest" title="{}">{}</code>', digest, digest[:12])


@register.filter
def of(key: Any, mapping: Mapping[Any, Any]) -> Any:
    """What `mapping` holds for a key; nothing when it does not have it."""
    return mapping.get(key, "")


@register.filter
def allows(role: str) -> str:
    """What a role allows, in words that follow "may"."""
    return role_words.allows(role)


@register.filter
def capped(count: int, limit: int = 100) -> str:
    """A count that was not counted beyond `limit`."""
    return f"{limit}+" if count > limit else str(count)


@register.filter
def mentions_marked(comment: Comment) -> SafeString:
    """The words of a comment, escaped, with the people marked that it mentions: `mentioned` has their names."""
    names: list[str] = getattr(comment, "mentioned", [])
    pieces = (
        (format_html('<b class="mention"><bdi>{}</bdi></b>', piece) if is_mention else escape(piece))
        for piece, is_mention in marked(comment.text, names)
    )
    return mark_safe("".join(pieces))  # noqa: S308 - each piece is escaped


@register.filter
def is_long(text: str) -> bool:
    """Whether text needs a box of its own that scrolls."""
    return len(text) > 1500 or text.count("\n") > 24


@register.filter
def visibly(text: str) -> str:
    """Text from elsewhere, with what one does not see, or what turns the rest round, written out as in JSON."""
    return "".join(c if c.isprintable() or c in "\n\t" else json.dumps(c)[1:-1] for c in text)


@register.filter
def milliseconds(count: int) -> str:
    """How long an answer took."""
    return f"{count / 1000:,.1f} s" if count >= 1000 else f"{count} ms"
