"""The line of a version as a picture: boxes in five columns, arrows from what made to what was made."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from django.http import HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from accounts.actor import Actor
from lineage.provenance import DatasetRead
from registry.descent import SHOWN, Descent, descent
from registry.models import Occupancy, Version
from registry.queries import find_version
from web.ui.desk import PageRequest, show, signed_in

WIDTH, HEIGHT, GAP_ACROSS, GAP_DOWN, MARGIN, HEAD = 196, 64, 52, 14, 4, 24
COLUMNS = ("Made with", "Run", "Registered from", "Version", "Went to")
_ROOM, _ROOM_SMALL = 23, 27  # characters of a box's two sizes of text


@dataclass(frozen=True)
class Box:
    """A thing in the line. `hint` says of one that is missing what to do about it; `href` is empty for no page."""

    kind: str
    title: str
    detail: str = ""
    href: str = ""
    missing: bool = False
    hint: str = ""
    emphasis: bool = False


@dataclass(frozen=True)
class Placed:
    """A box where it is drawn, with what of its texts there is room for."""

    box: Box
    x: int
    y: int
    title: str
    detail: str


@dataclass(frozen=True)
class Picture:
    """The drawing in its own units, and its columns for those who read them."""

    boxes: tuple[Placed, ...]
    edges: tuple[str, ...]  # paths, as SVG writes them
    heads: tuple[tuple[int, str], ...]
    columns: tuple[tuple[str, tuple[Box, ...]], ...]
    width: int
    height: int


@require_safe
@signed_in
def lineage(request: PageRequest, actor: Actor, name: str, number: str) -> HttpResponse:
    """Where a version comes from and where it went."""
    found = find_version(actor, name, number)
    context = {"version": found, "model": found.model, "picture": picture(descent(actor, found))}
    return show(request, "lineage/lineage.html", context)


def picture(line: Descent) -> Picture:
    """The line of a version, drawn."""
    columns = (_made_with(line), [_run(line)], [_registered_from(line)], [_version(line.version)], _went_to(line))
    height = MARGIN * 2 + HEAD + max(len(boxes) * (HEIGHT + GAP_DOWN) - GAP_DOWN for boxes in columns)
    placed = [_placed(boxes, at, height) for at, boxes in enumerate(columns)]
    return Picture(
        boxes=tuple(box for boxes in placed for box in boxes),
        edges=tuple(
            _edge(one, other)
            for before, after in pairwise(placed)
            for one in before
            for other in after
            if not (one.box.missing or other.box.missing)
        ),
        heads=tuple((_left(at), head) for at, head in enumerate(COLUMNS)),
        columns=tuple((head, tuple(boxes)) for head, boxes in zip(COLUMNS, columns, strict=True)),
        width=_left(len(COLUMNS)) - GAP_ACROSS + MARGIN,
        height=height,
    )


# --- The boxes --------------------------------------------------------------------------------------------------------


def _made_with(line: Descent) -> list[Box]:
    run = line.run
    boxes = [_dataset(line, read) for read in run.datasets[:SHOWN]] if run else []
    if run and len(run.datasets) > SHOWN:
        boxes.append(
            Box("Data sets", f"and {len(run.datasets) - SHOWN} more", "on the page of the run", _run_page(line))
        )
    if not boxes:
        hint = "The run named no data set. With mlflow: mlflow.log_input(dataset, context='training')."
        boxes.append(Box("Data set", "none named", missing=True, hint=hint if run else ""))
    if run and run.commit:
        boxes.append(
            Box("Code", run.commit[:12], run.tags.get("mlflow.source.name", "").rpartition("/")[2], _run_page(line))
        )
    else:
        hint = "Train from a git checkout with git and GitPython at hand: mlflow then notes the commit by itself."
        boxes.append(Box("Code", "no commit noted", missing=True, hint=hint if run else ""))
    if line.environment:
        first, *others = line.environment
        named = first.rpartition("/")[2] + (f" and {len(others)} more" if others else "")
        boxes.append(Box("Environment", named, "among its files", f"{_page(line.version)}#files"))
    else:
        hint = "Its files do not say what it runs with. With mlflow: log_model(…, pip_requirements=[…])."
        boxes.append(Box("Environment", "not told", missing=True, hint=hint))
    return boxes


def _dataset(line: Descent, read: DatasetRead) -> Box:
    href = ""
    if line.reads_runs and line.experiment_id:
        digest = read.digest.replace("'", "''")
        asked = urlencode({"filter": f"datasets.digest = '{digest}'"})
        href = f"{reverse('experiment', args=[line.experiment_id])}?{asked}"
    detail = f"{read.digest}, {read.context}" if read.context else read.digest
    return Box("Data set", read.name, detail, href)


def _run(line: Descent) -> Box:
    run, version = line.run, line.version
    if run:
        detail = f"in {run.experiment}" + (", deleted" if run.deleted else "")
        return Box("Run", run.name, detail, _run_page(line))
    if version.run_ref:
        hint = "It ran on another server, or was removed: what it recorded is not known here."
        return Box("Run", version.run_ref, "not known here", missing=True, hint=hint)
    hint = (
        "It was registered without a run. With mlflow: log and register the model inside `with mlflow.start_run():`, or"
        " name one when you register: run_id=…"
    )
    return Box("Run", "none", missing=True, hint=hint)


def _registered_from(line: Descent) -> Box:
    version = line.version
    if line.original:
        return Box("Copy of", f"{line.original.model.name} v{line.original.number}", "", _lineage_page(line.original))
    if line.copied_from:
        hint = "The version that it is a copy of was deleted or renamed, or you may not see it."
        return Box("Copy of", line.copied_from, "not to be seen", missing=True, hint=hint)
    if line.logged_model:
        return Box("Logged model", line.logged_model.name, f"m-{line.logged_model.pk.hex[:12]}", _run_page(line))
    if version.manifest is None:
        return Box("Elsewhere", version.lies_at, "its bytes are not here")
    scheme, _, rest = version.source.partition(":")
    if scheme == "runs":
        return Box("Files of the run", rest.lstrip("/").partition("/")[2] or "all of them", "", _run_page(line))
    return Box("Upload", rest) if scheme == "upload" else Box("Files", version.source)


def _version(version: Version) -> Box:
    aliases = ", ".join(f"@{alias.name}" for alias in version.aliases.all())
    detail = aliases or (version.stage if version.stage and version.stage != "None" else "")
    return Box("Version", f"{version.model.name} v{version.number}", detail, _page(version), emphasis=True)


def _went_to(line: Descent) -> list[Box]:
    boxes = [_stage(line.version, held) for held in line.held]
    if line.held_more:
        boxes.append(Box("Stages", "and earlier ones", "on the page of the version", f"{_page(line.version)}#history"))
    if not boxes:
        hint = "It has not been in a stage yet: ask for one on its page."
        boxes.append(Box("Stage", "none yet", href=f"{_page(line.version)}#move", missing=True, hint=hint))
    boxes += [Box("Alias", f"@{alias.name}", "points at it now") for alias in line.version.aliases.all()[:SHOWN]]
    boxes += [Box("Copied to", f"{copy.model.name} v{copy.number}", "", _lineage_page(copy)) for copy in line.copies]
    if line.copies_more:
        boxes.append(Box("Copied to", "and others"))
    return boxes


def _stage(version: Version, held: Occupancy) -> Box:
    begun = f"{held.started_at:%-d %b %Y}"
    ended = f"{held.ended_at:%-d %b %Y}" if held.ended_at else ""
    detail = f"since {begun}" if not ended else f"on {begun}" if ended == begun else f"{begun} to {ended}"
    href = held.promotion.page if held.promotion else _page(version)
    return Box("Is in" if held.ended_at is None else "Was in", held.stage, detail, href, emphasis=not held.ended_at)


def _page(version: Version) -> str:
    return reverse("version", args=[version.model.name, str(version.number)])


def _lineage_page(version: Version) -> str:
    return reverse("lineage", args=[version.model.name, str(version.number)])


def _run_page(line: Descent) -> str:
    return reverse("run", args=[line.run.run_id.hex]) if line.run and line.reads_runs else ""


# --- The drawing ------------------------------------------------------------------------------------------------------


def _left(column: int) -> int:
    return MARGIN + column * (WIDTH + GAP_ACROSS)


def _placed(boxes: Sequence[Box], column: int, height: int) -> list[Placed]:
    """The boxes of a column below each other, in the middle of the drawing."""
    tall = len(boxes) * (HEIGHT + GAP_DOWN) - GAP_DOWN
    top = MARGIN + HEAD + (height - 2 * MARGIN - HEAD - tall) // 2
    return [
        Placed(
            box, _left(column), top + at * (HEIGHT + GAP_DOWN), _cut(box.title, _ROOM), _cut(box.detail, _ROOM_SMALL)
        )
        for at, box in enumerate(boxes)
    ]


def _edge(one: Placed, other: Placed) -> str:
    """From the right side of one box to the left side of the other; its end leaves room for the arrow's head."""
    x, y, to_x, to_y = one.x + WIDTH, one.y + HEIGHT // 2, other.x - 7, other.y + HEIGHT // 2
    bend = (to_x - x) // 2
    return f"M{x} {y}C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"


def _cut(said: str, room: int) -> str:
    """As much of a text as a box has room for: an East Asian character takes the place of two, and what would turn the
    rest round is left out."""
    shown, used = "", 0
    for character in said:
        if not character.isprintable():
            continue
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 0 if unicodedata.combining(character) else 1
        if used > room:
            return shown[:-1] + "…"
        shown += character
    return shown
