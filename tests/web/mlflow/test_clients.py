"""The stock MLflow clients of both generations against a live server: a day's work, and `examples/promote.py`."""

from __future__ import annotations

import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.live import ROOT, Live

GENERATIONS = [pytest.param("mlflow-2", id="2.22"), pytest.param("mlflow-3", id="3.17")]


def run(live: Live, generation: str, directory: Path, *command: str, **settings: str) -> str:
    """Run a script under a release of the client; its output, or a failure that shows it."""
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
    done = subprocess.run(
        [str(python), *command], cwd=directory, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_days_work(live: Live, generation: str, tmp_path: Path) -> None:
    script = ROOT / "tests" / "web" / "mlflow" / "both_clients.py"
    assert "all is well" in run(live, generation, tmp_path, str(script), f"day with {generation}")


@pytest.mark.smoke
@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_story_of_a_promotion(live: Live, generation: str, tmp_path: Path) -> None:
    if not _has_native_api(live):
        pytest.skip("the native API, over which the reviewer approves, is not served")
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


def _has_native_api(live: Live) -> bool:
    try:
        urllib.request.urlopen(f"{live.url}/api/v1/promotions", timeout=10)
    except urllib.error.HTTPError as answer:
        return answer.code != 404
    return True
