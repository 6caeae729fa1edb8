"""The stock MLflow clients with their registry URI `databricks` and this server behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live import ROOT, Live
from tests.web.mlflow.test_clients import GENERATIONS, run

STORY = ROOT / "tests" / "web" / "databricks" / "registry_uri.py"


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_models_way_through_the_registry(live: Live, generation: str, tmp_path: Path) -> None:
    told = run(
        live,
        generation,
        tmp_path,
        str(STORY),
        f"by databricks with {generation}",
        DATABRICKS_HOST=live.url,
        DATABRICKS_TOKEN=live.token("ci"),
        VOUCH_REVIEWER_TOKEN=live.token("reviewer"),
        VOUCH_ADMIN_TOKEN=live.token("admin"),
    )
    assert "all is well" in told
