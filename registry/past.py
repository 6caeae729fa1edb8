"""What a model URI pointed at, at a moment of the past: one statement, answered from closed and open intervals.

Every interval holds its beginning and not its end, so that at the very moment of a change the new one counts.
"""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from accounts.actor import Actor
from accounts.permissions import reaches
from accounts.roles import Action, Scope
from core import text
from core.errors import NotFound
from registry.errors import AliasNotThen, ModelNotFound, ModelNotThen, NothingInStageThen, VersionNotThen
from registry.models import FormerName, Model
from registry.references import Reference
from registry.resolving import Resolved, as_resolved

_OF_A_NAME = 20  # models that had a name one after another, of which one is looked for that the actor can see


@dataclass(frozen=True)
class Then:
    """What a model URI pointed at. `deleted`: the version, or its model, was deleted since."""

    found: Resolved
    at: datetime.datetime
    deleted: bool


# A name can be used again after a model was deleted or renamed: of the models that had it, the one that lived then and
# was called so. `held` finds the version; as a version is in one stage at a time, the last that it entered by then is
# the one it was in.
_THEN = """
SELECT m.id, m.name, NULL, v.id, v.number, o.stage, coalesce(nullif(v.location, ''), v.source), f.digest, f.size,
       (SELECT json_agg(json_build_object('path', e.path, 'sha256', e.sha256, 'size', e.size) ORDER BY e.path)
          FROM lineage_manifestfile e WHERE e.manifest_id = f.id),
       v.run_ref, v.created_at, p.id, p.target, p.decided_at, d.username,
       (SELECT json_agg(u.username ORDER BY a.at) FROM registry_approval a
          JOIN accounts_user u ON u.id = a.reviewer_id
         WHERE a.promotion_id = p.id AND a.counted),
       coalesce(p.bypass, false), coalesce(p.rollback, false), coalesce(p.entry_hash, ''),
       m.name_now, m.deleted_at IS NOT NULL, v.deleted_at IS NOT NULL
  FROM (SELECT id, %(name)s::text AS name, name AS name_now, deleted_at FROM registry_model called
         WHERE id IN (SELECT id FROM registry_model WHERE workspace_id = %(workspace)s AND name = %(name)s
                       UNION ALL
                      SELECT model_id FROM registry_formername WHERE workspace_id = %(workspace)s AND name = %(name)s)
           AND %(name)s = coalesce((SELECT name FROM registry_formername
                                     WHERE model_id = called.id AND ended_at > %(at)s
                                     ORDER BY ended_at LIMIT 1), name)
           AND created_at <= %(at)s AND (deleted_at IS NULL OR deleted_at > %(at)s)
         ORDER BY created_at DESC LIMIT 1) m
  LEFT JOIN LATERAL ({held}) held ON true
  LEFT JOIN registry_version v ON v.id = held.version_id
  LEFT JOIN LATERAL (
        SELECT stage, promotion_id FROM registry_occupancy
         WHERE version_id = v.id AND started_at <= %(at)s
         ORDER BY started_at DESC, id DESC LIMIT 1) o ON true
  LEFT JOIN lineage_manifest f ON f.id = v.manifest_id
  LEFT JOIN registry_promotion p ON p.id = coalesce(held.promotion_id, o.promotion_id)
  LEFT JOIN accounts_user d ON d.id = p.decided_by_id
"""


def _then(held: str) -> str:
    """The statement whose version is found by `held`."""
    held = held.replace("LIVED", "created_at <= %(at)s AND (deleted_at IS NULL OR deleted_at > %(at)s)")
    held = held.replace("HOLDS", "(ended_at IS NULL OR ended_at > %(at)s)")
    return _THEN.format(held=held)


# Of intervals that do not overlap, the last that began by then is the only one that can hold the moment: the first row
# of an index. Those of a stage that several versions may hold are looked through from the highest number that was
# given out by then, which is where its occupants are.
_STAGE_THEN = _then("""
    SELECT version_id, NULL::uuid AS promotion_id FROM (
        (SELECT version_id, number FROM (
            SELECT version_id, number, ended_at FROM registry_occupancy
             WHERE model_id = m.id AND stage = %(wanted)s AND exclusive AND started_at <= %(at)s
             ORDER BY started_at DESC, id DESC LIMIT 1) newest WHERE HOLDS)
        UNION ALL
        (SELECT version_id, number FROM registry_occupancy
          WHERE model_id = m.id AND stage = %(wanted)s AND NOT exclusive AND started_at <= %(at)s AND HOLDS
            AND number <= (SELECT number FROM registry_version WHERE model_id = m.id AND created_at <= %(at)s
                            ORDER BY created_at DESC LIMIT 1)
          ORDER BY number DESC LIMIT 1)
    ) either ORDER BY number DESC LIMIT 1""")
_ALIAS_THEN = _then("""
    SELECT version_id, promotion_id FROM (
        SELECT version_id, promotion_id, ended_at FROM registry_pointing
         WHERE model_id = m.id AND alias = %(wanted)s AND started_at <= %(at)s
         ORDER BY started_at DESC, id DESC LIMIT 1) newest WHERE HOLDS""")
_NUMBER_THEN = _then("""
    SELECT id AS version_id, NULL::uuid AS promotion_id FROM registry_version
     WHERE model_id = m.id AND number = %(wanted)s AND LIVED""")
_LATEST_THEN = _then("""
    SELECT id AS version_id, NULL::uuid AS promotion_id FROM registry_version
     WHERE model_id = m.id AND LIVED AND %(wanted)s
     ORDER BY created_at DESC, number DESC LIMIT 1""")


def resolve_at(actor: Actor, reference: Reference, at: datetime.datetime) -> Then:
    """What `reference` pointed at, at that moment. One query.

    Raises ModelNotThen, VersionNotThen, NothingInStageThen or AliasNotThen. A model that was deleted since is shown to
    those who may read the whole workspace.
    """
    statement, wanted = _statement(reference)
    with connection.cursor() as cursor:
        cursor.execute(statement, {"workspace": actor.workspace_id, "name": reference.name, "wanted": wanted, "at": at})
        row = cursor.fetchone()
    if row is None or not (reaches(actor, row[1]) and may_see(actor, row[0], row[-3], deleted=row[-2])):
        raise ModelNotThen(name=reference.name, at=_told(at))
    if row[3] is None:
        raise _missing(reference, at)
    *columns, _, model_deleted, version_deleted = row
    return Then(as_resolved(columns), at, model_deleted or version_deleted)


def may_see(actor: Actor, model_id: uuid.UUID, name: str, *, deleted: bool) -> bool:
    """Whether the actor can see a model: a deleted one whoever may read the whole workspace, as grants for it alone
    ended with it."""
    return Scope.READ in actor.scopes and actor.may(Action.READ, None if deleted else model_id) and reaches(actor, name)


def find_past_model(actor: Actor, name: object) -> Model:
    """The model of this name that lives, else the one that did last, else one that was called so; ModelNotFound.

    At most two queries.
    """
    here = Model.objects.filter(workspace_id=actor.workspace_id)
    wanted = text.searchable(name)
    former = FormerName.objects.filter(workspace_id=actor.workspace_id, name=wanted)
    for named in (here.filter(name=wanted), here.filter(pk__in=former.values("model"))):
        if model := _last_seen(actor, named):
            return model
    raise ModelNotFound(name=name)


def _last_seen(actor: Actor, named: QuerySet[Model]) -> Model | None:
    # The living one first, which has no end.
    for model in named.order_by("-deleted_at")[:_OF_A_NAME]:
        if may_see(actor, model.id, model.name, deleted=model.deleted_at is not None):
            return model
    return None


def _statement(reference: Reference) -> tuple[str, Any]:
    if reference.stage is not None:
        return _STAGE_THEN, str(reference.stage)
    if reference.number is not None:
        return _NUMBER_THEN, reference.number
    if reference.alias is not None:
        return _ALIAS_THEN, reference.alias
    return _LATEST_THEN, True


def _missing(reference: Reference, at: datetime.datetime) -> NotFound:
    name, then = reference.name, _told(at)
    if reference.stage is not None:
        return NothingInStageThen(name=name, stage=reference.stage, at=then)
    if reference.alias is not None:
        return AliasNotThen(name=name, alias=reference.alias, at=then)
    return VersionNotThen(name=name, version=reference.number or "at all", at=then)


def _told(at: datetime.datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
