"""What to type: the commands that pages show, ready to be copied. Names hold no quotes, so they need no escaping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from django.conf import settings

from lineage.models import Experiment, ManifestFile
from registry.formats import Format
from registry.models import Version


@dataclass(frozen=True)
class Snippet:
    label: str
    code: str


def set_token() -> list[Snippet]:
    """How the stock client is told where and who."""
    return [
        Snippet(
            "mlflow, in a shell",
            f"export MLFLOW_TRACKING_URI={settings.VOUCH_URL}\nexport MLFLOW_TRACKING_TOKEN=vch-…",
        )
    ]


def first_model() -> list[Snippet]:
    """How the first model of a workspace is registered."""
    return [
        Snippet(
            "With mlflow, in Python",
            f"""import mlflow

# MLFLOW_TRACKING_URI={settings.VOUCH_URL}
# MLFLOW_TRACKING_TOKEN=vch-…
with mlflow.start_run():
    mlflow.sklearn.log_model(
        model, name="model",
        registered_model_name="churn")""",
        ),
        Snippet("With curl, from a file", _by_curl("churn", creates=True)),
    ]


def first_run(experiment: Experiment | None = None) -> list[Snippet]:
    """How the first run of an experiment is logged, of a new one where none is given."""
    name = repr(experiment.name if experiment else "churn")  # an experiment may be called anything
    return [
        Snippet(
            "With mlflow, in Python",
            f"""import mlflow

# MLFLOW_TRACKING_URI={settings.VOUCH_URL}
# MLFLOW_TRACKING_TOKEN=vch-…
mlflow.set_experiment({name})
with mlflow.start_run():
    mlflow.log_params({{"depth": 3}})
    for step, loss in enumerate([0.9, 0.5, 0.4]):
        mlflow.log_metric("loss", loss, step=step)""",
        )
    ]


def first_version(name: str) -> list[Snippet]:
    """How the first version of a model is registered."""
    return [
        Snippet(
            "From a run, with mlflow", f'import mlflow\n\nmlflow.register_model(\n    "runs:/RUN_ID/model", "{name}")'
        ),
        Snippet("From a file, with curl", _by_curl(name, creates=False)),
    ]


def ask_for_production() -> list[Snippet]:
    """How a promotion is asked for from code."""
    return [
        Snippet(
            "With mlflow, in Python",
            "from mlflow import MlflowClient\n\n"
            'MlflowClient().transition_model_version_stage(\n    "NAME", "1", "Production")',
        )
    ]


def load(version: Version, first: ManifestFile | None, aliases: Sequence[str] = ()) -> list[tuple[str, list[Snippet]]]:
    """How a version is loaded, by the means: each with its snippets. `first` is one of its files, for an example."""
    name, number = version.model.name, version.number
    api = f"{settings.VOUCH_URL}/api/v1"
    by_mlflow = [
        _loaded("Exactly this version", f"models:/{name}/{number}"),
        _loaded("Whatever is in Production", f"models:/{name}/Production"),
        *(_loaded(f"Whatever @{alias} points at", f"models:/{name}@{alias}") for alias in aliases[:1]),
    ]
    by_curl = [
        Snippet(
            "Where and what it is",
            f'curl -G -H "Authorization: Bearer $VOUCH_TOKEN" \\\n'
            f'  --data-urlencode "uri=models:/{name}/{number}" \\\n'
            f"  {api}/resolve",
        )
    ]
    if first is not None:
        path = quote(f"/api/v1/models/{name}/versions/{number}/files/{first.path}")
        by_curl.append(
            Snippet(
                "A file of it",
                f"curl -OJ -H \"Authorization: Bearer $VOUCH_TOKEN\" \\\n  '{settings.VOUCH_URL}{path}'",
            )
        )
    by_rest = [
        Snippet(
            "Follow Production: answers when it changes",
            f"""GET {api}/resolve?uri=models:/{quote(name)}/Production&wait=30
Authorization: Bearer vch-…
If-None-Match: "the ETag of the last answer\"""",
        ),
        Snippet(
            "Its files, each with its SHA-256",
            f"GET {api}/resolve?uri=models:/{quote(name)}/{number}\nAuthorization: Bearer vch-…",
        ),
    ]
    return [("mlflow", by_mlflow), ("curl", by_curl), ("REST", by_rest)]


def _loaded(label: str, uri: str) -> Snippet:
    return Snippet(label, f'import mlflow\n\nmlflow.pyfunc.load_model(\n    "{uri}")')


def first_policy() -> list[Snippet]:
    """How policies are written: as a file, and one by itself."""
    return [
        Snippet(
            "policies.yaml, with manage.py policy apply policies.yaml",
            """policies:
- target: Production
  approvals: 1

- target: Production
  pattern: risk-*
  approvals: 2
  teams:
  - risk
  gates:
  - gate: metric_threshold
    metric: auc
    at_least: 0.9

- target: '@champion'
  approvals: 1""",
        ),
        Snippet(
            "With curl, one policy",
            'curl -X PUT -H "Authorization: Bearer $VOUCH_TOKEN" \\\n'
            '  -H "Content-Type: application/json" \\\n'
            f"  {settings.VOUCH_URL}/api/v1/policies \\\n"
            """  -d '{"target": "Production", "approvals": 2}'""",
        ),
    ]


def first_webhook() -> list[Snippet]:
    """How a webhook is made by a program."""
    return [
        Snippet(
            "With curl: tell a program what is in Production",
            'curl -H "Authorization: Bearer $VOUCH_TOKEN" \\\n'
            '  -H "Content-Type: application/json" \\\n'
            f"  {settings.VOUCH_URL}/api/v1/webhooks -d '{{\n"
            """  "url": "https://deploy.example.org/vouch",
  "verbs": ["version.transitioned"],
  "targets": ["Production"]}'""",
        )
    ]


_STANDARD = """from standardwebhooks import Webhook

event = Webhook(os.environ["WEBHOOK_SECRET"]).verify(body, headers)  # raises; body is bytes, as it came"""
_MLFLOW = """signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.".encode() + body
digest = hmac.new(os.environ["WEBHOOK_SECRET"].encode(), signed, "sha256").digest()
assert hmac.compare_digest("v1," + base64.b64encode(digest).decode(), headers["X-MLflow-Signature"])"""
_DATABRICKS = """digest = hmac.new(os.environ["WEBHOOK_SECRET"].encode(), body, "sha256").hexdigest()
assert hmac.compare_digest(digest, headers["X-Databricks-Signature"])"""


def verify(form: Format) -> list[Snippet]:
    """How a receiver verifies what comes."""
    if form == Format.MLFLOW:
        return [Snippet("In Python, with base64, hmac and os", _MLFLOW)]
    if form == Format.DATABRICKS:
        return [Snippet("In Python, with hmac and os", _DATABRICKS)]
    return [Snippet("In Python: pip install standardwebhooks", "import os\n" + _STANDARD)]


def _by_curl(name: str, *, creates: bool) -> str:
    lines = [
        f"V={settings.VOUCH_URL}/api/v1",
        'A="Authorization: Bearer $VOUCH_TOKEN"',
        'J="Content-Type: application/json"',
    ]
    if creates:
        lines.append(f"""curl -H "$A" -H "$J" $V/models -d '{{"name": "{name}"}}'""")
    lines += [
        'curl -H "$A" -T model.bin $V/uploads/build-1/files/',
        f"""curl -H "$A" -H "$J" $V/models/{quote(name)}/versions -d '{{"upload": "build-1"}}'""",
    ]
    return "\n".join(lines)
