"""The artifact proxy: paths, listings, what is sealed, what is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils.http import urlencode

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


PROXY = "api/2.0/mlflow-artifacts/artifacts"


def test_a_part_of_a_file_is_served_and_only_of_the_file_that_was_meant(ci: Door) -> None:
    run_id = ci.run()
    ci.put(place(run_id, "digits"), b"0123456789")
    url = f"{PROXY}/{place(run_id, 'digits')}"
    etag = ci.get_file(url).headers["ETag"]
    for asked, first, content in (
        ("bytes=2-4", 2, b"234"),
        ("bytes=7-", 7, b"789"),
        ("bytes=-3", 7, b"789"),
        ("bytes=0-0", 0, b"0"),
        ("bytes=8-99", 8, b"89"),
    ):
        part = ci.get_file(url, Range=asked, If_Range=etag)
        assert (part.status, part.content, part.headers["Content-Length"]) == (206, content, str(len(content)))
        assert part.headers["Content-Range"] == f"bytes {first}-{first + len(content) - 1}/10"
    for headers in (
        {"Range": "bytes=0-1,4-5"},
        {"Range": "bytes=4-2"},
        {"Range": "lines=1-2"},
        {"Range": "bytes=1-2", "If_Range": '"another"'},
    ):
        answer = ci.get_file(url, **headers)
        assert (answer.status, answer.content) in ((200, b"0123456789"), (416, b""))
        assert answer.status == 200 or headers["Range"] == "bytes=4-2"
    beyond = ci.get_file(url, Range="bytes=10-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */10")
    for known in (etag, "*", f'W/{etag}, "x"'):
        assert ci.get_file(url, If_None_Match=known).status == 304


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "text/plain"),
        ("conda.yaml", "text/plain"),
        ("MLmodel", "text/plain"),
        ("MLproject", "text/plain"),
        ("m.json", "text/plain"),
        ("b.pkl", "application/octet-stream"),
        ("c.png", "image/png"),
        ("d.pdf", "application/pdf"),
        ("e", "application/octet-stream"),
    ],
)
def test_the_type_is_guessed_from_the_name_whatever_the_caller_asks_for(ci: Door, name: str, kind: str) -> None:
    run_id = ci.run()
    ci.put(place(run_id, name), b"")
    answer = ci.get_file(f"{PROXY}/{place(run_id, name)}", Accept="text/html")
    assert (answer.headers["Content-Type"], answer.headers["X-Content-Type-Options"]) == (kind, "nosniff")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'


def delete(door: Door, path: str) -> Any:
    return door.raw("DELETE", f"mlflow-artifacts/artifacts/{path}", b"", "application/octet-stream")


def test_files_and_directories_are_removed_and_what_is_not_there_is_no_mistake(ci: Door) -> None:
    run_id = ci.run()
    for path in ("a/one", "a/deep/two", "b"):
        ci.put(place(run_id, path), b"x")
    assert (delete(ci, place(run_id, "a")).status, delete(ci, place(run_id, "a")).body) == (200, {})
    assert [file["path"] for file in ci.get("mlflow/artifacts/list", run_id=run_id).body["files"]] == ["b"]
    for absent in (place(run_id, "none"), place("0" * 32, "x"), "nowhere", "5/x"):
        assert (delete(ci, absent).status, delete(ci, absent).body) == (200, {})
    assert delete(ci, place(run_id)).status == 200  # as `mlflow gc` does, with the slash at the end
    assert "files" not in ci.get("mlflow/artifacts/list", run_id=run_id).body
    assert delete(ci, place(run_id, "..%2fx")).status == 400


def test_nothing_of_a_version_is_removed_by_nobody(ci: Door, root: Door, stranger: Door) -> None:
    version = ci.version()
    run_id = version["run_id"]
    frozen = f"versions/{Version.objects.get().pk.hex}"
    for door in (ci, root):
        for path in (
            place(run_id, "model/MLmodel"),
            place(run_id, "model"),
            place(run_id),
            frozen,
            f"{frozen}/MLmodel",
        ):
            answer = delete(door, path)
            assert (answer.status, answer.code) == (409, "RESOURCE_CONFLICT"), path
    ci.put(place(run_id, "mine"), b"x")
    assert delete(stranger, place(run_id, "mine")).body == {}
    assert ci.get_file(f"{PROXY}/{place(run_id, 'mine')}").content == b"x"
    assert ci.get_file(f"{PROXY}/{frozen}/MLmodel").status == 200


def test_a_file_of_a_run_a_version_and_a_logged_model_is_downloaded_by_name(ci: Door, stranger: Door) -> None:
    version = ci.version()
    run_id = version["run_id"]
    model_id = ci.post("mlflow/logged-models", {"experiment_id": "0"}).body["model"]["info"]["model_id"]
    ci.put(f"0/models/{model_id}/artifacts/data/model.bin", b"logged")
    named = urlencode({"name": "churn", "version": "1", "path": "MLmodel"})
    for url, content in (
        (f"get-artifact?run_id={run_id}&path=model/MLmodel", run_id.encode()),
        (f"get-artifact?run_uuid={run_id}&path=model/MLmodel", run_id.encode()),
        (f"model-versions/get-artifact?{named}", run_id.encode()),
        (f"ajax-api/2.0/mlflow/logged-models/{model_id}/artifacts/files?artifact_file_path=data/model.bin", b"logged"),
    ):
        answer = ci.get_file(url)
        assert (answer.status, answer.content) == (200, content)
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert stranger.get_file(url).status == 404
    for url in (
        f"get-artifact?run_id={run_id}&path=../x",
        "model-versions/get-artifact?name=none&version=1&path=../x",
        f"api/2.0/mlflow/logged-models/{model_id}/artifacts/files?artifact_file_path=..%2fx",
        f"api/2.0/mlflow/artifacts/list?run_id={'0' * 32}&path=../x",
    ):
        answer = ci.get_file(url)
        assert (answer.status, answer.code, answer.message[:12]) == (400, "INVALID_PARAMETER_VALUE", "Invalid path")
    assert ci.get_file(f"get-artifact?run_id={run_id}&path=none").status == 404
    assert ci.get_file(f"get-artifact?run_id={run_id}&path=model").status == 404
    assert "'path'" in ci.get_file(f"get-artifact?run_id={run_id}").message


def test_a_page_sends_a_small_file_and_hears_what_is_missing(ci: Door, data_directory: Path) -> None:
    run_id = ci.run()

    def sent(query: str, content: bytes = b"hello") -> Any:
        return ci.raw("POST", f"mlflow/upload-artifact?{query}", content, "application/octet-stream")

    assert sent(f"run_uuid={run_id}&path=notes/a.txt").status == 200
    assert ci.get_file(f"get-artifact?run_uuid={run_id}&path=notes/a.txt").content == b"hello"
    kept = left_behind(data_directory)
    for query, content, told in (
        ("", b"x", "Request must specify run_uuid."),
        (f"run_uuid={run_id}", b"x", "Request must specify path."),
        (f"run_uuid={run_id}&path=", b"x", "Request must specify path."),
        (f"run_uuid={run_id}&path=../a", b"x", "Invalid path"),
        (f"run_uuid={run_id}&path=b", b"", "Request must specify data."),
        (f"run_uuid={run_id}&path=b", bytes(10 * 1024**2 + 1), "Max size is 10MB"),
    ):
        answer = sent(query, content)
        assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
        assert told in answer.message
    assert left_behind(data_directory) == kept


def test_files_of_an_experiment_elsewhere_are_listed_as_none(ci: Door) -> None:
    made = ci.post("mlflow/experiments/create", {"name": "afar", "artifact_location": "s3://theirs/models"})
    run_id = ci.run(experiment_id=made.body["experiment_id"])
    listed = ci.get("mlflow/artifacts/list", run_id=run_id)
    assert (listed.status, listed.body) == (200, {"root_uri": f"s3://theirs/models/{run_id}/artifacts"})
    assert ci.get("mlflow-artifacts/artifacts").body == {}


def test_for_the_clients_own_tests_files_lie_anywhere_and_answers_are_bare(ci: Door, settings: Any) -> None:
    settings.VOUCH_CONFORMANCE = True
    for path in ("a.txt", "dir/b.txt"):
        assert ci.put(path, path.encode()).status == 200
    assert [file["path"] for file in ci.get("mlflow-artifacts/artifacts").body["files"]] == ["a.txt", "dir"]
    assert [file["path"] for file in ci.get("mlflow-artifacts/artifacts", path="dir").body["files"]] == ["b.txt"]
    assert ci.get_file(f"{PROXY}/dir/b.txt").content == b"dir/b.txt"
    answer = ci.get("mlflow/artifacts/list", run_id=ci.run(), path="../path")
    assert answer.body == {"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid path"}


def test_an_experiment_may_have_a_place_of_its_own_in_our_store(ci: Door) -> None:
    body = {"name": "of the team", "artifact_location": "mlflow-artifacts:/team/iris/"}
    experiment = ci.post("mlflow/experiments/create", body).body["experiment_id"]
    run = ci.run(experiment_id=experiment)
    root = f"team/iris/{run}/artifacts"
    assert ci.get("mlflow/runs/get", run_id=run).body["run"]["info"]["artifact_uri"] == f"mlflow-artifacts:/{root}"
    assert ci.put(f"{root}/model/MLmodel", b"flavors: {}").status == 200
    assert ci.get("mlflow/artifacts/list", run_id=run, path="model").body["files"][0]["path"] == "model/MLmodel"
    assert ci.get(f"mlflow-artifacts/artifacts/{root}/model/MLmodel").content == b"flavors: {}"
    for elsewhere in (f"team/{run}/artifacts", f"{experiment}/{run}/artifacts", f"{root}/{run}/artifacts"):
        assert ci.get(f"mlflow-artifacts/artifacts/{elsewhere}/model/MLmodel").status == 404
    ci.post("mlflow/registered-models/create", {"name": "iris"})
    source = {"name": "iris", "source": f"mlflow-artifacts:/{root}/model", "run_id": run}
    assert "manifest_digest" in ci.post("mlflow/model-versions/create", source).body["model_version"]


OF_A_RUN = f"team/{'0' * 32}/artifacts"
OF_A_MODEL = f"team/models/m-{'0' * 32}/artifacts"


@pytest.mark.parametrize(
    "place",
    [
        "1/x",
        "0",
        "versions/x",
        "",
        "../x",
        "/elsewhere.example/x",
        OF_A_RUN,
        f"{OF_A_RUN}/x",
        OF_A_MODEL,
        "%76/x",
        "a?b",
    ],
)
def test_a_place_that_is_somebody_elses_is_none_for_an_experiment(ci: Door, place: str) -> None:
    answer = ci.post("mlflow/experiments/create", {"name": "x", "artifact_location": f"mlflow-artifacts:/{place}"})
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
