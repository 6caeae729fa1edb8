"""Where a promotion stands: whose approvals count, who may not give one, what the gates say, what is missing."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.utils import timezone

from accounts.models import Team
from accounts.queries import holders_by_model
from accounts.roles import NEEDS, Action
from registry.evidence import Evidence
from registry.facts import facts_of, incumbents_of
from registry.gates import Judged, judge
from registry.models import Approval, Promotion, Version
from registry.parts import had_part
from registry.policy import Terms


@dataclass(frozen=True)
class Outlook:
    """Where a promotion stands: the evidence now, who counts, what is missing."""

    evidence: Evidence
    incumbent: Version | None  # the version that it would replace
    judged: tuple[Judged, ...]  # the gates, in the order of the policy
    counting: tuple[Approval, ...]
    stale: tuple[Approval, ...]  # given for other evidence, too long ago, or by somebody who may not review any more
    lacking: int  # approvals still to come
    teams_lacking: tuple[str, ...]  # of which a member has yet to approve
    excluded: Mapping[int, str]  # users who may not vouch for it, each with the reason in words

    @property
    def vouched(self) -> bool:
        """Whether everybody who has to has approved."""
        return not (self.lacking or self.teams_lacking)

    @property
    def failing(self) -> tuple[Judged, ...]:
        """The gates that hold it."""
        return tuple(judged for judged in self.judged if not judged.passed)

    @property
    def missing(self) -> tuple[str, ...]:
        """What it lacks, in words; empty when it can be carried out."""
        lacks = [f"an approval by a member of the team {team}" for team in self.teams_lacking]
        if self.lacking:
            people = f"approval{'s' if self.lacking > 1 else ''} by a reviewer who had no part in it"
            lacks.insert(0, f"{self.lacking} more {people}")
        return (*lacks, *(f"{judged.title}: {judged.verdict.reason}" for judged in self.failing))


def outlook(promotion: Promotion) -> Outlook:
    """What counts for `promotion` and what it still lacks. A constant number of queries."""
    return outlooks([promotion])[promotion.pk]


def outlooks(promotions: Collection[Promotion]) -> dict[uuid.UUID, Outlook]:
    """The same for several promotions of one workspace, by id.

    At most twelve queries however many they are, when their models and versions with manifests are loaded; five when
    no policy has gates or teams.
    """
    now = timezone.now()
    incumbents = incumbents_of(promotions)
    facts = facts_of(promotions, incumbents, now)
    given = _approvals(promotions)
    outside = had_part(promotions)
    entitled = _entitled(promotions, given)
    teams = _teams(promotions, given)
    found = {}
    for promotion in promotions:
        here, terms = given[promotion.pk], promotion.terms
        judged = judge(terms.gates, facts[promotion.pk]) if terms.gates else ()
        evidence = evidence_of(promotion, incumbents.get(promotion.pk), judged)
        excluded = outside[promotion.pk]
        counting = tuple(
            approval
            for approval in here
            if approval.evidence == evidence.digest
            and approval.reviewer_id in entitled.get(promotion.model_id, set())
            and approval.reviewer_id not in excluded
            and not teams.get(approval.reviewer_id, frozenset()) & set(terms.excluded_teams)
            and (terms.approval_lifetime is None or approval.at + terms.approval_lifetime > now)
        )
        found[promotion.pk] = Outlook(
            evidence=evidence,
            incumbent=incumbents.get(promotion.pk),
            judged=judged,
            counting=counting,
            stale=tuple(approval for approval in here if approval not in counting),
            lacking=_lacking(terms, counting),
            teams_lacking=tuple(
                team for team in terms.teams if not any(team in teams.get(a.reviewer_id, ()) for a in counting)
            ),
            excluded=excluded,
        )
    return found


def evidence_of(promotion: Promotion, incumbent: Version | None, judged: Collection[Judged]) -> Evidence:
    """The evidence for a promotion that would replace `incumbent`, its gates judged."""
    manifest = promotion.version.manifest
    return Evidence(
        source=promotion.version.source,
        manifest=manifest.digest if manifest else None,
        incumbent=incumbent.number if incumbent else None,
        incumbent_manifest=incumbent.manifest.digest if incumbent and incumbent.manifest else None,
        policy=promotion.policy,
        inputs={f"{each.title}: {name}": value for each in judged for name, value in each.verdict.inputs.items()},
        round=promotion.round,
    )


def evidences(promotions: Collection[Promotion]) -> dict[uuid.UUID, Evidence]:
    """The evidence alone, by the promotion's id. At most six queries, whatever their number."""
    incumbents = incumbents_of(promotions)
    facts = facts_of(promotions, incumbents, timezone.now())
    return {
        promotion.pk: evidence_of(
            promotion,
            incumbents.get(promotion.pk),
            judge(promotion.terms.gates, facts[promotion.pk]) if promotion.pk in facts else (),
        )
        for promotion in promotions
    }


def excluded(promotion: Promotion) -> dict[int, str]:
    """Users who may not vouch for this promotion because they had part in it, each with the reason in words."""
    return had_part([promotion])[promotion.pk]


def barred_team(promotion: Promotion, user_id: int) -> str:
    """The team by which the policy keeps this user from approving; empty when there is none."""
    barred = promotion.terms.excluded_teams
    if not barred:
        return ""
    here = Team.objects.filter(workspace=promotion.model.workspace_id, name__in=barred, members=user_id)
    return here.order_by("name").values_list("name", flat=True).first() or ""


def _lacking(terms: Terms, counting: Collection[Approval]) -> int:
    persons = {approval.reviewer.responsible_id or approval.reviewer_id for approval in counting}
    return max(0, terms.approvals - len(persons))


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


def _teams(promotions: Collection[Promotion], given: Mapping[uuid.UUID, list[Approval]]) -> dict[int, frozenset[str]]:
    """Of the teams that the policies name: those that each approver is a member of."""
    names = {team for promotion in promotions for team in (*promotion.terms.teams, *promotion.terms.excluded_teams)}
    reviewers = {approval.reviewer_id for approvals in given.values() for approval in approvals}
    if not names or not reviewers:
        return {}
    workspace_id = next(promotion.model.workspace_id for promotion in promotions)
    here = Team.objects.filter(workspace=workspace_id, name__in=names, members__in=reviewers)
    found: dict[int, set[str]] = defaultdict(set)
    for name, user_id in here.values_list("name", "members"):
        found[user_id].add(name)
    return {user_id: frozenset(held) for user_id, held in found.items()}
