"""Where a promotion stands: whose approvals count, who may not give one, what the gates say, what is missing."""

from __future__ import annotations

import datetime
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from django.utils import timezone

from accounts.actor import Actor
from accounts.roles import NEEDS, Action
from lineage.provenance import Provenance
from registry.evidence import Evidence
from registry.facts import facts_of, incumbents_of
from registry.gates import Judged, judge
from registry.models import Approval, Promotion, Version
from registry.parts import people
from registry.policy import Terms


@dataclass(frozen=True)
class Outlook:
    """Where a promotion stands: the evidence now, who counts, what is missing."""

    terms: Terms
    evidence: Evidence
    incumbent: Version | None  # the version that it would replace
    judged: tuple[Judged, ...]  # the gates, in the order of the policy
    given: tuple[Approval, ...]  # all approvals, the oldest first
    reviewers: Collection[int]  # those of their givers who may review the model now
    teams: Mapping[int, Collection[str]]  # of the teams that the terms name: those that each giver is a member of
    persons_teams: Mapping[int, Collection[str]]  # the same under any account of the giver's person
    excluded: Mapping[int, str]  # users who had part in it and may not vouch for it, each with the reason in words
    at: datetime.datetime
    runs: Mapping[uuid.UUID, Provenance]  # what the gates looked at of runs, by the run's id

    def with_approval(self, approval: Approval) -> Outlook:
        """The same once `approval` is given, by somebody for whom the outlook was made as well (`giver`)."""
        others = tuple(each for each in self.given if each.pk != approval.pk)
        return replace(self, given=(*others, approval))

    def excludes(self, user_id: int) -> str:
        """In words, why the policy lets this user, a giver, not vouch for it; empty when it does."""
        if why := self.excluded.get(user_id):
            return why
        barred = sorted(set(self.persons_teams.get(user_id, ())) & set(self.terms.excluded_teams))
        return f"the policy leaves out the team {barred[0]}, which you are in" if barred else ""

    @cached_property
    def counting(self) -> tuple[Approval, ...]:
        """The approvals that count."""
        return tuple(approval for approval in self.given if self._counts(approval))

    def _counts(self, approval: Approval) -> bool:
        lifetime = self.terms.approval_lifetime
        return (
            approval.evidence == self.evidence.digest
            and approval.reviewer_id in self.reviewers
            and approval.reviewer_id not in self.excluded
            and not set(self.persons_teams.get(approval.reviewer_id, ())) & set(self.terms.excluded_teams)
            and (lifetime is None or approval.at + lifetime > self.at)
        )

    @cached_property
    def stale(self) -> tuple[Approval, ...]:
        """Those that do not: given for other evidence, too long ago, or by somebody who may not review any more."""
        return tuple(approval for approval in self.given if approval not in self.counting)

    @cached_property
    def _persons(self) -> set[int]:
        """Whose approvals count. A person with several accounts counts once."""
        return {approval.reviewer.responsible_id or approval.reviewer_id for approval in self.counting}

    @cached_property
    def lacking(self) -> int:
        """How many approvals are still to come."""
        return max(0, self.terms.approvals - len(self._persons))

    @cached_property
    def teams_lacking(self) -> tuple[str, ...]:
        """The teams of which a member has yet to approve."""
        approved = {team for approval in self.counting for team in self.teams.get(approval.reviewer_id, ())}
        return tuple(team for team in self.terms.teams if team not in approved)

    @property
    def vouched(self) -> bool:
        """Whether everybody who has to has approved."""
        return not (self.lacking or self.teams_lacking)

    def vouched_with(self, user_id: int) -> bool:
        """Whether everybody who has to has approved once this user, a person and a giver, has."""
        own = self.teams.get(user_id, ())
        return len(self._persons | {user_id}) >= self.terms.approvals and all(
            team in own for team in self.teams_lacking
        )

    @property
    def failing(self) -> tuple[Judged, ...]:
        """The gates that hold it."""
        return tuple(judged for judged in self.judged if not judged.passed)

    @property
    def unvouched(self) -> tuple[str, ...]:
        """The approvals that it lacks, in words."""
        lacks = [f"an approval by a member of the team {team}" for team in self.teams_lacking]
        if self.lacking:
            people = f"approval{'s' if self.lacking > 1 else ''} by a reviewer who had no part in it"
            lacks.insert(0, f"{self.lacking} more {people}")
        return tuple(lacks)

    @property
    def missing(self) -> tuple[str, ...]:
        """What it lacks, in words; empty when it can be carried out."""
        return (*self.unvouched, *(f"{judged.title}: {judged.verdict.reason}" for judged in self.failing))


def outlook(promotion: Promotion, *, giver: int | None = None) -> Outlook:
    """What counts for `promotion` and what it still lacks; `giver` is a user who is about to approve it.

    A constant number of queries.
    """
    return outlooks([promotion], givers=[giver] if giver else [])[promotion.pk]


def outlook_then(promotion: Promotion) -> Outlook:
    """Of a promotion that is decided: the approvals that were given. Nothing else of it counts any more. One query."""
    return Outlook(
        terms=promotion.terms,
        evidence=evidence_of(promotion, None, ()),
        incumbent=None,
        judged=(),
        given=tuple(_approvals([promotion])[promotion.pk]),
        reviewers=(),
        teams={},
        persons_teams={},
        excluded={},
        at=timezone.now(),
        runs={},
    )


def outlooks(promotions: Collection[Promotion], *, givers: Collection[int] = ()) -> dict[uuid.UUID, Outlook]:
    """The same for several promotions of one workspace, by id.

    At most eight queries however many they are, when their models and versions with manifests are loaded; four when no
    policy has gates.
    """
    if not promotions:
        return {}
    now = timezone.now()
    incumbents = incumbents_of(promotions)
    gathered = facts_of(promotions, incumbents, now)
    given = _approvals(promotions)
    givers = {approval.reviewer_id for approvals in given.values() for approval in approvals} | set(givers)
    who = people(promotions, givers)
    found = {}
    for promotion in promotions:
        terms, incumbent = promotion.terms, incumbents.get(promotion.pk)
        judged = judge(terms.gates, gathered.facts[promotion.pk]) if terms.gates else ()
        found[promotion.pk] = Outlook(
            terms=terms,
            evidence=evidence_of(promotion, incumbent, judged),
            incumbent=incumbent,
            judged=judged,
            given=tuple(given[promotion.pk]),
            reviewers=who.reviewers[promotion.model_id],
            teams=who.teams,
            persons_teams=who.persons_teams,
            excluded=who.excluded[promotion.pk],
            at=now,
            runs=gathered.runs,
        )
    return found


def evidence_of(promotion: Promotion, incumbent: Version | None, judged: Collection[Judged]) -> Evidence:
    """The evidence for a promotion that would replace `incumbent`, its gates judged."""
    manifest = promotion.version.manifest
    return Evidence(
        source=promotion.version.lies_at,
        manifest=manifest.digest if manifest else None,
        incumbent=incumbent.number if incumbent else None,
        incumbent_manifest=incumbent.manifest.digest if incumbent and incumbent.manifest else None,
        policy=promotion.policy,
        inputs={f"{each.title}: {name}": value for each in judged for name, value in each.verdict.inputs.items()},
        round=promotion.round,
        archives_others=promotion.archive_existing and not promotion.terms.exclusive,
    )


def may_ask_for_reviews(actor: Actor, promotion: Promotion) -> bool:
    """Whether the actor may say who is asked to review it: who asked for it may, and who reviews. At most one query."""
    if not actor.may(Action.REQUEST_PROMOTION, promotion.model_id):
        return False
    if promotion.requester_id == actor.user_id or NEEDS[Action.APPROVE_PROMOTION].roles & actor.roles_for(
        promotion.model_id
    ):
        return True
    return promotion.askers.filter(pk=actor.user_id).exists()


def _approvals(promotions: Collection[Promotion]) -> dict[uuid.UUID, list[Approval]]:
    given: dict[uuid.UUID, list[Approval]] = defaultdict(list)
    rows = Approval.objects.filter(promotion__in=[promotion.pk for promotion in promotions])
    for approval in rows.select_related("reviewer").order_by("at"):
        given[approval.promotion_id].append(approval)
    return given
