"""Creates that a client repeats because the answer was lost: one thing, until somebody shows that the answer came."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Workspace
from tests import make
from tests.web.mlflow.conftest import Answer, Door

pytestmark = pytest.mark.django_db

RUN = ("mlflow/runs/create", {"experiment_id": "0", "start_time": 1_700_000_000_000, "run_name": "r"})
MODEL = ("mlflow/logged-models", {"experiment_id": "0", "name": "model"})
EXPERIMENT = ("mlflow/experiments/create", {"name": "credit", "tags": [{"key": "a", "value": "b"}]})
CREATES = [pytest.param(*RUN, id="run"), pytest.param(*EXPERIMENT, id="experiment")]


def made(answer: Answer) -> str:
    assert answer.status == 200, answer.message
    body = answer.body
    if "run" in body:
        return body["run"]["info"]["run_id"]
    return body["model"]["info"]["model_id"] if "model" in body else body["experiment_id"]


@pytest.mark.parametrize(("path", "body"), CREATES)
def test_a_repeated_create_is_answered_with_what_the_first_made_and_says_so(
    ci: Door, path: str, body: dict[str, Any]
) -> None:
    first, again, third = (ci.post(path, body) for _ in range(3))
    assert made(first) == made(again) == made(third)
    assert "Vouch-Repeated" not in first.headers
    assert again.headers["Vouch-Repeated"] == third.headers["Vouch-Repeated"] == "true"
    assert again.body == first.body


@pytest.mark.parametrize(("path", "body"), [RUN])
def test_another_request_another_token_and_a_later_one_make_another(
    ci: Door, requester: Actor, path: str, body: dict[str, Any]
) -> None:
    found = {made(ci.post(path, body))}
    found.add(made(Door(make.token(requester)).post(path, body)))
    found.add(made(ci.post(path, {**body, "tags": [{"key": "a", "value": "b"}]})))
    with time_machine.travel(timezone.now() + datetime.timedelta(minutes=10, seconds=1)):
        found.add(made(ci.post(path, body)))
    assert len(found) == 4


@pytest.mark.parametrize(
    ("path", "body"), [("mlflow/runs/get", None), ("mlflow/runs/set-tag", {"key": "a", "value": "b"})]
)
def test_a_run_that_is_in_use_is_not_given_to_another_worker(ci: Door, path: str, body: dict[str, str] | None) -> None:
    first = made(ci.post(*RUN))
    if body is None:
        ci.get(path, run_id=first)
    else:
        ci.post(path, {"run_id": first, **body})
    assert made(ci.post(*RUN)) != first


def test_what_others_look_at_is_not_in_use_by_that(ci: Door, viewer: Actor) -> None:
    first = made(ci.post(*RUN))
    assert Door(make.token(viewer)).get("mlflow/runs/get", run_id=first).status == 200
    assert made(ci.post(*RUN)) == first


def test_a_run_without_a_start_time_is_never_taken_for_a_repetition(ci: Door) -> None:
    assert ci.run(run_name="r") != ci.run(run_name="r")


def test_files_and_models_of_a_run_show_that_it_is_in_use(ci: Door) -> None:
    first = made(ci.post(*RUN))
    assert ci.put(f"0/{first}/artifacts/model/MLmodel", b"one worker's").status == 200
    second = made(ci.post(*RUN))
    made(ci.post("mlflow/logged-models", {"experiment_id": "0", "name": "model", "source_run_id": second}))
    assert len({first, second, made(ci.post(*RUN))}) == 3


def test_models_that_a_program_begins_one_after_the_other_stay_apart(ci: Door) -> None:
    begun = [ci.post(*MODEL) for _ in range(3)]
    assert len({made(answer) for answer in begun}) == 3
    assert not any("Vouch-Repeated" in answer.headers for answer in begun)


def test_deleting_a_logged_model_again_is_harmless(ci: Door, stranger: Door) -> None:
    path = f"mlflow/logged-models/{made(ci.post(*MODEL))}"
    for _ in range(2):
        assert ci.post(path, method="DELETE").status == 200
    assert stranger.post(path, method="DELETE").status == 404


@pytest.mark.parametrize("touch", ["runs/create", "logged-models", "experiments/set-experiment-tag", "get"])
def test_an_experiment_that_is_in_use_exists_already(ci: Door, touch: str) -> None:
    body = {"experiment_id": made(ci.post(*EXPERIMENT)), "key": "k", "value": "v"}
    if touch == "get":
        ci.get("mlflow/experiments/get-by-name", experiment_name="credit")
    else:
        assert ci.post(f"mlflow/{touch}", body).status == 200
    answer = ci.post(*EXPERIMENT)
    assert (answer.status, answer.code) == (400, "RESOURCE_ALREADY_EXISTS")


def test_an_experiment_of_another_body_or_token_exists_already(ci: Door, requester: Actor) -> None:
    made(ci.post(*EXPERIMENT))
    for answer in (
        Door(make.token(requester)).post(*EXPERIMENT),
        ci.post("mlflow/experiments/create", {"name": "credit"}),
        ci.post("mlflow/experiments/create", {"name": "Default"}),
    ):
        assert (answer.status, answer.code) == (400, "RESOURCE_ALREADY_EXISTS")


@pytest.mark.parametrize("switch", ["workspace", "conformance"])
def test_where_repetitions_are_not_folded_each_create_makes_its_own(ci: Door, settings: Any, switch: str) -> None:
    if switch == "workspace":
        Workspace.objects.update(folds_repeated_creates=False)
    settings.VOUCH_CONFORMANCE = switch == "conformance"
    assert made(ci.post(*RUN)) != made(ci.post(*RUN))
    made(ci.post(*EXPERIMENT))
    assert ci.post(*EXPERIMENT).code == "RESOURCE_ALREADY_EXISTS"


def test_a_model_of_the_old_generation_is_noted_once(ci: Door) -> None:
    run_id = ci.run()
    model = {"artifact_path": "model", "flavors": {}, "utc_time_created": "now", "run_id": run_id}
    for _ in range(2):
        ci.post("mlflow/runs/log-model", {"run_id": run_id, "model_json": json.dumps(model)})
    tags = ci.get("mlflow/runs/get", run_id=run_id).body["run"]["data"]["tags"]
    history = next(tag["value"] for tag in tags if tag["key"] == "mlflow.log-model.history")
    assert len(json.loads(history)) == 1
