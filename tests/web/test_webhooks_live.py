"""Webhooks by the stock clients, from a live server with a sender to real receivers: what arrives is what they know."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live import ROOT, Live, serving
from tests.receivers import Receivers, receiving

# The client environment holds databricks-sdk as well: MLflow depends on it.
PYTHON = ROOT / ".venvs" / "mlflow-3" / "bin" / "python"
SENDER = "from registry.services.sending import deliver_due\nimport time\nwhile True: deliver_due(); time.sleep(0.1)"

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason=f"{PYTHON} is not there: bootstrap.py test makes it")


@pytest.fixture(scope="module")
def receivers() -> Iterator[Receivers]:
    with receiving("healthy.mlflow", "healthy.databricks", "failing", "refusing") as those:
        yield those


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Live]:
    """A server that may send to this machine, and a process that sends."""
    allowed = {"VOUCH_WEBHOOK_NETWORKS": "127.0.0.0/8"}
    with serving(tmp_path_factory.mktemp("webhooks"), f"webhooks_{worker_id}", **allowed) as server:
        command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", SENDER]
        with subprocess.Popen(command, cwd=ROOT, env=server.env) as sender:
            try:
                yield server
            finally:
                sender.kill()


def run(directory: Path, script: str, *arguments: str, **settings: str) -> None:
    client = subprocess.run(
        [str(PYTHON), str(ROOT / "tests" / "web" / script), *arguments],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), **settings},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert client.returncode == 0, f"{client.stdout[-4000:]}\n{client.stderr[-4000:]}"
    assert "all is well" in client.stdout


def arrived(receivers: Receivers, name: str, count: int) -> list[tuple[dict[str, str], bytes]]:
    """The letters with their headers, once there are so many and no more come."""
    until = time.monotonic() + 20
    while receivers.count(name) < count and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(0.5)
    return receivers.sent(name)


def test_mlflow_webhooks_as_its_client_has_them(live: Live, receivers: Receivers, tmp_path: Path) -> None:
    urls = [receivers.url(name) for name in ("healthy.mlflow", "failing", "refusing")]
    settings = {
        "MLFLOW_TRACKING_URI": live.url,
        "MLFLOW_TRACKING_TOKEN": live.token("admin"),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    run(tmp_path, "mlflow/webhooks_story.py", "told of", *urls, **settings)
    letters = arrived(receivers, "healthy.mlflow", 8)
    signed = [(headers, body) for headers, body in letters if "x-mlflow-signature" in headers]
    assert len({headers["x-mlflow-delivery-id"] for headers, _ in signed}) == 7
    for headers, body in signed:
        content = f"{headers['x-mlflow-delivery-id']}.{headers['x-mlflow-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.digest(b"my_secret", content, hashlib.sha256)).decode()
        assert headers["x-mlflow-signature"] == f"v1,{digest}"
    tested, *told = sorted((json.loads(body) for _, body in signed), key=lambda event: event["timestamp"])
    assert (tested["entity"], tested["action"], tested["data"]["name"]) == ("model_version_tag", "set", "example")
    version: dict[str, Any] = {"name": "told of", "version": "1"}
    source = {"source": "s3://bucket/model", "run_id": None, "tags": {"a": "b"}, "description": None}
    assert [(event["entity"], event["action"], event["data"]) for event in told] == [
        ("registered_model", "created", {"name": "told of", "tags": {"team": "risk"}, "description": "said"}),
        ("model_version", "created", {**version, **source}),
        ("model_version_tag", "set", {**version, "key": "k", "value": "v"}),
        ("model_version_tag", "deleted", {**version, "key": "k"}),
        ("model_version_alias", "created", {**version, "alias": "best"}),
        ("model_version_alias", "deleted", {"name": "told of", "alias": "best"}),
    ]
    [(headers, body)] = [letter for letter in letters if "x-mlflow-signature" not in letter[0]]
    assert json.loads(body)["data"] == {**version, "key": "k", "value": "v"}
    assert "authorization" not in headers


def test_registry_webhooks_as_the_sdk_has_them(live: Live, receivers: Receivers, tmp_path: Path) -> None:
    urls = [receivers.url(name) for name in ("healthy.databricks", "failing")]
    run(tmp_path, "databricks/webhooks_story.py", live.url, "hooked", *urls, VOUCH_ADMIN_TOKEN=live.token("admin"))
    letters = arrived(receivers, "healthy.databricks", 2)
    told = []
    for headers, body in letters:
        digest = hmac.digest(b"my_secret", body, hashlib.sha256).hex()
        assert headers["x-databricks-signature"] == digest
        assert headers["authorization"] == "Bearer th3-receivers-own"
        event = json.loads(body)
        told.append((event["event"], event["model_name"], event["to_stage"]))
    name = "MODEL_VERSION_TRANSITIONED_TO_STAGING"
    assert sorted(told) == [(name, "example", "Staging"), (name, "hooked", "Staging")]
    assert "th3-receivers-own" not in live.log.read_text()
