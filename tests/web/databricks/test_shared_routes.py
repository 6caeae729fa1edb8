"""The routes that MLflow's and Databricks' clients share: each finds there what it reads."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from registry.models import Promotion, Version
from tests import make
from tests.web.databricks.conftest import Databricks, named

pytestmark = pytest.mark.django_db

RPC = "type.googleapis.com/google.rpc."


def typed(details: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each.pop("@type").removeprefix(RPC): each for each in details}


def test_a_move_that_is_refused_on_mlflows_route_says_why_in_types(churn: Version, ci: Databricks) -> None:
    answer = ci.post("mlflow/model-versions/transition-stage", named())
    promotion = Promotion.objects.get()
    page, missing = settings.VOUCH_URL + promotion.page, "1 more approval by a reviewer who had no part in it"
    assert answer.status == 403
    assert {key: answer.body[key] for key in ("error_code", "reasons", "page")} == {
        "error_code": "PERMISSION_DENIED",
        "reasons": [missing],
        "page": page,
    }
    assert typed(answer.body["details"]) == {
        "ErrorInfo": {
            "reason": "APPROVAL_MISSING",
            "domain": "vouch",
            "metadata": {"promotion": str(promotion.pk), "page": page},
        },
        "PreconditionFailure": {
            "violations": [{"type": "APPROVAL", "subject": "approval", "description": missing}],
        },
        "Help": {"links": [{"description": "The promotion", "url": page}]},
    }


def test_a_version_that_is_refused_names_its_field_in_types(churn: Version, ci: Databricks) -> None:
    answer = ci.post("mlflow/model-versions/create", {"name": "churn", "source": "/tmp/mine"})
    details = typed(answer.body["details"])
    assert (answer.status, details["ErrorInfo"]["reason"]) == (400, "LOCAL_SOURCE")
    assert details["BadRequest"]["field_violations"] == [{"field": "source", "description": answer.message}]


def test_a_workspace_is_named_by_either_header_and_by_its_number_in_databricks_own(
    churn: Version, ci: Databricks
) -> None:
    def status(header: str, workspace: object) -> int:
        headers = {"Authorization": f"Bearer {ci.token}", header: str(workspace)}
        return Client().get("/api/2.0/mlflow/registered-models/get?name=churn", headers=headers).status_code

    here, elsewhere = make.workspace().pk, make.workspace("elsewhere").pk
    databricks, mlflow = "X-Databricks-Workspace-Id", "X-MLFLOW-WORKSPACE"
    assert [status(databricks, named) for named in ("default", here, "elsewhere", elsewhere)] == [200, 200, 404, 404]
    assert [status(mlflow, named) for named in ("default", here, "elsewhere", elsewhere)] == [200, 404, 404, 404]
