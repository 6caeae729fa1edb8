"""Runs are logged on one server and registered on another; run by `test_registry_live` under both generations.

split_servers.py NAME   with MLFLOW_TRACKING_URI (of one) and MLFLOW_REGISTRY_URI (of the other) set.
"""

import sys
import warnings

import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore")
name = sys.argv[1]
client = mlflow.MlflowClient()
iris = load_iris()
model = LogisticRegression(max_iter=300).fit(iris.data, iris.target)
wanted = list(model.predict(iris.data))

mlflow.set_experiment(f"{name} experiment")
with mlflow.start_run() as run:
    where = {"artifact_path": "model"} if mlflow.__version__.startswith("2.") else {"name": "model"}
    mlflow.sklearn.log_model(model, registered_model_name=name, **where)
version = mlflow.register_model(f"runs:/{run.info.run_id}/model", f"{name} again")
assert (str(version.version), version.status) == ("1", "READY")
for registered, references in ((name, ("/1", "/Staging", "@best")), (f"{name} again", ("/Staging",))):
    found = client.get_model_version(registered, "1")
    assert "another tracking server" in found.status_message, found
    assert client.get_model_version_download_uri(registered, "1") == found.source
    client.transition_model_version_stage(registered, "1", "Staging")
    client.set_registered_model_alias(registered, "best", "1")
    for reference in references:
        loaded = mlflow.pyfunc.load_model(f"models:/{registered}{reference}")
        assert list(loaded.predict(iris.data)) == wanted, reference
sys.stdout.write("all is well")
