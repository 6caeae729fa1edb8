"""What the stock client meets at an alias that a policy protects; run by `test_protected_aliases` under each release.

protected_alias.py NAME   with MLFLOW_TRACKING_URI and tokens set; exits with a trace when it fails.
"""

import json
import os
import re
import sys
import time
import urllib.request

import mlflow
from mlflow.exceptions import RestException

name = sys.argv[1]
client = mlflow.MlflowClient()


def rest(token, method, path, body=None):
    request = urllib.request.Request(
        f"{os.environ['MLFLOW_TRACKING_URI']}/api/v1/{path}",
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Bearer {os.environ[token]}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def refused(call, *arguments):
    try:
        call(*arguments)
    except RestException as refusal:
        return refusal
    raise AssertionError(f"{call.__name__} went through")


with mlflow.start_run() as run:
    mlflow.log_text("weights", "model/weights.txt")
client.create_registered_model(name)
client.create_model_version(name, f"runs:/{run.info.run_id}/model", run.info.run_id)
rest("VOUCH_ADMIN_TOKEN", "PUT", "policies", {"target": "@champion", "model": name})

client.set_registered_model_alias(name, "free", "1")
started = time.monotonic()
told = refused(client.set_registered_model_alias, name, "champion", "1")
assert told.error_code == "PERMISSION_DENIED", told.error_code
assert "1 more approval" in told.message, told.message
assert time.monotonic() - started < 5, "the client repeated it"
promotion = re.search(r"/promotions/([0-9a-f-]{36})", told.message)[1]

shown = rest("VOUCH_REVIEWER_TOKEN", "GET", f"promotions/{promotion}")
assert shown["target"] == "@champion", shown
rest("VOUCH_REVIEWER_TOKEN", "POST", f"promotions/{promotion}/approve", {"evidence": shown["evidence"]})
assert client.get_model_version_by_alias(name, "champion").version in ("1", 1)
client.set_registered_model_alias(name, "champion", "1")  # where it is already
told = refused(client.delete_registered_model_alias, name, "champion")
assert told.error_code == "PERMISSION_DENIED", told.error_code
sys.stdout.write("all is well\n")
