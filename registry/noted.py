"""What is noted of versions that gates look at: tags, the newest reports of checks, stays in stages. In one query."""

from __future__ import annotations

import datetime
import json
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection

from registry.gates import CheckFacts, CheckState, Stay

STAYS = 100  # of one version: the newest
QUOTED = 200  # characters of a check's summary, in the reasons of gates


@dataclass(frozen=True)
class Noted:
    """By the version's id: its tags, its checks by name (each with the newest reports by others), its stays in turn."""

    tags: Mapping[uuid.UUID, dict[str, str]]
    checks: Mapping[uuid.UUID, dict[str, CheckFacts]]
    stays: Mapping[uuid.UUID, list[Stay]]


def noted(version_ids: Collection[uuid.UUID], reads: Collection[str]) -> Noted:
    """Of tags, checks and stays, those that `reads` names, of these versions. At most one query."""
    rows = _said_of(version_ids, reads)
    return Noted(_tags(rows["tags"]), _newest_checks(rows["checks"]), _stays(rows["stays"]))


# What is read of versions, each with an array of what a row of it says. Of checks the newest report by each account.
_SAID: dict[str, str] = {
    "tags": """
SELECT 'tags', version_id, json_build_array(key, value) FROM registry_versiontag WHERE version_id = ANY(%s)""",
    "checks": f"""
SELECT 'checks', c.version_id, json_build_array(c.name, c.id, c.state, u.username, c.at, c.summary, c.values)
  FROM (SELECT DISTINCT ON (version_id, name, reporter_id)
               version_id, name, id, state, reporter_id, at, left(summary, {QUOTED}) AS summary, values
          FROM registry_check WHERE version_id = ANY(%s) ORDER BY version_id, name, reporter_id, id DESC) c
  JOIN accounts_user u ON u.id = c.reporter_id""",  # noqa: S608 - a number of ours
    "stays": f"""
SELECT 'stays', version_id, json_build_array(stage, started_at, ended_at)
  FROM (SELECT version_id, stage, started_at, ended_at,
               row_number() OVER (PARTITION BY version_id ORDER BY started_at DESC) AS place
          FROM registry_occupancy WHERE version_id = ANY(%s)) o
 WHERE place <= {STAYS}""",  # noqa: S608 - a number of ours
}
_Rows = list[tuple[uuid.UUID, list[Any]]]


def _said_of(version_ids: Collection[uuid.UUID], reads: Collection[str]) -> dict[str, _Rows]:
    """Of those of _SAID that `reads` names, the rows of these versions. At most one query."""
    found: dict[str, _Rows] = {kind: [] for kind in _SAID}
    asked = [statement for kind, statement in _SAID.items() if kind in reads]
    if asked:
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(f"({each})" for each in asked), [list(version_ids)] * len(asked))
            for kind, version_id, said in cursor.fetchall():
                found[kind].append((version_id, json.loads(said) if isinstance(said, str) else said))
    return found


def _tags(rows: _Rows) -> dict[uuid.UUID, dict[str, str]]:
    found: dict[uuid.UUID, dict[str, str]] = defaultdict(dict)
    for version_id, (key, value) in rows:
        found[version_id][key] = value
    return found


def _newest_checks(rows: _Rows) -> dict[uuid.UUID, dict[str, CheckFacts]]:
    """The newest report of each check, by version and name; with those of others."""
    reports: dict[tuple[uuid.UUID, str], list[tuple[str, CheckFacts]]] = defaultdict(list)
    for version_id, (name, pk, state, reporter, at, summary, values) in rows:
        facts = CheckFacts(CheckState(state), reporter, datetime.datetime.fromisoformat(at), summary, values)
        reports[version_id, name].append((pk, facts))
    found: dict[uuid.UUID, dict[str, CheckFacts]] = defaultdict(dict)
    for (version_id, name), each in reports.items():
        first, *others = [facts for _, facts in sorted(each, key=lambda one: one[0], reverse=True)]
        found[version_id][name] = replace(first, others=tuple(others))
    return found


def _stays(rows: _Rows) -> dict[uuid.UUID, list[Stay]]:
    found: dict[uuid.UUID, list[Stay]] = defaultdict(list)
    for version_id, (stage, began, ended) in rows:
        started_at = datetime.datetime.fromisoformat(began)
        found[version_id].append(Stay(stage, started_at, datetime.datetime.fromisoformat(ended) if ended else None))
    return {version_id: sorted(stays, key=lambda stay: stay.started_at) for version_id, stays in found.items()}
