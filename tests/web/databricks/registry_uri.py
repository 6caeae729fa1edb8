"""A model's way with `mlflow.set_registry_uri("databricks")` pointed here; run by `test_registry_uri`.

registry_uri.py NAME   with MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN set for the runs, DATABRICKS_HOST and
                       DATABRICKS_TOKEN for the registry, VOUCH_REVIEWER_TOKEN and VOUCH_ADMIN_TOKEN for who reviews
                       and who renames. Exits with a trace when something fails.
"""

import os
import sys
import warnings

import mlflow
import requests
from mlflow.exceptions import MlflowException
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore")
name = sys.argv[1]
mlflow.set_registry_uri("databricks")
client = mlflow.MlflowClient()
iris = load_iris()
model = LogisticRegression(max_iter=200).fit(iris.data, iris.target)


def refused(code, call, *arguments, **more):
    found = told = None
    try:
        call(*arguments, **more)
    except MlflowException as refusal:
        found, told = refusal.error_code, str(refusal)
    assert found == code, f"{call.__name__}{arguments}: {found} {told}"
    return told


def approve(number, stage):
    answer = requests.post(
        f"{os.environ['DATABRICKS_HOST']}/api/2.0/mlflow/transition-requests/approve",
        json={"name": name, "version": number, "stage": stage, "archive_existing_versions": True},
        headers={"Authorization": f"Bearer {os.environ['VOUCH_REVIEWER_TOKEN']}"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text


# Registered from a run: the client copies the files over, so what is served is what was approved.
with mlflow.start_run() as run:
    kept = {"name": "model"} if mlflow.__version__.startswith("3") else {"artifact_path": "model"}
    uri = mlflow.sklearn.log_model(model, pip_requirements=["scikit-learn"], **kept).model_uri
    run_id = run.info.run_id
first = mlflow.register_model(f"runs:/{run_id}/model", name)
assert (first.version, first.current_stage, first.status) == ("1", "None", "READY"), first
second = mlflow.register_model(uri, name, tags={"size": "small"})
assert (second.version, second.tags) == ("2", {"size": "small"}), second

# Asked for, approved, carried out; loaded by stage and by number.
told = refused("PERMISSION_DENIED", client.transition_model_version_stage, name, "1", "Production")
assert "1 more approval" in told, told
approve("1", "Production")
assert client.get_model_version(name, "1").current_stage == "Production"
for reference in ("Production", "1", "latest"):
    loaded = mlflow.pyfunc.load_model(f"models:/{name}/{reference}")
    assert list(loaded.predict(iris.data[:3])) == list(model.predict(iris.data[:3])), reference
assert client.transition_model_version_stage(name, "2", "Staging").current_stage == "Staging"
assert [v.version for v in client.get_latest_versions(name, ["Production"])] == ["1"]
assert {v.version for v in client.get_latest_versions(name)} == {"1", "2"}

# Described, tagged, found, deleted, renamed.
client.set_registered_model_tag(name, "team", "risk")
client.set_model_version_tag(name, "2", "size", "large")
client.update_registered_model(name, description="who leaves")
client.update_model_version(name, "2", description="a larger one")
assert client.get_registered_model(name).tags == {"team": "risk"}
assert client.get_registered_model(name).description == "who leaves"
two = client.get_model_version(name, "2")
assert (two.tags, two.description) == ({"size": "large"}, "a larger one"), two
client.delete_registered_model_tag(name, "team")
client.delete_model_version_tag(name, "2", "size")
assert [m.name for m in client.search_registered_models(f"name = '{name}'")] == [name]
assert {v.version for v in client.search_model_versions(f"name = '{name}'")} == {"1", "2"}
client.transition_model_version_stage(name, "2", "Archived")
client.delete_model_version(name, "2")
refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version, name, "2")
refused("PERMISSION_DENIED", client.rename_registered_model, name, f"{name} renamed")
os.environ["DATABRICKS_TOKEN"] = os.environ["VOUCH_ADMIN_TOKEN"]
refused("RESOURCE_CONFLICT", client.delete_registered_model, name)
client.transition_model_version_stage(name, "1", "Archived")
client.rename_registered_model(name, f"{name} renamed")
assert client.get_model_version(f"{name} renamed", "1").current_stage == "Archived"
client.delete_registered_model(f"{name} renamed")
refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, f"{name} renamed")
sys.stdout.write("all is well")
