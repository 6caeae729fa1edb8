"""The Databricks door as its clients call it, with a token of the requester's, a reviewer's or an outsider's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from accounts.actor import Actor
from registry.models import Version
from tests import make
from tests.bucket import bucket, s3_server
from tests.web.mlflow.conftest import Answer, Door

__all__ = ["bucket", "s3_server"]
REQUESTS = "mlflow/transition-requests"


@dataclass(frozen=True)
class Databricks(Door):
    """Calls of transition requests, for version 1 of churn and Production unless told otherwise."""

    def ask(self, **more: Any) -> Answer:
        return self.post(f"{REQUESTS}/create", named(**more))

    def listed(self, number: str = "1") -> list[dict[str, Any]]:
        return self.get(f"{REQUESTS}/list", name="churn", version=number).body["requests"]

    def approve(self, **more: Any) -> Answer:
        return self.post(f"{REQUESTS}/approve", named(**{"archive_existing_versions": False, **more}))

    def reject(self, **more: Any) -> Answer:
        return self.post(f"{REQUESTS}/reject", named(**more))

    def delete(self, **more: Any) -> Answer:
        """As the SDK sends it: everything in the query, no body."""
        return self.raw("DELETE", f"{REQUESTS}/delete?{urlencode(named(**more))}", b"", "application/octet-stream")

    def move(self, **more: Any) -> Answer:
        body = named(**{"archive_existing_versions": False, **more})
        return self.post("mlflow/databricks/model-versions/transition-stage", body)


def named(**more: Any) -> dict[str, Any]:
    return {"name": "churn", "version": "1", "stage": "Production", **more}


@pytest.fixture
def churn(requester: Actor) -> Version:
    make.model(requester)
    return make.version(requester)


@pytest.fixture
def ci(requester: Actor) -> Databricks:
    return Databricks(make.token(requester))


@pytest.fixture
def judge(reviewer: Actor) -> Databricks:
    return Databricks(make.token(reviewer))


@pytest.fixture
def other_judge(second_reviewer: Actor) -> Databricks:
    return Databricks(make.token(second_reviewer))


@pytest.fixture
def root(administrator: Actor) -> Databricks:
    return Databricks(make.token(administrator))
