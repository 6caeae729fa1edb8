"""Every tracking call of the stock client; run by `test_clients` under each release of it.

tracking_clients.py NAME   with MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN set; exits with a trace when it fails.
"""

import math
import sys
import time
import warnings

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException

warnings.filterwarnings("ignore")
name = sys.argv[1]
client = MlflowClient()
third = hasattr(client, "create_logged_model")


def refused(code, call, *arguments, **more):
    found = None
    try:
        call(*arguments, **more)
    except MlflowException as refusal:
        found = refusal.error_code
    assert found == code, f"{call.__name__}{arguments}: {found}"


def names(runs):
    return [run.info.run_name for run in runs]


# Experiments.
first = client.create_experiment(f"{name} a", tags={"team": name})
second = client.create_experiment(f"{name} b", artifact_location="s3://bucket/there", tags={"team": f"{name} two"})
assert client.get_experiment(second).artifact_location == "s3://bucket/there"
assert client.get_experiment_by_name(f"{name} a").experiment_id == first
assert client.get_experiment_by_name(f"{name} nothing") is None
refused("RESOURCE_ALREADY_EXISTS", client.create_experiment, f"{name} a")
client.set_experiment_tag(first, "colour", "red")
assert client.get_experiment(first).tags == {"team": name, "colour": "red"}
found = client.search_experiments(filter_string=f"tags.team LIKE '{name}%'", order_by=["name DESC"])
assert [experiment.experiment_id for experiment in found] == [second, first]
found = client.search_experiments(filter_string=f"name = '{name} a' AND creation_time > 0")
assert [experiment.experiment_id for experiment in found] == [first]
if hasattr(client, "delete_experiment_tag"):
    client.delete_experiment_tag(first, "colour")
    refused("RESOURCE_DOES_NOT_EXIST", client.delete_experiment_tag, first, "colour")
client.rename_experiment(second, f"{name} renamed")
assert client.get_experiment(second).name == f"{name} renamed"
page = client.search_experiments(max_results=1, view_type=ViewType.ALL)
assert page.token
assert client.search_experiments(max_results=1, view_type=ViewType.ALL, page_token=page.token)[0].name != page[0].name

# Runs: begun, changed, logged to.
runs = [
    client.create_run(first, start_time=1000 + at, run_name=run_name, tags={"at": str(at)})
    for at, run_name in enumerate("abcd")
]
a, b, c, d = (run.info.run_id for run in runs)
assert runs[0].info.user_id == "unknown"
assert runs[0].data.tags == {"at": "0", "mlflow.runName": "a"}
for at, (run_id, value) in enumerate(((a, 0.5), (b, float("nan")), (c, 0.25))):
    client.log_metric(run_id, "loss", value, timestamp=5000 + at, step=at)
client.log_metric(a, "loss", 0.75, timestamp=5001, step=-3)
client.log_param(a, "depth", "3")
client.log_param(a, "depth", "3")
refused("INVALID_PARAMETER_VALUE", client.log_param, a, "depth", "4")
client.set_tag(a, "colour", "red")
client.set_tag(b, "mlflow.runName", "renamed")
assert client.get_run(b).info.run_name == "renamed"
client.update_run(b, status="FAILED", name="b")
client.set_terminated(c, status="KILLED", end_time=9000)
info = client.get_run(c).info
assert (info.status, info.end_time, client.get_run(b).info.run_name) == ("KILLED", 9000, "b")
client.log_batch(
    d,
    metrics=[Metric("m", at / 7, 1000 + at // 2, at % 5) for at in range(900)],
    params=[Param(f"p{at}", str(at)) for at in range(50)],
    tags=[RunTag(f"t{at}", str(at)) for at in range(50)],
)
refused("INVALID_PARAMETER_VALUE", client.log_batch, d, params=[Param("q", "1"), Param("q", "2")])
whole = client.get_run(d)
assert (len(whole.data.params), len(whole.data.tags)) == (50, 52)
history = client.get_metric_history(d, "m")
told = [(point.timestamp, point.step, point.value) for point in history]
assert len(told) == 900
assert told == sorted(told)
assert [point.value for point in client.get_metric_history(a, "loss")] == [0.5, 0.75]
assert client.get_metric_history(a, "nothing") == []
client.delete_tag(a, "colour")
refused("RESOURCE_DOES_NOT_EXIST", client.delete_tag, a, "colour")
refused("RESOURCE_DOES_NOT_EXIST", client.get_run, "0" * 32)
dataset = Dataset("iris", "d1", "local", "{}", schema="s", profile="p")
client.log_inputs(a, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
read = client.get_run(a).inputs.dataset_inputs[0]
assert (read.dataset.name, read.dataset.schema, read.tags[0].value) == ("iris", "s", "training")

# Runs: searched.
search = client.search_runs
assert names(search([first])) == ["d", "c", "b", "a"]
assert names(search([first], order_by=["metrics.loss ASC"])) == ["c", "a", "b", "d"]
assert names(search([first], order_by=["metrics.loss DESC"])) == ["a", "c", "b", "d"]
assert names(search([first], "metrics.loss < 0.5")) == ["c"]
assert names(search([first], "params.depth = '3'")) == ["a"]
assert names(search([first], "attributes.status = 'KILLED'")) == ["c"]
assert names(search([first], "tags.`mlflow.runName` ILIKE 'A' and dataset.name = 'iris'")) == ["a"]
assert names(search([first], f"attributes.run_id IN ('{a}', '{b}')", order_by=["start_time"])) == ["a", "b"]
refused("INVALID_PARAMETER_VALUE", search, [first], "metrics.loss << 3")
paged, token = [], None
while True:
    page = search([first], order_by=["tags.t1", "metrics.loss"], max_results=1, page_token=token)
    paged += names(page)
    token = page.token
    if not token:
        break
assert paged == ["d", "c", "a", "b"], paged
client.delete_run(a)
assert names(search([first], run_view_type=ViewType.DELETED_ONLY)) == ["a"]
refused("INVALID_PARAMETER_VALUE", client.set_tag, a, "x", "y")
client.restore_run(a)
client.delete_experiment(first)
assert client.get_experiment(first).lifecycle_stage == "deleted"
assert search([first]) == []
refused("INVALID_PARAMETER_VALUE", client.create_run, first)
client.restore_experiment(first)
assert len(search([first])) == 4

# The fluent way.
mlflow.set_experiment(experiment_id=first)
with mlflow.start_run(run_name="fluent") as run:
    mlflow.log_params({"x": 1})
    mlflow.log_metrics({"late": 1.0}, step=7)
    mlflow.set_tag("k", "v")
    with mlflow.start_run(run_name="inner", nested=True) as inner:
        mlflow.log_metric("late", 2.0)
found = mlflow.search_runs([first], filter_string="metrics.late > 1", output_format="list")
assert names(found) == ["inner"]
assert found[0].data.tags["mlflow.parentRunId"] == run.info.run_id
frame = mlflow.search_runs([first], order_by=["metrics.late DESC"])
assert list(frame["tags.mlflow.runName"])[:2] == ["inner", "fluent"]
assert [experiment.experiment_id for experiment in mlflow.search_experiments(filter_string=f"name = '{name} a'")] == [
    first
]
assert mlflow.get_run(run.info.run_id).info.status == RunStatus.to_string(RunStatus.FINISHED)
assert mlflow.get_parent_run(inner.info.run_id).info.run_id == run.info.run_id
mlflow.delete_run(inner.info.run_id)
mlflow.delete_experiment(second)

if third:
    from mlflow.entities import LoggedModelInput, LoggedModelOutput, LoggedModelStatus

    one = client.create_logged_model(
        first, name="one", source_run_id=a, tags={"t": "1"}, params={"p": "1"}, model_type="forest"
    )
    two = client.create_logged_model(first, name="two")
    assert (one.status, one.params, one.tags) == (LoggedModelStatus.PENDING, {"p": "1"}, {"t": "1"})
    client.log_model_params(two.model_id, {f"k{at}": str(at) for at in range(250)})
    assert len(client.get_logged_model(two.model_id).params) == 250
    client.set_logged_model_tags(one.model_id, {"t": "2", "u": "3"})
    client.delete_logged_model_tag(one.model_id, "u")
    assert client.get_logged_model(one.model_id).tags == {"t": "2"}
    client.log_metric(a, "f1", 0.9, model_id=one.model_id, dataset_name="test", dataset_digest="1", timestamp=1)
    client.log_metric(b, "f1", 0.4, model_id=two.model_id, dataset_name="test", dataset_digest="1", timestamp=1)
    assert client.finalize_logged_model(one.model_id, "READY").status == LoggedModelStatus.READY
    client.log_inputs(b, models=[LoggedModelInput(one.model_id)])
    client.log_outputs(a, [LoggedModelOutput(one.model_id, step=3)])
    made = client.get_run(a).outputs.model_outputs
    assert [(output.model_id, output.step) for output in made] == [(one.model_id, 3)]
    assert search([first], f"run_id = '{a}'")[0].outputs.model_outputs[0].model_id == one.model_id

    def models(**asked):
        return [model.name for model in client.search_logged_models([first], **asked)]

    assert models() == ["two", "one"]
    assert models(filter_string="metrics.f1 > 0.5") == ["one"]
    assert models(filter_string="name = 'two' AND params.k1 = '1'") == ["two"]
    assert models(datasets=[{"dataset_name": "test", "dataset_digest": "1"}]) == ["two", "one"]
    assert models(order_by=[{"field_name": "metrics.f1", "ascending": False, "dataset_name": "test"}]) == ["one", "two"]
    assert models(max_results=1) == ["two"]
    page = client.search_logged_models([first], max_results=1)
    assert [model.name for model in client.search_logged_models([first], page_token=page.token)] == ["one"]
    client.delete_logged_model(one.model_id)
    assert models() == ["two"]
    refused("RESOURCE_DOES_NOT_EXIST", client.get_logged_model, one.model_id)
    assert [model.name for model in mlflow.search_logged_models([first], output_format="list")] == ["two"]
    external = mlflow.create_external_model(name="outside", experiment_id=first)
    assert mlflow.get_logged_model(external.model_id).status == LoggedModelStatus.READY

assert math.isnan(client.get_run(b).data.metrics["loss"])
assert time.time() * 1000 > client.get_experiment(first).last_update_time > 1_600_000_000_000
sys.stdout.write("all is well")
