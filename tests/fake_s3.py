"""As much of S3 as Vouch uses, kept in memory: objects with ranges and conditions, lists in pages, copies, uploads in
parts. Every request must be signed by version 4 with the key `id` / `secret`, in its headers or in its URL."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

PAGE = 3
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass
class Kept:
    """`objects`: BUCKET/KEY → content. `parts`: the name of an upload → number → content. `seen`: METHOD KEY, in order.

    `broken` answers each request with 500.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    written: dict[str, datetime.datetime] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    broken: bool = False

    def clear(self) -> None:
        for kept in (self.objects, self.written, self.parts, self.keys, self.seen):
            kept.clear()  # type: ignore[attr-defined]
        self.broken = False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kept: Kept

    def do_PUT(self) -> None:
        body = self._body()
        if not self._admitted(body):
            return
        if source := self.headers.get("x-amz-copy-source"):
            self._copy(unquote(source).lstrip("/"))
            return
        if upload := self._asked.get("uploadId"):
            if upload not in self.kept.parts:
                self._refuse(404, "NoSuchUpload")
                return
            self.kept.parts[upload][int(self._asked["partNumber"])] = body
            self._answer(200, "", ETag=_etag(body))
            return
        if self.headers.get("If-None-Match") == "*" and self._key in self.kept.objects:
            self._refuse(412, "PreconditionFailed")
            return
        self._write(self._key, body)
        self._answer(200, "", ETag=_etag(body))

    def do_GET(self) -> None:
        if not self._admitted():
            return
        if "list-type" in self._asked:
            self._list(self._asked["prefix"], self._asked.get("continuation-token", ""))
        elif "uploads" in self._asked:
            self._list_uploads(self._asked.get("prefix", ""))
        else:
            self._object()

    def do_HEAD(self) -> None:
        if self._admitted():
            self._object()

    def do_POST(self) -> None:
        body = self._body()
        if not self._admitted(body):
            return
        if "uploads" in self._asked:
            upload = f"upload-{len(self.kept.keys) + 1}"
            self.kept.parts[upload], self.kept.keys[upload] = {}, self._key
            self.kept.written[upload] = datetime.datetime.now(datetime.UTC)
            self._answer(200, f"<Result><UploadId>{upload}</UploadId></Result>")
            return
        upload = self._asked["uploadId"]
        sent = self.kept.parts.get(upload)
        if sent is None:
            self._refuse(404, "NoSuchUpload")
            return
        listed = [
            (int(part.findtext("{*}PartNumber") or 0), part.findtext("{*}ETag") or "")
            for part in ElementTree.fromstring(body)
        ]
        if any(number not in sent or etag.strip('"') != _etag(sent[number]).strip('"') for number, etag in listed):
            self._refuse(400, "InvalidPart")
            return
        del self.kept.parts[upload]
        self._write(self._key, b"".join(sent[number] for number, _ in listed))
        self._answer(200, f"<Result><ETag>{escape(_etag(body))}</ETag></Result>")

    def do_DELETE(self) -> None:
        if not self._admitted():
            return
        if upload := self._asked.get("uploadId"):
            if self.kept.parts.pop(upload, None) is None:
                self._refuse(404, "NoSuchUpload")
                return
        else:
            self.kept.objects.pop(self._key, None)
        self._answer(204, "")

    # --- What each is made of ---

    def _write(self, key: str, content: bytes) -> None:
        self.kept.objects[key] = content
        self.kept.written[key] = datetime.datetime.now(datetime.UTC)

    def _copy(self, source: str) -> None:
        if source not in self.kept.objects:
            self._refuse(404, "NoSuchKey")
            return
        content = self.kept.objects[source]
        if wanted := self.headers.get("x-amz-copy-source-range"):
            first, last = wanted.removeprefix("bytes=").split("-")
            content = content[int(first) : int(last) + 1]
        if upload := self._asked.get("uploadId"):
            self.kept.parts[upload][int(self._asked["partNumber"])] = content
        else:
            self._write(self._key, content)
        self._answer(200, f"<CopyResult><ETag>{escape(_etag(content))}</ETag></CopyResult>")

    def _object(self) -> None:
        content = self.kept.objects.get(self._key)
        if content is None:
            self._refuse(404, "NoSuchKey")
            return
        told = {name: value for name in _TOLD if (value := self._asked.get(f"response-{name.lower()}"))}
        told |= {"ETag": _etag(content), "Accept-Ranges": "bytes"}
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found is None:
            self._answer(200, content, **told)
            return
        first, last = int(found[1]), min(int(found[2] or len(content)), len(content) - 1)
        if first >= len(content):
            self._refuse(416, "InvalidRange")
            return
        self._answer(206, content[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(content)}", **told)

    def _list(self, prefix: str, after: str) -> None:
        bucket = self._key.partition("/")[0]
        keys = sorted(key.partition("/")[2] for key in self.kept.objects if key.startswith(f"{bucket}/{prefix}"))
        rest = [key for key in keys if key > after]
        page = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_time(self.kept.written.get(f'{bucket}/{key}'))}"
            "</LastModified></Contents>"
            for key in rest[:PAGE]
        )
        more = len(rest) > PAGE
        token = f"<NextContinuationToken>{escape(rest[PAGE - 1])}</NextContinuationToken>" if more else ""
        self._answer(
            200, f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{page}{token}</ListBucketResult>"
        )

    def _list_uploads(self, prefix: str) -> None:
        listed = "".join(
            f"<Upload><Key>{escape(self.kept.keys[name].partition('/')[2])}</Key><UploadId>{name}</UploadId>"
            f"<Initiated>{_time(self.kept.written[name])}</Initiated></Upload>"
            for name in self.kept.parts
            if self.kept.keys[name].partition("/")[2].startswith(prefix)
        )
        self._answer(200, f"<Result><IsTruncated>false</IsTruncated>{listed}</Result>")

    def _admitted(self, body: bytes = b"") -> bool:
        self.kept.seen.append(f"{self.command} {self._key}")
        if self.kept.broken:
            self._refuse(500, "InternalError")
            return False
        if why := _unsigned(self.command, self.path, self.headers, body):
            self._refuse(403, why)
            return False
        return True

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    @property
    def _asked(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code></Error>")

    def _answer(self, status: int, body: str | bytes, **headers: str) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=(\S+)")
_TOLD = ("Content-Disposition", "Content-Type")


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def _time(moment: datetime.datetime | None) -> str:
    return (moment or datetime.datetime.now(datetime.UTC)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _unsigned(method: str, path: str, headers: Any, body: bytes) -> str:
    """What is wrong with the signature of a request (version 4), as S3 calls it; empty when nothing is."""
    address = urlsplit(path)
    query = dict(parse_qsl(address.query, keep_blank_values=True))
    if given := query.pop("X-Amz-Signature", ""):
        credential, named, at = query["X-Amz-Credential"], query["X-Amz-SignedHeaders"], query["X-Amz-Date"]
        begun = datetime.datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
        if datetime.datetime.now(datetime.UTC) > begun + datetime.timedelta(seconds=int(query["X-Amz-Expires"])):
            return "AccessDenied"
        content = "UNSIGNED-PAYLOAD"
    elif found := _SIGNED.fullmatch(headers.get("Authorization", "")):
        credential, named, given = found.groups()
        at, content = headers["X-Amz-Date"], headers["X-Amz-Content-SHA256"]
        if content != hashlib.sha256(body).hexdigest():
            return "XAmzContentSHA256Mismatch"
    else:
        return "AccessDenied"
    listed = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(query.items())
    )
    told = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in named.split(";"))
    asked = "\n".join([method, address.path, listed, told, named, content])
    scope = credential.partition("/")[2]
    words = "\n".join(["AWS4-HMAC-SHA256", at, scope, hashlib.sha256(asked.encode()).hexdigest()])
    key = b"AWS4secret"
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    wanted = hmac.digest(key, words.encode(), "sha256").hex()
    return "" if credential.startswith("id/") and wanted == given else "SignatureDoesNotMatch"


@contextmanager
def serving() -> Iterator[tuple[str, Kept]]:
    """The address of a new server, and what it keeps."""
    handler = type("Handler", (_Handler,), {"kept": Kept()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.kept
    finally:
        server.shutdown()
        server.server_close()
