"""The events feed: what happened, in its order, for who catches up by himself or follows without a public address."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import Count, Max, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from accounts import feed
from accounts.actor import Actor
from accounts.models import AuditChain, AuditEntry
from accounts.permissions import glob_as_regex, require
from accounts.roles import Action, Scope
from accounts.verbs import Verb
from core import text
from core.errors import Invalid
from registry.errors import ModelNotFound
from registry.models import Model

LOOKED_AT = 5000  # entries that one page looks through, at most, for those that are asked for
_NOTHING_BEFORE = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_CLOCKS_DIFFER_BY = datetime.timedelta(minutes=1)  # an entry's time is that of the machine which wrote it
# What the catalogue shows to everybody who can see the model.
CATALOGUE = frozenset(verb for verb in Verb if verb.split(".")[0] in ("model", "version", "alias"))


class NoSuchEvent(Invalid):
    """There has been no event {value} yet, nor a later one: this is another Vouch, or one that was restored from a
    backup. Begin again with since."""

    field = "after"


@dataclass(frozen=True)
class Asked:
    """What somebody wants to hear of: events after the one with the id `after`, from `since` on; of these verbs."""

    after: int = 0
    since: datetime.datetime | None = None
    verbs: Collection[Verb] = ()  # none: all
    limit: int = 100


@dataclass(frozen=True)
class Page:
    """Some events in their order; `after` is where to go on, beyond what was not asked for, and `more` whether at once.

    Each event has its chain and its workspace loaded.
    """

    items: list[AuditEntry]
    after: int
    more: bool


def find_model(actor: Actor, name: str) -> Model:
    """The model whose events are asked for; ModelNotFound. One query."""
    model = Model.objects.visible_to(actor).filter(name=text.searchable(name)).first()
    if model is None:
        raise ModelNotFound(name=name)
    return model


def events(actor: Actor, asked: Asked, model: Model | None = None) -> Page:
    """The next events that the actor may hear of: all, those of one model that he can see.

    Who may read the audit log of the workspace hears everything, a maintainer of one model all about that; others what
    the catalogue shows of the models that they can see, and what they did themselves. A token that is bound to names
    hears of such models only. Three queries and two for `since`, whatever is asked for, and however long the log is:
    what it looked through in vain is behind `after`.

    Raises Denied for a token that may not read, NoSuchEvent.
    """
    if Scope.READ not in actor.scopes:
        require(actor, Action.READ)
    after = max(asked.after, _before(actor, asked.since)) if asked.since else asked.after
    rows = _rows(actor, after, model)
    wanted = _wanted(actor, asked, model)
    if wanted is None:
        end, looked_at_all = None, True
    else:
        seen = rows[:LOOKED_AT].aggregate(end=Max("pk"), count=Count("pk"))
        end, looked_at_all = seen["end"] or after, seen["count"] < LOOKED_AT
        rows = rows.filter(wanted, pk__lte=end)
    items = list(rows.select_related("chain", "workspace")[: asked.limit + 1])
    if len(items) > asked.limit:
        return Page(items[: asked.limit], items[asked.limit - 1].pk, more=True)
    if not items and after > feed.newest_id():
        raise NoSuchEvent(value=after)
    return Page(items, end or (items[-1].pk if items else after), more=not looked_at_all)


def _rows(actor: Actor, after: int, model: Model | None) -> QuerySet[AuditEntry]:
    """The entries of the workspace, or of a model, after this one, as an index has them."""
    rows = feed.after(after).filter(workspace_id=actor.workspace_id)
    if model is None:
        return rows
    chain = AuditChain.objects.values_list("id").get(subject_id=model.id)[0]
    rows = rows.filter(chain_id=chain)
    # In a chain ids grow as the sequence does; the place is looked for from the end, near which it mostly is.
    behind = AuditEntry.objects.filter(workspace_id=actor.workspace_id, chain_id=chain, pk__lte=after)
    place = behind.order_by("-sequence").values("sequence")[:1]
    return rows.filter(sequence__gt=Coalesce(Subquery(place), 0)).order_by("sequence")


def _wanted(actor: Actor, asked: Asked, model: Model | None) -> Q | None:
    """Which entries to give; None: every one."""
    conditions = []
    if asked.verbs:
        conditions.append(Q(verb__in=list(asked.verbs)))
    if asked.since:
        conditions.append(Q(at__gte=asked.since))
    if not actor.may(Action.READ_AUDIT, model.id if model else None):
        conditions.append(_heard_of(actor))
    if actor.model_glob and model is None:
        conditions.append(Q(chain__subject_id__isnull=False, data__model__regex=f"^{glob_as_regex(actor.model_glob)}$"))
    whole = Q()
    for condition in conditions:
        whole &= condition
    return whole if conditions else None


def _heard_of(actor: Actor) -> Q:
    """What somebody hears of who may not read all of the log."""
    shown = Q(verb__in=list(CATALOGUE), chain__subject_id__isnull=False)
    if not actor.may(Action.READ):
        shown &= Q(chain__subject_id__in=list(actor.model_roles))
    maintained = [pk for pk in actor.model_roles if actor.may(Action.READ_AUDIT, pk)]
    return Q(actor_id=actor.user_id) | shown | Q(chain__subject_id__in=maintained)


def _before(actor: Actor, since: datetime.datetime) -> int:
    """An id before those of all events of the workspace since then."""
    before = max(since, _NOTHING_BEFORE) - _CLOCKS_DIFFER_BY
    entries = AuditEntry.objects.filter(workspace_id=actor.workspace_id, at__lt=before)
    return entries.order_by("-at", "-id").values_list("pk", flat=True).first() or 0
