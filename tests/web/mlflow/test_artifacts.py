"""The artifact proxy: paths, listings, what is sealed, what is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from lineage.models import FolderFile
from registry.models import Version
from tests.web.mlflow.conftest import Door

pytestmark = pytest.mark.django_db


def left_behind(data_directory: Path) -> list[Path]:
    return [path for path in (data_directory / "artifacts").rglob("*") if path.is_file()]


def place(run_id: str, path: str = "") -> str:
    return f"0/{run_id}/artifacts/{path}"


def test_a_file_comes_back_as_it_went_and_no_browser_renders_it(ci: Door) -> None:
    run_id = ci.run()
    answer = ci.put(place(run_id, "sub/ünï code.html"), b"<script>")
    assert (answer.status, answer.content) == (200, b"")
    file = ci.get(f"mlflow-artifacts/artifacts/{place(run_id)}sub/ünï code.html")
    assert file.content == b"<script>"
    assert file.headers["Content-Disposition"].startswith("attachment; filename*=utf-8''")
    assert "sandbox" in file.headers["Content-Security-Policy"]
    assert file.headers["X-Content-Type-Options"] == "nosniff"
    assert "ETag" in file.headers


def test_a_file_is_written_over_until_a_version_is_made_of_it(ci: Door) -> None:
    run_id, source = ci.run_with_model()
    path = place(run_id, "model/MLmodel")
    assert ci.put(path, b"second").status == 200
    assert ci.get(f"mlflow-artifacts/artifacts/{path}").content == b"second"
    ci.post("mlflow/registered-models/create", {"name": "churn"})
    made = ci.post("mlflow/model-versions/create", {"name": "churn", "source": source, "run_id": run_id})
    assert made.status == 200
    for late in ("model/MLmodel", "model/added", "model"):
        answer = ci.put(place(run_id, late), b"third")
        assert (answer.status, answer.code) == (409, "RESOURCE_CONFLICT")
    assert ci.put(place(run_id, "notes.txt"), b"beside it").status == 200
    frozen = f"versions/{Version.objects.get().pk.hex}/MLmodel"
    assert ci.get(f"mlflow-artifacts/artifacts/{frozen}").content == b"second"
    assert ci.put(frozen, b"third").status == 409
    assert ci.get(f"mlflow-artifacts/artifacts/{frozen}").content == b"second"


def test_the_proxy_lists_names_and_a_run_lists_paths(ci: Door) -> None:
    run_id = ci.run()
    for path in ("b.txt", "a/one.txt", "a/deep/two.txt"):
        ci.put(place(run_id, path), path.encode())
    proxied = ci.get("mlflow-artifacts/artifacts", path=place(run_id, "a")).body["files"]
    assert proxied == [{"path": "deep", "is_dir": True}, {"path": "one.txt", "is_dir": False, "file_size": 9}]
    listed = ci.get("mlflow/artifacts/list", run_id=run_id, path="a").body
    assert [file["path"] for file in listed["files"]] == ["a/deep", "a/one.txt"]
    assert listed["root_uri"] == f"mlflow-artifacts:/0/{run_id}/artifacts"
    assert [file["path"] for file in ci.get("mlflow/artifacts/list", run_id=run_id).body["files"]] == ["a", "b.txt"]
    for nothing in ("a/one.txt", "none", "b"):
        assert ci.get("mlflow-artifacts/artifacts", path=place(run_id, nothing)).body == {}
    assert ci.get("mlflow-artifacts/artifacts", path="0/none").body == {}


def test_a_logged_models_directories_are_listed(ci: Door) -> None:
    model_id = ci.post("mlflow/logged-models", {"experiment_id": "0"}).body["model"]["info"]["model_id"]
    ci.put(f"0/models/{model_id}/artifacts/data/model.bin", b"x")
    path = f"mlflow/logged-models/{model_id}/artifacts/directories"
    assert ci.get(path).body["files"] == [{"path": "data", "is_dir": True}]
    assert [file["path"] for file in ci.get(path, artifact_directory_path="data").body["files"]] == ["data/model.bin"]


TRAVERSAL = [
    "../x",
    "a/../../x",
    "%2e%2e/x",
    "..%2fx",
    "%252e%252e%252fx",
    "a/./b",
    "a//b",
    "/etc/passwd",
    "a\\..\\b",
    "a%5cb",
    "a%00b",
    "a%0ab",
    "a%1bb",
    "a%7fb",
    "a%E2%80%AEb",
    "%ff",
    "dir/",
    "x" * 1001,
]


@pytest.mark.parametrize("path", TRAVERSAL)
@pytest.mark.parametrize("method", ["put", "get"])
def test_a_path_that_could_climb_or_deceive_is_400_and_nothing_is_written(
    ci: Door, data_directory: Path, path: str, method: str
) -> None:
    run_id = ci.run()
    headers = {"Authorization": f"Bearer {ci.token}"}
    url = f"/api/2.0/mlflow-artifacts/artifacts/{place(run_id)}{path}"
    more: dict[str, Any] = {"data": b"x", "content_type": "text/plain"} if method == "put" else {}
    response = getattr(Client(), method)(url, headers=headers, **more)
    assert response.status_code == 400
    assert response.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "path" in response.json()["message"]
    assert left_behind(data_directory) == []
    assert not FolderFile.objects.exists()


@pytest.mark.parametrize("path", ["..", "../x", "%2e%2e", "a//b", "a\0b", "a\\b"])
def test_a_listing_of_a_path_that_climbs_is_400(ci: Door, path: str) -> None:
    run_id = ci.run()
    for answer in (
        ci.get("mlflow/artifacts/list", run_id=run_id, path=path),
        ci.get("mlflow-artifacts/artifacts", path=place(run_id, path)),
    ):
        assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    "path",
    ["x", "0", "0/{run}", "0/{run}/artifacts", "0/{run}/x/y", "1/{run}/artifacts/x", "versions/x/y", "0/models/x"],
)
def test_outside_the_known_folders_nothing_is_written_or_found(ci: Door, data_directory: Path, path: str) -> None:
    path = path.format(run=ci.run())
    assert ci.put(path, b"x").status in (400, 404)
    assert ci.get(f"mlflow-artifacts/artifacts/{path}").status in (400, 404)
    assert left_behind(data_directory) == []


def test_a_file_and_a_directory_do_not_take_each_others_place(ci: Door) -> None:
    run_id = ci.run()
    ci.put(place(run_id, "a/b"), b"x")
    for path in ("a", "a/b/c"):
        answer = ci.put(place(run_id, path), b"y")
        assert (answer.status, answer.code) == (409, "RESOURCE_CONFLICT")
    assert ci.get(f"mlflow-artifacts/artifacts/{place(run_id, 'a')}").status == 404


def test_bytes_other_than_announced_are_refused_and_nothing_is_left(ci: Door, data_directory: Path) -> None:
    run_id = ci.run()
    url = f"/api/2.0/mlflow-artifacts/artifacts/{place(run_id, 'x')}"
    for announced, named in (("0" * 64, "SHA-256"), ("short", "SHA-256")):
        headers = {"Authorization": f"Bearer {ci.token}", "X-Content-SHA256": announced}
        response = Client().put(url, b"x", content_type="text/plain", headers=headers)
        assert response.status_code == 400
        assert named in response.json()["message"]
    assert left_behind(data_directory) == []
    assert not FolderFile.objects.exists()


def test_a_file_over_the_limit_is_refused_and_nothing_is_left(ci: Door, data_directory: Path, settings: Any) -> None:
    settings.VOUCH_MAX_FILE_BYTES = 10
    run_id = ci.run()
    answer = ci.put(place(run_id, "x"), b"x" * 11)
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert left_behind(data_directory) == []
