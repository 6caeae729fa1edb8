"""What a reviewer looks at, digested: an approval counts for exactly this."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import OuterRef, Subquery

from core.canonical import digest
from registry.models import Occupancy, Promotion, Version

_LOOKED_BACK = 50  # earlier occupants of a stage among which an old digest is looked for


@dataclass(frozen=True)
class Evidence:
    """The candidate, the incumbent and the rules, at one moment."""

    source: str
    manifest: str | None  # SHA-256 of the candidate's manifest; None when its bytes lie elsewhere
    incumbent: int | None  # the version that holds the stage now
    incumbent_manifest: str | None
    policy: dict[str, Any]

    @property
    def digest(self) -> str:
        return digest(
            {
                "source": self.source,
                "manifest": self.manifest,
                "incumbent": self.incumbent,
                "incumbent_manifest": self.incumbent_manifest,
                "policy": self.policy,
            }
        )


def gather(promotion: Promotion) -> Evidence:
    """The evidence for a promotion as it stands."""
    return gather_all([promotion])[promotion.pk]


def gather_all(promotions: Collection[Promotion]) -> dict[uuid.UUID, Evidence]:
    """The evidence for each, by id. One query, when their versions and manifests are loaded."""
    incumbents = incumbents_of(promotions)
    return {promotion.pk: evidence_of(promotion, incumbents.get(promotion.pk)) for promotion in promotions}


def evidence_of(promotion: Promotion, incumbent: Version | None) -> Evidence:
    """The evidence for a promotion that would replace `incumbent`."""
    manifest = promotion.version.manifest
    return Evidence(
        source=promotion.version.source,
        manifest=manifest.digest if manifest else None,
        incumbent=incumbent.number if incumbent else None,
        incumbent_manifest=incumbent.manifest.digest if incumbent and incumbent.manifest else None,
        policy=promotion.policy,
    )


def incumbents_of(promotions: Collection[Promotion]) -> dict[uuid.UUID, Version]:
    """For each promotion that would replace a version, that version with its manifest and registrar. One query."""
    newest = (
        Occupancy.objects.filter(model=OuterRef("model"), stage=OuterRef("stage"), ended_at__isnull=True)
        .exclude(version=OuterRef("version"))
        .order_by("-version__number")
        .values("pk")[:1]
    )
    asked = Promotion.objects.filter(pk__in=[promotion.pk for promotion in promotions])
    held = list(
        Occupancy.objects.filter(pk__in=asked.annotate(newest=Subquery(newest)).values("newest"))
        .select_related("version__manifest", "version__registrar")
        .order_by("version__number")
    )
    return {
        promotion.pk: occupancy.version
        for promotion in promotions
        for occupancy in held
        if (occupancy.model_id, occupancy.stage) == (promotion.model_id, promotion.stage)
        and occupancy.version_id != promotion.version_id
    }


def what_changed(promotion: Promotion, seen: Collection[str], now: Evidence) -> dict[str, str]:
    """For each digest in `seen`: in words, how the evidence that it was made of differs from `now`. One query."""
    then = {}
    for version in (None, *_earlier_occupants(promotion)) if seen else ():
        manifest = version.manifest if version else None
        earlier = replace(
            now,
            incumbent=version.number if version else None,
            incumbent_manifest=manifest.digest if manifest else None,
        )
        then[earlier.digest] = f"{_number(earlier)} held {promotion.stage} then, {_number(now)} holds it now"
    return {digest: then.get(digest, "the files, the source or the policy were others then") for digest in seen}


def _earlier_occupants(promotion: Promotion) -> Iterable[Version]:
    held = Occupancy.objects.filter(model_id=promotion.model_id, stage=promotion.stage)
    held = held.exclude(version_id=promotion.version_id).select_related("version__manifest")
    return [occupancy.version for occupancy in held.order_by("-started_at")[:_LOOKED_BACK]]


def _number(evidence: Evidence) -> str:
    return f"v{evidence.incumbent}" if evidence.incumbent else "nothing"
