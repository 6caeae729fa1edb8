"""Workspaces as the MLflow client sees them: a token's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import Workspace
from tests import make
from tests.live import ROOT, Live
from tests.web.mlflow.conftest import Door
from tests.web.mlflow.test_clients import GENERATIONS, run

pytestmark = pytest.mark.django_db

WORKSPACES = "/api/3.0/mlflow/workspaces"


def sent(door: Door, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {door.token}"}
    answer = Client().generic(method, path, json.dumps(body) if body else "", "application/json", headers=headers)
    return answer.status_code, answer.json()


def test_a_token_finds_its_own_workspace_and_no_other(ci: Door) -> None:
    make.workspace("elsewhere")
    own = {"name": "default", "description": "Default"}
    assert sent(ci, "GET", WORKSPACES) == (200, {"workspaces": [own]})
    assert sent(ci, "GET", f"{WORKSPACES}/default") == (200, {"workspace": own})
    for other in ("elsewhere", "no-such"):
        status, body = sent(ci, "GET", f"{WORKSPACES}/{other}")
        assert (status, body["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_workspaces_are_not_made_changed_or_deleted_here(root: Door) -> None:
    for method, path, body in (
        ("POST", WORKSPACES, {"name": "new"}),
        ("PATCH", f"{WORKSPACES}/default", {"description": "ours"}),
        ("DELETE", f"{WORKSPACES}/default", None),
    ):
        status, answer = sent(root, method, path, body)
        assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED")
        assert "operator" in answer["message"]
    assert list(Workspace.objects.values_list("slug", "name")) == [("default", "Default")]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_stock_client_signs_in_with_a_password_and_names_its_workspace(
    live: Live, generation: str, tmp_path: Path
) -> None:
    told = run(
        live,
        generation,
        tmp_path,
        str(ROOT / "tests" / "web" / "mlflow" / "signing_in.py"),
        MLFLOW_TRACKING_TOKEN="",
        MLFLOW_TRACKING_USERNAME="anybody",
        MLFLOW_TRACKING_PASSWORD=live.token("ci"),
        MLFLOW_WORKSPACE="default",
    )
    assert "all is well" in told
