"""The very bodies of experiments, runs and logged models on the MLflow wire."""

from __future__ import annotations

import datetime

import pytest
import time_machine

from tests.web.mlflow.conftest import Door

pytestmark = pytest.mark.django_db

MOMENT = datetime.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=datetime.UTC)
MILLIS = 1772366400123


def test_an_experiment(ci: Door) -> None:
    with time_machine.travel(MOMENT, tick=False):
        tags = [{"key": "team", "value": "risk"}, {"key": "empty"}]
        made = ci.post("mlflow/experiments/create", {"name": "churn", "tags": tags})
    number = made.body["experiment_id"]
    assert made.content == b'{"experiment_id":"%s"}' % number.encode()
    assert ci.get("mlflow/experiments/get", experiment_id=number).body == {
        "experiment": {
            "experiment_id": number,
            "name": "churn",
            "artifact_location": f"mlflow-artifacts:/{number}",
            "lifecycle_stage": "active",
            "creation_time": MILLIS,
            "last_update_time": MILLIS,
            "tags": [{"key": "team", "value": "risk"}, {"key": "empty", "value": ""}],
        }
    }


def test_a_run_that_logged_something_of_each_kind(ci: Door) -> None:
    body = {"experiment_id": "0", "user_id": "me", "run_name": "deft-cedar-1", "start_time": MILLIS}
    run = ci.post("mlflow/runs/create", body).body["run"]["info"]["run_id"]
    metrics = [
        {"key": "loss", "value": 0.5, "timestamp": 1, "step": 3},
        {"key": "loss", "value": "NaN", "timestamp": "2", "step": 4.0},
        {"key": "auc", "value": "Infinity", "timestamp": 1},
    ]
    batch = {"run_id": run, "metrics": metrics, "params": [{"key": "depth", "value": "3"}]}
    assert ci.post("mlflow/runs/log-batch", batch).content == b"{}"
    dataset = {"name": "people", "digest": "abc", "source_type": "local", "source": "s", "schema": "", "profile": ""}
    use = {"dataset": dataset, "tags": [{"key": "mlflow.data.context", "value": "training"}]}
    ci.post("mlflow/runs/log-inputs", {"run_id": run, "datasets": [use]})
    ci.post("mlflow/runs/update", {"run_id": run, "status": "FINISHED", "end_time": MILLIS + 1000})
    told = ci.get("mlflow/runs/get", run_id=run).body["run"]
    told["data"]["metrics"].sort(key=lambda metric: metric["key"])
    assert told == {
        "info": {
            "run_id": run,
            "run_uuid": run,
            "run_name": "deft-cedar-1",
            "experiment_id": "0",
            "user_id": "me",
            "status": "FINISHED",
            "start_time": MILLIS,
            "end_time": MILLIS + 1000,
            "artifact_uri": f"mlflow-artifacts:/0/{run}/artifacts",
            "lifecycle_stage": "active",
        },
        "data": {
            "metrics": [
                {"key": "auc", "value": 1.7976931348623157e308, "timestamp": 1, "step": 0},
                {"key": "loss", "value": "NaN", "timestamp": 2, "step": 4},
            ],
            "params": [{"key": "depth", "value": "3"}],
            "tags": [{"key": "mlflow.runName", "value": "deft-cedar-1"}],
        },
        "inputs": {"dataset_inputs": [use]},
        "outputs": {},
    }


def test_a_logged_model(ci: Door) -> None:
    run = ci.run()
    with time_machine.travel(MOMENT, tick=False):
        body = {"experiment_id": "0", "name": "forest", "model_type": "classifier", "source_run_id": run}
        more = {"params": [{"key": "trees", "value": "9"}], "tags": [{"key": "stage", "value": "draft"}]}
        made = ci.post("mlflow/logged-models", {**body, **more}).body["model"]["info"]["model_id"]
        ci.post("mlflow/runs/log-metric", {"run_id": run, "key": "auc", "value": 0.9, "timestamp": 7, "model_id": made})
        told = ci.post(
            f"mlflow/logged-models/{made}", {"model_id": made, "status": "LOGGED_MODEL_READY"}, method="PATCH"
        )
    assert told.body == {
        "model": {
            "info": {
                "model_id": made,
                "experiment_id": "0",
                "name": "forest",
                "creation_timestamp_ms": MILLIS,
                "last_updated_timestamp_ms": MILLIS,
                "artifact_uri": f"mlflow-artifacts:/0/models/{made}/artifacts",
                "status": "LOGGED_MODEL_READY",
                "model_type": "classifier",
                "source_run_id": run,
                "tags": [{"key": "stage", "value": "draft"}],
            },
            "data": {
                "params": [{"key": "trees", "value": "9"}],
                "metrics": [{"key": "auc", "value": 0.9, "timestamp": 7, "step": 0, "model_id": made, "run_id": run}],
            },
        }
    }
