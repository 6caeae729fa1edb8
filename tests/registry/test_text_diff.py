"""How a text changed, line by line; and that it says where it did not look."""

from __future__ import annotations

import random
import time

import pytest

from registry.text_diff import Kind, text_diff


def test_lines_around_a_change_are_shown_and_the_rest_is_counted() -> None:
    before = [f"line {n}" for n in range(20)]
    after = [*before[:10], "new", *before[11:]]
    found = text_diff("\n".join(before), "\n".join(after))
    assert [(line.kind, line.text) for line in found.lines] == [
        (Kind.LEFT_OUT, "8"), (Kind.SAME, "line 8"), (Kind.SAME, "line 9"), (Kind.REMOVED, "line 10"),
        (Kind.ADDED, "new"), (Kind.SAME, "line 11"), (Kind.SAME, "line 12"), (Kind.LEFT_OUT, "7"),
    ]  # fmt: skip
    assert (found.added, found.removed, found.cut) == (1, 1, False)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("a\n" * 400, False),
        ("a\n" * 401, True),
        ("a\r" * 401, True),
        ("a\u2028" * 401, True),
        ("a" * 1000, False),
        ("a" * 1001, True),
    ],
)
def test_it_is_said_when_the_end_was_not_compared(text: str, cut: bool) -> None:
    assert text_diff("b", text).cut is cut
    assert text_diff(text, "b").cut is cut


def test_texts_that_mean_harm_take_no_time() -> None:
    dice = random.Random(7)
    few = ["\n".join(dice.choice("ab") for _ in range(400)) for _ in range(2)]
    turned = ["\n".join(str(n) for n in range(400)), "\n".join(str(n) for n in reversed(range(400)))]
    combed = ["\n".join(["a", "b"] * 200), "\n".join(["b", "c", "a", "a"] * 100)]
    for before, after in (few, turned, combed):
        begun = time.process_time()
        text_diff(before, after)
        assert time.process_time() - begun < 2
