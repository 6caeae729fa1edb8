"""The native API over the wire: CI with curl, calls that wait, chunked bodies."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.live import ROOT, Live


def call(
    live: Live, account: str, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Message, Any]:
    """Status, headers and JSON body."""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    sent = {"Authorization": f"Bearer {live.token(account)}", "Content-Type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{live.url}/api/v1/{path}", data, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return answer.status, answer.headers, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.loads(error.read() or b"null")


def candidate(live: Live) -> dict[str, Any]:
    """An open promotion to Production of the first version of a new model."""
    name, upload = f"live-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    assert call(live, "ci", "POST", "models", {"name": name})[0] == 201
    content = upload.encode()
    status, _, _ = call(
        live,
        "ci",
        "PUT",
        f"uploads/{upload}/files/model.bin",
        content,
        X_Content_SHA256=hashlib.sha256(content).hexdigest(),
        Content_Type="application/octet-stream",
    )
    assert status == 201
    assert call(live, "ci", "POST", f"models/{name}/versions", {"upload": upload})[0] == 201
    status, _, promotion = call(live, "ci", "POST", "promotions", {"model": name, "version": 1, "stage": "Production"})
    assert status == 201
    return dict(promotion)


def approve(live: Live, promotion: dict[str, Any]) -> float:
    """Approve as the reviewer; when."""
    body = {"evidence": promotion["evidence"]}
    assert call(live, "reviewer", "POST", f"promotions/{promotion['id']}/approve", body)[0] == 200
    return time.monotonic()


def approve_next(live: Live, name: str) -> None:
    """Wait for an open promotion of the model, as a reviewer would, and approve it."""
    for _ in range(100):
        _, _, found = call(live, "reviewer", "GET", f"promotions?state=open&model={quote(name)}")
        if found["items"]:
            detail = call(live, "reviewer", "GET", f"promotions/{found['items'][0]['id']}")[2]
            approve(live, detail)
            return
        time.sleep(0.1)


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="examples/ci.sh is for curl; apt install curl")


def ci_script(live: Live, name: str, files: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "examples" / "ci.sh"), name, str(files)],
        env={**os.environ, "VOUCH_URL": live.url, "VOUCH_TOKEN": live.token("ci"), **env},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "build" / "model dir").mkdir(parents=True)
    (tmp_path / "build" / "MLmodel").write_text("flavors: {}")
    (tmp_path / "build" / "model dir" / "weights.bin").write_bytes(os.urandom(2_000_000))
    return tmp_path / "build"


@needs_curl
@pytest.mark.smoke
def test_ci_takes_a_build_to_production_with_curl(live: Live, files: Path) -> None:
    name = f"Curl {uuid.uuid4().hex[:8]}"
    reviewer = threading.Thread(target=approve_next, args=[live, name])
    reviewer.start()
    ran = ci_script(live, name, files)
    reviewer.join()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "verdict: promoted" in ran.stdout
    assert "resolved again: 304" in ran.stdout
    resolved = json.loads(next(line for line in ran.stdout.splitlines() if line.startswith("{")))
    weights = (files / "model dir" / "weights.bin").read_bytes()
    assert resolved["files"][1] == {
        "path": "model dir/weights.bin",
        "sha256": hashlib.sha256(weights).hexdigest(),
        "size": 2_000_000,
    }
    assert live.token("ci") not in ran.stdout + ran.stderr


@needs_curl
@pytest.mark.parametrize(
    ("command", "code", "state"), [("echo 80 passed", 0, "passed"), ("echo 2 failed; exit 3", 3, "failed")]
)
def test_a_command_is_reported_as_a_check_with_curl(
    live: Live, tmp_path: Path, command: str, code: int, state: str
) -> None:
    model = candidate(live)["model"]
    (tmp_path / "values.json").write_text('{"auc": 0.93}')
    ran = subprocess.run(
        ["bash", str(ROOT / "examples" / "check.sh"), model, "1", "ci/tests", "bash", "-c", command],
        env={
            **os.environ,
            "VOUCH_URL": live.url,
            "VOUCH_TOKEN": live.token("ci"),
            "VOUCH_LINK": "https://ci.example/9",
            "VOUCH_VALUES": str(tmp_path / "values.json"),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert live.token("ci") not in ran.stdout + ran.stderr
    _, _, history = call(live, "ci", "GET", f"models/{model}/versions/1/checks/ci%2Ftests")
    assert [report["state"] for report in history["items"]] == [state, "pending"]
    newest = history["items"][0]
    said = command.partition(";")[0].removeprefix("echo ")
    assert (newest["summary"], newest["link"], newest["values"]) == (said, "https://ci.example/9", {"auc": 0.93})


@needs_curl
def test_ci_stops_with_the_reason_when_it_is_refused(live: Live, files: Path) -> None:
    bad_name = ci_script(live, "näme", files)
    assert (bad_name.returncode, "name 'näme' is not allowed" in bad_name.stderr) == (1, True), bad_name.stderr
    late = ci_script(live, f"late-{uuid.uuid4().hex[:8]}", files, VOUCH_PATIENCE="1")
    assert (late.returncode, late.stderr) == (2, "nobody decided in 1 seconds\n")


def test_a_waiting_call_answers_within_a_second_of_the_verdict(live: Live) -> None:
    promotion = candidate(live)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(
            lambda: (call(live, "ci", "GET", f"promotions/{promotion['id']}?wait=30"), time.monotonic())
        )
        time.sleep(1.5)
        assert not waiting.done()
        decided = approve(live, promotion)
        (status, _, body), answered = waiting.result()
    assert (status, body["state"]) == (200, "promoted")
    assert answered - decided < 1


def test_resolve_waits_for_the_generation_to_move(live: Live) -> None:
    promotion = candidate(live)
    approve(live, promotion)
    name = promotion["model"]
    path = f"resolve?uri={quote(f'models:/{name}/Production')}"
    etag = call(live, "ci", "GET", path)[1]["ETag"]
    began = time.monotonic()
    assert call(live, "ci", "GET", f"{path}&wait=2", If_None_Match=etag)[0] == 304
    assert 1.9 < time.monotonic() - began < 4
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(
            lambda: (call(live, "ci", "GET", f"{path}&wait=30", If_None_Match=etag), time.monotonic())
        )
        time.sleep(1.2)
        assert not waiting.done()
        assert call(live, "ci", "PUT", f"models/{name}/aliases/champion", {"version": 1})[0] == 200
        moved = time.monotonic()
        (status, headers, _), answered = waiting.result()
    assert status == 200
    assert headers["ETag"] != etag
    assert answered - moved < 1
    assert call(live, "ci", "GET", f"{path}&wait=30", If_None_Match=etag)[0] == 200


def test_waiting_calls_are_bounded_and_leave_threads_for_the_others(live: Live) -> None:
    promotion = candidate(live)
    path = f"promotions/{promotion['id']}?wait=5"
    callers = ["ci", "ci", "ci", "reviewer", "reviewer", "admin"]
    with ThreadPoolExecutor(len(callers)) as pool:
        began = time.monotonic()
        answers = [pool.submit(call, live, account, "GET", path) for account in callers]
        time.sleep(1)
        quick = time.monotonic()
        assert call(live, "ci", "GET", "me")[0] == 200
        assert time.monotonic() - quick < 1
        statuses = [answer.result() for answer in answers]
    refused = [(headers["Retry-After"], body["code"]) for status, headers, body in statuses if status == 429]
    assert sorted(status for status, _, _ in statuses) == [200, 200, 200, 200, 429, 429]
    assert refused == [("1", "no-place")] * 2
    assert time.monotonic() - began < 8
    assert call(live, "ci", "GET", f"promotions/{promotion['id']}?wait=1")[0] == 200  # the places are free again


def test_a_token_revoked_while_its_call_waits_gets_no_answer(live: Live) -> None:
    promotion = candidate(live)
    made = call(live, "admin", "POST", "tokens", {"name": "short", "scopes": ["read"]})[2]
    live.accounts["short"] = {"token": made["token"]}
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(call, live, "short", "GET", f"promotions/{promotion['id']}?wait=30")
        time.sleep(1)
        assert call(live, "admin", "DELETE", f"tokens/{made['id']}")[0] == 204
        approve(live, promotion)
        assert waiting.result()[0] == 401


def test_an_upload_in_chunks_of_no_announced_length_arrives_whole(live: Live) -> None:
    content = os.urandom(3_000_000)
    where = urlsplit(live.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
    connection.request(
        "PUT",
        f"/api/v1/uploads/{uuid.uuid4().hex}/files/a.bin",
        body=(content[at : at + 500_000] for at in range(0, len(content), 500_000)),
        headers={
            "Authorization": f"Bearer {live.token('ci')}",
            "Content-Type": "application/octet-stream",
            "X-Content-SHA256": hashlib.sha256(content).hexdigest(),
        },
        encode_chunked=True,
    )
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["size"]) == (201, len(content))


@pytest.mark.parametrize("length", [10, 30])
def test_an_upload_that_is_longer_or_shorter_than_announced_leaves_nothing(live: Live, length: int) -> None:
    content, upload, where = b"twenty bytes of file", uuid.uuid4().hex, urlsplit(live.url)
    head = (
        f"PUT /api/v1/uploads/{upload}/files/a HTTP/1.1\r\nHost: {where.netloc}\r\n"
        f"Authorization: Bearer {live.token('ci')}\r\nContent-Type: application/octet-stream\r\n"
        f"X-Content-SHA256: {hashlib.sha256(content).hexdigest()}\r\nContent-Length: {length}\r\n\r\n"
    )
    with socket.create_connection((str(where.hostname), where.port or 80), timeout=20) as connection:
        connection.sendall(head.encode() + content)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)
    assert not answer or answer.startswith(b"HTTP/1.1 400"), answer
    assert call(live, "ci", "GET", f"uploads/{upload}")[0] == 404
    assert call(live, "ci", "GET", "me")[0] == 200


def test_a_json_body_of_no_announced_length_is_refused_not_ignored(live: Live) -> None:
    where = urlsplit(live.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
    connection.putrequest("POST", "/api/v1/models")
    connection.putheader("Authorization", f"Bearer {live.token('ci')}")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    assert connection.getresponse().status == 411


def test_no_secret_reaches_the_logs(live: Live) -> None:
    password = f"canary {uuid.uuid4().hex}"
    token = live.token("admin")
    made = call(live, "admin", "POST", "users", {"username": f"u{uuid.uuid4().hex[:8]}", "password": password})
    assert made[0] == 201
    call(live, "admin", "POST", "users", {"username": "!", "password": password})
    call(live, "admin", "GET", f"models?name={token}&{token}=1")
    live.accounts["broken"] = {"token": f"{token[:-1]}~"}
    call(live, "broken", "GET", "me")
    logged = live.log.read_text()
    assert "/api/v1/me" in logged  # it is the log of these requests
    assert password not in logged
    assert token not in logged
    assert token[12:38] not in logged
