"""How the stock client says who it is and in which workspace; run by `test_workspaces`.

signing_in.py   with MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and, a token, MLFLOW_TRACKING_PASSWORD set; and, for
                releases that know workspaces, MLFLOW_WORKSPACE. Exits with a trace when something fails.
"""

import os
import sys

import mlflow
from mlflow.exceptions import MlflowException

client = mlflow.MlflowClient()
assert client.get_experiment("0").name == "Default"

if hasattr(mlflow, "set_workspace"):
    own = os.environ["MLFLOW_WORKSPACE"]
    assert [workspace.name for workspace in mlflow.list_workspaces()] == [own]
    assert mlflow.get_workspace(own).name == own
    mlflow.set_workspace(own)
    assert client.get_experiment("0").name == "Default"
    for call in (
        lambda: mlflow.get_workspace("elsewhere"),
        lambda: mlflow.create_workspace("elsewhere"),
        lambda: mlflow.delete_workspace(own),
    ):
        refusal = ""
        try:
            call()
        except MlflowException as error:
            refusal = error.error_code
        assert refusal in ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED"), refusal
    mlflow.set_workspace("elsewhere")
    refusal = ""
    try:
        mlflow.MlflowClient().get_experiment("0")
    except MlflowException as error:
        refusal = error.error_code
    assert refusal == "RESOURCE_DOES_NOT_EXIST", refusal
sys.stdout.write("all is well")
