"""Charts stand in pages whose security policy forbids inline style and script, and draw whatever was logged."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.ui.charts import Across, Series, lines, parallel, sparkline

NUMBERS = st.floats() | st.sampled_from([0.0, math.inf, -math.inf, math.nan, 1.7976931348623157e308, 5e-324])


@given(st.lists(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), NUMBERS), max_size=6), max_size=3))
def test_any_points_can_be_drawn(points: list[list[tuple[float, float]]]) -> None:
    drawn = lines("loss", [Series(f"run {at}", each) for at, each in enumerate(points)])
    assert ElementTree.fromstring(drawn).attrib["aria-label"] == "loss"


@given(st.lists(st.tuples(*[st.none() | NUMBERS] * 3), max_size=5))
def test_any_values_can_be_drawn_across_parallel_axes(rows: list[tuple[float | None, ...]]) -> None:
    ElementTree.fromstring(parallel("versions", ["a", "b", "c"], [Across("v1", row) for row in rows]))


def test_a_chart_has_a_line_for_each_series_and_nothing_that_the_policy_forbids() -> None:
    drawn = lines("loss & <b>", [Series("a", [(0, 1.0), (1, 0.5), (2, 0.25)]), Series("b", [(0, 1.0), (1, 2.0)])])
    tree = ElementTree.fromstring(drawn)
    assert tree.attrib["aria-label"] == "loss & <b>"
    names = {element.tag.rpartition("}")[2] for element in tree.iter()}
    assert not names & {"style", "script", "a"}
    assert not any("style" in element.attrib for element in tree.iter())
    series = [e for e in tree.iter() if e.attrib.get("class", "").endswith("line reactive nofill")]
    assert len(series) == 2


def test_of_a_long_history_a_chart_draws_what_a_screen_shows_and_the_last_point() -> None:
    drawn = lines("loss", [Series("a", [(step, step % 7) for step in range(100_000)])])
    (path,) = (e for e in ElementTree.fromstring(drawn).iter() if "nofill" in e.attrib.get("class", ""))
    assert 250 < path.attrib["d"].count(" ") / 2 <= 501


@pytest.mark.parametrize("values", [[], [1.0], [math.nan, 1.0]])
def test_fewer_than_two_numbers_are_no_line(values: list[float]) -> None:
    assert sparkline("auc", values) == ""


def test_a_small_line_ends_where_its_last_value_is() -> None:
    drawn = ElementTree.fromstring(sparkline("auc", [0.1, math.nan, 0.4, 0.2]))
    assert drawn[0].attrib["points"] == "4.0,20.0 48.0,4.0 92.0,14.7"
    assert (drawn[1].attrib["cx"], drawn[1].attrib["cy"]) == ("92.0", "14.7")
