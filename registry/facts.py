"""What the gates of promotions look at, gathered from the tables in a constant number of queries."""

from __future__ import annotations

import datetime
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from django.db.models import F, OuterRef, QuerySet, Subquery, Window
from django.db.models.functions import RowNumber

from lineage.models import Manifest
from lineage.provenance import Provenance, recorded
from registry.gates import GATES, Candidate, CheckFacts, CheckState, Definition, Facts, Files, RunFacts, Stay
from registry.models import Alias, Check, Occupancy, Promotion, Version, VersionTag

_STAYS = 100  # of one version: the newest
_QUOTED = 200  # characters of a check's summary, in the reasons of gates


def incumbents_of(promotions: Collection[Promotion]) -> dict[uuid.UUID, Version]:
    """For each promotion that would replace a version, that version with its manifest and registrar.

    At most two queries: one when some are for stages, one when some are for aliases.
    """
    found: dict[uuid.UUID, Version] = {}
    if any(promotion.stage for promotion in promotions):
        found |= _in_stages([promotion for promotion in promotions if promotion.stage])
    if any(promotion.alias for promotion in promotions):
        found |= _at_aliases([promotion for promotion in promotions if promotion.alias])
    return found


def _in_stages(promotions: Collection[Promotion]) -> dict[uuid.UUID, Version]:
    if len(promotions) == 1:  # what a decision asks under the model's lock: a plain statement is made sooner
        return {promotion.pk: version for promotion in promotions if (version := _in_stage(promotion))}
    return _held_by_another(promotions, Occupancy.objects.filter(ended_at__isnull=True).order_by("-number"))


def _held_by_another(promotions: Collection[Promotion], held: QuerySet[Occupancy]) -> dict[uuid.UUID, Version]:
    """For each promotion to a stage, the version of the first of `held` that is another's there. One query."""
    first = held.filter(model=OuterRef("model"), stage=OuterRef("target")).exclude(version=OuterRef("version"))
    asked = Promotion.objects.filter(pk__in=[promotion.pk for promotion in promotions])
    of = dict(asked.annotate(first=Subquery(first.values("pk")[:1])).values_list("pk", "first"))
    rows = Occupancy.objects.filter(pk__in=[pk for pk in of.values() if pk])
    found = {row.pk: row.version for row in rows.select_related("version__manifest", "version__registrar")}
    return {promotion: found[pk] for promotion, pk in of.items() if pk}


def _in_stage(promotion: Promotion) -> Version | None:
    held = Occupancy.objects.filter(model=promotion.model_id, stage=promotion.target, ended_at__isnull=True)
    held = held.exclude(version=promotion.version_id).select_related("version__manifest", "version__registrar")
    newest = held.order_by("-number").first()
    return newest.version if newest else None


def _at_aliases(promotions: Collection[Promotion]) -> dict[uuid.UUID, Version]:
    pointers = Alias.objects.filter(
        model__in={promotion.model_id for promotion in promotions},
        name__in={promotion.alias for promotion in promotions},
    ).select_related("version__manifest", "version__registrar")
    at = {(pointer.model_id, pointer.name): pointer.version for pointer in pointers}
    return {
        promotion.pk: version
        for promotion in promotions
        if (version := at.get((promotion.model_id, promotion.alias))) and version.pk != promotion.version_id
    }


def facts_of(
    promotions: Collection[Promotion], incumbents: Mapping[uuid.UUID, Version], now: datetime.datetime
) -> dict[uuid.UUID, Facts]:
    """What the gates of each promotion look at, by its id. At most four queries; none when no promotion has a gate.

    One more when some are compared with what is there, into a stage where nothing is: they are compared with what was
    there last, or emptying the stage first would be a way past the gate.

    Their models, versions and manifests are loaded.
    """
    gated = [promotion for promotion in promotions if promotion.terms.gates]
    if not gated:
        return {}
    versions = {promotion.version_id: promotion.version for promotion in gated}
    before = {promotion.pk: incumbents[promotion.pk] for promotion in gated if promotion.pk in incumbents}
    before |= _there_last([promotion for promotion in gated if promotion.pk not in before])
    versions |= {version.pk: version for version in before.values()}
    reads = {each for promotion in gated for asked in promotion.terms.gates for each in GATES[asked["gate"]].reads}
    known = _Known.of(versions.values(), reads)
    return {
        promotion.pk: Facts(
            candidate=known.candidate(promotion.version, promotion.model.description),
            incumbent=known.candidate(before[promotion.pk]) if promotion.pk in before else None,
            now=now,
        )
        for promotion in gated
    }


def _there_last(promotions: Collection[Promotion]) -> dict[uuid.UUID, Version]:
    compared = [
        promotion
        for promotion in promotions
        if promotion.stage and any(asked["gate"] == "not_worse" for asked in promotion.terms.gates)
    ]
    return _held_by_another(compared, Occupancy.objects.order_by("-started_at")) if compared else {}


@dataclass(frozen=True)
class _Known:
    """What the tables say of some versions, by the version's id (of runs, by the run's)."""

    runs: Mapping[uuid.UUID, Provenance]
    tags: Mapping[uuid.UUID, dict[str, str]]
    checks: Mapping[uuid.UUID, dict[str, CheckFacts]]
    stays: Mapping[uuid.UUID, list[Stay]]

    @classmethod
    def of(cls, versions: Collection[Version], reads: Collection[str]) -> _Known:
        """What `reads` names of these versions. A query for each."""
        ids = [version.pk for version in versions]
        return cls(
            runs=recorded({version.run_id for version in versions if version.run_id}) if "run" in reads else {},
            tags=_tags(ids) if "tags" in reads else {},
            checks=newest_checks(ids) if "checks" in reads else {},
            stays=_newest_stays(ids) if "stays" in reads else {},
        )

    def candidate(self, version: Version, model_description: str = "") -> Candidate:
        return Candidate(
            number=version.number,
            description=version.description,
            model_description=model_description,
            tags=self.tags.get(version.pk, {}),
            files=_files(version.manifest) if version.manifest else None,
            run=_run(self.runs.get(version.run_id)) if version.run_id else None,
            checks=self.checks.get(version.pk, {}),
            stays=tuple(self.stays.get(version.pk, ())),
        )


def newest_checks(version_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, dict[str, CheckFacts]]:
    """The newest report of each check on these versions, by version and name; with those of others. One query."""
    reports: dict[tuple[uuid.UUID, str], list[Check]] = defaultdict(list)
    newest = Check.objects.filter(version__in=version_ids).order_by("version", "name", "reporter", "-id")
    for check in newest.distinct("version", "name", "reporter").select_related("reporter"):
        reports[check.version_id, check.name].append(check)
    return _by_name(reports)


_Key = TypeVar("_Key")


def _by_name(reports: Mapping[tuple[_Key, str], list[Check]]) -> dict[_Key, dict[str, CheckFacts]]:
    """For each key, by the name of the check: the newest report, with the newest of each other account."""
    found: dict[_Key, dict[str, CheckFacts]] = defaultdict(dict)
    for (key, name), each in reports.items():
        first, *others = sorted(each, key=lambda check: check.pk, reverse=True)
        found[key][name] = replace(_reported(first), others=tuple(_reported(check) for check in others))
    return found


def _reported(check: Check) -> CheckFacts:
    return CheckFacts(CheckState(check.state), check.reporter.username, check.at, check.summary[:_QUOTED], check.values)


def _tags(version_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, dict[str, str]]:
    found: dict[uuid.UUID, dict[str, str]] = defaultdict(dict)
    tags = VersionTag.objects.filter(version__in=version_ids)
    for version_id, key, value in tags.values_list("version", "key", "value"):
        found[version_id][key] = value
    return found


# --- What gates looked at when something was decided ------------------------------------------------------------------


def facts_then(
    decided: Collection[Promotion], before: Mapping[uuid.UUID, Version], definitions: Collection[Definition]
) -> dict[uuid.UUID, Facts]:
    """What gates so defined would have looked at when each of these promotions was decided, by its id; at most four
    queries. `before` are the versions that were at their targets then.

    Stays and checks are those of that moment. Runs, tags, descriptions and what is known of files are as they are now:
    no former state of them is kept.
    """
    reads = {each for definition in definitions for each in GATES[definition["gate"]].reads}
    versions = {each.pk: each for each in (*(promotion.version for promotion in decided), *before.values())}
    known = _Known.of(versions.values(), reads - {"checks"})
    sides = [
        (promotion, version)
        for promotion in decided
        for version in (promotion.version, before.get(promotion.pk))
        if version is not None
    ]
    checks = _checks_then(sides) if "checks" in reads else {}

    def as_then(promotion: Promotion, version: Version, description: str = "") -> Candidate:
        return replace(
            known.candidate(version, description),
            checks=checks.get((promotion.pk, version.pk), {}),
            stays=tuple(_stays_until(known.stays.get(version.pk, ()), _decision(promotion))),
        )

    return {
        promotion.pk: Facts(
            candidate=as_then(promotion, promotion.version, promotion.model.description),
            incumbent=as_then(promotion, before[promotion.pk]) if promotion.pk in before else None,
            now=_decision(promotion),
        )
        for promotion in decided
    }


def _decision(promotion: Promotion) -> datetime.datetime:
    return promotion.decided_at or promotion.requested_at  # it is decided: a constraint says so


def _stays_until(stays: Collection[Stay], moment: datetime.datetime) -> Iterator[Stay]:
    for stay in stays:
        if stay.started_at < moment:
            over = stay.ended_at is not None and stay.ended_at < moment
            yield stay if over else replace(stay, ended_at=None)


_NEWEST_THEN = """
SELECT DISTINCT ON (asked.place, c.name, c.reporter_id) c.*, asked.place
  FROM unnest(%s::uuid[], %s::timestamptz[]) WITH ORDINALITY AS asked (version_id, moment, place)
  JOIN registry_check c ON c.version_id = asked.version_id AND c.at <= asked.moment
 ORDER BY asked.place, c.name, c.reporter_id, c.id DESC
"""


def _checks_then(
    sides: Sequence[tuple[Promotion, Version]],
) -> dict[tuple[uuid.UUID, uuid.UUID], dict[str, CheckFacts]]:
    """The newest reports on each version when the promotion beside it was decided. Two queries."""
    moments = [_decision(promotion) for promotion, _ in sides]
    rows = Check.objects.raw(_NEWEST_THEN, [[version.pk for _, version in sides], moments])
    reports: dict[tuple[tuple[uuid.UUID, uuid.UUID], str], list[Check]] = defaultdict(list)
    for check in rows.prefetch_related("reporter"):
        promotion, version = sides[getattr(check, "place") - 1]  # noqa: B009 - no column of the table
        reports[(promotion.pk, version.pk), check.name].append(check)
    return _by_name(reports)


def _newest_stays(version_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[Stay]]:
    place = Window(RowNumber(), partition_by="version", order_by=F("started_at").desc())
    held = Occupancy.objects.filter(version__in=version_ids).annotate(place=place).filter(place__lte=_STAYS)
    stays: dict[uuid.UUID, list[Stay]] = defaultdict(list)
    rows = held.order_by("started_at").values_list("version", "stage", "started_at", "ended_at")
    for version_id, stage, started_at, ended_at in rows:
        stays[version_id].append(Stay(stage, started_at, ended_at))
    return stays


def _files(manifest: Manifest) -> Files:
    return Files(
        digest=manifest.digest,
        verified_at=manifest.verified_at,
        damage=manifest.damage,
        contents=manifest.inspected if manifest.contents else None,
    )


def _moment(milliseconds: int) -> datetime.datetime | None:
    """A time that a client gave; None when no calendar of ours has it."""
    try:
        return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _run(run: Provenance | None) -> RunFacts | None:
    if run is None:
        return None
    ended = _moment(run.ended_ms) if run.ended_ms else None
    return RunFacts(
        metrics=run.metrics,
        ended_at=ended,
        commit=run.commit,
        datasets=tuple(f"{dataset.name} {dataset.digest}" for dataset in run.datasets),
    )
