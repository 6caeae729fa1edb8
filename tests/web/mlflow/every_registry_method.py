"""Every method of the stock client that speaks to the registry; run by `test_registry_live` under each release of it.

every_registry_method.py NAME   with MLFLOW_TRACKING_URI and an administrator's MLFLOW_TRACKING_TOKEN set.
"""

import sys
import time
import warnings

import mlflow
from mlflow.exceptions import MlflowException

warnings.filterwarnings("ignore")
name = sys.argv[1]
client = mlflow.MlflowClient()
modern = not mlflow.__version__.startswith("2.")


def refused(code, call, *arguments, **more):
    found = None
    try:
        call(*arguments, **more)
    except MlflowException as refusal:
        found = refusal.error_code
    assert found == code, f"{call.__name__}{arguments}: {found}"


def millis():
    return int(time.time() * 1000)


def names(found):
    return [model.name for model in found]


def numbers(found):
    return [f"{version.name.removeprefix(name)}/{version.version}" for version in found]


# --- Models -----------------------------------------------------------------------------------------------------------

before = millis()
model = client.create_registered_model(f"{name} a", tags={"team": "risk", "empty": ""}, description="first")
assert before <= model.creation_timestamp <= model.last_updated_timestamp <= millis()
assert (model.name, model.tags, model.description) == (f"{name} a", {"team": "risk", "empty": ""}, "first")
assert (model.aliases, model.latest_versions) == ({}, [])
refused("RESOURCE_ALREADY_EXISTS", client.create_registered_model, f"{name} a")
refused("INVALID_PARAMETER_VALUE", client.create_registered_model, "a/b")

assert client.update_registered_model(f"{name} a", "second").description == "second"
assert client.get_registered_model(f"{name} a").description == "second"
client.set_registered_model_tag(f"{name} a", "key with space", "value with 'quotes' and ü")
client.set_registered_model_tag(f"{name} a", "number", 5)
client.delete_registered_model_tag(f"{name} a", "empty")
tags = {"team": "risk", "key with space": "value with 'quotes' and ü", "number": "5"}
assert client.get_registered_model(f"{name} a").tags == tags

for letter in "bcdef":
    client.create_registered_model(f"{name} {letter}")
mine = f"name LIKE '{name} %'"
every = [f"{name} {letter}" for letter in "abcdef"]
assert names(client.search_registered_models(mine)) == every
assert names(client.search_registered_models(mine, order_by=["name DESC"])) == every[::-1]
assert names(client.search_registered_models(f"{mine} AND tags.`key with space` LIKE '%quotes%'")) == every[:1]
assert names(client.search_registered_models(f"name ILIKE '{name.upper()} B'")) == [f"{name} b"]
newest_first = client.search_registered_models(mine, order_by=["last_updated_timestamp DESC"])
assert names(newest_first)[:5] == every[:0:-1], names(newest_first)
paged, token = [], None
while True:
    page = client.search_registered_models(mine, max_results=4, page_token=token)
    paged += names(page)
    token = page.token
    if not token:
        break
assert paged == every
assert names(mlflow.search_registered_models(filter_string=mine)) == every  # pages by itself
refused("INVALID_PARAMETER_VALUE", client.search_registered_models, "name = 'a' OR name = 'b'")
refused("INVALID_PARAMETER_VALUE", client.search_registered_models, max_results=1001)
refused("INVALID_PARAMETER_VALUE", client.search_registered_models, page_token="not one")

client.rename_registered_model(f"{name} f", f"{name} z")
renamed = client.get_registered_model(f"{name} z")
assert renamed.last_updated_timestamp >= renamed.creation_timestamp
refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, f"{name} f")
refused("RESOURCE_ALREADY_EXISTS", client.rename_registered_model, f"{name} z", f"{name} a")
client.delete_registered_model(f"{name} z")
refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, f"{name} z")
refused("RESOURCE_DOES_NOT_EXIST", client.delete_registered_model, f"{name} z")

# --- Versions ---------------------------------------------------------------------------------------------------------

run_id = "0123456789abcdef0123456789abcdef"  # of another server
first = client.create_model_version(
    f"{name} a", "s3://bucket/1", run_id, tags={"kind": "tree"}, run_link="https://ci.example/1", description="one"
)
assert (str(first.version), first.status, first.current_stage) == ("1", "READY", "None")
assert (first.run_id, first.run_link, first.source) == (run_id, "https://ci.example/1", "s3://bucket/1")
assert (first.tags, first.description, first.aliases) == ({"kind": "tree"}, "one", [])
for number in (2, 3):
    client.create_model_version(f"{name} a", f"s3://bucket/{number}")
client.create_model_version(f"{name} b", "s3://bucket/1")
assert client.update_model_version(f"{name} a", "1", "uno").description == "uno"
client.set_model_version_tag(f"{name} a", "1", "key", "value")
client.set_model_version_tag(f"{name} a", "1", "kind", "forest")
client.set_model_version_tag(f"{name} a", "2", "key", "other")
client.delete_model_version_tag(f"{name} a", "2", "key")
assert client.get_model_version(f"{name} a", "1").tags == {"key": "value", "kind": "forest"}
assert client.get_model_version(f"{name} a", "2").tags == {}
assert client.get_model_version_download_uri(f"{name} a", "1") == "s3://bucket/1"
assert client.get_model_version_stages(f"{name} a", "1") == ["None", "Staging", "Production", "Archived"]
refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version, f"{name} a", "9")
refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version, f"{name} nobody", "1")
refused("INVALID_PARAMETER_VALUE", client.get_model_version, f"{name} a", "abc")
refused("INVALID_PARAMETER_VALUE", client.create_model_version, f"{name} a", "/tmp/model")

assert numbers(client.search_model_versions(mine)) == [" a/1", " b/1", " a/3", " a/2"]  # the last changed first
assert numbers(client.search_model_versions(f"name='{name} a'", order_by=["version_number ASC"])) == [
    " a/1",
    " a/2",
    " a/3",
]
assert numbers(client.search_model_versions(f"{mine} and run_id = '{run_id}'")) == [" a/1"]
assert numbers(client.search_model_versions(f"{mine} AND source_path = 's3://bucket/1'")) == [" a/1", " b/1"]
assert numbers(client.search_model_versions(f"{mine} AND tags.kind = 'forest'")) == [" a/1"]
assert numbers(client.search_model_versions(f"{mine} AND version_number > 1")) == [" a/3", " a/2"]
page = client.search_model_versions(mine, max_results=3, order_by=["name", "version_number DESC"])
rest = client.search_model_versions(
    mine, max_results=3, order_by=["name", "version_number DESC"], page_token=page.token
)
assert (numbers(page), numbers(rest), bool(rest.token)) == ([" a/3", " a/2", " a/1"], [" b/1"], False)
refused("INVALID_PARAMETER_VALUE", client.search_model_versions, "current_stage = 'Production'")
assert len(mlflow.search_model_versions(filter_string=mine)) == 4

# --- Aliases and stages -----------------------------------------------------------------------------------------------

client.set_registered_model_alias(f"{name} a", "champion", "1")
client.set_registered_model_alias(f"{name} a", "Challenger", "1")
assert sorted(client.get_model_version(f"{name} a", "1").aliases) == ["Challenger", "champion"]
client.set_registered_model_alias(f"{name} a", "champion", 2)
assert str(client.get_model_version_by_alias(f"{name} a", "champion").version) == "2"
assert str(client.get_model_version_by_alias(f"{name} a", "latest").version) == "3"
refused("INVALID_PARAMETER_VALUE", client.get_model_version_by_alias, f"{name} a", "challenger")
for reserved in ("latest", "Latest", "v1"):
    refused("INVALID_PARAMETER_VALUE", client.set_registered_model_alias, f"{name} a", reserved, "1")
client.delete_registered_model_alias(f"{name} a", "Challenger")
aliases = {alias: str(number) for alias, number in client.get_registered_model(f"{name} a").aliases.items()}
assert aliases == {"champion": "2"}
[found] = client.search_model_versions(f"name = '{name} a' AND version_number = 2")
assert found.aliases == []

for number, stage in (("1", "Staging"), ("2", "staging"), ("3", "Production"), ("2", "Production")):
    assert client.transition_model_version_stage(f"{name} a", number, stage).current_stage == stage.capitalize()
stages = {version.current_stage: str(version.version) for version in client.get_latest_versions(f"{name} a")}
assert stages == {"Staging": "1", "Production": "2", "Archived": "3"}, stages
client.set_model_version_tag(f"{name} a", key="by", value="stage", stage="Production")
assert client.get_model_version(f"{name} a", "2").tags == {"by": "stage"}
client.delete_model_version_tag(f"{name} a", key="by", stage="Production")
assert client.get_model_version(f"{name} a", "2").tags == {}
refused("INVALID_PARAMETER_VALUE", client.transition_model_version_stage, f"{name} a", "1", "QA")
refused("INVALID_PARAMETER_VALUE", client.get_latest_versions, f"{name} a", ["QA"])

# --- Copies and deletions ---------------------------------------------------------------------------------------------

for source, number in ((f"models:/{name} a/1", "1"), (f"models:/{name} a@champion", "2")):
    copied = client.copy_model_version(source, f"{name} copies")
    assert (copied.source, str(copied.version)) == (f"models:/{name} a/{number}", number)
assert client.get_model_version_download_uri(f"{name} copies", "1") == client.get_model_version(f"{name} a", "1").source

client.delete_model_version(f"{name} a", "1")
refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version, f"{name} a", "1")
refused("RESOURCE_DOES_NOT_EXIST", client.delete_model_version, f"{name} a", "1")
assert str(client.create_model_version(f"{name} a", "s3://bucket/4").version) == "4"
client.transition_model_version_stage(f"{name} a", "2", "Archived")
client.delete_registered_model_alias(f"{name} a", "champion")
client.delete_registered_model(f"{name} a")
assert numbers(client.search_model_versions(f"name = '{name} a'")) == []

# --- Prompts ----------------------------------------------------------------------------------------------------------

prompts = mlflow.genai if modern else mlflow
title = f"{name} prompt".replace(" ", "_").replace(".", "_")
prompt = prompts.register_prompt(title, "Hello {{who}}!", commit_message="first")
assert int(prompt.version) == 1
assert int(prompts.register_prompt(title, "Good morning {{who}}!", tags={"mood": "kind"}).version) == 2
assert prompts.load_prompt(f"prompts:/{title}/1").format(who="you") == "Hello you!"
assert prompts.load_prompt(title, version=2).template == "Good morning {{who}}!"
client.set_prompt_alias(title, "best", 1)
assert prompts.load_prompt(f"prompts:/{title}@best").template == "Hello {{who}}!"
client.delete_prompt_alias(title, "best")
if modern:
    assert title in [found.name for found in prompts.search_prompts(filter_string=f"name = '{title}'")]
    client.set_prompt_version_tag(title, "1", "reviewed", "yes")
    assert prompts.load_prompt(f"prompts:/{title}/1").tags["reviewed"] == "yes"
assert names(client.search_registered_models(f"name = '{title}'")) == []
sys.stdout.write("all is well")
