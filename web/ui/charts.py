"""Pictures of numbers, as SVG that stands in the page: it follows the page's colours, prints, and needs no script.

Charts with axes are drawn by pygal. What it writes into a drawing as style and script is taken out, since the pages'
content security policy forbids both; the page's own style sheet (charts.css) knows its classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pygal
from django.utils.html import format_html
from django.utils.safestring import SafeString
from pygal.etree import etree

from web.ui.tags import plain_number

COLOURS = 8  # of charts.css; further series begin again, with broken lines
DRAWN = 500  # points of one series: more than a screen shows
_WIDTH, _HEIGHT = 480, 240  # the drawing's own units: it is as wide as its place in the page
_SPARK_WIDTH, _SPARK_HEIGHT = 96, 24


@dataclass(frozen=True)
class Series:
    """A line: points (x, y) in the order of x. Those with NaN or an infinity are left out."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Across:
    """A line across parallel axes: the value at each, None where there is none."""

    label: str
    values: Sequence[float | None]


def lines(
    title: str, series: Sequence[Series], *, x: str = "step", width: int = _WIDTH, height: int = _HEIGHT
) -> SafeString:
    """The series over one x axis, called `x`. `title` says to those who do not see it what is drawn."""
    chart = _chart(pygal.XY, width, height, show_dots=all(len(each.points) < 2 for each in series), x_title=x)
    chart.x_value_formatter = plain_number
    found = [_finite(each.points) for each in series]
    chart.xrange = _room([x for points in found for x, _ in points])
    chart.range = _room([y for points in found for _, y in points])
    for points in found:
        chart.add("", points)
    return _drawn(chart, title)


def parallel(title: str, axes: Sequence[str], rows: Sequence[Across], *, height: int = _HEIGHT) -> SafeString:
    """Each row as a line across `axes`, of which each runs from its lowest value at the foot to its highest at the top.

    An axis on which all are the same has them in its middle.
    """
    ranges = [_range([row.values[at] for row in rows]) for at in range(len(axes))]
    chart = _chart(
        pygal.Line, _WIDTH, height, show_dots=True, dots_size=3, range=(0, 1), show_y_labels=False, x_labels=axes
    )
    chart.show_x_guides = True
    for row in rows:
        places = [_place(value, *ends) if ends else None for value, ends in zip(row.values, ranges, strict=True)]
        chart.add("", places)
    return _drawn(chart, title)


def sparkline(label: str, values: Sequence[float]) -> SafeString:
    """A small line of values one after another, the last with a dot; empty for fewer than two numbers."""
    finite = [value for value in values if _drawable(value)]
    ends = _range(finite)
    if len(finite) < 2 or ends is None:
        return SafeString("")
    across, up = (_SPARK_WIDTH - 8) / (len(finite) - 1), _SPARK_HEIGHT - 8
    places = [(4 + at * across, 4 + up * (1 - _place(value, *ends))) for at, value in enumerate(finite)]
    return format_html(
        '<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}"><polyline points="{}"/>'
        '<circle cx="{}" cy="{}" r="2.5"/></svg>',
        _SPARK_WIDTH,
        _SPARK_HEIGHT,
        label,
        " ".join(f"{x:.1f},{y:.1f}" for x, y in places),
        *(f"{coordinate:.1f}" for coordinate in places[-1]),
    )


def _chart(kind: Callable[..., Any], width: int, height: int, **settings: Any) -> Any:
    return kind(
        width=width,
        height=height,
        margin=6,
        css=[],
        js=[],
        show_legend=False,
        show_minor_x_labels=True,
        y_labels_major_count=5,
        show_minor_y_labels=False,
        x_labels_major_count=6,
        value_formatter=plain_number,
        no_data_text="Nothing to draw",
        **settings,
    )


def _drawn(chart: Any, title: str) -> SafeString:
    drawing = chart.render_tree()
    drawing.attrib = {"viewBox": drawing.attrib["viewBox"], "class": "chart", "role": "img", "aria-label": title}
    for child in list(drawing):
        if child.tag != "g":  # comments, styles and scripts, its own title
            drawing.remove(child)
    for group in drawing.findall("g"):
        for plot in group.findall("g"):
            if "tooltip-overlay" in plot.attrib.get("class", ""):
                group.remove(plot)
    return SafeString(etree.tostring(drawing, encoding="unicode"))  # a tree, so all text in it is escaped


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    found = [(float(x), float(y)) for x, y in points if _drawable(x) and _drawable(y)]
    stride = math.ceil(len(found) / DRAWN)
    return found if stride <= 1 else [*found[::stride], found[-1]]


def _room(values: Sequence[float]) -> tuple[float, float] | None:
    """The ends of an axis, wider than the values where those lie closer together than a scale can tell."""
    ends = _range(values)
    if ends is None:
        return None
    least = max(1e-9 * abs(ends[0]), 1e-9 * abs(ends[1]), 1e-290)
    if ends[1] - ends[0] > least:
        return ends
    room = abs(ends[0]) / 10 or 1.0
    return ends[0] - room, ends[1] + room


def _range(values: Sequence[float | None]) -> tuple[float, float] | None:
    finite = [value for value in values if value is not None and _drawable(value)]
    return (min(finite), max(finite)) if finite else None


def _place(value: float | None, lowest: float, highest: float) -> Any:
    """Where a value is between the ends of its axis, 0 to 1; None for none."""
    if value is None or not _drawable(value):
        return None
    return (value - lowest) / (highest - lowest) if highest > lowest else 0.5


def _drawable(value: float) -> bool:
    """Neither NaN nor an infinity, which is stored as the largest number."""
    return abs(value) < 1e300
