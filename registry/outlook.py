"""Where a promotion stands: whose approvals count, who may not give one, what is missing."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from accounts.queries import holders_by_model
from accounts.roles import NEEDS, Action
from registry.evidence import Evidence, evidence_of, incumbents_of
from registry.models import Approval, Promotion, Version
from registry.parts import had_part


@dataclass(frozen=True)
class Outlook:
    """Where a promotion stands: the evidence now, who counts, what is missing."""

    evidence: Evidence
    incumbent: Version | None  # the version that it would replace
    counting: tuple[Approval, ...]
    stale: tuple[Approval, ...]  # given for other evidence, or by somebody who may not review any more
    missing: tuple[str, ...]
    lacking: int  # approvals still to come
    excluded: Mapping[int, str]  # users who may not vouch for it, each with the reason in words


def outlook(promotion: Promotion) -> Outlook:
    """What counts for `promotion` and what it still lacks. A constant number of queries."""
    return outlooks([promotion])[promotion.pk]


def outlooks(promotions: Collection[Promotion]) -> dict[uuid.UUID, Outlook]:
    """The same for several promotions of one workspace, by id; at most five queries however many they are, when
    their versions are loaded."""
    incumbents = incumbents_of(promotions)
    given = _approvals(promotions)
    outside = had_part(promotions)
    entitled = _entitled(promotions, given)
    found = {}
    for promotion in promotions:
        here, incumbent = given[promotion.pk], incumbents.get(promotion.pk)
        evidence = evidence_of(promotion, incumbent)
        counting = tuple(
            approval
            for approval in here
            if approval.evidence == evidence.digest
            and approval.reviewer_id in entitled.get(promotion.model_id, set())
            and approval.reviewer_id not in outside[promotion.pk]
        )
        persons = {approval.reviewer.responsible_id or approval.reviewer_id for approval in counting}
        lacking = max(0, promotion.terms.approvals - len(persons))
        found[promotion.pk] = Outlook(
            evidence=evidence,
            incumbent=incumbent,
            counting=counting,
            stale=tuple(approval for approval in here if approval not in counting),
            missing=_missing(lacking),
            lacking=lacking,
            excluded=outside[promotion.pk],
        )
    return found


def excluded(promotion: Promotion) -> dict[int, str]:
    """Users who may not vouch for this promotion, each with the reason in words."""
    return had_part([promotion])[promotion.pk]


def _missing(lacking: int) -> tuple[str, ...]:
    if not lacking:
        return ()
    return (f"{lacking} more approval{'s' if lacking > 1 else ''} by a reviewer who had no part in it",)


def _approvals(promotions: Collection[Promotion]) -> dict[uuid.UUID, list[Approval]]:
    given: dict[uuid.UUID, list[Approval]] = defaultdict(list)
    rows = Approval.objects.filter(promotion__in=[promotion.pk for promotion in promotions])
    for approval in rows.select_related("reviewer").order_by("at"):
        given[approval.promotion_id].append(approval)
    return given


def _entitled(
    promotions: Collection[Promotion], given: Mapping[uuid.UUID, list[Approval]]
) -> dict[uuid.UUID, set[int]]:
    reviewers = {approval.reviewer_id for approvals in given.values() for approval in approvals}
    if not reviewers:
        return {}
    return holders_by_model(
        reviewers,
        NEEDS[Action.APPROVE_PROMOTION].roles,
        workspace_id=next(promotion.model.workspace_id for promotion in promotions),
        model_ids={promotion.model_id for promotion in promotions},
    )
