"""Many versions at once, straight into the tables: for what searches and pages of them cost."""

from __future__ import annotations

from django.db import connection

from accounts.actor import Actor

_MODELS = """
INSERT INTO registry_model (id, workspace_id, name, description, created_by_id, created_at, updated_at, last_version,
                            generation, revision)
SELECT gen_random_uuid(), %(workspace)s, 'many-' || lpad(n::text, 6, '0'), '', %(user)s, now(), now(), %(versions)s,
       1, 1
  FROM generate_series(1, %(models)s) n
"""
# In no order that an index has by chance: `hashint4` scatters them over a month.
_VERSIONS = """
INSERT INTO registry_version (id, model_id, workspace_id, model_name, number, description, source, run_ref, run_link,
                              status, status_message, registrar_id, request_digest, created_at, updated_at, revision,
                              location)
SELECT gen_random_uuid(), m.id, m.workspace_id, m.name, n, '', 's3://bucket/' || m.name || '/' || n,
       'run-' || substr(m.name, 6) || '-' || n / 10, '', 'ready', '', %(user)s, '',
       now() - make_interval(secs => abs(hashtext(m.name || n)) / 800.0),
       now() - make_interval(secs => abs(hashtext(n || m.name)) / 800.0), 1, ''
  FROM registry_model m CROSS JOIN generate_series(1, %(versions)s) n
 WHERE m.name LIKE 'many-%%'
"""
_REST = """
INSERT INTO registry_occupancy (model_id, version_id, number, stage, exclusive, started_at)
SELECT model_id, id, number, 'None', false, created_at FROM registry_version WHERE model_name LIKE 'many-%';
INSERT INTO registry_versiontag (version_id, key, value)
SELECT id, 'team', 'team ' || abs(hashtext(source)) % 5 FROM registry_version WHERE model_name LIKE 'many-%'
UNION ALL
SELECT id, 'build', source FROM registry_version WHERE model_name LIKE 'many-%' AND number % 10 = 0;
ANALYZE registry_model, registry_version, registry_versiontag, registry_modeltag, registry_occupancy;
"""


def versions(actor: Actor, *, models: int, each: int) -> None:
    """`models` called many-000001 … with `each` versions, of all five teams; every tenth has a build of its own."""
    given = {"workspace": actor.workspace_id, "user": actor.user_id, "models": models, "versions": each}
    with connection.cursor() as cursor:
        cursor.execute(_MODELS, given)
        cursor.execute(_VERSIONS, given)
        cursor.execute(_REST)
