"""Where a promotion stands: whose approvals count, who may not give one, what is missing."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from accounts.models import Token, User
from accounts.queries import holders_by_model
from accounts.roles import NEEDS, Action
from registry.evidence import Evidence, gather_all
from registry.models import Approval, Promotion, Version


@dataclass(frozen=True)
class Outlook:
    """Where a promotion stands: the evidence now, who counts, what is missing."""

    evidence: Evidence
    counting: tuple[Approval, ...]
    stale: tuple[Approval, ...]  # given for other evidence, or by somebody who may not review any more
    missing: tuple[str, ...]
    lacking: int  # approvals still to come
    excluded: Mapping[int, str]  # users who may not vouch for it, each with the reason in words


def outlook(promotion: Promotion) -> Outlook:
    """What counts for `promotion` and what it still lacks. A constant number of queries."""
    return outlooks([promotion])[promotion.pk]


def outlooks(promotions: Collection[Promotion]) -> dict[uuid.UUID, Outlook]:
    """The same for several promotions of one workspace, by id; the queries are as many as for one, when their versions
    are loaded."""
    evidence = gather_all(promotions)
    given = _approvals(promotions)
    outside = _excluded(promotions)
    entitled = _entitled(promotions, given)
    found = {}
    for promotion in promotions:
        here = given[promotion.pk]
        counting = tuple(
            approval
            for approval in here
            if approval.evidence == evidence[promotion.pk].digest
            and approval.reviewer_id in entitled.get(promotion.model_id, set())
            and approval.reviewer_id not in outside[promotion.pk]
        )
        persons = {approval.reviewer.responsible_id or approval.reviewer_id for approval in counting}
        lacking = max(0, promotion.terms.approvals - len(persons))
        found[promotion.pk] = Outlook(
            evidence=evidence[promotion.pk],
            counting=counting,
            stale=tuple(approval for approval in here if approval not in counting),
            missing=_missing(lacking),
            lacking=lacking,
            excluded=outside[promotion.pk],
        )
    return found


def excluded(promotion: Promotion) -> dict[int, str]:
    """Users who may not vouch for this promotion, each with the reason in words."""
    return _excluded([promotion])[promotion.pk]


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


def _excluded(promotions: Collection[Promotion]) -> dict[uuid.UUID, dict[int, str]]:
    """Nobody vouches for his own work, under whatever account: an account counts as whoever answers for it."""
    parts = {promotion.pk: _parts(promotion) for promotion in promotions}
    _add_contributors(promotions, parts)
    _add_askers(promotions, parts)
    _add_token_makers(promotions, parts)
    involved = {user_id for part in parts.values() for user_id in part}
    answering = dict(User.objects.filter(pk__in=involved).values_list("pk", "responsible_id"))
    persons = {user_id: answering.get(user_id) or user_id for user_id in involved}
    accounts: dict[int, set[int]] = defaultdict(set)
    for user_id, person in _accounts_of(set(persons.values())):
        accounts[person].add(user_id)
    for part in parts.values():
        for user_id in list(part):
            for other in accounts[persons[user_id]] | {persons[user_id]}:
                part.setdefault(other, "you are, or answer for, an account that had part in it")
    return parts


def _accounts_of(persons: set[int]) -> list[tuple[int, int]]:
    """(account, person who answers for it) for each of `persons`."""
    return list(User.objects.filter(responsible__in=persons).values_list("pk", "responsible_id"))


def _parts(promotion: Promotion) -> dict[int, str]:
    return {promotion.requester_id: "you asked for it", promotion.version.registrar_id: "you registered the version"}


def _add_contributors(promotions: Collection[Promotion], parts: dict[uuid.UUID, dict[int, str]]) -> None:
    rows = Version.contributors.through.objects.filter(version__in=[p.version_id for p in promotions])
    by_version: dict[uuid.UUID, list[int]] = defaultdict(list)
    for version_id, user_id in rows.values_list("version_id", "user_id"):
        by_version[version_id].append(user_id)
    for promotion in promotions:
        for user_id in by_version[promotion.version_id]:
            parts[promotion.pk].setdefault(user_id, "you uploaded its files, or registered what it is a copy of")


def _add_askers(promotions: Collection[Promotion], parts: dict[uuid.UUID, dict[int, str]]) -> None:
    rows = Promotion.askers.through.objects.filter(promotion__in=[promotion.pk for promotion in promotions])
    for promotion_id, user_id in rows.values_list("promotion_id", "user_id"):
        parts[promotion_id].setdefault(user_id, "you asked for it too")


def _add_token_makers(promotions: Collection[Promotion], parts: dict[uuid.UUID, dict[int, str]]) -> None:
    used = {promotion.pk: {promotion.requester_token, promotion.version.registrar_token} for promotion in promotions}
    wanted = {token_id for tokens in used.values() for token_id in tokens if token_id}
    makers = dict(Token.objects.filter(pk__in=wanted).values_list("pk", "created_by_id")) if wanted else {}
    for promotion_id, tokens in used.items():
        for maker in {makers[token_id] for token_id in tokens if token_id in makers}:
            parts[promotion_id].setdefault(maker, "you made the token that was used for it")
