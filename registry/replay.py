"""The gates of a policy put to promotions that were decided before: from what is recorded of the moment of decision.

Where a version was and what jobs reported is known for every moment. What people wrote and what runs measured is known
as it is now, and whether it has changed since; where it has, nobody can tell what a gate would have said, and that is
the answer.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery

from accounts.models import AuditEntry
from accounts.verbs import Verb
from registry.facts import facts_then
from registry.gates import Candidate, Definition, Facts, Judged, judge
from registry.models import Occupancy, Pointing, Promotion, Version
from registry.policy import ALIAS_MARK

_EDITS = 5000  # of what people wrote, the newest: that many are looked at for whether it has changed since
_WRITTEN = (Verb.VERSION_TAGGED, Verb.VERSION_UPDATED, Verb.MODEL_UPDATED)
_ANY_TIME = datetime.datetime.min.replace(tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Said:
    """What a gate would have said; `untold` is why nobody can tell, empty where one can."""

    judged: Judged
    untold: str = ""


def with_former(promotions: QuerySet[Promotion], target: str) -> QuerySet[Promotion]:
    """Decided `promotions` into `target`, each with the id of the version that came there last before it (`former`)."""
    # A stage is compared with what was there last, an alias with what it points at alone: as by `facts_of`.
    there: QuerySet[Any] = (
        Pointing.objects.filter(
            Q(ended_at__isnull=True) | Q(ended_at__gte=OuterRef("decided_at")),
            model=OuterRef("model"),
            alias=target.removeprefix(ALIAS_MARK),
        )
        if target.startswith(ALIAS_MARK)
        else Occupancy.objects.filter(model=OuterRef("model"), stage=target)
    )
    there = there.filter(started_at__lt=OuterRef("decided_at")).exclude(version=OuterRef("version"))
    there = there.order_by("-started_at").values("version")
    return promotions.annotate(former=Subquery(there[:1]))


def said_then(promotions: Sequence[Promotion], gates: Sequence[Definition]) -> dict[uuid.UUID, tuple[Said, ...]]:
    """What each of `gates` would have said of these promotions, by their ids; they come from `with_former`, with their
    models, versions and manifests. At most seven queries; none without gates.
    """
    if not gates or not promotions:
        return {promotion.pk: () for promotion in promotions}
    facts = facts_then(promotions, _formers(promotions, gates), gates)
    edits = _Edits.since(promotions) if any(each["gate"] in _OF_WORDS for each in gates) else _Edits()
    return {
        promotion.pk: tuple(
            Said(judged, _untold(definition, facts[promotion.pk], promotion, edits))
            for definition, judged in zip(gates, judge(gates, facts[promotion.pk]), strict=True)
        )
        for promotion in promotions
    }


_OF_WORDS = frozenset({"required_tags", "description"})


def _formers(promotions: Sequence[Promotion], gates: Sequence[Definition]) -> dict[uuid.UUID, Version]:
    if not any(definition["gate"] == "not_worse" for definition in gates):
        return {}
    formers: dict[uuid.UUID, uuid.UUID] = {each.pk: former for each in promotions if (former := _former(each))}
    versions = Version.objects.select_related("manifest").in_bulk(set(formers.values()))
    return {promotion: versions[former] for promotion, former in formers.items()}


def _former(promotion: Promotion) -> uuid.UUID | None:
    return getattr(promotion, "former", None)


# --- What has changed since -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Edits:
    """When what people wrote of models and versions was changed last, as far back as `known_since`."""

    newest: Mapping[tuple[object, ...], datetime.datetime] = field(default_factory=dict)
    known_since: datetime.datetime = _ANY_TIME

    @classmethod
    def since(cls, promotions: Sequence[Promotion]) -> _Edits:
        """The edits since the first of these decisions, by what was edited. One query."""
        first = min(each.decided_at or each.requested_at for each in promotions)
        told = AuditEntry.objects.filter(
            workspace=promotions[0].model.workspace_id, verb__in=_WRITTEN, at__gte=first
        ).order_by("-at", "-id")
        newest: dict[tuple[object, ...], datetime.datetime] = {}
        oldest, count = _ANY_TIME, 0
        fields = ("chain__subject_id", "verb", "at", "data__version", "data__key")
        for model_id, verb, at, number, key in told.values_list(*fields)[:_EDITS]:
            newest.setdefault((model_id, number, key if verb == Verb.VERSION_TAGGED else None), at)
            oldest, count = at, count + 1
        return cls(newest, oldest if count == _EDITS else _ANY_TIME)

    def after(self, promotion: Promotion, *what: tuple[object, ...]) -> bool:
        """Whether any of `what` was changed after the decision, or nobody can tell."""
        moment = promotion.decided_at or promotion.requested_at
        return moment < self.known_since or any(
            (at := self.newest.get((promotion.model_id, *each))) is not None and at > moment for each in what
        )


def _untold(definition: Definition, facts: Facts, promotion: Promotion, edits: _Edits) -> str:
    """Why nobody can tell what the gate would have said then; empty where one can."""
    gate, number = definition["gate"], promotion.version.number
    if gate in ("metric_threshold", "not_worse") and "check" not in definition:
        compared = [facts.candidate, *([facts.incumbent] if gate == "not_worse" and facts.incumbent else [])]
        return next((why for side in compared if (why := _run_went_on(side, facts.now))), "")
    if gate == "lineage":
        environment = "environment" in definition.get("of", ["environment"])
        return _run_went_on(facts.candidate, facts.now) or (_not_seen(facts.candidate) if environment else "")
    if gate == "signature":
        return _not_seen(facts.candidate)
    if gate == "digest":
        return _verified_since(facts.candidate, facts.now)
    if gate == "required_tags":
        keys = [*definition.get("keys", []), *definition.get("allowed", {})]
        changed = edits.after(promotion, *((number, key) for key in keys))
        return "its tags may have been others then" if changed else ""
    if gate == "description":
        changed = edits.after(promotion, (number, None), (None, None))
        return "its description may have been another one then" if changed else _sections(definition, facts.candidate)
    return ""


def _run_went_on(version: Candidate, moment: datetime.datetime) -> str:
    run = version.run
    if run is None or (run.ended_at is not None and run.ended_at <= moment):
        return ""
    return f"the run of v{version.number} went on after the decision, so its metrics may have been others"


def _not_seen(version: Candidate) -> str:
    files = version.files
    if files is None or files.contents is not None or files.damage:
        return ""
    return "nobody has looked into its files yet"


def _sections(definition: Definition, version: Candidate) -> str:
    return _not_seen(version) if "sections" in definition else ""


def _verified_since(version: Candidate, moment: datetime.datetime) -> str:
    files = version.files
    if files is None or (files.verified_at is None and not files.damage):
        return ""
    if files.damage:
        return "its files are damaged, and nobody can tell since when"
    if files.verified_at and files.verified_at > moment:
        return "its files were verified again since, and the time before that is not kept"
    return ""
