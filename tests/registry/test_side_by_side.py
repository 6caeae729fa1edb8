"""Versions beside each other: which are chosen, what is best, what differs."""

from __future__ import annotations

import math

import pytest

from accounts.actor import Actor
from registry.queries import find_model
from registry.services import catalog
from registry.side_by_side import (
    BadVersions,
    SideBySide,
    TooManyAxes,
    TooManyVersions,
    UnknownAxis,
    VersionsMissing,
    _best,
    numbers,
    side_by_side,
)
from tests import make
from tests.web.ui.conftest import trained

pytestmark = pytest.mark.django_db


def test_versions_are_named_with_commas_or_one_by_one() -> None:
    assert numbers(["3,5", " v7 ", "3"]) == [3, 5, 7]


@pytest.mark.parametrize("asked", [[], [""], ["3"], ["3,3"], ["3,x"], ["3,-1"], ["3,١"], ["3," + "9" * 30], ["3,\0"]])
def test_fewer_than_two_numbers_are_refused(asked: list[str]) -> None:
    with pytest.raises(BadVersions):
        numbers(asked)


def test_more_than_eight_are_refused() -> None:
    with pytest.raises(TooManyVersions):
        numbers([",".join(map(str, range(1, 10)))])


@pytest.fixture
def three(requester: Actor) -> Actor:
    make.model(requester)
    trained(requester, score=0.9, values=9)
    trained(requester, score=0.95, values=9)
    make.version(requester)
    return requester


def beside(actor: Actor, *chosen: int, axes: tuple[str, ...] = ()) -> SideBySide:
    return side_by_side(actor, find_model(actor, "churn"), chosen, axes)


def test_they_come_as_chosen_with_what_is_best_and_what_differs(three: Actor) -> None:
    told = beside(three, 2, 3, 1)
    assert [side.version.number for side in told.sides] == [2, 3, 1]
    (accuracy,) = (metric for metric in told.metrics if metric.key == "accuracy")
    assert (accuracy.values, accuracy.best) == ((0.95, None, 0.9), {0})
    assert all(not metric.best for metric in told.metrics if metric.key != "accuracy")  # their names do not tell
    assert [row.values for row in told.datasets] == [(("d-0.95", None, "d-0.9"))]
    assert len(told.params) == 9
    assert told.shared[0] == "accuracy"
    same = beside(three, 1, 3)
    assert (same.axes, len(same.metrics)) == ((), 10)


def test_at_most_eight_axes_are_drawn_first_those_that_tell_them_apart(three: Actor) -> None:
    drawn = [axis.key for axis in beside(three, 1, 2).axes]
    assert len(drawn) == 8
    assert "metric-0" not in drawn  # 0 in both
    assert [axis.key for axis in beside(three, 1, 2, axes=("metric-0,accuracy",)).axes] == ["metric-0", "accuracy"]
    with pytest.raises(UnknownAxis):
        beside(three, 1, 2, axes=("nix",))
    with pytest.raises(TooManyAxes):
        beside(three, 1, 2, axes=tuple(f"metric-{n}" for n in range(9)))


def test_missing_and_deleted_versions_are_named(three: Actor) -> None:
    catalog.delete_version(three, "churn", 3)
    with pytest.raises(VersionsMissing) as refused:
        beside(three, 1, 3, 9)
    assert "no v3 and no v9 of the model 'churn'" in refused.value.message


def test_what_is_no_number_is_never_best() -> None:
    assert _best("accuracy", [math.nan, 0.5, None, 0.4]) == {1}
    assert _best("loss", [0.3, 0.2, 0.2]) == {1, 2}
    assert _best("accuracy", [0.5, 0.5]) == set()
    assert _best("accuracy", [0.5, None]) == set()
