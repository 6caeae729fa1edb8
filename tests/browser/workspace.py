"""A workspace for the tests in the browser, made through the doors as their clients would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from tests.live import Live

LONG = "long" * 2500
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\u202eemag"
MODEL_FILE = """\
artifact_path: model
flavors:
  python_function:
    env: {virtualenv: python_env.yaml}
    loader_module: mlflow.sklearn
    python_version: 3.11.7
signature:
  inputs: '[{"type": "double", "name": "age"%s}]'
  outputs: '[{"type": "long"}]'
"""


class Api:
    """REST and MLflow's wire, by one account's token."""

    def __init__(self, live: Live, account: str):
        self.live, self.account = live, account

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """`path` begins with /api/; a body that is bytes goes as it is."""
        headers = {"Authorization": f"Bearer {self.live.token(self.account)}"}
        content = body
        if not isinstance(body, bytes | None):
            content, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(f"{self.live.url}{path}", content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refused:
            log = self.live.log.read_text()[-3000:] if refused.code >= 500 else ""
            raise AssertionError(f"{method} {path}: {refused.code} {refused.read()[:500]!r}\n{log}") from None

    def rest(self, method: str, path: str, body: Any = None) -> Any:
        return self.call(method, f"/api/v1{path}", body)

    def mlflow(self, endpoint: str, **fields: Any) -> Any:
        return self.call("POST", f"/api/2.0/mlflow/{endpoint}", fields)

    def trained(self, experiment: str, *, name: str, metrics: dict[str, float], params: dict[str, str]) -> str:
        """A finished run with curves, a data set and the files of a model below `model`; its id."""
        run = self.mlflow("runs/create", experiment_id=experiment, run_name=name, start_time=1_790_000_000_000)
        run_id = str(run["run"]["info"]["run_id"])
        curve = [
            {"key": key, "value": value * (0.5 + step / 40), "timestamp": 1_790_000_000_000 + step, "step": step}
            for key, value in metrics.items()
            for step in range(21)
        ]
        self.mlflow("runs/log-batch", run_id=run_id, metrics=curve, params=[_pair(*each) for each in params.items()])
        data = {"name": "customers", "digest": "a1b2c3", "source_type": "local", "source": "{}"}
        use = {"tags": [_pair("mlflow.data.context", "training")], "dataset": data}
        self.mlflow("runs/log-inputs", run_id=run_id, datasets=[use])
        self.mlflow("runs/set-tag", run_id=run_id, key="mlflow.source.git.commit", value="4f2a" * 10)
        packages = "".join(
            f"{package}=={version}\n" for package, version in (("scikit-learn", "1.5"), ("pandas", "2.2"))
        )
        more = "" if len(params) < 3 else '}, {"type": "string", "name": "city"'
        for path, content in (("MLmodel", MODEL_FILE % more), ("requirements.txt", packages), ("model.skops", run_id)):
            place = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run_id}/artifacts/model/{path}"
            self.call("PUT", place, content.encode())
        self.mlflow("runs/update", run_id=run_id, status="FINISHED", end_time=1_790_000_090_000)
        return run_id

    def registered(self, model: str, run_id: str, description: str = "") -> int:
        made = self.mlflow(
            "model-versions/create", name=model, source=f"runs:/{run_id}/model", run_id=run_id, description=description
        )
        return int(made["model_version"]["version"])

    def asked(self, model: str, version: int, stage: str = "Production", comment: str = "") -> str:
        """The id of a promotion that was asked for."""
        body = {"model": model, "version": version, "stage": stage, "comment": comment}
        return str(self.rest("POST", "/promotions", body)["id"])

    def approve(self, promotion: str) -> None:
        evidence = self.rest("GET", f"/promotions/{promotion}")["evidence"]
        self.rest("POST", f"/promotions/{promotion}/approve", {"evidence": evidence})


def _pair(key: str, value: str) -> dict[str, str]:
    return {"key": key, "value": value}


def trained_model(live: Live, name: str, *, versions: int = 2) -> str:
    """A model whose first version is in Production and whose others are registered; the id of its experiment."""
    ci, reviewer = Api(live, "ci"), Api(live, "reviewer")
    experiment = str(ci.mlflow("experiments/create", name=f"train/{name}")["experiment_id"])
    ci.mlflow("registered-models/create", name=name, description="Tells who is about to leave.")
    for number in range(1, versions + 1):
        metrics = {"auc": 0.8 + number / 50, "log_loss": 0.5 - number / 50}
        params = {"depth": str(number), "seed": "7"} | ({"features": "12"} if number > 1 else {})
        run = ci.trained(experiment, name=f"forest {number}", metrics=metrics, params=params)
        ci.registered(name, run, f"Forest number {number}.")
    reviewer.approve(ci.asked(name, 1, comment="A first one to compare with."))
    return experiment


def empty_workspace(live: Live, username: str) -> None:
    """A second workspace, in which nothing happened yet, and a person who may do everything there and sees no other."""
    password = "nobody guesses these words"
    Api(live, "admin").rest("POST", "/users", {"username": username, "password": password})
    live.accounts[username] = {"password": password}
    code = f"""
from accounts.models import Grant, User, Workspace
empty = Workspace.objects.create(slug="{username}", name="Empty")
Grant.objects.create(workspace=empty, user=User.objects.get(username="{username}"), role="maintainer")
"""
    live.manage("shell", "--no-imports", "-c", code)
