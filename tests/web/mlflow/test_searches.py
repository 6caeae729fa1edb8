"""What searches of experiments, runs and logged models find, and in which order, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from lineage import searching
from lineage.models import Experiment, LoggedModel, Run
from tests import make
from tests.web.mlflow.conftest import Answer, Door

pytestmark = pytest.mark.django_db

NAN = "NaN"
DATASET = {"name": "iris", "digest": "d1", "source_type": "local", "source": "{}"}


def log(door: Door, run_id: str, *, metrics: dict[str, Any] = {}, params: dict[str, str] = {}) -> None:  # noqa: B006
    body = {
        "run_id": run_id,
        "metrics": [{"key": key, "value": value, "timestamp": 1} for key, value in metrics.items()],
        "params": [{"key": key, "value": value} for key, value in params.items()],
    }
    assert door.post("mlflow/runs/log-batch", body).status == 200


@pytest.fixture
def runs(ci: Door) -> dict[str, str]:
    """Runs a to e, begun one after the other: by name, their ids."""
    told: dict[str, dict[str, Any]] = {
        "a": {"metrics": {"loss": 0.1, "only a": 1}, "params": {"depth": "3", "x/y z": "1"}, "user_id": "ada"},
        "b": {"metrics": {"loss": 0.2}, "params": {"depth": "10"}, "user_id": "Bob"},
        "c": {"metrics": {"loss": NAN}, "tags": {"team": "risk"}},
        "d": {"tags": {"team": "Risk_2"}},
        "e": {"metrics": {"loss": -1}, "tags": {"team": "50%"}},
    }
    found = {}
    for at, (name, what) in enumerate(told.items()):
        tags = [{"key": key, "value": value} for key, value in what.get("tags", {}).items()]
        found[name] = ci.run(run_name=name, start_time=1000 + at, tags=tags, user_id=what.get("user_id", ""))
        log(ci, found[name], metrics=what.get("metrics", {}), params=what.get("params", {}))
    for name, status, end in (("a", "FINISHED", 5000), ("b", "FAILED", 4000)):
        ci.post("mlflow/runs/update", {"run_id": found[name], "status": status, "end_time": end})
    for name, digest, context in (("a", "d1", "training"), ("b", "d2", "eval"), ("c", "d1", "")):
        tags = [{"key": "mlflow.data.context", "value": context}] if context else []
        use = {"tags": tags, "dataset": {**DATASET, "digest": digest}}
        ci.post("mlflow/runs/log-inputs", {"run_id": found[name], "datasets": [use]})
    return found


def asked(door: Door, text: str = "", **more: Any) -> Answer:
    return door.post("mlflow/runs/search", {"experiment_ids": ["0"], "filter": text, **more})


def names(answer: Answer) -> str:
    assert answer.status == 200, answer.message
    return "".join(run["info"]["run_name"] for run in answer.body.get("runs", []))


def paged(door: Door, path: str, of: str, body: dict[str, Any], size: int = 1) -> list[dict[str, Any]]:
    """All that a search finds, `size` at a time."""
    found, token = [], ""
    while True:
        answer = door.post(path, {**body, "max_results": size, "page_token": token})
        assert answer.status == 200, answer.message
        items = answer.body.get(of, [])
        assert len(items) <= size
        found += items
        token = answer.body.get("next_page_token", "")
        if not token:
            return found


@pytest.mark.parametrize("few", [5000, 0])  # so that each way through the indexes is taken
def test_runs_are_found_by_what_they_hold(
    ci: Door, runs: dict[str, str], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "FEW", few)
    for text, found in [
        ("", "edcba"),
        ("metrics.loss < 0.2", "ea"),
        ("metrics.loss <= 0.2", "eba"),
        ("metric.loss > -1", "ba"),  # and not NaN, which PostgreSQL puts above every number
        ("metrics.loss >= 0.2", "b"),
        ("metrics.loss = -1", "e"),
        ("metrics.loss != 0.1", "ecb"),  # NaN is another value; d has none at all
        ("metrics.`only a` = 1 AND metrics.loss < 1", "a"),
        ("metrics.none > 0", ""),
        ("params.depth = '3'", "a"),
        ("params.depth != '3'", "b"),
        ("parameters.`x/y z` = '1'", "a"),
        ("params.depth IS NULL", "edc"),
        ("params.depth IS NOT NULL", "ba"),
        ("params.depth LIKE '1%'", "b"),
        ("tags.team = 'risk'", "c"),
        ("tags.team != 'risk'", "ed"),
        ("tags.team LIKE 'risk%'", "c"),
        ("tags.team ILIKE 'RISK%'", "dc"),
        ("tags.team LIKE '__%'", "edc"),
        ("tags.team LIKE '50%'", "e"),
        ("tags.team IS NULL", "ba"),
        ("tags.mlflow.runName = 'a'", "a"),
        ("attributes.run_name = 'a'", "a"),
        ("run_name != 'a' and `run name` LIKE '_'", "edcb"),
        ("user_id = 'ada'", "a"),
        ("user_id ILIKE 'b%'", "b"),
        ("status = 'FINISHED'", "a"),
        ("attr.status != 'RUNNING'", "ba"),
        ("start_time > 1001", "edc"),
        ("created = 1002", "c"),
        ("end_time < 5000", "b"),
        ("end_time != 5000", "b"),  # and not those that have not ended
        ("dataset.name = 'iris'", "cba"),
        ("dataset.digest = 'd1'", "ca"),
        ("dataset.digest IN ('d2', 'x')", "b"),
        ("dataset.context = 'training'", "a"),
        ("dataset.context != 'training'", "b"),
        ("datasets.name LIKE 'ir%' AND dataset.context ILIKE 'EV%'", "b"),
        ("artifact_uri LIKE 'mlflow-artifacts:/0/%/artifacts'", "edcba"),
        ("run_id = 'x'", ""),
        ("run_id != 'x'", "edcba"),
        ("run_id LIKE '%'", "edcba"),
    ]:
        assert names(asked(ci, text)) == found, text
    for text, order, found in (
        ("metrics.loss < 0.2", "metrics.loss DESC", "ae"),
        ("metrics.loss != 0.1", "metrics.loss", "ebc"),
        ("metrics.loss >= 0.1 AND metrics.`only a` = 1", "metrics.loss", "a"),
        ("tags.team LIKE '%'", "metrics.loss DESC", "ecd"),
        ("params.depth IS NOT NULL", "metrics.none", "ba"),
    ):
        for size in (1, 2):
            body = {"experiment_ids": ["0"], "filter": text, "order_by": [order]}
            pages = paged(ci, "mlflow/runs/search", "runs", body, size)
            assert "".join(run["info"]["run_name"] for run in pages) == found, text


def test_runs_are_found_by_their_ids_and_places(ci: Door, runs: dict[str, str]) -> None:
    a, b = runs["a"], runs["b"]
    assert names(asked(ci, f"run_id = '{a}'")) == "a"
    assert names(asked(ci, f"attributes.run_id IN ('{a}', '{b}', 'x')")) == "ba"
    assert names(asked(ci, f"run_id NOT IN ('{a}', 'x')")) == "edcb"
    assert names(asked(ci, f"run_id LIKE '{a[:20]}%'")) == "a"
    assert names(asked(ci, f"artifact_uri = 'mlflow-artifacts:/0/{a}/artifacts'")) == "a"


def test_runs_come_in_order_on_every_size_of_page(ci: Door, runs: dict[str, str]) -> None:
    for orders, found in [
        (["metrics.loss"], "eabcd"),  # numbers, NaN, nothing
        (["metrics.loss ASC"], "eabcd"),
        (["metrics.loss DESC"], "baecd"),
        (["params.depth ASC"], "baedc"),  # as text: "10" before "3"
        (["params.depth DESC"], "abedc"),
        (["tags.team"], "edcba"),  # "50%", "Risk_2", "risk": upper case first
        (["tags.team DESC"], "cdeba"),
        (["end_time"], "baedc"),
        (["attribute.end_time DESC"], "abedc"),
        (["start_time"], "abcde"),
        (["run_name DESC"], "edcba"),
        (["user_id DESC", "start_time ASC"], "abcde"),
        (["status", "metrics.loss DESC"], "baecd"),
        (["artifact_uri", "metrics.loss"], None),
    ]:
        found = found or "".join(sorted(runs, key=runs.__getitem__))
        assert names(asked(ci, order_by=orders)) == found, orders
        for size in (1, 2, 5):
            body = {"experiment_ids": ["0"], "order_by": orders}
            pages = paged(ci, "mlflow/runs/search", "runs", body, size)
            assert "".join(run["info"]["run_name"] for run in pages) == found


def test_runs_that_began_at_once_come_by_their_ids(ci: Door) -> None:
    ids = [ci.run(start_time=1, run_name=f"{at}") for at in range(7)]
    body = {"experiment_ids": ["0"], "order_by": ["metrics.none"]}
    pages = paged(ci, "mlflow/runs/search", "runs", body, 3)
    assert [run["info"]["run_id"] for run in pages] == sorted(ids)


def test_a_search_of_runs_that_is_not_understood_is_400(ci: Door, runs: dict[str, str]) -> None:
    for body in [
        {"filter": "metrics.loss = 'low'"},
        {"filter": "metrics.loss LIKE 'low'"},
        {"filter": "params.depth = 3"},
        {"filter": "params.depth > '3'"},
        {"filter": "tags.team IN ('a')"},
        {"filter": "nothing = 'a'"},
        {"filter": "dataset.source = 'a'"},
        {"filter": "datasets.name IS NULL"},
        {"filter": "start_time = 'noon'"},
        {"filter": "start_time > 99999999999999999999"},
        {"filter": "metrics.loss > 1e999"},
        {"filter": "run_id = 'a' OR run_id = 'b'"},
        {"filter": "tags.a = 'b\u0000'"},
        {"filter": 3},
        {"order_by": ["metrics.loss SIDEWAYS"]},
        {"order_by": ["dataset.name"]},
        {"order_by": ["nothing"]},
        {"order_by": [3]},
        {"order_by": "start_time"},
        {"max_results": 0},
        {"max_results": 50_001},
        {"page_token": "eyJvZmZzZXQiOiAxfQ=="},
        {"experiment_ids": ["x"]},
        {"experiment_ids": "0"},
    ]:
        answer = ci.post("mlflow/runs/search", {"experiment_ids": ["0"], **body})
        assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE"), answer.content


def test_a_wrong_size_of_page_is_named_with_its_value(ci: Door) -> None:
    assert "Invalid value 1000000 for parameter 'max_results' supplied" in asked(ci, max_results=1_000_000).message
    answer = ci.post("mlflow/experiments/search", {})
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE"), answer.content
    assert "Invalid value 0 for parameter 'max_results' supplied" in answer.message


def test_a_search_names_its_experiments_and_sees_those_alone(ci: Door, stranger: Door) -> None:
    other = ci.post("mlflow/experiments/create", {"name": "other"}).body["experiment_id"]
    ci.run(run_name="a", start_time=1)
    ci.run(run_name="b", start_time=2, experiment_id=other)
    for ids, found in (([], ""), (["0"], "a"), ([other], "b"), (["0", other, "999999"], "ba"), (["999999"], "")):
        answer = ci.post("mlflow/runs/search", {"experiment_ids": ids})
        assert names(answer) == found
        assert answer.body or not found  # {} for nothing
        assert stranger.post("mlflow/runs/search", {"experiment_ids": ids}).body == {}


def test_more_experiments_than_a_statement_has_places_for_are_searched_all_the_same(ci: Door) -> None:
    run_id = ci.run()
    ids = [str(number) for number in range(70_000)]
    for path, found in (("runs", [run_id]), ("logged-models", [])):
        answer = ci.post(f"mlflow/{path}/search", {"experiment_ids": ids})
        assert answer.status == 200
        assert [row["info"]["run_id"] for row in answer.body.get("runs", [])] == found


def test_a_deleted_experiment_takes_its_runs_along_and_brings_back_those_it_took(ci: Door) -> None:
    body = {"name": "credit", "tags": [{"key": "a", "value": "b"}]}
    experiment = ci.post("mlflow/experiments/create", body).body["experiment_id"]
    kept, gone = (ci.run(experiment_id=experiment, run_name=name) for name in ("kept", "gone"))
    assert ci.post("mlflow/runs/delete", {"run_id": gone}).body == {}

    def seen(view: str) -> set[str]:
        body = {"experiment_ids": [experiment], "run_view_type": view}
        return {run["info"]["run_name"] for run in ci.post("mlflow/runs/search", body).body.get("runs", [])}

    assert (seen("ACTIVE_ONLY"), seen("DELETED_ONLY"), seen("ALL")) == ({"kept"}, {"gone"}, {"kept", "gone"})
    assert ci.post("mlflow/experiments/delete", {"experiment_id": experiment}).body == {}
    assert (seen("ACTIVE_ONLY"), seen("DELETED_ONLY"), seen("ALL")) == (set(), {"kept", "gone"}, {"kept", "gone"})
    found = ci.get("mlflow/experiments/get", experiment_id=experiment).body["experiment"]
    assert found["lifecycle_stage"] == "deleted"
    assert ci.get("mlflow/runs/get", run_id=kept).body["run"]["info"]["lifecycle_stage"] == "deleted"
    for path, body, status, code in (
        ("experiments/delete", {"experiment_id": experiment}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("experiments/update", {"experiment_id": experiment, "new_name": "x"}, 400, "INVALID_PARAMETER_VALUE"),
        ("experiments/set-experiment-tag", {"experiment_id": experiment, "key": "a"}, 400, "INVALID_PARAMETER_VALUE"),
        ("experiments/create", {"name": "credit"}, 400, "RESOURCE_ALREADY_EXISTS"),
        ("runs/create", {"experiment_id": experiment}, 400, "INVALID_PARAMETER_VALUE"),
        ("runs/set-tag", {"run_id": kept, "key": "a", "value": "b"}, 400, "INVALID_PARAMETER_VALUE"),
        ("runs/restore", {"run_id": gone}, 400, "INVALID_PARAMETER_VALUE"),
        ("logged-models", {"experiment_id": experiment}, 400, "INVALID_PARAMETER_VALUE"),
    ):
        answer = ci.post(f"mlflow/{path}", body)
        assert (answer.status, answer.code) == (status, code), path
    assert ci.post("mlflow/experiments/restore", {"experiment_id": experiment}).body == {}
    assert (seen("ACTIVE_ONLY"), seen("DELETED_ONLY")) == ({"kept"}, {"gone"})
    assert ci.post("mlflow/experiments/restore", {"experiment_id": experiment}).code == "RESOURCE_DOES_NOT_EXIST"
    for _ in range(2):
        assert ci.post("mlflow/runs/restore", {"run_id": gone}).body == {}
    assert seen("ACTIVE_ONLY") == {"kept", "gone"}


# --- Experiments ------------------------------------------------------------------------------------------------------


@pytest.fixture
def experiments(ci: Door) -> list[str]:
    told: list[tuple[str, dict[str, str]]] = [("a", {"key": "value"}), ("ab", {"key": "vaLue"}), ("Abc", {})]
    found = []
    for name, tags in told:
        body = {"name": name, "tags": [{"key": key, "value": value} for key, value in tags.items()]}
        found.append(ci.post("mlflow/experiments/create", body).body["experiment_id"])
    return found


def named(door: Door, **body: Any) -> list[str]:
    answer = door.post("mlflow/experiments/search", {"max_results": 10, **body})
    assert answer.status == 200, answer.message
    return [experiment["name"] for experiment in answer.body.get("experiments", [])]


def test_experiments_are_found_by_what_they_are(ci: Door, stranger: Door, experiments: list[str]) -> None:
    for text, found in [
        ("", ["Abc", "ab", "a", "Default"]),
        ("name = 'a'", ["a"]),
        ("attribute.name != 'a'", ["Abc", "ab", "Default"]),
        ("name LIKE 'a%'", ["ab", "a"]),
        ("name ILIKE 'a%'", ["Abc", "ab", "a"]),
        ("tag.key = 'value'", ["a"]),
        ("tag.key != 'value'", ["ab"]),
        ("tags.`key` ILIKE '%alu%'", ["ab", "a"]),
        ("tags.key IS NULL", ["Abc", "Default"]),
        ("tags.key IS NOT NULL", ["ab", "a"]),
        ("experiment_id = '0'", ["Default"]),
        ("experiment_id != '0'", ["Abc", "ab", "a"]),
        ("experiment_id IN ('0', '999999')", ["Default"]),
        ("creation_time > 0 AND last_update_time >= 0", ["Abc", "ab", "a", "Default"]),
        ("creation_time < 0", []),
        ("creation_time != 9223372036854775807", ["Abc", "ab", "a", "Default"]),
    ]:
        assert named(ci, filter=text) == found, text
        assert set(named(stranger, filter=text)) <= {"Default"}


def test_an_experiment_is_found_by_the_millisecond_it_was_made_in(ci: Door, experiments: list[str]) -> None:
    made = ci.get("mlflow/experiments/get", experiment_id=experiments[0]).body["experiment"]["creation_time"]
    assert "a" in named(ci, filter=f"creation_time = {made}")
    assert "a" in named(ci, filter=f"creation_time <= {made} AND creation_time >= {made}")
    for text in (f"creation_time != {made}", f"creation_time < {made}", f"creation_time > '{made}'"):
        assert "a" not in named(ci, filter=text)


def test_experiments_come_in_order(ci: Door, experiments: list[str]) -> None:
    for orders, found in [
        (["name"], ["Abc", "Default", "a", "ab"]),
        (["name DESC"], ["ab", "a", "Default", "Abc"]),
        (["experiment_id ASC"], ["Default", "a", "ab", "Abc"]),
        (["experiment_id DESC", "name"], ["Abc", "ab", "a", "Default"]),
        (["creation_time ASC"], ["Default", "a", "ab", "Abc"]),
    ]:
        assert named(ci, order_by=orders) == found, orders
        pages = paged(ci, "mlflow/experiments/search", "experiments", {"order_by": orders}, 2)
        assert [experiment["name"] for experiment in pages] == found
        queried = ci.get("mlflow/experiments/search", max_results=10, order_by=orders).body["experiments"]
        assert [experiment["name"] for experiment in queried] == found


def test_experiments_are_seen_by_whether_they_are_deleted_and_those_changed_last_come_first(
    ci: Door, experiments: list[str]
) -> None:
    ci.post("mlflow/experiments/delete", {"experiment_id": experiments[1]})
    assert named(ci) == named(ci, view_type="ACTIVE_ONLY") == ["Abc", "a", "Default"]
    assert named(ci, view_type="DELETED_ONLY") == named(ci, view_type=2) == ["ab"]
    assert named(ci, view_type="ALL", order_by=["last_update_time DESC"])[0] == "ab"
    ci.post("mlflow/experiments/update", {"experiment_id": experiments[0], "new_name": "renamed"})
    assert named(ci, order_by=["last_update_time DESC"])[0] == "renamed"
    taken = ci.post("mlflow/experiments/update", {"experiment_id": experiments[0], "new_name": "ab"})
    assert (taken.status, taken.code) == (400, "BAD_REQUEST")


def test_a_search_of_experiments_that_is_not_understood_is_400(ci: Door) -> None:
    for body in [
        {"filter": "name < 'a'"},
        {"filter": "experiment_id LIKE '1%'"},
        {"filter": "experiment_id = 'abc'"},
        {"filter": "creation_time = 'x'"},
        {"filter": "tags.a > 'b'"},
        {"filter": "metrics.a > 1"},
        {"order_by": ["tags.a"]},
        {"max_results": 50_001},
        {"page_token": "x"},
    ]:
        answer = ci.post("mlflow/experiments/search", {"max_results": 5, **body})
        assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE"), answer.content


def test_tags_of_an_experiment_are_set_and_taken_away(ci: Door) -> None:
    for value in ("1", "2"):
        ci.post("mlflow/experiments/set-experiment-tag", {"experiment_id": "0", "key": "a", "value": value})
    found = ci.get("mlflow/experiments/get", experiment_id="0").body["experiment"]
    assert found["tags"] == [{"key": "a", "value": "2"}]
    ci.post("mlflow/experiments/delete-experiment-tag", {"experiment_id": "0", "key": "a"})
    assert "tags" not in ci.get("mlflow/experiments/get", experiment_id="0").body["experiment"]
    absent = ci.post("mlflow/experiments/delete-experiment-tag", {"experiment_id": "0", "key": "a"})
    assert (absent.status, absent.code) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "No tag with name: a in experiment" in absent.message
    for body in ({"key": "a" * 251}, {"key": "a", "value": "v" * 20_001}):
        answer = ci.post("mlflow/experiments/set-experiment-tag", {"experiment_id": "0", **body})
        assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE"), answer.content


# --- Logged models ----------------------------------------------------------------------------------------------------


@pytest.fixture
def models(ci: Door) -> dict[str, str]:
    """Models a to d, made one after the other: by name, their ids."""
    run_id = ci.run()
    told: dict[str, dict[str, Any]] = {
        "a": {"f1": [(0.5, "test", "1")], "params": {"p": "1"}, "tags": {"t": "x"}, "source_run_id": run_id},
        "b": {"f1": [(0.9, "test", "2"), (0.1, "train", "1")], "params": {"p": "2"}},
        "c": {"f1": [(NAN, "train", "1")], "model_type": "forest"},
        "d": {},
    }
    found = {}
    for name, what in told.items():
        pairs = {
            kind: [{"key": key, "value": value} for key, value in what.get(kind, {}).items()]
            for kind in ("params", "tags")
        }
        plain = {key: what[key] for key in ("model_type", "source_run_id") if key in what}
        made = ci.post("mlflow/logged-models", {"experiment_id": "0", "name": name, **pairs, **plain})
        found[name] = made.body["model"]["info"]["model_id"]
        for at, (value, dataset, digest) in enumerate(what.get("f1", [])):
            point = {"key": "f1", "value": value, "timestamp": 10 - at, "dataset_name": dataset}
            body = {**point, "run_id": run_id, "model_id": found[name], "dataset_digest": digest}
            assert ci.post("mlflow/runs/log-metric", body).status == 200
    ci.post(f"mlflow/logged-models/{found['a']}", {"status": "LOGGED_MODEL_READY"}, method="PATCH")
    return found


def models_named(answer: Answer) -> str:
    assert answer.status == 200, answer.message
    return "".join(model["info"]["name"] for model in answer.body.get("models", []))


TEST, TRAIN = {"dataset_name": "test"}, {"dataset_name": "train"}


def test_logged_models_are_found_by_what_they_hold(ci: Door, models: dict[str, str]) -> None:
    for text, datasets, found in [
        ("", [], "dcba"),
        ("metrics.f1 >= 0.5", [], "ba"),
        ("metrics.f1 < 1", [TRAIN], "b"),
        ("metrics.f1 > 0.5", [TRAIN], ""),
        ("metrics.f1 > 0.4", [{**TEST, "dataset_digest": "2"}], "b"),
        ("", [TEST], "ba"),
        ("", [TRAIN, {**TEST, "dataset_digest": "1"}], "cba"),
        ("params.p = '2'", [], "b"),
        ("tags.t LIKE 'x'", [], "a"),
        ("name IN ('a', 'd')", [], "da"),
        ("name ILIKE 'A'", [], "a"),
        ("model_type = 'forest'", [], "c"),
        ("status = 'READY' AND source_run_id != 'x'", [], "a"),
        ("status != 'LOGGED_MODEL_READY'", [], "dcb"),
        ("model_id LIKE 'm-%'", [], "dcba"),
        ("creation_timestamp > 0 AND last_updated_timestamp < 1", [], ""),
    ]:
        body = {"experiment_ids": ["0"], "filter": text, "datasets": datasets}
        assert models_named(ci.post("mlflow/logged-models/search", body)) == found, body


def test_logged_models_come_in_order_on_every_size_of_page(ci: Door, models: dict[str, str]) -> None:
    for orders, found in [
        ([], "dcba"),
        ([{"field_name": "creation_timestamp", "ascending": True}], "abcd"),
        ([{"field_name": "name"}], "abcd"),
        ([{"field_name": "metrics.f1"}], "abcd"),  # b's latest is 0.9; NaN, then nothing
        ([{"field_name": "metrics.f1", "ascending": False}], "bacd"),
        ([{"field_name": "metrics.f1", "ascending": True, "dataset_name": "train"}], "bcda"),
        ([{"field_name": "metrics.f1", "dataset_name": "test", "dataset_digest": "1"}], "adcb"),
        ([{"field_name": "source_run_id"}, {"field_name": "last_updated_timestamp", "ascending": False}], None),
    ]:
        body = {"experiment_ids": ["0"], "order_by": orders}
        whole = models_named(ci.post("mlflow/logged-models/search", body))
        assert whole == found or (found is None and whole[0] == "a")
        pages = paged(ci, "mlflow/logged-models/search", "models", body)
        assert "".join(model["info"]["name"] for model in pages) == whole


def test_a_deleted_logged_model_is_found_by_whoever_asks_for_deleted_ones(ci: Door, models: dict[str, str]) -> None:
    path = f"mlflow/logged-models/{models['a']}"
    assert ci.post(path, {}, method="DELETE").body == {}
    absent = ci.get(path)
    assert absent.status == 404
    assert absent.message.startswith(f"Logged model with ID '{models['a']}' not found")
    assert ci.get(path, allow_deleted="true").body["model"]["info"]["model_id"] == models["a"]
    assert models_named(ci.post("mlflow/logged-models/search", {"experiment_ids": ["0"]})) == "dcb"


def test_a_tag_of_a_logged_model_is_taken_away(ci: Door, models: dict[str, str]) -> None:
    path = f"mlflow/logged-models/{models['a']}"
    ci.post(f"{path}/tags", {"tags": [{"key": "odd/key", "value": "1"}]}, method="PATCH")
    for key in ("t", "odd/key"):
        assert ci.post(f"{path}/tags/{key}", {}, method="DELETE").body == {}
    assert "tags" not in ci.get(path).body["model"]["info"]
    absent = ci.post(f"{path}/tags/t", {}, method="DELETE")
    assert (absent.status, absent.code) == (404, "RESOURCE_DOES_NOT_EXIST")


# --- Who may ----------------------------------------------------------------------------------------------------------


def test_a_viewer_searches_and_changes_nothing(
    ci: Door, viewer: Actor, runs: dict[str, str], models: dict[str, str]
) -> None:
    door, run, model = Door(make.token(viewer)), {"run_id": runs["a"]}, f"mlflow/logged-models/{models['a']}"
    assert names(asked(door, "metrics.loss < 0.2")) == "ea"
    assert named(door) == ["Default"]
    for answer in (
        *(
            door.post(f"mlflow/experiments/{act}", {"experiment_id": "0", "new_name": "x"})
            for act in ("delete", "update")
        ),
        *(door.post(f"mlflow/experiments/{act}", {"experiment_id": "0", "key": "x"}) for act in TAG_ACTS),
        *(door.post(f"mlflow/runs/{act}", run) for act in ("delete", "restore", "log-batch", "log-inputs")),
        door.post("mlflow/runs/delete-tag", {**run, "key": "mlflow.runName"}),
        door.post(model, {}, method="DELETE"),
        door.post(f"{model}/tags/t", {}, method="DELETE"),
    ):
        assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")


TAG_ACTS = ("set-experiment-tag", "delete-experiment-tag")


# --- Cost -------------------------------------------------------------------------------------------------------------


def test_a_search_takes_as_many_queries_for_many_as_for_one(
    ci: Door, runs: dict[str, str], models: Sequence[str]
) -> None:
    def queries(path: str, **body: Any) -> tuple[int, int]:
        counts = []
        for size in (1, 1000):
            with CaptureQueriesContext(connection) as captured:
                answer = ci.post(path, {"experiment_ids": ["0"], "max_results": size, **body})
            assert answer.status == 200
            counts.append(len(captured))
        return counts[0], counts[1]

    everything = {"filter": "metrics.loss < 1 AND tags.mlflow.runName LIKE '%'", "order_by": ["metrics.loss"]}
    assert Run.objects.count() > 1 < LoggedModel.objects.count()
    assert queries("mlflow/runs/search", **everything) == (
        6,
        7,  # where those with a number end, those with NaN are looked for
    )  # token, experiment, how many are there, runs, two records
    assert queries("mlflow/logged-models/search") == (6, 6)  # token, experiment, models, tags, params, metrics
    assert Experiment.objects.count() == 1
    ci.post("mlflow/experiments/create", {"name": "second"})
    assert queries("mlflow/experiments/search") == (4, 4)  # token, the default one, experiments, tags
