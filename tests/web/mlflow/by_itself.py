"""Files go up and come down as the stock client does it; run by `test_transfers_live` against a bucket and a disk.

by_itself.py NAME   with MLFLOW_TRACKING_URI, MLFLOW_TRACKING_TOKEN, DATABRICKS_HOST and DATABRICKS_TOKEN set.
"""

import hashlib
import os
import sys
import tempfile
import warnings
from pathlib import Path

import mlflow

warnings.filterwarnings("ignore")
name = sys.argv[1]
client = mlflow.MlflowClient()
weights = os.urandom(12 * 1024**2)


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


with tempfile.TemporaryDirectory() as scratch:
    here = Path(scratch)
    (here / "weights.bin").write_bytes(weights)
    (here / "empty").write_bytes(b"")
    (here / "MLmodel").write_text("flavors: {}\n")
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(here), "model")
    client.create_registered_model(name)
    client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id)
    wanted = {path.name: digest(path) for path in here.iterdir()}

    def checked(uri, to):
        back = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(here / to)))
        assert {file: digest(back / file) for file in wanted} == wanted, uri  # the client adds a file of its own

    checked(f"{run.info.artifact_uri}/model", "of the run")
    checked(f"models:/{name}/1", "of the version")
    mlflow.set_registry_uri("databricks")
    checked(f"models:/{name}/1", "by Databricks")

sys.stdout.write("all is well")
