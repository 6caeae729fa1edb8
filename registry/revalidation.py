"""How far a version that stays long in its stage has been vouched for anew."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.models import Team
from accounts.queries import holders_by_model
from accounts.roles import NEEDS, Action
from registry.lifecycle import State
from registry.models import Occupancy, Pointing, Promotion, Revalidation
from registry.outlook import excluded


@dataclass(frozen=True)
class Standing:
    """Who vouched anew since the word for a promotion holds, and what that lacks for it to hold on."""

    counting: tuple[Revalidation, ...]
    missing: tuple[str, ...]  # in words


def standing(promotion: Promotion) -> Standing:
    """Who has vouched anew for a promotion that was carried out, and what is missing. At most five queries.

    As with approvals: persons are counted and not accounts, and only those who may approve now and had no part in it.
    """
    terms = promotion.terms
    given = list(_given(promotion))
    if not given:
        return Standing((), _missing(promotion, (), {}))
    teams = _teams(promotion, {each.reviewer_id for each in given})
    entitled = holders_by_model(
        {each.reviewer_id for each in given},
        NEEDS[Action.APPROVE_PROMOTION].roles,
        workspace_id=promotion.model.workspace_id,
        model_ids=[promotion.model_id],
    )[promotion.model_id]
    outside = excluded(promotion)
    counting = tuple(
        each
        for each in given
        if each.reviewer_id in entitled
        and each.reviewer_id not in outside
        and not teams.get(each.reviewer_id, set()) & set(terms.excluded_teams)
    )
    return Standing(counting, _missing(promotion, counting, teams))


def lapsed(promotions: QuerySet[Promotion]) -> QuerySet[Promotion]:
    """Those whose version is still where they put it though the word for it does not hold any more."""
    own = Q(promotion=OuterRef("pk"), version=OuterRef("version"), ended_at__isnull=True)
    there = Q(Exists(Occupancy.objects.filter(own))) | Q(Exists(Pointing.objects.filter(own)))
    return promotions.filter(there, valid_until__lte=timezone.now(), state=State.PROMOTED)


def _given(promotion: Promotion) -> QuerySet[Revalidation]:
    given = promotion.revalidations.filter(at__gt=promotion.valid_from) if promotion.valid_from else None
    lifetime = promotion.terms.approval_lifetime
    if given is None or lifetime is None:
        return Revalidation.objects.none()
    return given.filter(at__gt=timezone.now() - lifetime).select_related("reviewer").order_by("at")


def _teams(promotion: Promotion, reviewers: Collection[int]) -> dict[int, set[str]]:
    names = {*promotion.terms.teams, *promotion.terms.excluded_teams}
    found: dict[int, set[str]] = {}
    if names:
        here = Team.objects.filter(
            workspace_id=promotion.model.workspace_id, name__in=names, members__in=list(reviewers)
        )
        for name, user_id in here.values_list("name", "members"):
            found.setdefault(user_id, set()).add(name)
    return found


def _missing(promotion: Promotion, counting: Collection[Revalidation], teams: dict[int, set[str]]) -> tuple[str, ...]:
    terms = promotion.terms
    persons = {each.reviewer.responsible_id or each.reviewer_id for each in counting}
    lacking = max(1, terms.approvals) - len(persons)
    lacks = [f"{lacking} more reviewer{'s' if lacking > 1 else ''} to vouch for it anew"] if lacking > 0 else []
    lacks += [
        f"a member of the team {team} to vouch for it anew"
        for team in terms.teams
        if not any(team in teams.get(each.reviewer_id, ()) for each in counting)
    ]
    return tuple(lacks)
