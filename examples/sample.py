"""Fills a fresh Vouch with three small models, trained here and now on data sets that scikit-learn brings along.

Run by `bootstrap.py up` with the stock MLflow client; the environment holds MLFLOW_TRACKING_URI, the token of `ci` as
MLFLOW_TRACKING_TOKEN and that of the reviewer as VOUCH_REVIEWER_TOKEN. Run again, it carries on where it was stopped:
every run bears a tag that says which version it is for.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # the sample is nobody's business
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # seven take four minutes when nobody answers
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # addresses of MLflow's own pages

import mlflow
import pandas as pd
import requests
import sklearn
from mlflow.models import infer_signature
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import BayesianRidge, LogisticRegression, Ridge
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

warnings.filterwarnings("ignore")
logging.getLogger("mlflow").setLevel(logging.ERROR)

URL = os.environ["MLFLOW_TRACKING_URI"].rstrip("/")
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)  # of the training rows: the points of a learning curve
Metrics = dict[str, float]


@dataclass(frozen=True)
class Candidate:
    """One version to be: its estimator, and how far it gets. `verdict` is the reviewer's: approve, reject or none."""

    estimator: Any
    why: str
    stage: str = "Production"
    verdict: str = ""
    said: str = ""


@dataclass(frozen=True)
class Sample:
    """A model: its data, what is measured on rows that it was not trained on, and its versions in order."""

    name: str
    description: str
    load: Callable[..., Any]
    measure: Callable[[Any, pd.DataFrame, pd.Series[Any]], Metrics]
    candidates: tuple[Candidate, ...]
    tags: dict[str, str] = field(default_factory=dict)


def measured_two_classes(model: Any, features: pd.DataFrame, truth: pd.Series[Any]) -> Metrics:
    """How well a classifier tells two classes apart."""
    chances = model.predict_proba(features)
    return {
        "accuracy": accuracy_score(truth, model.predict(features)),
        "roc_auc": roc_auc_score(truth, chances[:, 1]),
        "log_loss": log_loss(truth, chances),
    }


def measured_classes(model: Any, features: pd.DataFrame, truth: pd.Series[Any]) -> Metrics:
    """How well a classifier tells several classes apart."""
    guess = model.predict(features)
    return {
        "accuracy": accuracy_score(truth, guess),
        "f1_macro": f1_score(truth, guess, average="macro"),
        "log_loss": log_loss(truth, model.predict_proba(features)),
    }


def measured_numbers(model: Any, features: pd.DataFrame, truth: pd.Series[Any]) -> Metrics:
    """How near a regressor comes."""
    guess = model.predict(features)
    return {
        "r2": r2_score(truth, guess),
        "rmse": root_mean_squared_error(truth, guess),
        "mae": mean_absolute_error(truth, guess),
    }


def scaled(estimator: Any) -> Any:
    return make_pipeline(StandardScaler(), estimator)


def logistic(strength: float) -> Any:
    return scaled(LogisticRegression(C=strength, max_iter=2000))


SAMPLES = (
    Sample(
        "breast-cancer",
        "Tells malignant from benign tumours by 30 measurements of cell nuclei (Wisconsin diagnostic data).",
        load_breast_cancer,
        measured_two_classes,
        (
            Candidate(logistic(0.001), "A strongly regularised baseline.", verdict="approve", said="Fine as a start."),
            Candidate(
                logistic(1.0), "Less regularised: fewer missed tumours.", verdict="approve", said="Better in all."
            ),
            Candidate(
                scaled(MLPClassifier((16,), solver="lbfgs", alpha=1.0, max_iter=2000, random_state=7)),
                "A small neural network, for what is not linear.",
            ),
        ),
        {"team": "diagnostics", "kind": "classifier"},
    ),
    Sample(
        "wine-cultivar",
        "Tells by 13 chemical measurements which of three cultivars a wine was made from.",
        load_wine,
        measured_classes,
        (
            Candidate(
                GaussianNB(),
                "Naive Bayes: each measurement on its own.",
                verdict="approve",
                said="Held-out figures are convincing.",
            ),
            Candidate(logistic(0.01), "Smaller and faster, being tried out.", stage="Staging"),
        ),
        {"team": "cellar", "kind": "classifier"},
    ),
    Sample(
        "diabetes-progression",
        "Estimates the progression of diabetes one year on from ten baseline variables.",
        load_diabetes,
        measured_numbers,
        (
            Candidate(Ridge(0.1), "Ridge regression, hardly regularised.", verdict="approve", said="A sound baseline."),
            Candidate(Ridge(50.0), "Regularised heavily.", verdict="reject", said="R² falls well below version 1."),
            Candidate(
                BayesianRidge(),
                "Finds the strength of its regularisation by itself.",
            ),
        ),
        {"team": "outcomes", "kind": "regressor"},
    ),
)


def main() -> None:
    client = mlflow.MlflowClient()
    for sample in SAMPLES:
        mlflow.set_experiment(f"sample/{sample.name}")
        done = versions(client, sample)
        for number, candidate in enumerate(sample.candidates, start=1):
            key = f"{sample.name}/{number}"
            version = done.get(key) or train(client, sample, candidate, key)
            bring_forward(client, sample, candidate, version)
        in_production = client.get_latest_versions(sample.name, ["Production"])[0].version
        client.set_registered_model_alias(sample.name, "champion", in_production)


# --- Training ---------------------------------------------------------------------------------------------------------
def versions(client: mlflow.MlflowClient, sample: Sample) -> dict[str, str]:
    """Which candidates have become versions already: key → number."""
    if not rest("GET", f"/models?name={sample.name}", "MLFLOW_TRACKING_TOKEN")["items"]:
        return {}
    found = rest("GET", f"/models/{sample.name}/versions", "MLFLOW_TRACKING_TOKEN")["items"]
    return {client.get_run(each["run_id"]).data.tags["sample"]: str(each["version"]) for each in found}


def train(client: mlflow.MlflowClient, sample: Sample, candidate: Candidate, key: str) -> str:
    """Train, measure on held-out rows, log and register; returns the number of the version."""
    features, target = sample.load(return_X_y=True, as_frame=True)
    halves = train_test_split(features, target, test_size=0.25, random_state=7)
    seen, unseen, seen_target, unseen_target = halves
    last = candidate.estimator[-1] if hasattr(candidate.estimator, "steps") else candidate.estimator
    with mlflow.start_run(run_name=type(last).__name__, tags={**sample.tags, "sample": key}) as run:
        mlflow.set_tag("mlflow.note.content", candidate.why)
        mlflow.log_params({"estimator": type(last).__name__, "held_out": 0.25, "rows": len(features)})
        mlflow.log_params({name: value for name, value in last.get_params().items() if value is not None})
        for context, rows, truth in (("training", seen, seen_target), ("held out", unseen, unseen_target)):
            frame = rows.assign(target=truth)
            mlflow.log_input(mlflow.data.from_pandas(frame, name=sample.name, targets="target"), context=context)
        for step, share in enumerate(SHARES):
            rows = int(share * len(seen))
            model = clone(candidate.estimator).fit(seen[:rows], seen_target[:rows])
            mlflow.log_metrics(sample.measure(model, unseen, unseen_target), step=step)
        mlflow.log_dict({"features": list(features.columns), "target": target.name}, "columns.json")
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=sample.name,
            signature=infer_signature(seen, model.predict(seen)),
            input_example=seen.head(3),
            pip_requirements=[f"scikit-learn=={sklearn.__version__}", f"pandas=={pd.__version__}"],
        )
    version = str(info.registered_model_version)
    metrics = client.get_run(run.info.run_id).data.metrics
    measured = ", ".join(f"{name} {value:.3f}" for name, value in sorted(metrics.items()))
    describe(f"/models/{sample.name}", sample.description, sample.tags)
    described = f"{candidate.why} Held out: {measured}."
    describe(f"/models/{sample.name}/versions/{version}", described, {"estimator": type(last).__name__})
    print(f"-> {sample.name} version {version}, {type(last).__name__}: {measured}", flush=True)
    return version


def describe(path: str, description: str, tags: dict[str, str]) -> None:
    """Say what a model or version is."""
    rest("PATCH", path, "MLFLOW_TRACKING_TOKEN", {"description": description})
    for name, value in tags.items():
        rest("PUT", f"{path}/tags/{name}", "MLFLOW_TRACKING_TOKEN", {"value": value})


# --- Promotion --------------------------------------------------------------------------------------------------------
def bring_forward(client: mlflow.MlflowClient, sample: Sample, candidate: Candidate, version: str) -> None:
    """Move a version to Staging, ask for Production, and give the reviewer's verdict; what was done stays as it is."""
    asked = find_promotion(sample.name, version)
    if asked is None and client.get_model_version(sample.name, version).current_stage == "None":
        client.transition_model_version_stage(sample.name, version, "Staging")
    if candidate.stage != "Production":
        return
    if asked is None:
        body = {"model": sample.name, "version": int(version), "stage": "Production", "comment": candidate.why}
        asked = rest("POST", "/promotions", "MLFLOW_TRACKING_TOKEN", body)
    if asked["state"] != "open" or not candidate.verdict:
        return
    looked_at = rest("GET", f"/promotions/{asked['id']}", "VOUCH_REVIEWER_TOKEN")
    said = (
        {"evidence": looked_at["evidence"], "comment": candidate.said}
        if candidate.verdict == "approve"
        else {"reason": candidate.said}
    )
    rest("POST", f"/promotions/{asked['id']}/{candidate.verdict}", "VOUCH_REVIEWER_TOKEN", said)


def find_promotion(model: str, version: str) -> dict[str, Any] | None:
    """The promotion of this version into Production, whatever became of it."""
    listed = rest("GET", f"/promotions?model={model}&stage=Production", "MLFLOW_TRACKING_TOKEN")
    return next((each for each in listed["items"] if each["version"] == int(version)), None)


def rest(method: str, path: str, token: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """A call of Vouch's own API with the token in that variable; ends the script when it is refused."""
    headers = {"Authorization": f"Bearer {os.environ[token]}"}
    answer = requests.request(method, f"{URL}/api/v1{path}", json=body, headers=headers, timeout=60)
    if not answer.ok:
        sys.exit(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
    return dict(answer.json())


if __name__ == "__main__":
    main()
