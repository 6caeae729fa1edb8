"""What the pages of models and versions show of many rows at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Subquery
from django.db.models.functions import JSONObject

from accounts.actor import Actor
from core import text
from lineage.models import ManifestFile
from lineage.provenance import Provenance, recorded
from lineage.queries import FileNotThere
from registry import earlier
from registry.affected import Fired, webhooks_that_fire
from registry.errors import ModelNotFound, VersionNotFound
from registry.headline import TAG
from registry.lifecycle import Stage, State
from registry.models import Alias, Check, Following, Model, ModelTag, Occupancy, Promotion, Version, VersionTag
from registry.policy import ALIAS_MARK, Terms
from registry.queries import checks, files_of, find_version, versions
from registry.references import version_number
from registry.ruling import Ruling, rulings

FILES_SHOWN = 500
HELD_SHOWN = 20  # stages that a version held


# --- One model --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelShown:
    """A model with its owner, its tags by key, and whether the actor follows it or has muted it."""

    model: Model
    tags: list[dict[str, str]]
    following: Following | None

    @property
    def headline_tag(self) -> str:
        """The metric that a tag of it names."""
        return next((tag["value"] for tag in self.tags if tag["key"] == TAG), "")


def find_shown(actor: Actor, name: object) -> ModelShown:
    """The model of this name as its page shows it; ModelNotFound. One query."""
    tags = ModelTag.objects.filter(model=OuterRef("pk")).order_by("key")
    follows = Following.objects.filter(model=OuterRef("pk"), user=actor.user_id).values("muted")
    rows = Model.objects.visible_to(actor).select_related("created_by")
    rows = rows.annotate(
        all_tags=ArraySubquery(tags.values(told=JSONObject(key="key", value="value"))), muted=Subquery(follows[:1])
    )
    found = rows.filter(name=text.searchable(name)).first()
    if found is None:
        raise ModelNotFound(name=name)
    muted = found.muted  # type: ignore[attr-defined]
    following = None if muted is None else Following(model=found, user_id=actor.user_id, muted=muted)
    return ModelShown(found, found.all_tags, following)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class WayBack:
    """An earlier occupant that one may roll back to; `words` says what happens and on whose word it was there."""

    number: int
    words: str
    promotion: Promotion  # the one that was decided then


def ways_back(model: Model, held: Mapping[str, Sequence[int]]) -> dict[str, list[WayBack]]:
    """For each target that one version holds at a time, with those that hold it: what one may roll back to.

    The last occupant first; nothing where there was none. At most three queries.
    """
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


def open_promotions(model: Model) -> list[Promotion]:
    """The open promotions of a model, newest first, at most 20."""
    found = Promotion.objects.open().filter(model=model).select_related("model", "version", "requester")
    return list(found.order_by("-requested_at", "-id")[:20])


# --- One version ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VersionShown:
    """A version with its model, manifest, registrar and stage; its tags by key, and the aliases that point at it."""

    version: Version
    tags: list[dict[str, str]]
    aliases: list[str]


def find_shown_version(actor: Actor, name: object, number: object) -> VersionShown:
    """The version as its page shows it; ModelNotFound or VersionNotFound. One query."""
    tags = VersionTag.objects.filter(version=OuterRef("pk")).order_by("key")
    aliases = Alias.objects.filter(version=OuterRef("pk")).order_by("name")
    rows = (
        versions(actor)
        .prefetch_related(None)
        .annotate(
            all_tags=ArraySubquery(tags.values(told=JSONObject(key="key", value="value"))),
            all_aliases=ArraySubquery(aliases.values("name")),
        )
    )
    found = rows.filter(model__name=text.searchable(name), number=version_number(number)).first()
    if found is None:
        find_shown(actor, name)
        raise VersionNotFound(name=name, version=number)
    return VersionShown(found, found.all_tags, found.all_aliases)


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
    history, holders = _stays(version)
    return VersionDetails(
        run=recorded([version.run_id]).get(version.run_id) if version.run_id else None,
        files=files,
        files_more=version.manifest.file_count - len(files) if version.manifest else 0,
        promotions=promotions,
        history=history,
        moves=_moves(version, holders, [promotion for promotion in promotions if promotion.state == State.OPEN]),
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


def _stays(version: Version) -> tuple[tuple[Occupancy, ...], dict[str, Version]]:
    """The stages that a version held, the last first and at most HELD_SHOWN; and what holds each exclusive stage of its
    model."""
    alone = Occupancy.objects.filter(model=version.model_id, exclusive=True, ended_at__isnull=True)
    loaded = ("promotion__decided_by", "version__manifest")
    own = version.occupancies.order_by("-started_at")[:HELD_SHOWN]
    rows = list(own.select_related(*loaded).union(alone.select_related(*loaded)))
    history = sorted(
        (row for row in rows if row.version_id == version.pk), key=lambda row: row.started_at, reverse=True
    )
    holders = {row.stage: row.version for row in rows if row.exclusive and not row.ended_at}
    for holder in holders.values():
        holder.model = version.model
    return tuple(history[:HELD_SHOWN]), holders


def _moves(version: Version, holders: Mapping[str, Version], asked: Collection[Promotion]) -> tuple[Move, ...]:
    open_for = {promotion.target: promotion for promotion in asked}
    ruled = rulings(version.model, list(Stage))
    displaced: dict[str, list[Version]] = {
        stage: [holders[stage]] if ruled[stage].terms.exclusive and stage in holders else []
        for stage in (Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED)
        if stage != version.stage
    }
    fired = webhooks_that_fire(version, displaced)
    return tuple(
        _move(version, Stage(stage), [other.number for other in others], fired[stage], open_for.get(stage), ruled)
        for stage, others in displaced.items()
    )


def _move(
    version: Version,
    stage: Stage,
    displaced: Collection[int],
    fired: Fired,
    asked: Promotion | None,
    ruled: Mapping[str, Ruling],
) -> Move:
    direct = ruled[stage].free
    happens = outcome(version.number, stage, displaced) + (f", {fired}" if fired.count else "")
    words = f"At once: {happens}." if direct else f"Nothing changes yet. Once {_asked(ruled[stage].terms)}: {happens}."
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
