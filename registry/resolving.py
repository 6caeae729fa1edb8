"""What a model URI, a stage, a number or an alias points at now: the hot reads, one statement each."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from accounts.actor import Actor
from accounts.permissions import reaches
from accounts.roles import Action, Scope
from core import text
from core.errors import NotFound
from registry.errors import AliasNotFound, ModelNotFound, NothingInStage, VersionNotFound
from registry.lifecycle import Stage
from registry.models import Version
from registry.queries import find_model
from registry.references import Reference, version_number

# --- Versions in one statement ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VersionFacts:
    """A version with its tags and aliases, as a door tells it. `manifest` is the SHA-256 of its frozen files' list."""

    model_id: uuid.UUID
    name: str
    id: uuid.UUID
    number: int
    stage: str
    created_at: datetime
    updated_at: datetime
    registrar: str
    description: str
    source: str
    lies_at: str  # where its bytes are, when they are not here
    run: str
    run_link: str
    status: str
    status_message: str
    logged_model_id: uuid.UUID | None
    manifest: str | None
    promotion_id: uuid.UUID | None  # the one that moved it into its stage
    tags: list[tuple[str, str]]
    aliases: list[str]


def facts_of_new(version: Version, registrar: str, tags: Mapping[str, str]) -> VersionFacts:
    """The same of a version that was registered this moment, with its model and manifest loaded, without a query."""
    return VersionFacts(
        model_id=version.model_id,
        name=version.model.name,
        id=version.pk,
        number=version.number,
        stage=version.stage,
        created_at=version.created_at,
        updated_at=version.updated_at,
        registrar=registrar,
        description=version.description,
        source=version.source,
        lies_at=version.lies_at,
        run=version.run_ref,
        run_link=version.run_link,
        status=version.status,
        status_message=version.status_message,
        logged_model_id=version.logged_model_id,
        manifest=version.manifest.digest if version.manifest else None,
        promotion_id=None,
        tags=sorted(tags.items()),
        aliases=[],
    )


# `held` finds the versions, each with its open occupancy. A model without any gives one row of nulls, so that one
# statement tells it from a model that is not there.
_FACTS = """
SELECT m.id, m.name, v.id, v.number, held.stage, v.created_at, v.updated_at, u.username, v.description, v.source,
       coalesce(nullif(v.location, ''), v.source), v.run_ref, v.run_link, v.status, v.status_message, v.logged_model_id,
       f.digest, held.promotion_id,
       (SELECT json_agg(json_build_array(t.key, t.value) ORDER BY t.key)
          FROM registry_versiontag t WHERE t.version_id = v.id),
       (SELECT json_agg(a.name ORDER BY a.name) FROM registry_alias a WHERE a.version_id = v.id)
  FROM registry_model m
  LEFT JOIN LATERAL ({held}) held ON true
  LEFT JOIN registry_version v ON v.id = held.version_id
  LEFT JOIN accounts_user u ON u.id = v.registrar_id
  LEFT JOIN lineage_manifest f ON f.id = v.manifest_id
 WHERE {which} AND m.deleted_at IS NULL
 ORDER BY v.number DESC
"""
_NAMED = "m.workspace_id = %s AND m.name = %s"
_HELD_BY_STAGE = """
    SELECT newest.* FROM unnest(%s::text[]) AS wanted(stage)
     CROSS JOIN LATERAL (
        SELECT o.version_id, o.stage, o.promotion_id
          FROM registry_occupancy o
         WHERE o.model_id = m.id AND o.stage = wanted.stage AND o.ended_at IS NULL
         ORDER BY o.number DESC LIMIT 1) newest"""
_FACTS_BY_STAGE = _FACTS.format(held=_HELD_BY_STAGE, which=_NAMED)
_FACTS_BY_STAGE_OF_SEVERAL = _FACTS.format(held=_HELD_BY_STAGE, which="m.id = ANY(%s)")
_HELD_BY_ONE = """
    SELECT o.version_id, o.stage, o.promotion_id
      FROM registry_version n JOIN registry_occupancy o ON o.version_id = n.id AND o.ended_at IS NULL
     WHERE n.model_id = m.id AND n.deleted_at IS NULL AND {condition}
     ORDER BY n.number DESC LIMIT 1"""
_FACTS_BY_NUMBER = _FACTS.format(held=_HELD_BY_ONE.format(condition="n.number = %s::integer"), which=_NAMED)
_FACTS_BY_ALIAS = _FACTS.format(
    held=_HELD_BY_ONE.format(
        condition="n.id = (SELECT a.version_id FROM registry_alias a WHERE a.model_id = m.id AND a.name = %s::text)"
    ),
    which=_NAMED,
)
_FACTS_OF_NEWEST = _FACTS.format(held=_HELD_BY_ONE.format(condition="%s::boolean"), which=_NAMED)
# By the versions' ids, as a search has found them.
_FACTS_OF_SEVERAL = """
SELECT v.model_id, v.model_name, v.id, v.number, o.stage, v.created_at, v.updated_at, u.username, v.description,
       v.source, coalesce(nullif(v.location, ''), v.source), v.run_ref, v.run_link, v.status, v.status_message,
       v.logged_model_id, f.digest, o.promotion_id,
       (SELECT json_agg(json_build_array(t.key, t.value) ORDER BY t.key)
          FROM registry_versiontag t WHERE t.version_id = v.id), NULL
  FROM unnest(%s::uuid[]) WITH ORDINALITY AS wanted(id, place)
  JOIN registry_version v ON v.id = wanted.id AND v.deleted_at IS NULL
  JOIN registry_occupancy o ON o.version_id = v.id AND o.ended_at IS NULL
  JOIN accounts_user u ON u.id = v.registrar_id
  LEFT JOIN lineage_manifest f ON f.id = v.manifest_id
 ORDER BY wanted.place
"""


def newest_in_stages(actor: Actor, name: str, stages: Sequence[Stage]) -> list[VersionFacts]:
    """The highest version in each of `stages` that has one; ModelNotFound. One query."""
    return _facts(actor, _FACTS_BY_STAGE, name, [str(stage) for stage in stages])


def newest_of_models(model_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[VersionFacts]]:
    """The highest version in each stage that has one, of models that the caller has found. One query."""
    found: dict[uuid.UUID, list[VersionFacts]] = {model_id: [] for model_id in model_ids}
    with connection.cursor() as cursor:
        cursor.execute(_FACTS_BY_STAGE_OF_SEVERAL, [[str(stage) for stage in Stage], list(model_ids)])
        for row in cursor.fetchall():
            if row[2] is not None:
                found[row[0]].append(_as_facts(row))
    return found


def facts_of_versions(version_ids: Sequence[uuid.UUID]) -> list[VersionFacts]:
    """Versions that the caller has found, in his order, without their aliases; not one deleted since. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_FACTS_OF_SEVERAL, [list(version_ids)])
        return [_as_facts(row) for row in cursor.fetchall()]


def version_facts(actor: Actor, name: str, number: object) -> VersionFacts:
    """One version; ModelNotFound, VersionNotFound or BadVersionNumber. One query."""
    for found in _facts(actor, _FACTS_BY_NUMBER, name, version_number(number)):
        return found
    raise VersionNotFound(name=name, version=number)


def version_facts_at_alias(actor: Actor, name: str, alias: str) -> VersionFacts:
    """The version that an alias points at, `latest` being the highest; ModelNotFound or AliasNotFound. One query."""
    newest = alias.lower() == "latest"
    wanted = newest or text.searchable(alias)
    for found in _facts(actor, _FACTS_OF_NEWEST if newest else _FACTS_BY_ALIAS, name, wanted):
        return found
    raise AliasNotFound(name=name, alias=alias)


def _facts(actor: Actor, statement: str, name: str, wanted: Any) -> list[VersionFacts]:
    with connection.cursor() as cursor:
        cursor.execute(statement, [wanted, actor.workspace_id, text.searchable(name)])
        rows = cursor.fetchall()
    if not rows or not _may_see(actor, rows[0][0], name):
        raise ModelNotFound(name=name)
    return [_as_facts(row) for row in rows if row[2] is not None]


def _as_facts(row: Sequence[Any]) -> VersionFacts:
    columns = list(row)
    columns[18], columns[19] = [(key, value) for key, value in _json(row[18])], _json(row[19])  # tags, aliases
    return VersionFacts(*columns)


# --- Resolving --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resolved:
    """What a model URI points at now, and on whose word. `files` are {path, sha256, size in bytes}."""

    model_id: uuid.UUID
    name: str
    generation: int | None  # of the model now; the past has none
    version_id: uuid.UUID
    version: int
    stage: str
    source: str
    manifest: str | None
    size: int | None
    files: list[dict[str, Any]]
    run: str
    registered_at: datetime
    promotion_id: uuid.UUID | None  # that pointed the alias, or else moved the version into its stage
    promotion_target: str | None
    promoted_at: datetime | None
    promoted_by: str | None
    approved_by: list[str]
    bypass: bool
    rollback: bool
    entry_hash: str

    @property
    def etag(self) -> str:
        """Strong: it moves with every change of what the model's URIs point at."""
        return f'"{self.model_id.hex}.{self.generation}"'


# One statement for all forms of reference: the condition at the end finds the version.
_RESOLVE = """
SELECT m.id, m.name, m.generation, v.id, v.number, o.stage, coalesce(nullif(v.location, ''), v.source), f.digest,
       f.size,
       (SELECT json_agg(json_build_object('path', e.path, 'sha256', e.sha256, 'size', e.size) ORDER BY e.path)
          FROM lineage_manifestfile e WHERE e.manifest_id = f.id),
       v.run_ref, v.created_at, p.id, p.target, p.decided_at, d.username,
       (SELECT json_agg(u.username ORDER BY a.at) FROM registry_approval a
          JOIN accounts_user u ON u.id = a.reviewer_id
         WHERE a.promotion_id = p.id AND a.counted),
       coalesce(p.bypass, false), coalesce(p.rollback, false), coalesce(p.entry_hash, '')
  FROM registry_model m
  JOIN registry_version v ON v.model_id = m.id AND v.deleted_at IS NULL
  JOIN registry_occupancy o ON o.version_id = v.id AND o.ended_at IS NULL {joined}
  LEFT JOIN lineage_manifest f ON f.id = v.manifest_id
  LEFT JOIN registry_promotion p ON p.id = {promotion}
  LEFT JOIN accounts_user d ON d.id = p.decided_by_id
 WHERE m.workspace_id = %s AND m.name = %s AND m.deleted_at IS NULL AND {condition}
 ORDER BY o.number DESC
 LIMIT 1
"""
_IN_STAGE = "o.promotion_id"
_BY_STAGE = _RESOLVE.format(joined="AND o.model_id = m.id", promotion=_IN_STAGE, condition="o.stage = %s")
_BY_NUMBER = _RESOLVE.format(joined="", promotion=_IN_STAGE, condition="v.number = %s")
# On whose word a protected alias points there is told by its own promotion, not by that of the version's stage.
_BY_ALIAS = _RESOLVE.format(
    joined="JOIN registry_alias al ON al.model_id = m.id AND al.version_id = v.id",
    promotion="coalesce(al.promotion_id, o.promotion_id)",
    condition="al.name = %s",
)
_HIGHEST = "(SELECT max(number) FROM registry_version WHERE model_id = m.id AND deleted_at IS NULL)"
_LATEST = _RESOLVE.format(joined="", promotion=_IN_STAGE, condition=f"%s AND v.number = {_HIGHEST}")


def resolve(actor: Actor, reference: Reference) -> Resolved:
    """What `reference` points at; ModelNotFound, VersionNotFound, NothingInStage or AliasNotFound. One query."""
    statement, wanted = _statement(reference)
    with connection.cursor() as cursor:
        cursor.execute(statement, [actor.workspace_id, reference.name, wanted])
        row = cursor.fetchone()
    if row is None or not _may_see(actor, row[0], row[1]):
        find_model(actor, reference.name)
        raise _missing(reference)
    return as_resolved(row)


def as_resolved(row: Sequence[Any]) -> Resolved:
    """A row of `_RESOLVE`'s columns, in their order."""
    columns = list(row)
    columns[9], columns[16] = _json(row[9]), _json(row[16])  # files, approved_by
    return Resolved(*columns)


def _statement(reference: Reference) -> tuple[str, Any]:
    if reference.stage is not None:
        return _BY_STAGE, str(reference.stage)
    if reference.number is not None:
        return _BY_NUMBER, reference.number
    if reference.alias is not None:
        return _BY_ALIAS, reference.alias
    return _LATEST, True


def _may_see(actor: Actor, model_id: uuid.UUID, name: str) -> bool:
    return Scope.READ in actor.scopes and actor.may(Action.READ, model_id) and reaches(actor, name)


def _missing(reference: Reference) -> NotFound:
    if reference.stage is not None:
        return NothingInStage(name=reference.name, stage=reference.stage)
    if reference.alias is not None:
        return AliasNotFound(name=reference.name, alias=reference.alias)
    return VersionNotFound(name=reference.name, version=reference.number or "at all")


def _json(value: Any) -> list[Any]:
    return json.loads(value) if isinstance(value, str) else value or []
