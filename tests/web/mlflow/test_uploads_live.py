"""Uploads over a real connection: in chunks, empty, short, cut off; and that nothing is left of what failed."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.live import Live

MEGABYTE = b"0123456789abcdef" * 65_536


@dataclass(frozen=True)
class Wire:
    """Requests byte by byte; `folder` is that of a new run."""

    live: Live
    folder: str

    @property
    def host(self) -> tuple[str, int]:
        url = urlsplit(self.live.url)
        return url.hostname or "", url.port or 0

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        """One request; a body that is an iterator goes in chunks, as from the stock clients' HTTP library."""
        link = http.client.HTTPConnection(*self.host, timeout=60)
        sent = {"Authorization": f"Bearer {self.live.token('ci')}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        link.request(method, path, body, sent, encode_chunked="Transfer-Encoding" in sent)
        response = link.getresponse()
        try:
            return response.status, response.read()
        finally:
            link.close()

    def put_chunks(self, name: str, chunks: Iterator[bytes], **headers: str) -> tuple[int, bytes]:
        return self.send("PUT", self.url(name), chunks, Transfer_Encoding="chunked", **headers)

    def break_off(self, name: str, head: str, sent: bytes) -> None:
        """Send the head and part of a body, then close the connection."""
        with socket.create_connection(self.host, timeout=10) as link:
            request = f"PUT {self.url(name)} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n"
            request += f"Authorization: Bearer {self.live.token('ci')}\r\n\r\n"
            link.sendall(request.encode() + sent)
            time.sleep(0.3)

    def url(self, name: str) -> str:
        return f"/api/2.0/mlflow-artifacts/artifacts/{self.folder}/{name}"

    def content(self, name: str) -> tuple[int, bytes]:
        return self.send("GET", self.url(name))

    def nothing_is_left_of(self, name: str, content: bytes) -> None:
        """No file at the path, no row, no bytes in the store, none on their way into it."""
        time.sleep(0.5)
        assert self.content(name)[0] == 404
        assert os.listdir(self.store / "incoming") == []
        digest = hashlib.sha256(content).hexdigest()
        assert not (self.store / "sha256" / digest[:2] / digest[2:4] / digest).exists()
        with psycopg.connect(self.live.env["DATABASE_URL"]) as database:
            rows = database.execute("SELECT count(*) FROM lineage_folderfile WHERE sha256 = %s", [digest]).fetchone()
        assert rows == (0,)

    @property
    def store(self) -> Path:
        return Path(self.live.env["VOUCH_DATA"]) / "artifacts"


@pytest.fixture
def wire(live: Live) -> Wire:
    made = Wire(live, "")
    body = json.dumps({"experiment_id": "0"})
    status, answer = made.send("POST", "/api/2.0/mlflow/runs/create", body, Content_Type="application/json")
    assert status == 200
    wire = Wire(live, f"0/{json.loads(answer)['run']['info']['run_id']}/artifacts")
    assert wire.send("PUT", wire.url("first"), b"so that the store is there")[0] == 200
    return wire


def test_an_empty_file_in_chunks_is_an_empty_file(wire: Wire) -> None:
    assert wire.put_chunks("empty", iter([])) == (200, b"")
    assert wire.content("empty") == (200, b"")


def test_twenty_megabytes_in_chunks_arrive_whole_when_their_digest_is_announced(wire: Wire) -> None:
    content = MEGABYTE * 20
    digest = hashlib.sha256(content).hexdigest()
    assert wire.put_chunks("large", iter([MEGABYTE] * 20), X_Content_SHA256=digest) == (200, b"")
    assert wire.content("large") == (200, content)


def test_chunks_without_a_digest_are_refused_since_a_cut_would_go_unnoticed(wire: Wire) -> None:
    status, answer = wire.put_chunks("unsure", iter([b"half a model"]))
    assert status == 400
    assert "X-Content-SHA256" in json.loads(answer)["message"]
    wire.nothing_is_left_of("unsure", b"half a model")


def test_a_file_with_its_length_arrives_whole(wire: Wire) -> None:
    assert wire.send("PUT", wire.url("plain"), MEGABYTE * 3) == (200, b"")
    assert wire.content("plain") == (200, MEGABYTE * 3)


def test_an_upload_shorter_than_announced_leaves_nothing(wire: Wire) -> None:
    wire.break_off("short", "Content-Length: 1000", b"only this came")
    wire.nothing_is_left_of("short", b"only this came")


def test_an_upload_whose_chunks_are_cut_off_leaves_nothing(wire: Wire) -> None:
    digest = hashlib.sha256(b"the whole of it").hexdigest()
    for sent in (b"9\r\nthe whole", b"9\r\nthe whole\r\n", b"9\r\nthe who"):
        wire.break_off("cut", f"Transfer-Encoding: chunked\r\nX-Content-SHA256: {digest}", sent)
        wire.nothing_is_left_of("cut", b"the whole")
        wire.break_off("cut", "Transfer-Encoding: chunked", sent)
        wire.nothing_is_left_of("cut", b"the whole")


@pytest.mark.parametrize(
    "path", ["../x", "%2e%2e/x", "..%2fx", "%252e%252e%252fx", "a%00b", "a%0ab", "%ff", "a%5c..%5cb"]
)
def test_a_path_that_climbs_is_refused_before_a_byte_is_stored(wire: Wire, path: str) -> None:
    status, answer = wire.send("PUT", wire.url(path), f"climbing {path}".encode())
    assert status == 400
    assert json.loads(answer)["error_code"] == "INVALID_PARAMETER_VALUE"
    assert os.listdir(wire.store / "incoming") == []
    digest = hashlib.sha256(f"climbing {path}".encode()).hexdigest()
    assert not (wire.store / "sha256" / digest[:2] / digest[2:4] / digest).exists()


@pytest.mark.parametrize("length", ["-1", "abc", "1e3"])
def test_a_length_that_is_none_is_a_4xx(wire: Wire, length: str) -> None:
    with socket.create_connection(wire.host, timeout=10) as link:
        head = f"PUT {wire.url('odd')} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n"
        link.sendall(f"{head}Authorization: Bearer {wire.live.token('ci')}\r\n\r\nabc".encode())
        assert link.recv(100).startswith(b"HTTP/1.1 4")
