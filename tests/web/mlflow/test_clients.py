"""The stock MLflow clients of both generations against a live server: a day's work, and `examples/promote.py`."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.live import ROOT, Live

GENERATIONS = [pytest.param("mlflow-2", id="2.22"), pytest.param("mlflow-3", id="3.17")]


def run(live: Live, generation: str, directory: Path, *command: str, **settings: str) -> str:
    """Run a script under a release of the client; its output, or a failure that shows it."""
    client = started(live, generation, directory, *command, **settings)
    told, complaints = client.communicate(timeout=300)
    assert client.returncode == 0, f"{told[-4000:]}\n{complaints[-4000:]}"
    return told


def started(live: Live, generation: str, directory: Path, *command: str, **settings: str) -> subprocess.Popen[str]:
    python = ROOT / ".venvs" / generation / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{python} is not there: bootstrap.py test makes it")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "MLFLOW_TRACKING_URI": live.url,
        "MLFLOW_TRACKING_TOKEN": live.token("ci"),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a 5xx is to be seen, not to be overcome
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **settings,
    }
    return subprocess.Popen(
        [str(python), *command], cwd=directory, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_days_work(live: Live, generation: str, tmp_path: Path) -> None:
    script = ROOT / "tests" / "web" / "mlflow" / "both_clients.py"
    assert "all is well" in run(live, generation, tmp_path, str(script), f"day with {generation}")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_call_of_tracking(live: Live, generation: str, tmp_path: Path) -> None:
    script = ROOT / "tests" / "web" / "mlflow" / "tracking_clients.py"
    assert "all is well" in run(live, generation, tmp_path, str(script), f"tracking with {generation}")


@pytest.mark.smoke
@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_story_of_a_promotion(live: Live, generation: str, tmp_path: Path) -> None:
    told = run(
        live,
        generation,
        tmp_path,
        str(ROOT / "examples" / "promote.py"),
        f"story with {generation}",
        VOUCH_REVIEWER_TOKEN=live.token("reviewer"),
        VOUCH_ADMIN_TOKEN=live.token("admin"),
    )
    for step in (
        "refused, as it should be: PERMISSION_DENIED",
        f"models:/story with {generation}/Production predicts",
        f"models:/story with {generation}/1 predicts",
        f"models:/story with {generation}@champion predicts",
        "which held Production before, is Archived",
        "it shows as a bypass",
        "all is as it should be",
    ):
        assert step in told


def test_without_a_reviewers_token_the_story_waits_for_the_verdict(live: Live, tmp_path: Path) -> None:
    script = str(ROOT / "examples" / "promote.py")
    client = started(live, "mlflow-3", tmp_path, script, "story that waits", VOUCH_PATIENCE="60")
    assert client.stdout is not None
    told = []
    for line in client.stdout:
        told.append(line)
        if "a reviewer decides at" in line:
            vouch(live, line.strip().rpartition("/")[2])
    complaints = client.communicate(timeout=300)[1]
    assert client.returncode == 0, f"{''.join(told)[-4000:]}\n{complaints[-4000:]}"
    assert sum("a reviewer decides at" in line for line in told) == 2


def test_the_story_fails_in_a_sentence_when_the_reviewer_rejects(live: Live, tmp_path: Path) -> None:
    script = str(ROOT / "examples" / "promote.py")
    client = started(live, "mlflow-3", tmp_path, script, "story that fails", VOUCH_PATIENCE="60")
    assert client.stdout is not None
    for line in client.stdout:
        if "a reviewer decides at" in line:
            rest(live, f"{line.strip().rpartition('/')[2]}/reject", {"reason": "not this one"})
    assert "not as it should be: the promotion is rejected" in client.communicate(timeout=300)[1]
    assert client.returncode == 1


def vouch(live: Live, promotion: str) -> None:
    rest(live, f"{promotion}/approve", {"evidence": rest(live, promotion)["evidence"], "comment": "fine"})


def rest(live: Live, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{live.url}/api/v1/promotions/{path}",
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Bearer {live.token('reviewer')}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))
