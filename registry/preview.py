"""What a policy would have done, before it is written: the promotions of the last months, and the open ones, by it.

Teams are those of today: who was in one when something was decided is not kept in a form that could be asked.
"""

from __future__ import annotations

import datetime
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, F, Func, OuterRef, Q, Value
from django.db.models.functions import Coalesce, Lower
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Team
from core import text
from registry.lifecycle import State
from registry.models import Approval, Policy, Promotion
from registry.policy import Scope, Terms, tightened
from registry.replay import Said, said_then, with_former

DAYS = 90
LIMIT = 500  # promotions that are judged, the newest
_SHOWN = 5  # promotions that are named for each rule


@dataclass(frozen=True)
class Rule:
    """A rule, and the promotions that it concerns: the newest few with the reason of each, and how many there are."""

    title: str
    count: int
    examples: tuple[tuple[Promotion, str], ...]


@dataclass(frozen=True)
class Preview:
    """What became of the promotions that the rules were put to. Each is in one of the first three counts."""

    through: int  # would have been carried out as they were
    blocked: int
    untold: int  # nothing would have held them that is known, and not everything is known
    blocking: tuple[Rule, ...]  # one promotion may be held by several
    unknown: tuple[Rule, ...]
    never: int  # rejected, withdrawn, expired or superseded: they were not carried out anyway
    rollbacks: int  # which no policy is asked about
    capped: bool  # whether there were more than LIMIT
    open: int
    reopened: tuple[tuple[Promotion, list[str]], ...]  # open ones that would be held to the stricter rules, and how
    open_capped: bool

    @property
    def judged(self) -> int:
        return self.through + self.blocked + self.untold


def preview(actor: Actor, scope: Scope, target: str, rules: Mapping[str, Any]) -> Preview:
    """What a policy of these `rules`, checked before, for `scope` and `target` would have done in the last DAYS days.

    Looked at are the promotions that it would have been in force for: those of models for which no living policy is
    more specific. At most thirteen queries; five when there are no gates and no teams.
    """
    terms = Terms.of(rules, name="", why="")
    ruled = _ruled_by(actor, scope, target)
    since = timezone.now() - datetime.timedelta(days=DAYS)
    decided = with_former(ruled.filter(decided_at__gte=since), target).order_by("-decided_at", "-id")
    found = list(decided.select_related("model", "version__manifest")[: LIMIT + 1])
    newest = found[:LIMIT]
    asked = [each for each in newest if each.state == State.PROMOTED and not each.rollback]
    said, vouched = said_then(asked, terms.gates), _vouched(asked, terms)
    blocking, unknown = _Tally(), _Tally()
    for promotion in asked:
        reasons, doubts = _judged(promotion, terms, vouched[promotion.pk], said[promotion.pk])
        blocking.add(promotion, reasons)
        unknown.add(promotion, [] if reasons else doubts)
    opened = list(ruled.open().select_related("model", "version").order_by("-requested_at", "-id")[: LIMIT + 1])
    stricter = [(each, tightened(each.terms, terms)) for each in opened[:LIMIT]]
    rollbacks = sum(each.rollback and each.state == State.PROMOTED for each in newest)
    return Preview(
        through=len(asked) - blocking.promotions - unknown.promotions,
        blocked=blocking.promotions,
        untold=unknown.promotions,
        blocking=blocking.rules(),
        unknown=unknown.rules(),
        never=len(newest) - len(asked) - rollbacks,
        rollbacks=rollbacks,
        capped=len(found) > LIMIT,
        open=len(opened[:LIMIT]),
        reopened=tuple((each, asks) for each, asks in stricter if asks),
        open_capped=len(opened) > LIMIT,
    )


Reason: TypeAlias = tuple[str, str]  # the rule, and why it holds a promotion


class _Tally:
    """The promotions that rules concern, as it is found out."""

    def __init__(self) -> None:
        self.found: dict[str, list[tuple[Promotion, str]]] = defaultdict(list)
        self.promotions = 0

    def add(self, promotion: Promotion, reasons: Collection[Reason]) -> None:
        self.promotions += bool(reasons)
        for title, reason in reasons:
            self.found[title].append((promotion, reason))

    def rules(self) -> tuple[Rule, ...]:
        """The rule that holds most first."""
        told = [Rule(title, len(each), tuple(each[:_SHOWN])) for title, each in self.found.items()]
        return tuple(sorted(told, key=lambda rule: (-rule.count, rule.title)))


# --- Which promotions -------------------------------------------------------------------------------------------------

_YES_OR_NO: models.BooleanField[bool, bool] = models.BooleanField()


def _ruled_by(actor: Actor, scope: Scope, target: str) -> Any:
    """The promotions into `target` for which a policy of this scope would be in force."""
    here = Promotion.objects.visible_to(actor).filter(target=target, model__workspace=actor.workspace_id)
    if scope.model:
        return here.filter(model__name=text.searchable(scope.model))
    living = Policy.objects.living().filter(workspace_id=actor.workspace_id, target=target)
    here = here.exclude(Exists(living.filter(model=OuterRef("model"))))
    if scope.pattern:
        here = here.filter(_fits_any([scope.pattern]))
    written = living.exclude(pattern="").values_list("pattern", flat=True)
    first = [pattern for pattern in written if _rank(Scope(pattern=pattern)) < _rank(scope)]
    return here.exclude(_fits_any(first)) if first else here


def _rank(scope: Scope) -> tuple[Any, ...]:
    """The lower, the more specific; of two that are as specific the first by the alphabet."""
    return (*(-part for part in scope.rank), scope.pattern.lower())


def _fits_any(patterns: Sequence[str]) -> Func:
    """Whether the name of a promotion's model fits one of some patterns: one condition, however many they are."""
    like = [pattern.lower().replace("_", r"\_").replace("*", "%").replace("?", "_") for pattern in patterns]
    return Func(
        Lower(F("model__name")),
        Value(like, output_field=ArrayField(models.TextField())),
        arg_joiner=" LIKE ANY (",
        template="%(expressions)s)",
        output_field=_YES_OR_NO,
    )


# --- What holds one ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Word:
    """An approval that counted: whose, when, and in which of the teams that the rules name its giver's person is."""

    person: int
    at: datetime.datetime
    own_teams: frozenset[str]
    persons_teams: frozenset[str]


def _vouched(promotions: Sequence[Promotion], terms: Terms) -> dict[uuid.UUID, list[_Word]]:
    """The approvals that each promotion was carried out on. One query."""
    given = Approval.objects.filter(promotion__in=[each.pk for each in promotions], counted=True)
    person = Coalesce("reviewer__responsible_id", "reviewer_id")
    rows = given.annotate(person=person).order_by("at")
    fields = ["promotion_id", "person", "at"]
    if names := [*terms.teams, *terms.excluded_teams]:
        workspace = promotions[0].model.workspace_id if promotions else None
        there = Team.objects.filter(workspace=workspace, name__in=names).values("name")
        of_person = Q(members=OuterRef("person")) | Q(members__responsible=OuterRef("person"))
        rows = rows.annotate(
            own=ArraySubquery(there.filter(members=OuterRef("reviewer_id"))),
            persons=ArraySubquery(there.filter(of_person)),
        )
        fields += ["own", "persons"]
    found: dict[uuid.UUID, list[_Word]] = defaultdict(list)
    for promotion_id, who, at, *teams in rows.values_list(*fields):
        own, persons = (frozenset(each) for each in teams or ((), ()))
        found[promotion_id].append(_Word(who, at, own, persons))
    return found


def _judged(
    promotion: Promotion, terms: Terms, words: Collection[_Word], said: Sequence[Said]
) -> tuple[list[Reason], list[Reason]]:
    """What would have held a promotion, and what may have and nobody can tell."""
    if promotion.bypass and terms.bypass:
        return [], []
    gates = list(_not_passed(promotion, terms, said))
    reasons = list(_lacking(promotion, terms, words))
    reasons += [(each.judged.title, each.judged.verdict.reason) for each in gates if not each.untold]
    if reasons and promotion.bypass:
        reasons.append(("No bypass by an administrator", "it was carried out by one"))
    return reasons, [(each.judged.title, each.untold) for each in gates if each.untold]


def _lacking(promotion: Promotion, terms: Terms, words: Collection[_Word]) -> Iterator[Reason]:
    """The rules about people and time that would have held a promotion, each with the reason."""
    moment = promotion.decided_at or promotion.requested_at
    barred = [word for word in words if word.persons_teams & set(terms.excluded_teams)]
    late = [word for word in words if terms.approval_lifetime and word.at + terms.approval_lifetime <= moment]
    counting = [word for word in words if word not in barred and word not in late]
    people = len({word.person for word in counting})
    if people < terms.approvals:
        title = f"{terms.approvals} approval{'s' if terms.approvals > 1 else ''}"
        without = f", without {len(words) - len(counting)} that would not have counted" if barred or late else ""
        yield title, f"it had {people or 'none'}{without}"
    for team in terms.teams:
        if not any(team in word.own_teams for word in counting):
            yield f"An approval by the team {team}", "nobody who approved is in it today"
    if promotion.round == 1 and promotion.requested_at + terms.lifetime < moment:
        took = (moment - promotion.requested_at).days
        yield f"Open for {terms.lifetime_days} day{'s' if terms.lifetime_days > 1 else ''} at most", f"it took {took}"


def _not_passed(promotion: Promotion, terms: Terms, said: Sequence[Said]) -> Iterator[Said]:
    """The gates that would not have passed, or of which nobody can tell. Those that it was carried out under did."""
    passed = [] if promotion.bypass else promotion.policy["gates"]
    for definition, each in zip(terms.gates, said, strict=True):
        if definition not in passed and (each.untold or not each.judged.passed):
            yield each
