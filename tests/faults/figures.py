"""What the scenarios measure, beside what it may be."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One line of the table; `most` and `least` are what it may be."""

    label: str
    value: float
    most: float | None = None
    least: float | None = None
    unit: str = ""

    @property
    def broken(self) -> bool:
        too_much = self.most is not None and self.value > self.most
        return too_much or (self.least is not None and self.value < self.least)

    def line(self) -> str:
        bounds = [f"≤ {self.most:g}"] if self.most is not None else []
        bounds += [f"≥ {self.least:g}"] if self.least is not None else []
        shown = f"{self.value:,.0f}" if float(self.value).is_integer() else f"{self.value:,.2f}"
        return f"| {self.label} | {shown} {self.unit} | {' '.join(bounds)} | {'BROKEN' if self.broken else ''} |"


@dataclass
class Figures:
    """Those of one scenario."""

    title: str
    all: list[Figure] = field(default_factory=list)

    def add(
        self, label: str, value: float, *, most: float | None = None, least: float | None = None, unit: str = ""
    ) -> None:
        self.all.append(Figure(label, value, most, least, unit))

    @property
    def broken(self) -> list[str]:
        return [f"{self.title}: {figure.label}: {figure.value:g}" for figure in self.all if figure.broken]

    def __str__(self) -> str:
        lines = [figure.line() for figure in self.all]
        return "\n".join([f"\n### {self.title}\n", "| | | bound | |", "|---|---:|---|---|", *lines])


def percentile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
