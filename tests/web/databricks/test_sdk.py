"""The stock `databricks-sdk` against a live server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.live import ROOT, Live

# The client environments hold the SDK as well: MLflow depends on it, and their locks pin both.
RELEASES = [pytest.param("mlflow-2", id="0.30"), pytest.param("mlflow-3", id="0.156")]
GATED = """
from accounts.queries import system_actor
from accounts.services import people
from registry.policy import Scope
from registry.services import policies

rules = {"gates": [{"gate": "metric_threshold", "metric": "auc", "at_least": 0.9}]}
policies.write(system_actor(people.default_workspace()), Scope(pattern="gated*"), "Production", rules)
"""


@pytest.mark.parametrize("environment", RELEASES)
def test_every_call_of_the_sdk(live: Live, environment: str, tmp_path: Path) -> None:
    python = ROOT / ".venvs" / environment / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{python} is not there: bootstrap.py test makes it")
    live.manage("shell", "--no-imports", "-c", GATED)
    tokens = {f"VOUCH_{account.upper()}_TOKEN": live.token(account) for account in ("ci", "reviewer", "admin")}
    client = subprocess.run(
        [str(python), str(ROOT / "tests" / "web" / "databricks" / "sdk_story.py"), live.url, f"sdk {environment}"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **tokens},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert client.returncode == 0, f"{client.stdout[-4000:]}\n{client.stderr[-4000:]}"
    assert "all is well" in client.stdout
    assert "databricks-config" not in client.stderr  # the SDK warns when that is not there
