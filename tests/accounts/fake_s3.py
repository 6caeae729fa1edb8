"""As much of S3 as checkpoints use: conditional PUT, GET, and a list in pages, kept in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 3


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("If-None-Match") == "*" and self._key in self.objects:
            self._answer(412, "<Error><Code>PreconditionFailed</Code></Error>")
            return
        self.objects[self._key] = body
        self._answer(200, "")

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        if "list-type" in asked:
            self._list(asked["prefix"][0], asked.get("continuation-token", [""])[0])
        elif self._key in self.objects:
            self._answer(200, self.objects[self._key])
        else:
            self._answer(404, "<Error><Code>NoSuchKey</Code></Error>")

    def _list(self, prefix: str, after: str) -> None:
        bucket = self._key.partition("/")[0]
        keys = sorted(key.partition("/")[2] for key in self.objects if key.startswith(f"{bucket}/{prefix}"))
        rest = [key for key in keys if key > after]
        page = "".join(f"<Contents><Key>{escape(key)}</Key></Contents>" for key in rest[:PAGE])
        more = len(rest) > PAGE
        token = f"<NextContinuationToken>{escape(rest[PAGE - 1])}</NextContinuationToken>" if more else ""
        self._answer(
            200, f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{page}{token}</ListBucketResult>"
        )

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def _answer(self, status: int, body: str | bytes) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[tuple[str, dict[str, bytes]]]:
    """The address of a new server, and its objects: BUCKET/KEY → content."""
    handler = type("Handler", (_Handler,), {"objects": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.objects
    finally:
        server.shutdown()
        server.server_close()
