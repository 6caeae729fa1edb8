"""Reading the whole of the audit log out, and checking a part of it while somebody waits for the answer."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Sum

from accounts import audit, export, verification
from accounts.actor import Actor
from accounts.export import Format
from accounts.models import AuditChain
from accounts.permissions import require
from accounts.roles import Action
from accounts.verbs import Verb
from accounts.verification import Flaw
from core.errors import Conflict, Invalid
from registry.models import Model
from registry.outbox import emit
from registry.queries import find_model

# What is checked within a request: together a few seconds on one core.
MOST_CHAINS, MOST_ENTRIES = 500, 20_000


class TooMuchToCheck(Conflict):
    """{entries} entries in {chains} chains are more than are checked within a request ({most_entries} in
    {most_chains}): name a model, or let an operator run `manage.py audit verify`."""

    field = "model"


class UnknownFormat(Invalid):
    """The format {value!r} is not known: use one of {known}."""

    field = "format"


@dataclass(frozen=True)
class Head:
    """The end of a chain that was walked: of a model, deleted or not, with so many entries up to one of this hash."""

    model: str
    entries: int
    hash: str


@dataclass(frozen=True)
class Verdict:
    """What was checked, and the first flaw that was found."""

    chains: int
    entries: int
    flaw: Flaw | None
    heads: tuple[Head, ...] = ()
    broken: str = ""  # the model whose chain has the flaw


def write_out(
    actor: Actor,
    form: str,
    *,
    model_name: str = "",
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
) -> Iterator[bytes]:
    """The log of the actor's workspace, or of one model, as a file in pieces; recorded as `audit.exported`.

    In `form` jsonl or csv, entries from `since` to before `until`. Raises UnknownFormat, ModelNotFound, Denied.
    """
    if form not in list(Format):
        raise UnknownFormat(value=form, known=", ".join(Format))
    model = find_model(actor, model_name) if model_name else None
    require(actor, Action.READ_AUDIT, model)
    told: dict[str, Any] = {
        "format": form,
        "since": since.isoformat() if since else None,
        "until": until.isoformat() if until else None,
    }
    with transaction.atomic():
        if model:
            emit(actor, Verb.AUDIT_EXPORTED, model, **told)
        else:
            subject = f"the audit log of {actor.workspace_slug}"
            audit.record(actor, Verb.AUDIT_EXPORTED, subject=subject, data=told)
    rows = export.entries(
        workspace_id=actor.workspace_id, subjects=[model.id] if model else None, since=since, until=until
    )
    return export.written(rows, Format(form))


def check(actor: Actor, model_name: str = "") -> Verdict:
    """Walk the chain of one model, or those of all models of the workspace, deleted ones too.

    Without the checkpoints, whose number has no bound, and without the chain of what belongs to no model, which all
    workspaces share: those are for operators. Raises ModelNotFound, Denied, TooMuchToCheck.
    """
    model = find_model(actor, model_name) if model_name else None
    require(actor, Action.READ_AUDIT, model)
    models = Model.objects.filter(workspace_id=actor.workspace_id)
    told = AuditChain.objects.filter(subject_id__in=(models.filter(pk=model.pk) if model else models).values("id"))
    chains, entries = told.count(), told.aggregate(Sum("last_sequence"))["last_sequence__sum"] or 0
    if chains > MOST_CHAINS or entries > MOST_ENTRIES:
        raise TooMuchToCheck(chains=chains, entries=entries, most_chains=MOST_CHAINS, most_entries=MOST_ENTRIES)
    subjects: set[uuid.UUID | None] = set(told.values_list("subject_id", flat=True))
    names: dict[uuid.UUID | None, str] = dict(
        models.filter(pk__in=list(filter(None, subjects))).values_list("pk", "name")
    )
    heads: list[Head] = []
    for chain, flaw in verification.verify(subjects):
        name = names.get(chain.subject_id, "")
        if flaw:
            return Verdict(chains, entries, flaw, tuple(heads), name)
        heads.append(Head(name, chain.last_sequence, chain.last_hash))
    return Verdict(chains, entries, None, tuple(heads))
