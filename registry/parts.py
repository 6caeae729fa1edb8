"""Who may vouch for a promotion, and who had part in it: nobody vouches for his own work, under whatever account."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection
from django.db.models import BooleanField, Exists, F, Func, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from accounts.models import Team, Token, User
from accounts.roles import NEEDS, Action, Role
from registry.models import Promotion, Version

# In the order in which a reason is told to somebody who has several.
_REASONS = (
    "you carried it out",
    "you registered the version",
    "you asked for it",
    "you uploaded its files, or registered what it is a copy of",
    "you asked for it too, or made the token that somebody asked by",
    "you made the token that was used for it",
    "you are, or answer for, an account that had part in it",
)

# An account counts as the person who answers for it, and a person as each of his accounts.
_HAD_PART = """
WITH asked AS (
    SELECT p.id, p.version_id, p.requester_id, p.decided_by_id, p.requester_token, v.registrar_id, v.registrar_token
      FROM registry_promotion p JOIN registry_version v ON v.id = p.version_id WHERE p.id = ANY(%s)
), part AS (
    SELECT id, requester_id AS user_id, 2 AS reason FROM asked
    UNION ALL SELECT id, registrar_id, 1 FROM asked
    UNION ALL SELECT a.id, c.user_id, 3 FROM asked a
                JOIN registry_version_contributors c ON c.version_id = a.version_id
    UNION ALL SELECT a.id, k.user_id, 4 FROM asked a JOIN registry_promotion_askers k ON k.promotion_id = a.id
    UNION ALL SELECT a.id, t.created_by_id, 5 FROM asked a
                JOIN accounts_token t ON t.id = a.requester_token OR t.id = a.registrar_token
    UNION ALL SELECT id, decided_by_id, 0 FROM asked WHERE %s AND decided_by_id IS NOT NULL
), person AS (
    SELECT DISTINCT part.id, coalesce(u.responsible_id, u.id) AS user_id
      FROM part JOIN accounts_user u ON u.id = part.user_id
)
SELECT id, user_id, min(reason) AS reason FROM (
    SELECT id, user_id, reason FROM part
    UNION ALL SELECT id, user_id, 6 FROM person
    UNION ALL SELECT person.id, u.id, 6 FROM person JOIN accounts_user u ON u.responsible_id = person.user_id
) everybody GROUP BY id, user_id
"""


def had_part(promotions: Collection[Promotion], *, carrying_out_too: bool = False) -> dict[uuid.UUID, dict[int, str]]:
    """For each promotion, by id: the users who may not vouch for it, each with the reason in words. One query.

    With `carrying_out_too` also whoever carried it out, who may not review it afterwards.
    """
    found: dict[uuid.UUID, dict[int, str]] = {promotion.pk: {} for promotion in promotions}
    with connection.cursor() as cursor:
        cursor.execute(_HAD_PART, [list(found), carrying_out_too])
        for promotion_id, user_id, reason in cursor.fetchall():
            found[promotion_id][user_id] = _REASONS[reason]
    return found


@dataclass(frozen=True)
class People:
    """Of the givers of approvals: who may give them. Teams are those that the promotions' terms name."""

    excluded: Mapping[uuid.UUID, Mapping[int, str]]  # by promotion: users who had part in it, with the reason in words
    reviewers: Mapping[uuid.UUID, Collection[int]]  # by model: the givers who may review it now
    teams: Mapping[int, Collection[str]]  # by giver: the teams that this account is in
    persons_teams: Mapping[int, Collection[str]]  # the same under any account of the giver's person


# Model '' is every model that was asked about. A team approves by an account that is in it; whom a policy leaves out
# with his team it leaves out under every account.
_PEOPLE = f"""
SELECT 'part', id::text, user_id, reason::text FROM ({_HAD_PART}) p
UNION ALL
SELECT 'reviews', coalesce(g.model_id::text, ''), u.id, ''
  FROM accounts_user u JOIN accounts_grant g
    ON g.user_id = u.id OR g.team_id IN (SELECT m.team_id FROM accounts_team_members m WHERE m.user_id = u.id)
 WHERE u.is_active AND u.id = ANY(%s)
   AND g.workspace_id = %s AND g.role = ANY(%s) AND (g.model_id IS NULL OR g.model_id = ANY(%s))
UNION ALL
SELECT 'reviews', '', id, '' FROM accounts_user WHERE is_active AND is_superuser AND %s AND id = ANY(%s)
UNION ALL
SELECT 'team', t.name, giver.id, (m.user_id = giver.id)::text
  FROM accounts_user giver
  JOIN accounts_user u ON u.id = coalesce(giver.responsible_id, giver.id)
    OR u.responsible_id = coalesce(giver.responsible_id, giver.id)
  JOIN accounts_team_members m ON m.user_id = u.id
  JOIN accounts_team t ON t.id = m.team_id
 WHERE giver.id = ANY(%s) AND t.workspace_id = %s AND t.name = ANY(%s)
"""  # noqa: S608 - what is put in is ours


def people(promotions: Collection[Promotion], givers: Collection[int], *, carrying_out_too: bool = False) -> People:
    """Who may vouch for these promotions of one workspace, whose models are loaded. One query.

    With `carrying_out_too` also whoever carried one out counts as having had part in it.
    """
    ids, workspace_id = list(givers), next(promotion.model.workspace_id for promotion in promotions)
    roles = NEEDS[Action.APPROVE_PROMOTION].roles
    models = {promotion.model_id for promotion in promotions}
    named = {team for promotion in promotions for team in (*promotion.terms.teams, *promotion.terms.excluded_teams)}
    excluded: dict[uuid.UUID, dict[int, str]] = {promotion.pk: {} for promotion in promotions}
    reviewers: dict[uuid.UUID, set[int]] = {model: set() for model in models}
    teams: dict[int, set[str]] = defaultdict(set)
    persons: dict[int, set[str]] = defaultdict(set)
    asked: list[Any] = [
        list(excluded),
        carrying_out_too,
        ids,
        workspace_id,
        [str(role) for role in roles],
        list(models),
    ]
    with connection.cursor() as cursor:
        cursor.execute(_PEOPLE, [*asked, Role.ADMINISTRATOR in roles, ids, ids, workspace_id, list(named)])
        for kind, what, user_id, more in cursor.fetchall():
            if kind == "part":
                excluded[uuid.UUID(what)][user_id] = _REASONS[int(more)]
            elif kind == "reviews":
                for model in [uuid.UUID(what)] if what else models:
                    reviewers[model].add(user_id)
            else:
                persons[user_id].add(what)
                if more == "true":
                    teams[user_id].add(what)
    return People(excluded, reviewers, teams, persons)


def without_part_of(
    user_id: int, promotions: QuerySet[Promotion], *, carrying_out_too: bool = False
) -> QuerySet[Promotion]:
    """Those of `promotions` in which the user had no part: the same rule, for a list that is paged."""
    circle = _accounts_of(user_id)
    contributed = Version.contributors.through.objects.filter(version=OuterRef("version"), user__in=circle)
    asked = Promotion.askers.through.objects.filter(promotion=OuterRef("pk"), user__in=circle)
    made = Token.objects.filter(
        Q(pk=OuterRef("requester_token")) | Q(pk=OuterRef("version__registrar_token")), created_by__in=circle
    )
    free = promotions.exclude(requester__in=circle).exclude(version__registrar__in=circle)
    if carrying_out_too:
        free = free.exclude(decided_by__in=circle)
    return free.exclude(Exists(contributed)).exclude(Exists(asked)).exclude(Exists(made))


def not_left_out(user_id: int, promotions: QuerySet[Promotion]) -> QuerySet[Promotion]:
    """Those of `promotions` whose policy does not leave out a team of the user's, under any account of his person."""
    teams = Team.objects.filter(workspace=OuterRef("model__workspace"), members__in=_accounts_of(user_id)).values(
        "name"
    )
    left_out: Func = Func(
        F("policy__excluded_teams"),
        ArraySubquery(teams),
        function="jsonb_exists_any",
        template="%(function)s(%(expressions)s::text[])",
        output_field=BooleanField(),
    )
    return promotions.annotate(left_out=Coalesce(left_out, False)).filter(left_out=False)


def _accounts_of(user_id: int) -> QuerySet[User, Any]:
    """The ids of all accounts of the user's person."""
    answering = User.objects.filter(pk=user_id, responsible__isnull=False).values("responsible")
    persons = User.objects.annotate(person=Coalesce("responsible_id", "pk"))
    return persons.filter(Q(person=user_id) | Q(person__in=answering)).values("pk")
