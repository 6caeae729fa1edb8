"""How fast MLflow's wire is: Vouch beside `mlflow server`, in one run, over the same calls and the same rows.

Both keep their data in the same PostgreSQL (fsync on), each has its default number of workers, and one is measured at a
time, so figures are to be read as ratios. The rows of a large registry are written by SQL; what is measured goes by
HTTP. Creates and batches are driven by wrk (Debian: apt install wrk) on eight connections, reads one after another on
one. Run with the project's own Python: `.venv/bin/python bench/wire.py`. A thousand models, as by default, are a
million versions, a million runs, a history of 100,000 points and a file of 1,000 MiB.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import psycopg  # noqa: E402

from bench import rows  # noqa: E402
from bench.servers import bearer, call, has_clients, mlflow_server  # noqa: E402
from config import embedded  # noqa: E402
from tests.live import serving  # noqa: E402

CONNECTIONS = 8
PAGE = 100
CHUNK = 1024 * 1024
FEW, MANY = 10, 1000  # models, of 1,000 versions each
API = "/api/2.0/mlflow"


@dataclass
class Side:
    """One of the two servers, and what was measured of it: label → figure."""

    name: str
    url: str
    authorization: str
    rows: rows.Writer
    figures: dict[str, float] = field(default_factory=dict)

    def note(self, label: str, figure: float) -> None:
        self.figures[label] = figure
        print(f"  {self.name:<8} {label:<58} {figure:>12,.2f}", flush=True)

    def post(self, endpoint: str, **fields: Any) -> Any:
        return call(self.url, self.authorization, endpoint, **fields)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": self.authorization} if self.authorization else {}


def main() -> int:
    """Measure every case and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="how long each case is driven")
    parser.add_argument("--models", type=int, default=MANY, help="the size: models of 1,000 versions each, and so on")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a time-out, too, leaves no server behind
    if not shutil.which("wrk"):
        print("wrk is missing: apt install wrk", file=sys.stderr)
        return 2
    if not has_clients():
        return 2
    with tempfile.TemporaryDirectory(prefix="vouch-bench-") as name, ExitStack() as stack:
        place = Path(name)
        os.chmod(place, 0o755)
        services = stack.enter_context(embedded.services(place / "services"))
        os.environ.update(DATABASE_URL=services.database, REDIS_URL=services.redis, VOUCH_SECRET_KEY="bench")
        os.environ.update(DJANGO_SETTINGS_MODULE="config.settings")
        sides = []
        for server in SERVERS:
            with server(place) as side:
                measure(side, place, options)
                sides.append(side)
        disk = plain_disk(place, options.models)
    report(sides, disk, options)
    return 0


@contextmanager
def vouch(place: Path) -> Iterator[Side]:
    """Vouch, with two workers as `bootstrap.py up` starts it; every call carries a token."""
    with serving(place, "vouch_bench", workers=2) as live:
        yield Side("Vouch", live.url, bearer(live.token("admin")), rows.Vouch(live.env["DATABASE_URL"]))


@contextmanager
def mlflow(place: Path) -> Iterator[Side]:
    """`mlflow server` without authentication."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path="/mlflow_wire").geturl()
    with mlflow_server(place, "mlflow_wire") as url:
        yield Side("mlflow", url, "", rows.Reference(database))


SERVERS = (vouch, mlflow)


# --- What is measured -------------------------------------------------------------------------------------------------


def measure(side: Side, place: Path, options: argparse.Namespace) -> None:
    """Everything of one server; small before large, so that rows are only ever added."""
    creates(side, options)
    batches(side, options)
    history(side, options)
    with psycopg.connect(side.rows.database, autocommit=True) as connection:
        for models in sorted({min(FEW, options.models), options.models}):
            side.rows.versions(connection, models)
            versions(side, options, models)
        side.rows.runs(connection, options.models * 1000)
    runs(side, options)
    files(side, place, options)


def creates(side: Side, options: argparse.Namespace) -> None:
    for number in range(20):
        side.post("registered-models/create", name=f"created-{number}")
    body = """string.format('{"name":"created-%d","source":"s3://bucket/%d/%d"}', n % 20, seed, n)"""
    side.note("version create, per second", driven(side, "model-versions/create", body, options.seconds))


def batches(side: Side, options: argparse.Namespace) -> None:
    experiment = side.post("experiments/create", name="batches")["experiment_id"]
    ids = [side.post("runs/create", experiment_id=experiment)["run"]["info"]["run_id"] for _ in range(CONNECTIONS)]
    listed = ", ".join(f'"{run}"' for run in ids)
    body = f"""batch(({{{listed}}})[n % {len(ids)} + 1], n)"""
    side.note("log-batch of 1,000 metrics, per second", driven(side, "runs/log-batch", body, options.seconds))


def history(side: Side, options: argparse.Namespace) -> None:
    """A history as the client reads it, in pages of 25,000."""
    points = options.models * 100
    experiment = side.post("experiments/create", name="history")["experiment_id"]
    run = side.post("runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
    for start in range(0, points, 1000):
        batch = [
            {"key": "loss", "value": 1 / (step + 1), "timestamp": 1_700_000_000_000 + step, "step": step}
            for step in range(start, min(start + 1000, points))
        ]
        side.post("runs/log-batch", run_id=run, metrics=batch)

    def read(connection: http.client.HTTPConnection) -> None:
        token, found = "", 0
        while True:
            query = {"run_id": run, "metric_key": "loss", "max_results": 25_000}
            answer = fetch(side, connection, "metrics/get-history", query | ({"page_token": token} if token else {}))
            found += len(answer["metrics"])
            token = answer.get("next_page_token", "")
            if not token:
                break
        assert found == points, found

    side.note(f"metric history of {points:,} points, ms", timed(side, read, options.seconds))


def versions(side: Side, options: argparse.Namespace, models: int) -> None:
    searches = {
        "newest": "",
        "of a model": f"name = '{rows.MODEL.format(models // 2)}'",
        "of a run": f"run_id = '{rows.run_id(models * 500)}'",
        "by a tag": "tags.team = 'team-7'",
        "by the start of a source": f"source_path LIKE 's3://bucket/{rows.MODEL.format(models // 2)}/%'",
    }
    for what, wanted in searches.items():
        query = {"max_results": PAGE, "filter": wanted}

        def read(connection: http.client.HTTPConnection, query: dict[str, Any] = query) -> None:
            assert fetch(side, connection, "model-versions/search", query)["model_versions"]

        label = f"search of {models * 1000:,} versions, {what}, ms"
        side.note(label, timed(side, read, options.seconds))


def runs(side: Side, options: argparse.Namespace) -> None:
    experiment = side.post("experiments/search", filter="name = 'large'", max_results=1)["experiments"][0]
    searches = {
        "metric > 0.999": {"filter": "metrics.accuracy > 0.999"},
        "metric > 0.5": {"filter": "metrics.accuracy > 0.5"},
        "metric > 0.999, best first": {
            "filter": "metrics.accuracy > 0.999",
            "order_by": ["metrics.accuracy DESC"],
        },
        "metric > 0.9 and a parameter": {"filter": "metrics.accuracy > 0.9 AND params.depth = '7'"},
    }
    for what, wanted in searches.items():
        body = {"experiment_ids": [experiment["experiment_id"]], "max_results": PAGE, **wanted}

        def read(connection: http.client.HTTPConnection, body: dict[str, Any] = body) -> None:
            assert fetch(side, connection, "runs/search", body=body)["runs"]

        label = f"search of {options.models * 1000:,} runs, {what}, ms"
        side.note(label, timed(side, read, options.seconds))


def files(side: Side, place: Path, options: argparse.Namespace) -> None:
    """One large file up and down through the server, in MiB per second."""
    experiment = side.post("experiments/create", name="files")["experiment_id"]
    run = side.post("runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
    path = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/large"
    source = large_file(place, options.models)
    connection = connected(side)
    with source.open("rb") as body:
        headers = {"Content-Length": str(source.stat().st_size), "Content-Type": "application/octet-stream"}
        started = time.monotonic()
        connection.request("PUT", path, body, headers | side.headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
    side.note("upload, MiB per second", options.models / (time.monotonic() - started))
    started, size = time.monotonic(), 0
    connection.request("GET", path, headers=side.headers)
    answer = connection.getresponse()
    while chunk := answer.read(CHUNK):
        size += len(chunk)
    assert size == source.stat().st_size, size
    side.note("download, MiB per second", options.models / (time.monotonic() - started))


def plain_disk(place: Path, mebibytes: int) -> dict[str, float]:
    """The same without a server: copied and flushed, copied with its SHA-256 and flushed, and read."""
    source, copy = large_file(place, mebibytes), place / "copy"
    figures = {}
    for label, hashing in (("copied", False), ("copied and hashed", True)):
        hasher = hashlib.sha256()
        started = time.monotonic()
        with source.open("rb") as reading, copy.open("wb") as writing:
            while chunk := reading.read(CHUNK):
                if hashing:
                    hasher.update(chunk)
                writing.write(chunk)
            writing.flush()
            os.fsync(writing.fileno())
        figures[f"disk: {label}, MiB per second"] = mebibytes / (time.monotonic() - started)
    started = time.monotonic()
    with copy.open("rb") as reading:
        while reading.read(CHUNK):
            pass
    figures["disk: read, MiB per second"] = mebibytes / (time.monotonic() - started)
    return figures


def large_file(place: Path, mebibytes: int) -> Path:
    path = place / "large"
    if not path.exists():
        block = os.urandom(CHUNK)
        with path.open("wb") as file:
            for _ in range(mebibytes):
                file.write(block)
    return path


# --- How it is driven -------------------------------------------------------------------------------------------------

_SCRIPT = """
local n, seed = 0, %d
function batch(run, n)
  local listed = {}
  for i = 0, 999 do
    local step = n * 100 + math.floor(i / 10)
    listed[i + 1] = string.format('{"key":"m%%d","value":%%d.5,"timestamp":%%d,"step":%%d}', i %% 10, i, %d + n, step)
  end
  return '{"run_id":"' .. run .. '","metrics":[' .. table.concat(listed, ",") .. ']}'
end
request = function()
  n = n + 1
  return wrk.format("POST", "%s", {%s}, %s)
end
"""


def driven(side: Side, endpoint: str, body: str, seconds: float) -> float:
    """POSTs per second, each with the body that a Lua expression of `n` makes; all of them must be answered by 200."""
    headers = ", ".join(f'["{name}"] = "{value}"' for name, value in {**side.headers, **JSON}.items())
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", "--timeout", "60s"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        for length in (1, max(1, round(seconds))):  # once to warm up
            script.seek(0)
            script.truncate()
            script.write(_SCRIPT % (time.time_ns() % 10**9, rows.START, f"{API}/{endpoint}", headers, body))
            script.flush()
            measured = subprocess.run(
                [*command, f"-d{length}s", "-s", script.name, side.url], capture_output=True, text=True, check=True
            )
    if "Non-2xx" in measured.stdout or "Socket errors" in measured.stdout:
        raise RuntimeError(f"{side.name}, {endpoint}: some calls failed\n{measured.stdout}")
    return float(measured.stdout.partition("Requests/sec:")[2].split()[0])


JSON = {"Content-Type": "application/json"}


def timed(side: Side, read: Any, seconds: float) -> float:
    """The median of how many milliseconds `read` takes: three times at least, after once that does not count."""
    connection, took = connected(side), []
    read(connection)
    until = time.monotonic() + seconds
    while len(took) < 3 or (time.monotonic() < until and len(took) < 1000):
        started = time.monotonic()
        read(connection)
        took.append((time.monotonic() - started) * 1000)
    return statistics.median(took)


def connected(side: Side) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(side.url).netloc, timeout=600)


def fetch(
    side: Side,
    connection: http.client.HTTPConnection,
    endpoint: str,
    query: dict[str, Any] | None = None,
    body: dict[str, Any] | None = None,
) -> Any:
    path = f"{API}/{endpoint}" + (f"?{urlencode(query)}" if query else "")
    content = json.dumps(body).encode() if body else None
    connection.request("POST" if body else "GET", path, content, side.headers | (JSON if body else {}))
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{side.name}, {endpoint}: {answer.status} {content[:300]!r}")
    return json.loads(content)


def report(sides: list[Side], disk: dict[str, float], options: argparse.Namespace) -> None:
    """The table, with how many times better the first side is."""
    ours, theirs = sides
    print(f"\n{options.seconds:g} s for each figure, {options.models} models\n\n| case | Vouch | mlflow | times |")
    print("|---|---:|---:|---:|")
    for label, figure in ours.figures.items():
        other = theirs.figures[label]
        better, worse = (other, figure) if label.endswith("ms") else (figure, other)
        times = f"{better / worse:,.1f} ×" if worse else "–"
        print(f"| {label} | {figure:,.2f} | {other:,.2f} | {times} |")
    for label, figure in disk.items():
        print(f"| {label} | {figure:,.0f} | | |")


if __name__ == "__main__":
    sys.exit(main())
