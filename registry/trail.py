"""The audit log as its page shows it: narrowed down, each entry in words and with what it is about."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass
from functools import reduce

from django.db.models import Q, QuerySet

from accounts.actor import Actor
from accounts.models import AuditChain, AuditEntry, User, Workspace
from accounts.permissions import require
from accounts.roles import Action
from accounts.verbs import Verb
from core import text
from core.paging import Page, paginate_in_turn, paginate_merged
from registry.delivery import told_by
from registry.errors import UnknownVerb
from registry.formats import Told
from registry.models import Model
from registry.queries import find_model

# The groups by which one asks for several verbs at once: what they are about, in the page's order.
_NOUNS: Mapping[str, tuple[str, ...]] = {
    "promotions": ("promotion",),
    "versions": ("version",),
    "models": ("model",),
    "aliases": ("alias",),
    "checks": ("check",),
    "comments": ("comment",),
    "policies": ("policy",),
    "webhooks": ("webhook",),
    "accounts": ("user", "team", "grant", "token", "workspace"),
    "log": ("audit",),
}
GROUPS: Mapping[str, tuple[Verb, ...]] = {
    group: tuple(verb for verb in Verb if verb.partition(".")[0] in nouns) for group, nouns in _NOUNS.items()
}
_VERBS = frozenset(Verb)
# How a policy was bypassed: by a promotion that nobody had approved, or by taking an alias away.
_BYPASSES: Mapping[Verb, Q] = {Verb.PROMOTION_BYPASSED: Q(), Verb.ALIAS_REMOVED: Q(data__bypass=True)}
_SAME_NAME = 8  # models of one name that are looked at, the newest ones


@dataclass(frozen=True)
class Asked:
    """What is asked for: a verb or a group of verbs, what one user did, one model, from `since` to before `until`."""

    what: str = ""
    by: str = ""
    model: str = ""
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    bypasses: bool = False

    @property
    def verbs(self) -> tuple[Verb, ...]:
        """None of them for every verb. Raises UnknownVerb."""
        if not self.what or self.what in GROUPS:
            return GROUPS.get(self.what, ())
        if self.what not in set(Verb):
            raise UnknownVerb(field="what", value=self.what)
        return (Verb(self.what),)

    def narrowed(self, entries: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """Those of `entries` that some user wrote in some time; nobody's when there is no such user. One query."""
        if self.by:
            named = User.objects.named(self.by).values_list("id", flat=True).first()
            entries = entries.filter(actor_id=named or 0)
        if self.since:
            entries = entries.filter(at__gte=self.since)
        return entries.filter(at__lt=self.until) if self.until else entries

    @property
    def kinds(self) -> list[Q]:
        """Conditions of which an entry meets one, each on one verb; none of them when all entries are asked for."""
        verbs = self.verbs
        if not self.bypasses:
            return [Q(verb=verb) for verb in verbs]
        return [Q(verb=verb) & how for verb, how in _BYPASSES.items() if not verbs or verb in verbs] or [Q(pk=None)]


@dataclass(frozen=True)
class Row:
    """An entry; `told` is None when it is not as we write them. `model` is the one that it is about, deleted or not."""

    entry: AuditEntry
    told: Told | None
    model: Model | None


def page(actor: Actor, asked: Asked, *, size: int, token: str = "") -> Page[AuditEntry]:
    """Entries, the newest first: of the whole workspace, or of the models of one name, deleted ones too.

    Raises Denied, ModelNotFound, UnknownVerb, BadPageToken. Four queries, each on an index, and one for each model that
    was deleted under the name.
    """
    entries = AuditEntry.objects.filter(workspace_id=actor.workspace_id)
    query = ["audit", actor.workspace_id, *(str(value) for value in astuple(asked))]
    kinds = asked.kinds
    if asked.model:
        chains = _chains_of(actor, asked.model)
        entries = asked.narrowed(entries)
        if kinds:
            entries = entries.filter(reduce(Q.__or__, kinds))
        lists = [entries.filter(chain_id=chain) for chain in chains]
        return paginate_in_turn(lists, order=("-sequence",), size=size, token=token, query=query)
    require(actor, Action.READ_AUDIT)
    entries = asked.narrowed(entries)
    lists = [entries.filter(kind) for kind in kinds] or [entries]
    return paginate_merged(lists, order=("-at", "-id"), size=size, token=token, query=query)


def rows(actor: Actor, entries: Collection[AuditEntry]) -> list[Row]:
    """Each entry of the actor's workspace with what the page shows. Two queries."""
    home = Workspace(pk=actor.workspace_id, slug=actor.workspace_slug)
    chains = AuditChain.objects.in_bulk({entry.chain_id for entry in entries})
    models = Model.objects.filter(workspace_id=actor.workspace_id).in_bulk(
        {chain.subject_id for chain in chains.values() if chain.subject_id}
    )
    found = []
    for entry in entries:
        entry.chain, entry.workspace = chains[entry.chain_id], home
        # Somebody may have changed it behind our back, and the page is where one comes to see that.
        sound = entry.verb in _VERBS and isinstance(entry.data, dict)
        subject = entry.chain.subject_id
        found.append(Row(entry, told_by(entry) if sound else None, models.get(subject) if subject else None))
    return found


def readable_models(actor: Actor, limit: int = 100) -> list[str]:
    """The living models whose log somebody may read who may not read that of the workspace, by name."""
    ids = [model_id for model_id in actor.model_roles if actor.may(Action.READ_AUDIT, model_id)]
    named = Model.objects.visible_to(actor).filter(pk__in=ids).order_by("name")
    return list(named.values_list("name", flat=True)[:limit])


def _chains_of(actor: Actor, name: str) -> list[int]:
    """The chains of the models of this name whose log the actor may read, the newest model first; ModelNotFound."""
    called = Model.objects.filter(workspace_id=actor.workspace_id, name=text.searchable(name))
    models = list(called.order_by("-id")[:_SAME_NAME])
    seen = [model for model in models if actor.may(Action.READ_AUDIT, model.pk)]
    if not seen:
        # What is refused of one that can be seen, and not found of others.
        require(actor, Action.READ_AUDIT, find_model(actor, name))
    chains = dict(AuditChain.objects.filter(subject_id__in=[m.pk for m in seen]).values_list("subject_id", "id"))
    return [chains[model.pk] for model in seen if model.pk in chains]
