"""The rows of a large registry, written by SQL as each server would have written them one by one."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod

import psycopg

MODEL = "model-{}"
EACH = 1000  # versions of a model
START = 1_700_000_000_000  # ms since 1970, of the first version and the first run


def run_id(number: int) -> str:
    """The run that a version came from: ten versions share one."""
    return hashlib.md5(f"run-{number // 10}".encode()).hexdigest()


class Writer(ABC):
    """Writes rows into the database of one server; a version more is a millisecond younger."""

    def __init__(self, database: str) -> None:
        self.database = database

    @abstractmethod
    def versions(self, connection: psycopg.Connection, models: int) -> None:
        """Have `models` models of `EACH` versions, a tag `team` each; those that are there already stay."""

    @abstractmethod
    def runs(self, connection: psycopg.Connection, count: int) -> None:
        """Have `count` runs in the experiment `large`, with a metric, a parameter and a tag each."""


class Reference(Writer):
    """`mlflow server`."""

    def versions(self, connection: psycopg.Connection, models: int) -> None:
        values = {"models": models, "each": EACH, "start": START}
        connection.execute(
            """INSERT INTO registered_models (workspace, name, creation_time, last_updated_time, description)
               SELECT 'default', 'model-' || m, %(start)s, %(start)s, '' FROM generate_series(0, %(models)s - 1) m
               ON CONFLICT DO NOTHING""",
            values,
        )
        connection.execute(
            """INSERT INTO model_versions (workspace, name, version, creation_time, last_updated_time, description,
                                           current_stage, source, storage_location, run_id, run_link, status)
               SELECT 'default', 'model-' || n / %(each)s, n %% %(each)s + 1, %(start)s + n, %(start)s + n, '', 'None',
                      's3://bucket/model-' || n / %(each)s || '/' || n,
                      's3://bucket/model-' || n / %(each)s || '/' || n, md5('run-' || n / 10), '', 'READY'
                 FROM generate_series(0, %(models)s::bigint * %(each)s - 1) n
               ON CONFLICT DO NOTHING""",
            values,
        )
        connection.execute(
            """INSERT INTO model_version_tags (workspace, name, version, key, value)
               SELECT 'default', 'model-' || n / %(each)s, n %% %(each)s + 1, 'team', 'team-' || n %% 100
                 FROM generate_series(0, %(models)s::bigint * %(each)s - 1) n
               ON CONFLICT DO NOTHING""",
            values,
        )
        connection.execute("VACUUM ANALYZE")

    def runs(self, connection: psycopg.Connection, count: int) -> None:
        values = {"count": count, "start": START}
        connection.execute(
            """INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time,
                                        workspace)
               VALUES ('large', 'mlflow-artifacts:/large', 'active', %(start)s, %(start)s, 'default')""",
            values,
        )
        connection.execute(
            """INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,
                                 start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)
               SELECT md5('run-' || n), 'run-' || n, 'UNKNOWN', '', '', 'bench', 'FINISHED', %(start)s + n,
                      %(start)s + n + 1000, '', 'active',
                      'mlflow-artifacts:/large/' || md5('run-' || n) || '/artifacts',
                      (SELECT experiment_id FROM experiments WHERE name = 'large')
                 FROM generate_series(0, %(count)s - 1) n""",
            values,
        )
        for statement in (
            """INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
               SELECT 'accuracy', (n::bigint * 7919 %% 1000003) / 1000003.0, %(start)s, 0, false, md5('run-' || n)
                 FROM generate_series(0, %(count)s - 1) n""",
            """INSERT INTO params (key, value, run_uuid)
               SELECT 'depth', (n %% 20)::text, md5('run-' || n) FROM generate_series(0, %(count)s - 1) n""",
            """INSERT INTO tags (key, value, run_uuid)
               SELECT 'mlflow.runName', 'run-' || n, md5('run-' || n) FROM generate_series(0, %(count)s - 1) n""",
        ):
            connection.execute(statement, values)
        connection.execute("VACUUM ANALYZE")


class Vouch(Writer):
    """Vouch; the rows are those of its administrator, in the sample workspace."""

    def versions(self, connection: psycopg.Connection, models: int) -> None:
        values = {"models": models, "each": EACH, "start": START / 1000}
        connection.execute(
            """INSERT INTO registry_model (id, workspace_id, name, description, created_by_id, created_at, updated_at,
                                           last_version, generation, revision)
               SELECT md5('model-' || m)::uuid, w.id, 'model-' || m, '', u.id, to_timestamp(%(start)s),
                      to_timestamp(%(start)s), %(each)s, 1, 1
                 FROM generate_series(0, %(models)s - 1) m, accounts_workspace w, accounts_user u
                WHERE u.username = 'admin'
               ON CONFLICT DO NOTHING""",
            values,
        )
        connection.execute(
            """INSERT INTO registry_version (id, model_id, workspace_id, model_name, number, description, source,
                                             run_ref, run_link, status, status_message, registrar_id, request_digest,
                                             created_at, updated_at, revision, location)
               SELECT md5('version-' || n)::uuid, md5('model-' || n / %(each)s)::uuid, w.id, 'model-' || n / %(each)s,
                      n %% %(each)s + 1, '',
                      's3://bucket/model-' || n / %(each)s || '/' || n, md5('run-' || n / 10), '', 'ready', '', u.id,
                      md5('request-' || n), to_timestamp(%(start)s + n / 1000.0),
                      to_timestamp(%(start)s + n / 1000.0), 1, ''
                 FROM generate_series(0, %(models)s::bigint * %(each)s - 1) n, accounts_workspace w, accounts_user u
                WHERE u.username = 'admin'
               ON CONFLICT DO NOTHING""",
            values,
        )
        connection.execute(
            """INSERT INTO registry_occupancy (model_id, version_id, number, stage, exclusive, started_at)
               SELECT md5('model-' || n / %(each)s)::uuid, md5('version-' || n)::uuid, n %% %(each)s + 1, 'None', false,
                      to_timestamp(%(start)s + n / 1000.0)
                 FROM generate_series(0, %(models)s::bigint * %(each)s - 1) n
               ON CONFLICT DO NOTHING""",
            values,
        )
        connection.execute(
            """INSERT INTO registry_versiontag (version_id, key, value)
               SELECT md5('version-' || n)::uuid, 'team', 'team-' || n %% 100
                 FROM generate_series(0, %(models)s::bigint * %(each)s - 1) n
               ON CONFLICT DO NOTHING""",
            values,
        )
        connection.execute("VACUUM ANALYZE")

    def runs(self, connection: psycopg.Connection, count: int) -> None:
        values = {"count": count, "start": START}
        connection.execute(
            """INSERT INTO lineage_experiment (workspace_id, name, is_default, artifact_location, created_at,
                                               updated_at)
               SELECT id, 'large', false, '', now(), now() FROM accounts_workspace"""
        )
        connection.execute(
            """INSERT INTO lineage_run (id, experiment_id, name, user_name, status, started_ms, ended_ms, created_by_id,
                                        created_at)
               SELECT md5('run-' || n)::uuid, e.id, 'run-' || n, 'bench', 'FINISHED', %(start)s + n,
                      %(start)s + n + 1000, u.id, now()
                 FROM generate_series(0, %(count)s - 1) n, lineage_experiment e, accounts_user u
                WHERE e.name = 'large' AND u.username = 'admin'""",
            values,
        )
        for statement in (
            """INSERT INTO lineage_latestmetric (run_id, experiment_id, started_ms, key, value, timestamp_ms, step)
               SELECT md5('run-' || n)::uuid, e.id, %(start)s + n, 'accuracy',
                      (n::bigint * 7919 %% 1000003) / 1000003.0, %(start)s, 0
                 FROM generate_series(0, %(count)s - 1) n, lineage_experiment e
                WHERE e.name = 'large'""",
            """INSERT INTO lineage_param (run_id, key, value)
               SELECT md5('run-' || n)::uuid, 'depth', (n %% 20)::text FROM generate_series(0, %(count)s - 1) n""",
            """INSERT INTO lineage_runtag (run_id, key, value)
               SELECT md5('run-' || n)::uuid, 'mlflow.runName', 'run-' || n FROM generate_series(0, %(count)s - 1) n""",
        ):
            connection.execute(statement, values)
        connection.execute("VACUUM ANALYZE")
