"""How a text changed, line by line: of texts of any length, in bounded time. Pure Python."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum

_LINES = 400  # of each text; what is beyond is not compared
_LENGTH = 1000  # characters of a line
_AROUND = 2  # unchanged lines beside a change


class Kind(StrEnum):
    SAME = "same"
    ADDED = "added"
    REMOVED = "removed"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Line:
    """A line of one text or of both; of LEFT_OUT, how many lines that are the same in both."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class TextDiff:
    """The lines around each change; none when the texts are the same. `cut`: their ends were not compared."""

    lines: tuple[Line, ...]
    added: int
    removed: int
    cut: bool


def text_diff(before: str, after: str) -> TextDiff:
    """How `after` differs from `before`. Of each the first 400 lines are compared, and 1,000 characters of a line."""
    if before == after:
        return TextDiff((), 0, 0, cut=False)
    whole = before.splitlines(), after.splitlines()
    then, now = ([line[:_LENGTH] for line in lines[:_LINES]] for lines in whole)
    cut = any(len(lines) > _LINES or any(len(line) > _LENGTH for line in lines[:_LINES]) for lines in whole)
    lines: list[Line] = []
    matcher = difflib.SequenceMatcher(None, then, now, autojunk=False)
    last = 0
    for group in matcher.get_grouped_opcodes(_AROUND):
        if skipped := group[0][1] - last:
            lines.append(Line(Kind.LEFT_OUT, str(skipped)))
        for what, i1, i2, j1, j2 in group:
            if what == "equal":
                lines += [Line(Kind.SAME, line) for line in then[i1:i2]]
            else:
                lines += [Line(Kind.REMOVED, line) for line in then[i1:i2]]
                lines += [Line(Kind.ADDED, line) for line in now[j1:j2]]
        last = group[-1][2]
    if lines and len(then) > last:
        lines.append(Line(Kind.LEFT_OUT, str(len(then) - last)))
    kinds = [line.kind for line in lines]
    return TextDiff(tuple(lines), kinds.count(Kind.ADDED), kinds.count(Kind.REMOVED), cut)
