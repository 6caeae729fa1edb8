"""A model's way from training through a review into Production, with the stock `mlflow` client (2.22 or 3.17).

    MLFLOW_TRACKING_URI=http://127.0.0.1:8000 MLFLOW_TRACKING_TOKEN=vch-… python examples/promote.py [NAME]

The token is that of whoever trains (the account `ci`). With VOUCH_REVIEWER_TOKEN the script also plays the reviewer,
over REST; without it, it prints the page of each promotion and waits until somebody has decided there. With
VOUCH_ADMIN_TOKEN it shows an administrator's bypass at the end. It needs mlflow, scikit-learn and pandas, and exits
with 1 and a sentence when anything is not as it should be.
"""

from __future__ import annotations

import os
import re
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlflow
import requests
from mlflow.exceptions import MlflowException
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

# Stages are what this is about; the client calls them deprecated at every use.
warnings.filterwarnings("ignore", category=FutureWarning)

URL = os.environ["MLFLOW_TRACKING_URI"].rstrip("/")
TOKEN = os.environ["MLFLOW_TRACKING_TOKEN"]
REVIEWER_TOKEN = os.environ.get("VOUCH_REVIEWER_TOKEN", "")
ADMIN_TOKEN = os.environ.get("VOUCH_ADMIN_TOKEN", "")
PATIENCE = float(os.environ.get("VOUCH_PATIENCE", "600"))  # seconds to wait for a reviewer

FLOWERS = load_iris(as_frame=True)


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "iris-example"
    client = mlflow.MlflowClient()
    print(f"mlflow {mlflow.__version__} talks to {URL}; the model is {name!r}")
    mlflow.set_experiment("promote.py")

    first, first_model = train_and_register(client, name)
    say(f"moving version {first} to Staging: the policy asks nobody")
    moved = client.transition_model_version_stage(name, first, "Staging")
    check(moved.current_stage == "Staging", f"version {first} is in {moved.current_stage}")
    bring_into_production(client, name, first)
    client.set_registered_model_alias(name, "champion", first)
    loads_what_was_trained(name, first, first_model, "Production", first, "@champion")

    second, second_model = train_then_register(name)
    bring_into_production(client, name, second)
    loads_what_was_trained(name, second, second_model, "Production", second, "latest")
    former = client.get_model_version(name, first).current_stage
    check(former == "Archived", f"version {first}, which held Production before, is in {former}")
    say(f"version {first}, which held Production before, is Archived")
    loads_what_was_trained(name, first, first_model, first, "@champion")

    if ADMIN_TOKEN:
        bypass_as_administrator(client, name, first)
    print("all is as it should be")


# --- Training ---------------------------------------------------------------------------------------------------------


def train_and_register(client: mlflow.MlflowClient, name: str) -> tuple[str, Any]:
    """Train, log and register in one go; the version's number and the model."""
    say("training naive Bayes; the run logs parameters, metrics, tags and its data set")
    with mlflow.start_run(run_name="bayes") as run:
        model = GaussianNB(var_smoothing=0.001).fit(FLOWERS.data, FLOWERS.target)
        log_training(model, {"var_smoothing": 0.001})
        say("logging the model, with registered_model_name=")
        mlflow.sklearn.log_model(model, "model", registered_model_name=name)
    logged = client.get_run(run.info.run_id)
    check(logged.data.params["var_smoothing"] == "0.001", "the run lacks its parameter")
    check(logged.data.metrics["accuracy"] > 0.9, "the run lacks its metric")
    check(logged.inputs.dataset_inputs[0].dataset.name == "iris", "the run lacks its data set")
    newest = max(int(version.version) for version in client.get_latest_versions(name))
    say(f"it is version {newest}")
    return str(newest), model


def train_then_register(name: str) -> tuple[str, Any]:
    """Train and log, and register what the run holds afterwards; the version's number and the model."""
    say("training a logistic regression, to be registered from its run")
    with mlflow.start_run(run_name="regression") as run:
        model = LogisticRegression(C=0.001, max_iter=500).fit(FLOWERS.data, FLOWERS.target)
        log_training(model, {"C": 0.001})
        mlflow.sklearn.log_model(model, "model")
    version = mlflow.register_model(f"runs:/{run.info.run_id}/model", name)
    say(f"registered runs:/{run.info.run_id}/model: it is version {version.version}")
    return str(version.version), model


def log_training(model: Any, params: dict[str, Any]) -> None:
    mlflow.log_params(params)
    for step, share in enumerate((0.5, 1.0)):
        rows = int(len(FLOWERS.data) * share)
        mlflow.log_metric("accuracy", model.score(FLOWERS.data[-rows:], FLOWERS.target[-rows:]), step=step)
    mlflow.log_metric("not_measured", float("nan"))
    mlflow.set_tags({"team": "examples", "purpose": "to show the way into Production"})
    frame = FLOWERS.frame
    mlflow.log_input(mlflow.data.from_pandas(frame, name="iris", targets="target"), context="training")
    mlflow.log_text("Trained by examples/promote.py\n", "notes.txt")


# --- Promotion --------------------------------------------------------------------------------------------------------


def bring_into_production(client: mlflow.MlflowClient, name: str, version: str) -> None:
    """Ask for Production, be told what is missing, have it reviewed, and see the version there."""
    say(f"asking for Production for version {version}")
    try:
        client.transition_model_version_stage(name, version, "Production")
    except MlflowException as refusal:
        check(refusal.error_code == "PERMISSION_DENIED", f"the refusal was not expected: {refusal}")
        message = str(refusal)
    else:
        raise SystemExit("version went into Production though nobody had vouched for it")
    say(f"refused, as it should be: {message}")
    page = re.search(r"https?://\S+/promotions/([0-9a-f-]{36})", message)
    check(page is not None, "the refusal names no page")
    check(stage_of(client, name, version) != "Production", "the version is in Production all the same")
    if REVIEWER_TOKEN:
        approve(page[1])
    else:
        print(f"   a reviewer decides at {page[0]}", flush=True)
        wait_for_verdict(page[1])
    check(stage_of(client, name, version) == "Production", f"version {version} is not in Production")
    say(f"version {version} is in Production")


def approve(promotion: str) -> None:
    """As the reviewer: look at the evidence, and vouch for exactly that."""
    seen = rest("GET", f"/promotions/{promotion}", REVIEWER_TOKEN)
    body = {"evidence": seen["evidence"], "comment": "Looked at the metrics and the data set; fine."}
    done = rest("POST", f"/promotions/{promotion}/approve", REVIEWER_TOKEN, body)
    check(done["state"] == "promoted", f"the promotion is {done['state']}")
    say(f"the reviewer looked at the evidence {body['evidence'][:12]}… and approved")


def wait_for_verdict(promotion: str) -> None:
    """Wait until the promotion is decided; one call waits half a minute at most."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        state = rest("GET", f"/promotions/{promotion}?wait=30", TOKEN)["state"]
        if state != "open":
            check(state == "promoted", f"the promotion is {state}")
            return
        time.sleep(1)  # no hurry, should the server answer at once
    raise SystemExit("nobody decided in time")


def bypass_as_administrator(client: mlflow.MlflowClient, name: str, version: str) -> None:
    """The same call by an administrator is carried out, and marked."""
    say(f"as administrator, moving version {version} to Production without a review")
    with token(ADMIN_TOKEN):
        moved = client.transition_model_version_stage(name, version, "Production")
    check(moved.current_stage == "Production", f"version {version} is in {moved.current_stage}")
    found = requests.get(
        f"{URL}/api/2.0/mlflow/model-versions/get",
        params={"name": name, "version": version},
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=60,
    ).json()["model_version"]
    check(rest("GET", f"/promotions/{found['promotion']}", TOKEN)["bypass"] is True, "the bypass is not marked")
    say(f"carried out, and it shows as a bypass: {found['page']}")


# --- Checks -----------------------------------------------------------------------------------------------------------


def loads_what_was_trained(name: str, version: str, model: Any, *references: str) -> None:
    """Each reference loads a model that predicts what the trained one does."""
    wanted = list(model.predict(FLOWERS.data))
    for reference in references:
        uri = f"models:/{name}{reference}" if reference.startswith("@") else f"models:/{name}/{reference}"
        predicted = list(mlflow.pyfunc.load_model(uri).predict(FLOWERS.data))
        check(predicted == wanted, f"{uri} does not predict what version {version} was trained to")
        say(f"{uri} predicts what the trained model predicted")


def stage_of(client: mlflow.MlflowClient, name: str, version: str) -> str:
    return str(client.get_model_version(name, version).current_stage)


def rest(method: str, path: str, bearer: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """A call of Vouch's own API; ends the script when it fails."""
    headers = {"Authorization": f"Bearer {bearer}"}
    response = requests.request(method, f"{URL}/api/v1{path}", json=body, headers=headers, timeout=60)
    check(response.ok, f"{method} {path} answered {response.status_code}: {response.text[:500]}")
    return dict(response.json())


@contextmanager
def token(other: str) -> Iterator[None]:
    """Act with another token for a while: the client reads it from the environment at every call."""
    os.environ["MLFLOW_TRACKING_TOKEN"] = other
    try:
        yield
    finally:
        os.environ["MLFLOW_TRACKING_TOKEN"] = TOKEN


def check(holds: bool, complaint: str) -> None:
    if not holds:
        raise SystemExit(f"not as it should be: {complaint}")


def say(step: str) -> None:
    print(f"-> {step}", flush=True)


if __name__ == "__main__":
    main()
