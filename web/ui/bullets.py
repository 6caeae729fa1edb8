"""A metric against the limit that a gate holds it to, as a small picture: before, now, the limit and its good side.

The same stands beside it in words, so it is hidden from those who have it read to them.
"""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString

from registry.gates import Bound, Judged

_WIDTH, _HEIGHT, _EDGE = 132, 18, 7


def bullet(judged: Judged) -> SafeString:
    """The picture; empty where there is no number to draw."""
    bound = judged.verdict.bound
    values = [value for value in _drawn(bound) if value is not None] if bound else []
    if bound is None or bound.value is None or not _drawable(bound.value) or not _drawable(bound.limit):
        return SafeString("")
    lowest, highest = min(values), max(values)
    room = (highest - lowest) * 0.15 or abs(highest) * 0.1 or 1.0
    lowest, highest = lowest - room, highest + room

    def across(value: float) -> str:
        return f"{_EDGE + (value - lowest) / (highest - lowest) * (_WIDTH - 2 * _EDGE):.1f}"

    limit = float(across(bound.limit))
    good_from, good_to = (limit, _WIDTH) if bound.at_least else (0, limit)
    before = ""
    if bound.before is not None and _drawable(bound.before):
        before = format_html('<circle class="was" cx="{}" cy="9" r="3.5"/>', across(bound.before))
    return format_html(
        '<svg class="bullet {}" viewBox="0 0 {} {}" width="{}" height="{}" aria-hidden="true">'
        '<line class="track" x1="0" x2="{}" y1="9" y2="9"/>'
        '<rect class="good" x="{}" y="5" width="{}" height="8"/>'
        '<line class="limit" x1="{}" x2="{}" y1="1" y2="17"/>{}<circle class="now" cx="{}" cy="9" r="4.5"/></svg>',
        "passes" if judged.passed else "fails",
        _WIDTH,
        _HEIGHT,
        _WIDTH,
        _HEIGHT,
        _WIDTH,
        f"{good_from:.1f}",
        f"{good_to - good_from:.1f}",
        f"{limit:.1f}",
        f"{limit:.1f}",
        before,
        across(bound.value),
    )


def _drawn(bound: Bound) -> list[float | None]:
    return [
        value if value is not None and _drawable(value) else None for value in (bound.limit, bound.value, bound.before)
    ]


def _drawable(value: float) -> bool:
    """Neither NaN nor an infinity, nor so large that a difference leaves the floats."""
    return abs(value) < 1e300
