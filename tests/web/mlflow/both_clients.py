"""What the stock client does in a day, but for promotion; run by `test_clients` under each release of it.

both_clients.py NAME   with MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN set; exits with a trace when it fails.
"""

import math
import sys
import tempfile
import warnings
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore")
name = sys.argv[1]
client = mlflow.MlflowClient()
iris = load_iris(as_frame=True)
ODD = ("with space.txt", "plus+and&.txt", "ümlaut.txt", "no_extension")


def refused(code, call, *arguments):
    found = None
    try:
        call(*arguments)
    except MlflowException as refusal:
        found = refusal.error_code
    assert found == code, f"{call.__name__}{arguments}: {found}"


with tempfile.TemporaryDirectory() as scratch:
    here = Path(scratch)

    # Runs in the default experiment and in one of their own.
    with mlflow.start_run() as run:
        assert run.info.experiment_id == "0"
    experiment = mlflow.set_experiment(f"{name} experiment")
    assert mlflow.set_experiment(f"{name} experiment").experiment_id == experiment.experiment_id
    with mlflow.start_run(run_name="everything", tags={"a": "1"}) as run:
        mlflow.log_param("depth", 3)
        mlflow.log_params({"x": "y", "empty": ""})
        for step, value in enumerate([0.5, float("nan"), float("inf"), -1e-300]):
            mlflow.log_metric("m", value, step=step)
        mlflow.log_metric("only nan", float("nan"))
        mlflow.log_metrics({"batch/a": 1.0, "batch/b": 2.0})
        mlflow.set_tags({"b": "zwei", "a": "2"})
        mlflow.log_text("", "empty/zero.txt")
        mlflow.log_text("text", "empty/notes.txt")
        mlflow.log_dict({"k": 1}, "conf/c.json")
        for odd in ODD:
            (here / odd).write_text(odd, encoding="utf-8")
        mlflow.log_artifact(str(here / "with space.txt"))
        mlflow.log_artifacts(str(here), "many/deep")
        mlflow.log_input(mlflow.data.from_pandas(iris.frame, name="iris"), context="training")
        mlflow.log_input(mlflow.data.from_numpy(iris.data.to_numpy()), context="validation")
    run = client.get_run(run.info.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "everything"
    assert run.data.params == {"depth": "3", "x": "y", "empty": ""}, run.data.params
    assert run.data.tags["a"] == "2"
    assert run.data.metrics["m"] == -1e-300
    assert math.isnan(run.data.metrics["only nan"])
    assert {use.tags[0].value for use in run.inputs.dataset_inputs} == {"training", "validation"}
    history = [str(point.value) for point in client.get_metric_history(run.info.run_id, "m")]
    assert history == ["0.5", "nan", "1.7976931348623157e+308", "-1e-300"], history
    assert client.get_metric_history(run.info.run_id, "none of this name") == []
    refused("INVALID_PARAMETER_VALUE", client.log_param, run.info.run_id, "depth", 4)

    # Files come back as they went.
    names = [entry.path for entry in client.list_artifacts(run.info.run_id)]
    assert names == ["conf", "empty", "many", "with space.txt"], names
    names = [entry.path for entry in client.list_artifacts(run.info.run_id, "empty")]
    assert names == ["empty/notes.txt", "empty/zero.txt"], names
    back = Path(mlflow.artifacts.download_artifacts(run.info.artifact_uri, dst_path=str(here / "back")))
    assert (back / "empty" / "zero.txt").read_bytes() == b""
    for odd in ODD:
        assert (back / "many" / "deep" / odd).read_text(encoding="utf-8") == odd
    assert mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/conf/c.json") == {"k": 1}

# Autologging, and a model registered from what it logged.
mlflow.sklearn.autolog()
with mlflow.start_run() as run:
    model = LogisticRegression(max_iter=300).fit(iris.data, iris.target)
mlflow.sklearn.autolog(disable=True)
run = client.get_run(run.info.run_id)
assert run.data.params["max_iter"] == "300"
assert "training_accuracy_score" in run.data.metrics
assert run.inputs.dataset_inputs
version = mlflow.register_model(f"runs:/{run.info.run_id}/model", name, tags={"by": "both_clients"})
assert (str(version.version), version.status, version.current_stage) == ("1", "READY", "None")
found = client.get_model_version(name, "1")
assert (found.run_id, found.tags, found.user_id) == (run.info.run_id, {"by": "both_clients"}, "ci")

# Every way to name it.
wanted = list(model.predict(iris.data))
client.set_registered_model_alias(name, "Best-of_all", "1")
assert str(client.get_model_version_by_alias(name, "Best-of_all").version) == "1"
assert {alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()} == {
    "Best-of_all": "1"
}
client.transition_model_version_stage(name, "1", "staging")
assert [version.current_stage for version in client.get_latest_versions(name)] == ["Staging"]
assert client.get_latest_versions(name, ["Production"]) == []
for reference in ("/1", "/Staging", "/latest", "@Best-of_all"):
    assert list(mlflow.pyfunc.load_model(f"models:/{name}{reference}").predict(iris.data)) == wanted, reference
copy = client.copy_model_version(f"models:/{name}/1", f"{name} copy")
assert copy.source == f"models:/{name}/1", copy.source
assert list(mlflow.pyfunc.load_model(f"models:/{name} copy/1").predict(iris.data)) == wanted

# What is not there.
client.delete_registered_model_alias(name, "Best-of_all")
client.delete_registered_model_alias(name, "Best-of_all")
refused("INVALID_PARAMETER_VALUE", client.get_model_version_by_alias, name, "Best-of_all")
refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, f"{name} of nobody")
refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version, name, "7")
refused("RESOURCE_ALREADY_EXISTS", client.create_registered_model, name)
sys.stdout.write("all is well")
