"""What the gates of promotions look at, gathered from the tables in a constant number of queries."""

from __future__ import annotations

import datetime
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from django.db.models import Case, OuterRef, QuerySet, Subquery, When
from django.db.models.functions import Substr

from lineage.models import Manifest
from lineage.provenance import Provenance, recorded
from registry.gates import GATES, Candidate, CheckFacts, CheckState, Definition, Facts, Files, RunFacts, Stay
from registry.models import Alias, Check, Occupancy, Promotion, Version
from registry.noted import QUOTED, noted
from registry.policy import ALIAS_MARK


def incumbents_of(promotions: Collection[Promotion]) -> dict[uuid.UUID, Version]:
    """For each promotion that would replace a version, that version with its manifest and registrar.

    At most two queries.
    """
    if len(promotions) == 1:  # what a decision asks under the model's lock: a plain statement is made sooner
        one = next(iter(promotions))
        there = _at_alias(one) if one.alias else _in_stage(one)
        return {one.pk: there} if there else {}
    held = Occupancy.objects.filter(ended_at__isnull=True, model=OuterRef("model"), stage=OuterRef("target"))
    pointed = Alias.objects.filter(model=OuterRef("model"), name=Substr(OuterRef("target"), 2))
    first = Case(
        When(target__startswith=ALIAS_MARK, then=Subquery(_another(pointed).values("version")[:1])),
        default=Subquery(_another(held).order_by("-number").values("version")[:1]),
    )
    return _versions_by(promotions, first)


def _another(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.exclude(version=OuterRef("version"))


def _versions_by(promotions: Collection[Promotion], first: Any) -> dict[uuid.UUID, Version]:
    """For each promotion, the version whose id the expression `first` gives, if any. Two queries."""
    asked = Promotion.objects.filter(pk__in=[promotion.pk for promotion in promotions])
    of = dict(asked.annotate(first=first).values_list("pk", "first"))
    ids = {version for version in of.values() if version}
    found = Version.objects.select_related("manifest", "registrar").in_bulk(ids) if ids else {}
    return {promotion: found[version] for promotion, version in of.items() if version}


def _in_stage(promotion: Promotion) -> Version | None:
    held = Occupancy.objects.filter(model=promotion.model_id, stage=promotion.target, ended_at__isnull=True)
    held = held.exclude(version=promotion.version_id).select_related("version__manifest", "version__registrar")
    newest = held.order_by("-number").first()
    return newest.version if newest else None


def _at_alias(promotion: Promotion) -> Version | None:
    pointer = Alias.objects.filter(model=promotion.model_id, name=promotion.alias).exclude(version=promotion.version_id)
    there = pointer.select_related("version__manifest", "version__registrar").first()
    return there.version if there else None


@dataclass(frozen=True)
class Gathered:
    """What the gates of each promotion look at, by its id; and what the runs recorded that they look at, by theirs."""

    facts: Mapping[uuid.UUID, Facts]
    runs: Mapping[uuid.UUID, Provenance]


def facts_of(
    promotions: Collection[Promotion], incumbents: Mapping[uuid.UUID, Version], now: datetime.datetime
) -> Gathered:
    """What the gates of each promotion look at. At most two queries; none when no promotion has a gate.

    Two more when some are compared with what is there, into a stage where nothing is: they are compared with what was
    there last, or emptying the stage first would be a way past the gate.

    Their models, versions and manifests are loaded.
    """
    gated = [promotion for promotion in promotions if promotion.terms.gates]
    if not gated:
        return Gathered({}, {})
    versions = {promotion.version_id: promotion.version for promotion in gated}
    before = {promotion.pk: incumbents[promotion.pk] for promotion in gated if promotion.pk in incumbents}
    before |= _there_last([promotion for promotion in gated if promotion.pk not in before])
    versions |= {version.pk: version for version in before.values()}
    reads = {each for promotion in gated for asked in promotion.terms.gates for each in GATES[asked["gate"]].reads}
    known = _Known.of(versions.values(), reads)
    facts = {
        promotion.pk: Facts(
            candidate=known.candidate(promotion.version, promotion.model.description),
            incumbent=known.candidate(before[promotion.pk]) if promotion.pk in before else None,
            now=now,
        )
        for promotion in gated
    }
    return Gathered(facts, known.runs)


def _there_last(promotions: Collection[Promotion]) -> dict[uuid.UUID, Version]:
    compared = [
        promotion
        for promotion in promotions
        if promotion.stage and any(asked["gate"] == "not_worse" for asked in promotion.terms.gates)
    ]
    held = Occupancy.objects.filter(model=OuterRef("model"), stage=OuterRef("target"))
    last = Subquery(_another(held).order_by("-started_at").values("version")[:1])
    return _versions_by(compared, last) if compared else {}


@dataclass(frozen=True)
class _Known:
    """What the tables say of some versions, by the version's id (of runs, by the run's)."""

    runs: Mapping[uuid.UUID, Provenance]
    tags: Mapping[uuid.UUID, dict[str, str]]
    checks: Mapping[uuid.UUID, dict[str, CheckFacts]]
    stays: Mapping[uuid.UUID, list[Stay]]

    @classmethod
    def of(cls, versions: Collection[Version], reads: Collection[str]) -> _Known:
        """What `reads` names of these versions. A query for the runs, and one for all the rest."""
        rest = noted([version.pk for version in versions], reads)
        return cls(
            runs=recorded({version.run_id for version in versions if version.run_id}) if "run" in reads else {},
            tags=rest.tags,
            checks=rest.checks,
            stays=rest.stays,
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


_Key = TypeVar("_Key")


def _by_name(reports: Mapping[tuple[_Key, str], list[Check]]) -> dict[_Key, dict[str, CheckFacts]]:
    """For each key, by the name of the check: the newest report, with the newest of each other account."""
    found: dict[_Key, dict[str, CheckFacts]] = defaultdict(dict)
    for (key, name), each in reports.items():
        first, *others = sorted(each, key=lambda check: check.pk, reverse=True)
        found[key][name] = replace(_reported(first), others=tuple(_reported(check) for check in others))
    return found


def _reported(check: Check) -> CheckFacts:
    return CheckFacts(CheckState(check.state), check.reporter.username, check.at, check.summary[:QUOTED], check.values)


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
