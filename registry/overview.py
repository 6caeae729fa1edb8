"""What the pages of models and versions show of many rows at once."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import reduce

from django.db.models import Count, Max, QuerySet

from accounts.actor import Actor
from core import text
from lineage.models import ManifestFile
from lineage.provenance import Provenance, recorded
from lineage.queries import FileNotThere
from registry import earlier
from registry.lifecycle import Stage, State
from registry.models import Check, Model, Occupancy, Promotion, Version
from registry.policy import ALIAS_MARK, Terms
from registry.queries import checks, files_of, find_version, occupancies
from registry.ruling import Ruling, rulings

ON_BOARD = 5  # versions shown in each column of the board
FILES_SHOWN = 500
_SERVING = (Stage.PRODUCTION, Stage.STAGING)
_COLUMNS = (Stage.NONE, Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED)


# --- Models -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """The newest version in a stage of a model, and how many there are."""

    stage: str
    newest: int
    count: int


@dataclass(frozen=True)
class ModelRow:
    model: Model
    held: tuple[Held, ...]
    open_promotions: int


def models(actor: Actor, search: str) -> QuerySet[Model]:
    """The models that the actor can see, whose name holds `search` in any case."""
    found = Model.objects.visible_to(actor)
    if search:
        found = found.filter(name__icontains=text.free_text("q", search, limit=255, lines=False))
    return found


def model_rows(found: Collection[Model]) -> list[ModelRow]:
    """Each model with what is in which stage, and its open promotions. Two queries."""
    ids = [model.pk for model in found]
    held: dict[uuid.UUID, list[Held]] = defaultdict(list)
    open_now = Occupancy.objects.filter(model__in=ids, stage__in=_SERVING, ended_at__isnull=True)
    for model_id, stage, newest, count in open_now.values_list("model", "stage").annotate(
        newest=Max("version__number"), count=Count("pk")
    ):
        held[model_id].append(Held(stage, newest, count))
    asked = Promotion.objects.open().filter(model__in=ids).values("model").annotate(count=Count("pk"))
    waiting = dict(asked.values_list("model", "count"))
    return [
        ModelRow(model, tuple(sorted(held[model.pk], key=lambda h: h.stage)), waiting.get(model.pk, 0))
        for model in found
    ]


# --- The board of one model -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """A stage with its newest occupants; `more` when there are others."""

    stage: Stage
    occupancies: tuple[Occupancy, ...]
    more: bool


def board(model: Model) -> list[Column]:
    """What holds each stage of the model now. One query."""
    held: dict[str, list[Occupancy]] = defaultdict(list)
    for occupancy in reduce(lambda found, more: found.union(more, all=True), [_newest_in(model, s) for s in _COLUMNS]):
        held[occupancy.stage].append(occupancy)
    columns = []
    for stage in _COLUMNS:
        found = sorted(held[stage], key=lambda occupancy: occupancy.started_at, reverse=True)
        columns.append(Column(stage, tuple(found[:ON_BOARD]), len(found) > ON_BOARD))
    return columns


@dataclass(frozen=True)
class WayBack:
    """An earlier occupant that one may roll back to; `words` says what happens and on whose word it was there."""

    number: int
    words: str
    promotion: Promotion  # the one that was decided then


def ways_back(model: Model, columns: Collection[Column]) -> dict[str, list[WayBack]]:
    """For each target that one version holds at a time, stages and protected aliases: what one may roll back to.

    The last occupant first; nothing where there was none. At most three queries. The model's aliases are loaded.
    """
    held = {f"{ALIAS_MARK}{alias.name}": [alias.version.number] for alias in model.aliases.all() if alias.promotion}
    for column in columns:
        if column.stage in _SERVING and len(column.occupancies) <= 1:
            held[column.stage] = [occupancy.version.number for occupancy in column.occupancies]
    found = earlier.offered(model, list(held))
    word = earlier.words([each.promotion for ways in found.values() for each in ways if each.promotion])
    return {
        target: [
            WayBack(each.version.number, _way_back(target, each, held[target], origin), origin.promotion)
            for each in ways
            if each.version.manifest and each.promotion and (origin := word.get(each.promotion.pk))
        ]
        for target, ways in found.items()
    }


def _way_back(target: str, there: earlier.Earlier, before: Collection[int], word: earlier.Word) -> str:
    number = there.version.number
    if target.startswith(ALIAS_MARK):
        happens = f"{target} points at v{number} again" + "".join(f" instead of v{other}" for other in before)
    else:
        happens = outcome(number, target, before).replace(f" {target}", f" {target} again", 1)
    return f"{happens}. Its bytes are those {word.by} on {word.promotion.decided_at:%-d %B %Y}."


def _newest_in(model: Model, stage: Stage) -> QuerySet[Occupancy]:
    held = Occupancy.objects.filter(model=model, stage=stage, ended_at__isnull=True)
    return held.select_related("version", "promotion__decided_by").order_by("-started_at")[: ON_BOARD + 1]


def open_promotions(model: Model) -> list[Promotion]:
    """The open promotions of a model, newest first, at most 20."""
    found = Promotion.objects.open().filter(model=model).select_related("model", "version", "requester")
    return list(found.order_by("-requested_at", "-id")[:20])


# --- One version ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Move:
    """A stage that a version could be asked for, and in words what asking does."""

    stage: Stage
    direct: bool  # carried out at once, nobody is asked
    words: str
    open: Promotion | None  # the promotion that asks for it already


@dataclass(frozen=True)
class VersionDetails:
    """Everything of one version but its own row. `files_more` tells how many files are not listed."""

    run: Provenance | None
    files: tuple[ManifestFile, ...]
    files_more: int
    promotions: tuple[Promotion, ...]
    history: tuple[Occupancy, ...]
    moves: tuple[Move, ...]
    checks: tuple[Check, ...]  # the newest report of each


def version_details(version: Version) -> VersionDetails:
    """What the page of a version shows besides it. Seven queries."""
    files = tuple(files_of(version).order_by("path")[:FILES_SHOWN]) if version.manifest else ()
    asked = version.promotions.select_related("model", "version", "requester", "decided_by")
    promotions = tuple(asked.order_by("-requested_at", "-id")[:20])
    return VersionDetails(
        run=recorded([version.run_id]).get(version.run_id) if version.run_id else None,
        files=files,
        files_more=version.manifest.file_count - len(files) if version.manifest else 0,
        promotions=promotions,
        history=tuple(occupancies(version).order_by("-started_at")[:20]),
        moves=_moves(version, [promotion for promotion in promotions if promotion.state == State.OPEN]),
        checks=tuple(checks(version).order_by("name")),
    )


def find_file(actor: Actor, name: object, number: object, path: str) -> ManifestFile:
    """A file of a version; FileNotThere, and what `find_version` raises."""
    text.artifact_path(path)
    file = files_of(find_version(actor, name, number)).filter(path=path).first()
    if file is None:
        raise FileNotThere(path=path)
    return file


def outcome_of(promotion: Promotion, before: Collection[int]) -> str:
    """In words, what carrying out a promotion does, or did; `before` are the versions that it displaces."""
    done = promotion.state != State.OPEN
    if promotion.stage:
        return outcome(promotion.version.number, promotion.target, before, done=done)
    instead = "".join(f" instead of v{number}" for number in before)
    return f"{promotion.target} {'pointed' if done else 'points'} at v{promotion.version.number}{instead}"


def outcome(number: int, stage: str, displaced: Collection[int], *, done: bool = False) -> str:
    """The same for a stage: "v7 becomes Production, v5 becomes Archived"."""
    lines = [f"v{number} {'became' if done else 'becomes'} {stage}"]
    if displaced:
        archived = [f"v{other}" for other in sorted(displaced)]
        others = archived[0] if len(archived) == 1 else f"{', '.join(archived[:-1])} and {archived[-1]}"
        lines.append(f"{others} {'became' if done else 'becomes' if len(archived) == 1 else 'become'} Archived")
    return ", ".join(lines)


def _moves(version: Version, asked: Collection[Promotion]) -> tuple[Move, ...]:
    exclusive = Occupancy.objects.filter(model_id=version.model_id, exclusive=True, ended_at__isnull=True)
    holders = dict(exclusive.values_list("stage", "version__number"))
    open_for = {promotion.target: promotion for promotion in asked}
    ruled = rulings(version.model, list(Stage))
    return tuple(
        _move(version, stage, holders, open_for.get(stage), ruled)
        for stage in (Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED)
        if stage != version.stage
    )


def _move(
    version: Version, stage: Stage, holders: dict[str, int], asked: Promotion | None, ruled: Mapping[str, Ruling]
) -> Move:
    terms = ruled[stage].terms
    displaced = [holders[stage]] if terms.exclusive and stage in holders else []
    words = outcome(version.number, stage, displaced)
    direct = ruled[stage].free
    words = f"At once: {words}." if direct else f"Nothing changes yet. Once {_asked(terms)}: {words}."
    if ruled[version.stage].terms.exclusive:
        words += f" Nothing is in {version.stage} after that, so whatever loads it from there finds none."
    return Move(stage, direct, words, asked)


def _asked(terms: Terms) -> str:
    """In words, what has to happen before a promotion under these terms goes through."""
    asked = []
    if terms.approvals:
        people = "one reviewer" if terms.approvals == 1 else f"{terms.approvals} reviewers"
        asked.append(f"{people} who had no part in it approved")
    if terms.teams:
        asked.append(f"a member of {' and of '.join(terms.teams)} approved")
    if terms.gates:
        asked.append(f"{len(terms.gates)} gate{'s pass' if len(terms.gates) > 1 else ' passes'}")
    return " and ".join(asked)
