"""What a reviewer looks at, digested: an approval counts for exactly this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.canonical import digest
from registry.models import Occupancy, Promotion, Version


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
    """The evidence for a promotion as it stands. Two queries."""
    version = Version.objects.select_related("manifest").get(pk=promotion.version_id)
    incumbent = incumbent_of(promotion)
    return Evidence(
        source=version.source,
        manifest=version.manifest.digest if version.manifest else None,
        incumbent=incumbent.number if incumbent else None,
        incumbent_manifest=incumbent.manifest.digest if incumbent and incumbent.manifest else None,
        policy=promotion.policy,
    )


def incumbent_of(promotion: Promotion) -> Version | None:
    """The version that the promotion would replace: the newest other occupant of the stage."""
    occupancy = (
        Occupancy.objects.filter(model_id=promotion.model_id, stage=promotion.stage, ended_at__isnull=True)
        .exclude(version_id=promotion.version_id)
        .select_related("version__manifest")
        .order_by("-version__number")
        .first()
    )
    return occupancy.version if occupancy else None
