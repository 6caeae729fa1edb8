"""Experiments, runs, metrics and logged models on the MLflow wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lineage.models import LoggedModel, Metric, Param, Run, RunTag
from tests.web.mlflow.conftest import Door

pytestmark = pytest.mark.django_db


def run_of(door: Door, run_id: str) -> dict[str, Any]:
    return door.get("mlflow/runs/get", run_id=run_id).body["run"]


# --- Experiments ------------------------------------------------------------------------------------------------------


def test_experiment_0_is_there_from_the_start_in_every_workspace(ci: Door, stranger: Door) -> None:
    for door in (ci, stranger):
        found = door.get("mlflow/experiments/get", experiment_id="0").body["experiment"]
        assert (found["experiment_id"], found["name"]) == ("0", "Default")
        assert (found["artifact_location"], found["lifecycle_stage"]) == ("mlflow-artifacts:/0", "active")
        assert door.get("mlflow/experiments/get-by-name", experiment_name="Default").body["experiment"] == found


def test_an_experiment_is_made_once_by_name(ci: Door) -> None:
    body = {"name": "credit", "tags": [{"key": "a", "value": "b"}]}
    made = ci.post("mlflow/experiments/create", body).body["experiment_id"]
    assert made.isdecimal()
    found = ci.get("mlflow/experiments/get-by-name", experiment_name="credit").body["experiment"]
    assert (found["experiment_id"], found["tags"]) == (made, body["tags"])
    assert found["artifact_location"] == f"mlflow-artifacts:/{made}"
    again = ci.post("mlflow/experiments/create", body)
    assert (again.status, again.code) == (400, "RESOURCE_ALREADY_EXISTS")
    assert ci.post("mlflow/experiments/create", {"name": "Default"}).code == "RESOURCE_ALREADY_EXISTS"


def test_an_experiment_that_is_not_there_is_404_by_the_code_that_clients_rely_on(ci: Door, stranger: Door) -> None:
    made = stranger.post("mlflow/experiments/create", {"name": "theirs"}).body["experiment_id"]
    for answer in (
        ci.get("mlflow/experiments/get-by-name", experiment_name="none"),
        ci.get("mlflow/experiments/get-by-name", experiment_name="theirs"),
        ci.get("mlflow/experiments/get", experiment_id="999999"),
        ci.get("mlflow/experiments/get", experiment_id=made),
        ci.post("mlflow/runs/create", {"experiment_id": made}),
    ):
        assert (answer.status, answer.code) == (404, "RESOURCE_DOES_NOT_EXIST")
    for odd in ("abc", "-1", "1" * 30, "0x1", "1.0"):
        assert ci.get("mlflow/experiments/get", experiment_id=odd).code == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("location", ["http://example.org/", "file:/tmp", "/tmp", "mlflow-artifacts:/0", "../x"])
def test_an_artifact_location_of_another_host_or_a_disk_is_refused(ci: Door, location: str) -> None:
    answer = ci.post("mlflow/experiments/create", {"name": "e", "artifact_location": location})
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")


# --- Runs -------------------------------------------------------------------------------------------------------------


def test_a_run_travels_with_both_names_of_its_id(ci: Door) -> None:
    body = {"experiment_id": "0", "user_id": "ada", "start_time": 1700000000000, "run_name": "first"}
    made = ci.post("mlflow/runs/create", body).body["run"]
    info = made["info"]
    assert info["run_id"] == info["run_uuid"]
    assert info["artifact_uri"] == f"mlflow-artifacts:/0/{info['run_id']}/artifacts"
    assert (info["status"], info["user_id"], info["start_time"]) == ("RUNNING", "ada", 1700000000000)
    assert made["data"]["tags"] == [{"key": "mlflow.runName", "value": "first"}]
    assert ci.get("mlflow/runs/get", run_uuid=info["run_uuid"]).body["run"] == made
    assert ci.get("mlflow/runs/get", run_uuid=info["run_uuid"], run_id=info["run_id"]).body["run"] == made


def test_a_run_needs_an_experiment(ci: Door) -> None:
    answer = ci.post("mlflow/runs/create", {})
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert not Run.objects.exists()


def test_a_run_is_ended_and_renamed(ci: Door) -> None:
    run_id = ci.run()
    body = {"run_id": run_id, "run_uuid": run_id, "status": "FINISHED", "end_time": "1700000000000", "run_name": "b"}
    info = ci.post("mlflow/runs/update", body).body["run_info"]
    assert (info["status"], info["end_time"], info["run_name"]) == ("FINISHED", 1700000000000, "b")


def test_metrics_take_what_protobuf_writes_for_doubles_and_int64(ci: Door) -> None:
    run_id = ci.run()
    for step, value in enumerate(["NaN", "Infinity", "-Infinity", 0, 1.5, "2.5"]):
        body = {"run_id": run_id, "key": f"m{step}", "value": value, "timestamp": "1700000000000", "step": f"{step}"}
        assert ci.post("mlflow/runs/log-metric", body).body == {}
    last = {metric["key"]: metric for metric in run_of(ci, run_id)["data"]["metrics"]}
    values = [last[f"m{step}"]["value"] for step in range(6)]
    assert values == ["NaN", 1.7976931348623157e308, -1.7976931348623157e308, 0.0, 1.5, 2.5]
    assert (last["m4"]["timestamp"], last["m4"]["step"]) == (1700000000000, 4)


def test_a_metrics_history_is_paged_in_order(ci: Door) -> None:
    run_id = ci.run()
    points = [{"key": "loss", "value": 1 / (step + 1), "timestamp": 1000 + step, "step": step} for step in range(5)]
    ci.post("mlflow/runs/log-batch", {"run_id": run_id, "metrics": points[::-1]})
    found, token = [], ""
    for _ in range(3):
        page = ci.get("mlflow/metrics/get-history", run_id=run_id, metric_key="loss", max_results=2, page_token=token)
        found += page.body["metrics"]
        token = page.body.get("next_page_token", "")
    assert found == points
    assert token == ""
    forged = ci.get("mlflow/metrics/get-history", run_id=run_id, metric_key="loss", page_token="eyJvZmZzZXQiOiAxfQ==")
    assert (forged.status, forged.code) == (400, "INVALID_PARAMETER_VALUE")
    for size in ("0", "-1", "x", "25001"):
        answer = ci.get("mlflow/metrics/get-history", run_id=run_id, metric_key="loss", max_results=size)
        assert answer.code == "INVALID_PARAMETER_VALUE"
    for nothing in ({"run_id": run_id, "metric_key": "x"}, {"run_id": "0" * 32, "metric_key": "loss"}):
        assert ci.get("mlflow/metrics/get-history", **nothing).body == {}


def test_a_parameter_is_logged_again_with_the_same_value_only(ci: Door) -> None:
    run_id = ci.run()
    body = {"run_id": run_id, "key": "depth", "value": "3"}
    assert ci.post("mlflow/runs/log-parameter", body).status == 200
    assert ci.post("mlflow/runs/log-parameter", body).status == 200
    changed = ci.post("mlflow/runs/log-parameter", {**body, "value": "4"})
    assert (changed.status, changed.code) == (400, "INVALID_PARAMETER_VALUE")
    assert "Changing param values is not allowed" in changed.message
    assert run_of(ci, run_id)["data"]["params"] == [{"key": "depth", "value": "3"}]


def test_the_tag_mlflow_run_name_renames_the_run(ci: Door) -> None:
    run_id = ci.run()
    ci.post("mlflow/runs/set-tag", {"run_id": run_id, "key": "mlflow.runName", "value": "renamed"})
    assert run_of(ci, run_id)["info"]["run_name"] == "renamed"


def test_a_batch_is_logged_as_a_whole_or_not_at_all(ci: Door) -> None:
    run_id = ci.run()
    body = {
        "run_id": run_id,
        "metrics": [{"key": "m", "value": 1, "timestamp": 1}],
        "params": [{"key": "p", "value": "1"}],
        "tags": [{"key": "t", "value": "1"}, {"key": "t", "value": "2"}],
    }
    broken = {**body, "metrics": [*body["metrics"], {"key": "m", "value": 1, "timestamp": -1}]}
    answer = ci.post("mlflow/runs/log-batch", broken)
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert "metrics[1].timestamp" in answer.message
    assert not Metric.objects.exists()
    assert not Param.objects.exists()
    assert not RunTag.objects.filter(key="t").exists()
    assert ci.post("mlflow/runs/log-batch", body).status == 200
    data = run_of(ci, run_id)["data"]
    assert {"key": "t", "value": "2"} in data["tags"]  # the last one counts


@pytest.mark.parametrize(("field", "count"), [("metrics", 1001), ("params", 101), ("tags", 101)])
def test_a_batch_has_a_limit(ci: Door, field: str, count: int) -> None:
    run_id = ci.run()
    items = [{"key": f"k{at}", "value": 1 if field == "metrics" else "1", "timestamp": 1} for at in range(count)]
    answer = ci.post("mlflow/runs/log-batch", {"run_id": run_id, field: items})
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert field in answer.message


def test_data_sets_and_models_that_a_run_read_and_made_come_back(ci: Door) -> None:
    run_id = ci.run()
    dataset = {"name": "iris", "digest": "abc", "source_type": "local", "source": "{}", "schema": "s", "profile": "p"}
    use = {"tags": [{"key": "mlflow.data.context", "value": "training"}], "dataset": dataset}
    model_id = ci.post("mlflow/logged-models", {"experiment_id": "0"}).body["model"]["info"]["model_id"]
    for _ in range(2):  # clients repeat themselves
        ci.post("mlflow/runs/log-inputs", {"run_id": run_id, "datasets": [use], "models": [{"model_id": model_id}]})
        ci.post("mlflow/runs/outputs", {"run_id": run_id, "models": [{"model_id": model_id, "step": "2"}]})
    run = run_of(ci, run_id)
    assert run["inputs"] == {"dataset_inputs": [use], "model_inputs": [{"model_id": model_id}]}
    assert run["outputs"] == {"model_outputs": [{"model_id": model_id, "step": 2}]}
    for odd in ("m-xyz", "m-" + "0" * 32, model_id[2:], ""):
        answer = ci.post("mlflow/runs/outputs", {"run_id": run_id, "models": [{"model_id": odd, "step": 0}]})
        assert answer.status in (400, 404)


def test_models_of_the_old_generation_are_kept_in_the_runs_history_tag(ci: Door) -> None:
    run_id = ci.run()
    model = {"artifact_path": "model", "flavors": {"a": {}}, "utc_time_created": "now", "run_id": run_id, "more": 1}
    for path in ("one", "two"):
        body = {"run_id": run_id, "model_json": json.dumps({**model, "artifact_path": path})}
        assert ci.post("mlflow/runs/log-model", body).status == 200
    tags = {tag["key"]: tag["value"] for tag in run_of(ci, run_id)["data"]["tags"]}
    assert [entry["artifact_path"] for entry in json.loads(tags["mlflow.log-model.history"])] == ["one", "two"]
    for broken in ("{", "[]", "{}", "null"):
        answer = ci.post("mlflow/runs/log-model", {"run_id": run_id, "model_json": broken})
        assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")


def test_a_run_is_read_with_a_constant_number_of_queries(ci: Door, django_assert_num_queries: Any) -> None:
    run_id = ci.run()
    for name in ("a", "b", "c"):
        dataset = {"name": name, "digest": "1", "source_type": "local", "source": "x"}
        ci.post("mlflow/runs/log-inputs", {"run_id": run_id, "datasets": [{"dataset": dataset}]})
    with django_assert_num_queries(4):  # token, run, what it named, data sets
        run_of(ci, run_id)


# --- Logged models ----------------------------------------------------------------------------------------------------


def test_a_logged_model_goes_from_pending_to_ready(ci: Door) -> None:
    run_id = ci.run()
    body = {
        "experiment_id": "0",
        "name": "model",
        "source_run_id": run_id,
        "params": [{"key": "p", "value": "1"}],
        "tags": [{"key": "t", "value": "1"}],
    }
    made = ci.post("mlflow/logged-models", body).body["model"]
    info, model_id = made["info"], made["info"]["model_id"]
    assert model_id.startswith("m-")
    assert len(model_id) == 34
    assert (info["status"], info["source_run_id"]) == ("LOGGED_MODEL_PENDING", run_id)
    assert info["artifact_uri"] == f"mlflow-artifacts:/0/models/{model_id}/artifacts"
    assert made["data"] == {"params": [{"key": "p", "value": "1"}]}
    path = f"mlflow/logged-models/{model_id}"
    ready = ci.post(path, {"model_id": model_id, "status": "LOGGED_MODEL_READY"}, method="PATCH")
    assert ready.body["model"]["info"]["status"] == "LOGGED_MODEL_READY"
    assert ci.post(path, {"status": 3}, method="PATCH").body["model"]["info"]["status"] == "LOGGED_MODEL_UPLOAD_FAILED"
    assert ci.post(path, {"status": "LOGGED_MODEL_GREEN"}, method="PATCH").code == "INVALID_PARAMETER_VALUE"
    ci.post(f"{path}/params", {"model_id": model_id, "params": [{"key": "q", "value": "2"}]})
    ci.post(f"{path}/tags", {"tags": [{"key": "t", "value": "2"}]}, method="PATCH")
    found = ci.get(path).body["model"]
    assert found["data"]["params"] == [{"key": "p", "value": "1"}, {"key": "q", "value": "2"}]
    assert found["info"]["tags"] == [{"key": "t", "value": "2"}]


@pytest.mark.parametrize("model_id", ["x", "m-1", "m-" + "0" * 32, "m-" + "Z" * 32, "m-%00", "%2e%2e"])
def test_a_logged_model_that_is_not_there_is_404(ci: Door, model_id: str) -> None:
    for answer in (
        ci.get(f"mlflow/logged-models/{model_id}"),
        ci.post(f"mlflow/logged-models/{model_id}", {"status": "LOGGED_MODEL_READY"}, method="PATCH"),
        ci.post(f"mlflow/logged-models/{model_id}/tags", {"tags": []}, method="PATCH"),
        ci.get(f"mlflow/logged-models/{model_id}/artifacts/directories"),
    ):
        assert (answer.status, answer.code) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_metric_of_a_run_is_one_of_the_model_it_names(ci: Door) -> None:
    run_id = ci.run()
    model_id = ci.post("mlflow/logged-models", {"experiment_id": "0"}).body["model"]["info"]["model_id"]
    point = {"run_id": run_id, "key": "f1", "value": 0.5, "timestamp": 1, "model_id": model_id, "dataset_name": "d"}
    ci.post("mlflow/runs/log-metric", point)
    measured = ci.get(f"mlflow/logged-models/{model_id}").body["model"]["data"]["metrics"]
    assert measured == [
        {"key": "f1", "value": 0.5, "timestamp": 1, "step": 0, "dataset_name": "d", "model_id": model_id}
        | {"run_id": run_id}
    ]


def names(door: Door, text: str, **more: Any) -> list[str]:
    body = {"experiment_ids": ["0"], "filter": text, **more}
    answer = door.post("mlflow/logged-models/search", body)
    assert answer.status == 200, answer.message
    return [model["info"]["name"] for model in answer.body.get("models", [])]


def test_logged_models_are_found_by_the_filters_that_clients_send(ci: Door) -> None:
    run_id = ci.run()
    made = {}
    for name, source in (("model", run_id), ("model", ""), ("its", ""), ("a AND b", "")):
        body = {"experiment_id": "0", "name": name, "source_run_id": source, "model_type": "t"}
        made[name, source] = ci.post("mlflow/logged-models", body).body["model"]["info"]["model_id"]
    assert names(ci, "name = 'model'") == ["model", "model"]
    assert names(ci, 'name="model" and attributes.source_run_id = "x"') == []
    assert names(ci, f"name = 'model' AND source_run_id = '{run_id}'") == ["model"]
    assert names(ci, "name = 'a AND b'") == ["a AND b"]
    assert names(ci, "name != 'model' AND status = 'LOGGED_MODEL_PENDING'") == ["a AND b", "its"]
    assert names(ci, f"model_id = '{made['model', run_id]}'") == ["model"]
    assert names(ci, "model_id = 'm-1'") == []
    assert names(ci, "status = 'READY'") == []
    assert len(names(ci, "", max_results=3)) == 3
    assert names(ci, "", order_by=[{"field_name": "name", "ascending": False}])[0] == "model"


@pytest.mark.parametrize(
    "body",
    [
        {"filter": "name"},
        {"filter": "name = model"},
        {"filter": "name = 'a' OR name = 'b'"},
        {"filter": "(name = 'a')"},
        {"filter": "name = 'a' AND"},
        {"filter": "name = 'a' name = 'b'"},
        {"filter": "metrics.f1 > 'high'"},
        {"filter": "status LIKE 'R%'"},
        {"filter": "creation_timestamp = 1.5"},
        {"filter": "pk = '1'"},
        {"filter": "'; DROP TABLE x --"},
        {"order_by": [{"field_name": "tags.a"}]},
        {"order_by": [{"field_name": "source_run"}]},
        {"datasets": [{"dataset_digest": "d"}]},
        {"max_results": 0},
        {"page_token": "forged"},
        {"experiment_ids": ["x"]},
    ],
)
def test_a_search_that_is_not_understood_is_400(ci: Door, body: dict[str, Any]) -> None:
    answer = ci.post("mlflow/logged-models/search", {"experiment_ids": ["0"], **body})
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")


def test_a_page_token_of_one_search_is_refused_by_another(ci: Door) -> None:
    for at in range(3):
        ci.post("mlflow/logged-models", {"experiment_id": "0", "name": "model", "model_type": f"{at}"})
    body = {"experiment_ids": ["0"], "filter": "name = 'model'", "max_results": 2}
    first = ci.post("mlflow/logged-models/search", body).body
    token = first["next_page_token"]
    rest = ci.post("mlflow/logged-models/search", {**body, "page_token": token}).body
    ids = {model["info"]["model_id"] for model in first["models"] + rest["models"]}
    assert len(ids) == LoggedModel.objects.count() == 3
    assert "next_page_token" not in rest
    other = ci.post("mlflow/logged-models/search", {**body, "filter": "name = 'b'", "page_token": token})
    assert (other.status, other.code) == (400, "INVALID_PARAMETER_VALUE")
