"""Histories of metrics for clients that page and for charts; what batches take; messages that name a place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from tests.web.mlflow.conftest import Answer, Door
from web.mlflow import metrics
from web.mlflow.wire import Fields

pytestmark = pytest.mark.django_db

BULK, INTERVAL = "metrics/get-history-bulk", "metrics/get-history-bulk-interval"


def charted(door: Door, path: str, **query: Any) -> Answer:
    """A call of the kind that only web pages make."""
    headers = {"Authorization": f"Bearer {door.token}"}
    response = Client().get(f"/ajax-api/2.0/mlflow/{path}", query, headers=headers)
    return Answer(response.status_code, json.loads(response.content), dict(response.headers), response.content)


def logged(door: Door, count: int, **more: Any) -> str:
    run_id = door.run()
    points = [{"key": "m", "value": at / 2, "timestamp": 100 + at, "step": at, **more} for at in range(count)]
    assert door.post("mlflow/runs/log-batch", {"run_id": run_id, "metrics": points}).status == 200
    return run_id


def test_a_client_that_knows_of_no_pages_gets_the_whole_history(ci: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "HISTORY_PAGE", 3)
    run_id = logged(ci, 10)
    whole = ci.get("mlflow/metrics/get-history", run_id=run_id, metric_key="m")
    assert len(whole.body["metrics"]) == 10
    assert "next_page_token" not in whole.body
    assert whole.body["metrics"][3] == {"key": "m", "value": 1.5, "timestamp": 103, "step": 3}


def test_a_page_of_history_is_one_query_of_the_index(ci: Door, django_assert_num_queries: Any) -> None:
    run_id = logged(ci, 10)
    with django_assert_num_queries(3):  # token, run, points
        ci.get("mlflow/metrics/get-history", run_id=run_id, metric_key="m", max_results=5)


def test_histories_of_several_runs_come_by_run_then_time_step_and_value(ci: Door, stranger: Door) -> None:
    first, second = sorted((logged(ci, 3), logged(ci, 2)))
    found = charted(ci, BULK, run_id=[second, first, "x"], metric_key="m").body["metrics"]
    told = [(point["run_id"], point["timestamp"]) for point in found]
    assert told == sorted(told)
    assert len(told) == 5
    assert found[0] == {"key": "m", "value": 0.0, "timestamp": 100, "step": 0, "run_id": first}
    assert charted(ci, BULK, run_id=[second, first], metric_key="m", max_results=2).body["metrics"] == found[:2]
    assert charted(stranger, BULK, run_id=[first], metric_key="m").body == {"metrics": []}


def test_a_chart_that_cannot_be_drawn_is_400_and_says_why(ci: Door) -> None:
    for path, query, message in [
        (BULK, {"metric_key": "m"}, "GetMetricHistoryBulk request must specify at least one run_id."),
        (BULK, {"run_id": ["x"] * 101, "metric_key": "m"}, "GetMetricHistoryBulk request cannot specify more than"),
        (BULK, {"run_id": ["x"]}, "GetMetricHistoryBulk request must specify a metric_key."),
        (INTERVAL, {"metric_key": "m"}, "Missing value for required parameter 'run_ids'"),
        (INTERVAL, {"run_ids": ["x"]}, "Missing value for required parameter 'metric_key'"),
        (
            INTERVAL,
            {"run_ids": ["x"] * 101, "metric_key": "m"},
            "GetMetricHistoryBulkInterval request must specify at most 100 run_ids. Received 101 run_ids.",
        ),
        (INTERVAL, {"run_ids": ["x"], "metric_key": "m", "max_results": 0}, "max_results must be between 1 and 2500"),
        (
            INTERVAL,
            {"run_ids": ["x"], "metric_key": "m", "max_results": 2501},
            "max_results must be between 1 and 2500",
        ),
        (
            INTERVAL,
            {"run_ids": ["x"], "metric_key": "m", "start_step": 1},
            "If either start step or end step are specified, both must be specified.",
        ),
        (
            INTERVAL,
            {"run_ids": ["x"], "metric_key": "m", "start_step": 1, "end_step": 0},
            "end_step must be greater than start_step. Found start_step=1 and end_step=0.",
        ),
    ]:
        answer = charted(ci, path, **query)
        assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
        assert message in answer.message


def test_a_chart_has_points_evenly_from_first_to_last(ci: Door) -> None:
    runs = [logged(ci, 10), logged(ci, 10)]
    for query, steps in [
        ({}, list(range(10))),
        ({"max_results": 10}, list(range(10))),
        ({"max_results": 5}, [0, 2, 4, 6, 9]),
        ({"max_results": 4}, [0, 3, 6, 9]),
        ({"max_results": 1}, [9]),
        ({"start_step": 2, "end_step": 4}, [2, 3, 4]),
        ({"start_step": 0, "end_step": 8, "max_results": 3}, [0, 3, 8]),
        ({"start_step": 20, "end_step": 30}, []),
    ]:
        found = charted(ci, INTERVAL, run_ids=runs, metric_key="m", **query).body.get("metrics", [])
        assert [point["step"] for point in found] == steps * 2
        assert list(dict.fromkeys(point["run_id"] for point in found)) == (runs if steps else [])


def test_data_sets_of_experiments_are_summed_up(ci: Door, stranger: Door) -> None:
    use = {"dataset": {"name": "iris", "digest": "1", "source_type": "local", "source": "x"}}
    context = [{"key": "mlflow.data.context", "value": "training"}]
    for tags in (context, context, []):
        ci.post("mlflow/runs/log-inputs", {"run_id": ci.run(), "datasets": [{**use, "tags": tags}]})

    def asked(door: Door, body: dict[str, Any]) -> Answer:
        headers = {"Authorization": f"Bearer {door.token}"}
        path = "/ajax-api/2.0/mlflow/experiments/search-datasets"
        response = Client().post(path, json.dumps(body), content_type="application/json", headers=headers)
        return Answer(response.status_code, json.loads(response.content), {}, response.content)

    told = {"experiment_id": "0", "name": "iris", "digest": "1"}
    found = asked(ci, {"experiment_ids": ["0", "999999"]}).body["dataset_summaries"]
    assert found == [{**told, "context": "training"}, told]
    assert asked(stranger, {"experiment_ids": ["0"]}).body == {}
    for ids, message in (([], "must specify at least one experiment_id"), (["0"] * 21, "cannot specify more than")):
        answer = asked(ci, {"experiment_ids": ids})
        assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
        assert message in answer.message
    assert ci.post("mlflow/experiments/search-datasets", {"experiment_ids": ["0"]}).status == 404


# --- Batches and messages ---------------------------------------------------------------------------------------------


def test_a_batch_has_a_limit_on_all_of_it(ci: Door) -> None:
    run_id = ci.run()
    points = [{"key": f"m{at}", "value": 1, "timestamp": 1} for at in range(950)]
    params = [{"key": f"p{at}", "value": "1"} for at in range(51)]
    answer = ci.post("mlflow/runs/log-batch", {"run_id": run_id, "metrics": points, "params": params})
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert "1000" in answer.message
    assert ci.post("mlflow/runs/log-batch", {"run_id": run_id, "metrics": points, "params": params[1:]}).body == {}


PLAIN = {"key": "m", "value": 1.5, "timestamp": 7, "step": 3}


@pytest.mark.parametrize(
    "item",
    [
        PLAIN,
        {**PLAIN, "value": 2, "step": 0},
        {"key": "m", "value": -1e-300, "timestamp": 0},
        {**PLAIN, "value": "NaN"},
        {**PLAIN, "timestamp": "7"},
        {**PLAIN, "step": None},
        {**PLAIN, "modelId": ""},
        {**PLAIN, "unknown": 1},
    ],
)
def test_a_point_that_is_read_without_ado_is_read_as_any_other(item: dict[str, Any]) -> None:
    read, slowly = metrics._points([Fields(item)])[0], metrics._point(Fields(item))
    assert repr(read._replace(value=float(read.value))) == repr(slowly)


def test_a_wrong_field_is_named_with_its_value(ci: Door) -> None:
    run_id = ci.run()
    for path, body, message in [
        ("runs/log-metric", {"run_id": 31}, "Invalid value 31 for parameter 'run_id' supplied"),
        ("runs/log-metric", {"key": 31}, "Invalid value 31 for parameter 'key' supplied"),
        ("runs/log-metric", {"value": "x"}, "Invalid value \"x\" for parameter 'value' supplied"),
        ("runs/log-metric", {"timestamp": "x"}, "Invalid value \"x\" for parameter 'timestamp' supplied"),
        ("runs/log-metric", {"step": "x"}, "Invalid value \"x\" for parameter 'step' supplied"),
        ("runs/log-metric", {"timestamp": None}, "Missing value for required parameter 'timestamp'"),
        ("runs/log-metric", {"run_id": ""}, "Missing value for required parameter 'run_id'"),
        ("runs/log-parameter", {"value": 5}, "Invalid value 5 for parameter 'value' supplied"),
        ("runs/set-tag", {"key": [1, {"b": 2}]}, "Invalid value [1,{\"b\":2}] for parameter 'key' supplied"),
        ("runs/log-inputs", {"run_id": "", "datasets": "x"}, "Missing value for required parameter 'run_id'"),
        ("runs/log-inputs", {"datasets": "x"}, "Invalid value \"x\" for parameter 'datasets' supplied"),
        ("runs/log-batch", {"metrics": "x"}, "Invalid value \"x\" for parameter 'metrics' supplied"),
        ("runs/log-batch", {"metrics": [{"key": "m", "value": 1}]}, "required parameter 'metrics[0].timestamp'"),
        ("runs/log-batch", {"metrics": [PLAIN, {"value": 1}]}, "required parameter 'metrics[1].key'"),
        (
            "runs/log-batch",
            {"metrics": [{**PLAIN, "timestamp": -1}]},
            "Invalid value -1 for parameter 'metrics[0].times",
        ),
        ("runs/log-batch", {"params": [{"value": "x"}]}, "required parameter 'params[0].key'"),
        ("runs/log-batch", {"tags": [{"key": "a"}, {}]}, "required parameter 'tags[1].key'"),
        (
            "runs/log-batch",
            {"params": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]},
            "Duplicate parameter keys have been submitted",
        ),
        ("runs/delete-tag", {"key": "none"}, "No tag with name: none in run with id"),
        ("runs/log-model", {"model_json": '{"run_id": "x"}'}, "Model json is missing mandatory fields"),
        ("experiments/create", {"name": 123}, "Invalid value 123 for parameter 'name' supplied"),
        ("experiments/create", {"name": "x", "artifact_location": 1}, "Invalid value 1 for parameter 'artifact_locat"),
    ]:
        given: dict[str, Any] = {"run_id": run_id, "key": "a", "value": 1, "timestamp": 1}
        if path == "runs/log-parameter" or path == "runs/set-tag":
            given["value"] = "1"
        answer = ci.post(f"mlflow/{path}", {**given, **body})
        assert answer.status in (400, 404)
        assert message in answer.message


def test_a_local_place_for_artifacts_is_for_conformance_runs_alone(ci: Door, settings: Any, tmp_path: Any) -> None:
    settings.VOUCH_CONFORMANCE = True
    body = {"name": "local", "artifact_location": "my_location"}
    experiment = ci.post("mlflow/experiments/create", body).body["experiment_id"]
    found = ci.get("mlflow/experiments/get", experiment_id=experiment).body["experiment"]["artifact_location"]
    assert found.startswith("/")
    assert found.endswith("/my_location")
    run_id = ci.run(experiment_id=experiment)
    uri = ci.get("mlflow/runs/get", run_id=run_id).body["run"]["info"]["artifact_uri"]
    assert uri == f"{found}/{run_id}/artifacts"
    made = ci.post("mlflow/experiments/create", {"name": "file", "artifact_location": "file:///tmp/there"})
    assert made.status == 200


def test_a_run_is_written_as_the_reference_server_writes_it(ci: Door) -> None:
    body = {"experiment_id": "0", "user_id": "ada", "start_time": "1700000000000", "tags": [{"key": "a", "value": "ü"}]}
    run_id = ci.post("mlflow/runs/create", {**body, "run_name": "r"}).body["run"]["info"]["run_id"]
    dataset = {"name": "iris", "digest": "1", "source_type": "local", "source": "{}"}
    batch = {
        "metrics": [
            {"key": "m", "value": 1, "timestamp": 2**53, "step": -1},
            {"key": "n", "value": "NaN", "timestamp": 1},
        ],
        "params": [{"key": "p", "value": ""}],
    }
    assert ci.post("mlflow/runs/log-batch", {"run_id": run_id, **batch}).content == b"{}"
    assert ci.post("mlflow/runs/log-inputs", {"run_id": run_id, "datasets": [{"dataset": dataset}]}).content == b"{}"
    told = {"run_id": run_id, "status": "FINISHED", "end_time": 1_700_000_000_001}
    info = {
        "run_id": run_id,
        "run_uuid": run_id,
        "run_name": "r",
        "experiment_id": "0",
        "user_id": "ada",
        "status": "FINISHED",
        "start_time": 1_700_000_000_000,
        "end_time": 1_700_000_000_001,
        "artifact_uri": f"mlflow-artifacts:/0/{run_id}/artifacts",
        "lifecycle_stage": "active",
    }
    assert ci.post("mlflow/runs/update", told).body == {"run_info": info}
    run = {
        "info": info,
        "data": {
            "metrics": [
                {"key": "m", "value": 1.0, "timestamp": 2**53, "step": -1},
                {"key": "n", "value": "NaN", "timestamp": 1, "step": 0},
            ],
            "params": [{"key": "p", "value": ""}],
            "tags": [{"key": "a", "value": "ü"}, {"key": "mlflow.runName", "value": "r"}],
        },
        "inputs": {"dataset_inputs": [{"tags": [], "dataset": {**dataset, "schema": "", "profile": ""}}]},
        "outputs": {},
    }
    assert ci.get("mlflow/runs/get", run_id=run_id).body == {"run": run}
    assert ci.post("mlflow/runs/search", {"experiment_ids": ["0"]}).body == {"runs": [run]}
