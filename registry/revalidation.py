"""How far a version that stays long where it was promoted to has been vouched for anew."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from registry.lifecycle import State
from registry.models import Occupancy, Pointing, Promotion, Revalidation
from registry.parts import people
from registry.policy import Terms


@dataclass(frozen=True)
class Standing:
    """Who vouched anew since the word for a promotion holds, and what is missing for it to hold on.

    As with approvals: persons are counted and not accounts, and only those who may approve now and had no part in it.
    """

    terms: Terms
    given: tuple[Revalidation, ...]
    reviewers: Collection[int]  # those of their givers who may review the model now
    teams: Mapping[int, Collection[str]]  # of the teams that the terms name: those that each giver is a member of
    persons_teams: Mapping[int, Collection[str]]  # the same under any account of the giver's person
    excluded: Mapping[int, str]  # users who had part in it, each with the reason in words

    def with_one_more(self, revalidation: Revalidation) -> Standing:
        """The same once `revalidation` is given, by somebody for whom this was made as well (`giver`)."""
        return replace(self, given=(*self.given, revalidation))

    def excludes(self, user_id: int) -> str:
        """In words, why this user, a giver, may not vouch anew; empty when he may."""
        if why := self.excluded.get(user_id):
            return why
        barred = sorted(set(self.persons_teams.get(user_id, ())) & set(self.terms.excluded_teams))
        return f"the policy leaves out the team {barred[0]}, which you are in" if barred else ""

    @cached_property
    def counting(self) -> tuple[Revalidation, ...]:
        """Those that count."""
        return tuple(
            each for each in self.given if each.reviewer_id in self.reviewers and not self.excludes(each.reviewer_id)
        )

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Who is still to come, in words; empty when it holds on."""
        persons = {each.reviewer.responsible_id or each.reviewer_id for each in self.counting}
        lacking = max(1, self.terms.approvals) - len(persons)
        lacks = [f"{lacking} more reviewer{'s' if lacking > 1 else ''} to vouch for it anew"] if lacking > 0 else []
        there = {team for each in self.counting for team in self.teams.get(each.reviewer_id, ())}
        lacks += [f"a member of the team {team} to vouch for it anew" for team in self.terms.teams if team not in there]
        return tuple(lacks)


def standing(promotion: Promotion, *, giver: int | None = None) -> Standing:
    """Who has vouched anew for a promotion that was carried out; `giver` is a user who is about to. Two queries."""
    given = tuple(_given(promotion))
    givers = {each.reviewer_id for each in given} | ({giver} if giver else set())
    who = people([promotion], givers, carrying_out_too=promotion.bypass)
    return Standing(
        terms=promotion.terms,
        given=given,
        reviewers=who.reviewers[promotion.model_id],
        teams=who.teams,
        persons_teams=who.persons_teams,
        excluded=who.excluded[promotion.pk],
    )


def lapsed(promotions: QuerySet[Promotion]) -> QuerySet[Promotion]:
    """Those whose version is still where they put it though the word for it does not hold any more."""
    own = Q(promotion=OuterRef("pk"), version=OuterRef("version"), ended_at__isnull=True)
    there = Q(Exists(Occupancy.objects.filter(own))) | Q(Exists(Pointing.objects.filter(own)))
    return promotions.filter(there, valid_until__lte=timezone.now(), state=State.PROMOTED)


def _given(promotion: Promotion) -> QuerySet[Revalidation]:
    """Those given since the word holds, and not longer ago than an approval may be."""
    lifetime = promotion.terms.approval_lifetime
    if promotion.valid_from is None or lifetime is None:
        return Revalidation.objects.none()
    since = max(promotion.valid_from, timezone.now() - lifetime)
    return promotion.revalidations.filter(at__gt=since).select_related("reviewer").order_by("at")
