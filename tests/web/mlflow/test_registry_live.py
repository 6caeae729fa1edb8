"""The stock clients of both generations against a live registry: every method; and beside another tracking server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live import ROOT, Live, serving
from tests.web.mlflow.test_clients import GENERATIONS, run

HERE = ROOT / "tests" / "web" / "mlflow"


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_method_of_the_registry(live: Live, generation: str, tmp_path: Path) -> None:
    told = run(
        live,
        generation,
        tmp_path,
        str(HERE / "every_registry_method.py"),
        f"every {generation}",
        MLFLOW_TRACKING_TOKEN=live.token("admin"),
    )
    assert "all is well" in told


def test_a_registry_beside_another_tracking_server(live: Live, tmp_path: Path, worker_id: str) -> None:
    (tmp_path / "server").mkdir()
    with serving(tmp_path / "server", f"vouch_another_{worker_id}") as another:
        told = run(
            live,
            "mlflow-2",
            tmp_path,
            str(HERE / "split_servers.py"),
            "split from a server",
            MLFLOW_TRACKING_URI=with_token(another),
            MLFLOW_REGISTRY_URI=with_token(live),
            MLFLOW_TRACKING_TOKEN="",
        )
    assert "all is well" in told


def test_a_registry_beside_files_of_the_clients_own(live: Live, tmp_path: Path) -> None:
    told = run(
        live,
        "mlflow-3",
        tmp_path,
        str(HERE / "split_servers.py"),
        "split from files",
        MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/runs.db",
        MLFLOW_REGISTRY_URI=live.url,
    )
    assert "all is well" in told


def with_token(server: Live) -> str:
    """Its URL with a token as the password, since the client has one setting for the tokens of both servers."""
    return server.url.replace("://", f"://anybody:{server.token('ci')}@")
