"""Copies that clients make of what they are about to register with Databricks' registry."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.test import Client

from accounts.actor import Actor
from accounts.roles import Scope
from lineage.models import Folder
from registry.models import Version
from tests import make
from tests.web.databricks.conftest import Databricks
from tests.web.mlflow.conftest import Answer

pytestmark = pytest.mark.django_db

COPIES = "/databricks/mlflow/tmp-external-source"


def put(door: Databricks, path: str, content: bytes = b"bytes") -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {door.token}"}
    answer = Client().post(f"/dbfs{path}", content, content_type="application/octet-stream", headers=headers)
    return answer.status_code, answer.json()


def listed(door: Databricks, path: str) -> Answer:
    return door.get("dbfs/list", path=path)


def registered(door: Databricks, source: str, **more: Any) -> Answer:
    door.post("mlflow/registered-models/create", {"name": "copied"})
    return door.post("mlflow/model-versions/create", {"name": "copied", "source": source, **more})


def test_a_copy_is_uploaded_listed_registered_and_then_sealed(ci: Databricks) -> None:
    run_id = ci.run()
    root = f"{COPIES}/{run_id}"
    for path, content in (("model/MLmodel", b"flavors"), ("model/data/model.pkl", b"weights"), ("model/empty", b"")):
        assert put(ci, f"{root}/{path}", content) == (200, {})
    assert put(ci, f"{root}/model/MLmodel", b"flavors") == (200, {})  # repeated by the client
    assert listed(ci, f"{root}/model").body == {
        "files": [
            {"path": f"{root}/model/MLmodel", "is_dir": False, "file_size": 7},
            {"path": f"{root}/model/data", "is_dir": True, "file_size": 0},
            {"path": f"{root}/model/empty", "is_dir": False, "file_size": 0},
        ]
    }
    made = registered(ci, f"dbfs:{root}/model", run_id=run_id)
    assert made.status == 200, made.message
    version = Version.objects.get()
    assert version.run is not None
    assert (version.run.pk.hex, version.source) == (run_id, f"dbfs:{root}/model")
    files = dict(version.manifest.files.values_list("path", "sha256"))  # type: ignore[union-attr]
    assert files["data/model.pkl"] == hashlib.sha256(b"weights").hexdigest()
    assert sorted(files) == ["MLmodel", "data/model.pkl", "empty"]
    assert put(ci, f"{root}/model/MLmodel", b"other")[0] == 409


def test_the_directory_that_the_client_names_without_having_made_it_is_the_copy(ci: Databricks) -> None:
    put(ci, f"{COPIES}/abc/MLmodel")
    assert registered(ci, f"dbfs:{COPIES}/abc/m-{'0' * 32}").status == 200
    assert list(Version.objects.get().manifest.files.values_list("path", flat=True)) == ["MLmodel"]  # type: ignore[union-attr]


def test_nobody_sees_or_registers_the_copy_of_another(ci: Databricks, judge: Databricks, root: Databricks) -> None:
    put(ci, f"{COPIES}/abc/model/MLmodel")
    for other in (judge, root):
        assert (listed(other, f"{COPIES}/abc").status, listed(other, f"{COPIES}/abc").code) == (
            404,
            "RESOURCE_DOES_NOT_EXIST",
        )
    answer = registered(root, f"dbfs:{COPIES}/abc/model")
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert not Version.objects.exists()
    assert put(judge, f"{COPIES}/abc/model/MLmodel")[0] == 403  # who reviews uploads nothing


def test_a_token_that_neither_reads_nor_registers_is_not_told_what_its_owner_copied(
    requester: Actor, ci: Databricks
) -> None:
    put(ci, f"{COPIES}/abc/model/MLmodel")
    for scope, status in ((Scope.READ, 200), (Scope.REGISTER, 200), (Scope.WEBHOOK, 404)):
        assert listed(Databricks(make.token(requester, scope)), f"{COPIES}/abc").status == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tmp/x", 404),
        ("/databricks/mlflow/other/x/y", 404),
        (COPIES, 404),
        (f"{COPIES}/abc", 400),
        (f"{COPIES}/abc/../def/x", 400),
        (f"{COPIES}/../../x/y", 400),
        (f"{COPIES}/a%0Ab/x", 404),
        (f"{COPIES}/abc/%00", 400),
    ],
)
def test_nothing_else_of_that_file_system_is_here(ci: Databricks, path: str, status: int) -> None:
    answered, body = put(ci, path)
    assert (answered, bool(body["message"])) == (status, True)
    assert not Folder.objects.filter(upload_name__gt="").exists()
    assert listed(ci, path.replace("%0A", "\n").replace("%00", "\0")).status in (400, 404)
