"""Deploys what reaches Production: a receiver of webhooks in the format `vouch`, as one would write it.

    pip install standardwebhooks
    VOUCH_WEBHOOK_SECRET=whsec_… python examples/receiver.py --port 9000 --state deployed.db

"Deployed" means here: `deployed.json`, beside the state, says which version of each model is in Production and the
digest of its manifest. Put in its place what you do (`deploy`). It is called once for each change, in the right order,
however often and in whatever order the events arrive, and whatever is killed in between:

- the signature is verified over the bytes as they came, by the published library;
- what was had before is dropped by its `webhook-id`;
- an event with a lower `sequence` than the one that is deployed is old news, since deliveries may overtake each other;
- all of that is one transaction in SQLite, and the answer 204 follows its end: what was answered is never forgotten,
  and what was not comes again.

During a rotation of the secret, name the old and the new one with a comma between. It needs Python 3.11.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

STAGE = "Production"
LONGEST_BODY = 1024 * 1024  # bytes; events are a few KiB
IDS_KEPT = 100_000  # the newest; a delivery is tried for four days at most

TABLES = """
CREATE TABLE IF NOT EXISTS seen (number INTEGER PRIMARY KEY, webhook_id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS deployed (
    workspace TEXT NOT NULL, model TEXT NOT NULL, sequence INTEGER NOT NULL,
    version INTEGER NOT NULL, manifest TEXT, resolve TEXT NOT NULL, since TEXT NOT NULL,
    PRIMARY KEY (workspace, model)
);
"""


class State:
    """What was seen and what is deployed, in a file that survives a kill at any moment."""

    def __init__(self, path: Path) -> None:
        self._shown = path.with_suffix(".json")
        self._lock = threading.Lock()
        self._rows = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._rows.execute("PRAGMA journal_mode = WAL")
        self._rows.execute("PRAGMA synchronous = FULL")  # flushed before the answer goes out
        self._rows.executescript(TABLES)
        self.deploy()  # a kill may have come between the row and this

    def take(self, webhook_id: str, event: dict[str, Any]) -> str:
        """Take in an event that is genuine; what came of it, in words."""
        with self._lock:
            self._rows.execute("BEGIN IMMEDIATE")
            try:
                outcome = self._taken(webhook_id, event)
            except BaseException:
                self._rows.execute("ROLLBACK")
                raise
            self._rows.execute("COMMIT")
            if outcome.startswith("deployed"):
                self.deploy()
        return outcome

    def _taken(self, webhook_id: str, event: dict[str, Any]) -> str:
        noted = self._rows.execute("INSERT OR IGNORE INTO seen (webhook_id) VALUES (?)", [webhook_id])
        if not noted.rowcount:
            return "a duplicate"
        self._rows.execute("DELETE FROM seen WHERE number <= ?", [(noted.lastrowid or 0) - IDS_KEPT])
        if event["type"] != "version.transitioned" or event["data"]["stage"] != STAGE:
            return f"nothing to do for {event['type']}"
        return self._moved(event)

    def _moved(self, event: dict[str, Any]) -> str:
        """A version came into Production. One that leaves it runs on until another comes: that is for people to end."""
        model, data = [event["workspace"], event["model"]], event["data"]
        known = self._rows.execute("SELECT sequence FROM deployed WHERE workspace = ? AND model = ?", model).fetchone()
        if known and event["sequence"] <= known[0]:
            return f"stale: sequence {event['sequence']} after {known[0]}"
        self._rows.execute(
            "INSERT OR REPLACE INTO deployed VALUES (?, ?, ?, ?, ?, ?, ?)",
            [*model, event["sequence"], data["version"], data["manifest"], data["resolve"], event["timestamp"]],
        )
        return f"deployed {event['model']} version {data['version']}"

    def deploy(self) -> None:
        """Bring what runs to what the rows say: here a file, replaced as a whole.

        Yours may download the files that `resolve` tells of (with a token of scope `read`), compare the manifest's
        digest and start a server. Have another process do what takes longer than a second or two.
        """
        rows = self._rows.execute("SELECT * FROM deployed ORDER BY workspace, model")
        names = [column[0] for column in rows.description]
        text = json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2)
        new = self._shown.with_suffix(".new")
        with new.open("w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._shown)


class Receiver(BaseHTTPRequestHandler):
    """One connection of Vouch's."""

    protocol_version = "HTTP/1.1"  # connections stay open from one event to the next
    timeout = 30  # seconds without a byte
    disable_nagle_algorithm = True
    state: State
    secrets: list[Webhook]

    def do_POST(self) -> None:
        """204 once the event is kept for good; 4xx for what no honest sender sends."""
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > LONGEST_BODY:
            return self.answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "more than an event")
        event = self.verified(self.rfile.read(int(length)))
        if event is None:
            return self.answer(HTTPStatus.BAD_REQUEST, "not signed with our secret, or too old")
        try:
            outcome = self.state.take(self.headers["webhook-id"], event)
        except (KeyError, TypeError) as error:
            return self.answer(HTTPStatus.UNPROCESSABLE_ENTITY, f"not an event of the format vouch: {error!r}")
        self.answer(HTTPStatus.NO_CONTENT, outcome)

    def verified(self, body: bytes) -> dict[str, Any] | None:
        """The event, if one of the secrets has signed it in the last five minutes."""
        for secret in self.secrets:
            try:
                event = secret.verify(body, dict(self.headers))
            except (WebhookVerificationError, ValueError):  # the latter for a header that is no signature at all
                continue
            return event if isinstance(event, dict) else None
        return None

    def answer(self, status: HTTPStatus, outcome: str) -> None:
        """Answer, and write a line that says what came of it."""
        print(f"{self.headers.get('webhook-id', '-')[:64]!a} {status}: {outcome}", flush=True)
        self.send_response(status)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("content-length", "0")
            self.send_header("connection", "close")  # the rest of a body may be unread
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """The line of `answer` says more."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--state", type=Path, default=Path("deployed.db"))
    options = parser.parse_args()
    secrets = os.environ.get("VOUCH_WEBHOOK_SECRET", "")
    if not secrets:
        sys.exit("Set VOUCH_WEBHOOK_SECRET to the secret that was shown when the webhook was made.")
    Receiver.secrets = [Webhook(secret) for secret in secrets.split(",")]
    Receiver.state = State(options.state)
    with Server((options.host, options.port), Receiver) as server:
        print(f"listening on http://{options.host}:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
