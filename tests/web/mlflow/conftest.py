"""The MLflow door as its clients call it, with a token of the requester's, a reviewer's or an administrator's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from accounts.actor import Actor
from tests import make
from tests.bucket import bucket, s3_server

__all__ = ["bucket", "s3_server"]


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict[str, Any]
    headers: dict[str, str]
    content: bytes

    @property
    def code(self) -> str:
        return self.body.get("error_code", "")

    @property
    def message(self) -> str:
        return self.body.get("message", "")


@dataclass(frozen=True)
class Door:
    """Calls endpoints by their path below /api/2.0/."""

    token: str

    def get(self, path: str, /, **query: Any) -> Answer:
        return self._sent("GET", path, data=query)

    def post(self, path: str, body: Any = None, method: str = "POST") -> Answer:
        return self.raw(method, path, json.dumps({} if body is None else body))

    def raw(self, method: str, path: str, body: bytes | str, content_type: str = "application/json") -> Answer:
        return self._sent(method, path, data=body, content_type=content_type)

    def get_file(self, path: str, **headers: str) -> Answer:
        """A GET of a path below the host, with these headers."""
        return self._sent("GET", path, below="/", extra=headers)

    def put(self, path: str, content: bytes) -> Answer:
        return self._sent("PUT", f"mlflow-artifacts/artifacts/{path}", data=content, content_type="text/plain")

    def _sent(
        self, method: str, path: str, *, below: str = "/api/2.0/", extra: dict[str, str] | None = None, **more: Any
    ) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= {name.replace("_", "-"): value for name, value in (extra or {}).items()}
        response = getattr(Client(), method.lower())(f"{below}{path}", headers=headers, **more)
        content = b"".join(response) if response.streaming else response.content
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        return Answer(response.status_code, json.loads(content) if is_json else {}, dict(response.headers), content)

    # --- What most tests begin with ---

    def run(self, **more: Any) -> str:
        body = {"experiment_id": "0", **more}
        return self.post("mlflow/runs/create", body).body["run"]["info"]["run_id"]

    def run_with_model(self) -> tuple[str, str]:
        """A run that holds a file at `model/`: its id, and the source URI of the model."""
        run_id = self.run()
        assert self.put(f"0/{run_id}/artifacts/model/MLmodel", run_id.encode()).status == 200
        return run_id, f"mlflow-artifacts:/0/{run_id}/artifacts/model"

    def version(self, name: str = "churn", **more: Any) -> dict[str, Any]:
        """The next version of a model, which is made when it is missing."""
        self.post("mlflow/registered-models/create", {"name": name})
        run_id, source = self.run_with_model()
        body = {"name": name, "source": source, "run_id": run_id, **more}
        return self.post("mlflow/model-versions/create", body).body["model_version"]


@pytest.fixture
def ci(requester: Actor) -> Door:
    return Door(make.token(requester))


@pytest.fixture
def root(administrator: Actor) -> Door:
    return Door(make.token(administrator))


@pytest.fixture
def stranger(outsider: Actor) -> Door:
    return Door(make.token(outsider))


@pytest.fixture
def nobody(db: None) -> Door:
    return Door("")
