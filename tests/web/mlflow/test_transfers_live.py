"""The stock client sends and fetches files: through the server, and by itself where they lie in a bucket."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import fake_s3
from tests.fake_s3 import Kept
from tests.live import ROOT, Live, serving
from tests.web.mlflow.test_clients import run

SCRIPT = str(ROOT / "tests" / "web" / "mlflow" / "by_itself.py")
MEGABYTE = 1024 * 1024
PARTS = {
    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(8 * MEGABYTE),
    "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(5 * MEGABYTE),
    "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": str(5 * MEGABYTE),
}


@pytest.fixture(scope="module")
def in_bucket(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[tuple[Live, Kept]]:
    with fake_s3.serving() as (address, kept):
        settings = {**fake_s3.CREDENTIALS, "VOUCH_ARTIFACTS": f"s3://store/models?endpoint={address}"}
        with serving(tmp_path_factory.mktemp("bucket"), f"vouch_bucket_{worker_id}", **settings) as server:
            yield server, kept


def told(live: Live) -> dict[str, str]:
    return {"DATABRICKS_HOST": live.url, "DATABRICKS_TOKEN": live.token("ci")}


def test_where_files_lie_in_a_bucket_the_client_sends_parts_there_and_fetches_from_there(
    in_bucket: tuple[Live, Kept], tmp_path: Path
) -> None:
    live, bucket = in_bucket
    assert "all is well" in run(live, "mlflow-3", tmp_path, SCRIPT, "by itself", **told(live), **PARTS)
    sent = [line for line in bucket.seen if line.startswith("PUT store/models/incoming/")]
    assert len(sent) == 3  # parts of 5, 5 and 2 MB
    assert not bucket.parts
    assert all(key.startswith("store/models/sha256/") for key in bucket.objects)
    assert all(key.endswith(hashlib.sha256(content).hexdigest()) for key, content in bucket.objects.items())


def test_where_files_lie_on_a_disk_the_client_goes_through_the_server(live: Live, tmp_path: Path) -> None:
    assert "all is well" in run(live, "mlflow-3", tmp_path, SCRIPT, "through us", **told(live), **PARTS)


def test_a_large_file_goes_up_and_down_in_flat_memory(live: Live, in_bucket: tuple[Live, Kept]) -> None:
    for server, allowed in ((live, 24), (in_bucket[0], 128)):
        size = 160 * MEGABYTE
        with Connection(server) as link:
            link.up("first", MEGABYTE)
            before = server.peak_memory()
            link.up("large", size)
            link.down("large", size)
        assert server.peak_memory() - before < allowed * MEGABYTE


class Connection:
    """Sends and fetches zeros."""

    def __init__(self, live: Live):
        self.link = http.client.HTTPConnection(urlsplit(live.url).netloc, timeout=60, blocksize=MEGABYTE)
        self.token = {"Authorization": f"Bearer {live.token('ci')}"}

    def __enter__(self) -> Connection:
        body = json.dumps({"experiment_id": "0"})
        made = self._sent("POST", "mlflow/runs/create", body, **{"Content-Type": "application/json"})
        self.place = f"mlflow-artifacts/artifacts/0/{json.load(made)['run']['info']['run_id']}/artifacts"
        return self

    def __exit__(self, *_: object) -> None:
        self.link.close()

    def up(self, name: str, size: int) -> None:
        chunks = (bytes(MEGABYTE) for _ in range(size // MEGABYTE))
        self._sent("PUT", f"{self.place}/{name}", chunks, **{"Content-Length": str(size)}).read()

    def down(self, name: str, size: int) -> None:
        answer, left = self._sent("GET", f"{self.place}/{name}", None), size
        while chunk := answer.read(MEGABYTE):
            left -= len(chunk)
        assert left == 0

    def _sent(self, method: str, path: str, body: object, **headers: str) -> http.client.HTTPResponse:
        self.link.request(method, f"/api/2.0/{path}", body, {**self.token, **headers})  # type: ignore[arg-type]
        answer = self.link.getresponse()
        assert answer.status == 200, answer.read()
        return answer
