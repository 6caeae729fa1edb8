"""How quick the pages are: the time to the first byte of each, with the sample's data and with 100,000 models.

Pages are fetched one after another by a signed-in administrator on one connection, from Vouch with its default workers;
a figure is the median. The 100,000 models are copies, by SQL, of one that was trained, registered and promoted through
the doors: each with its version, stage, tag and decided promotion, one in a hundred with an open one. What a first
visit transfers is the page with all that it links, compressed as the image serves it. Run with the project's own
Python: `.venv/bin/python bench/pages.py`.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import psycopg  # noqa: E402

from config import embedded  # noqa: E402
from tests.browser.workspace import Api, trained_model  # noqa: E402
from tests.live import Live, serving  # noqa: E402

LIMIT_MS, LIMIT_TIMES, LIMIT_KB = 150, 2.0, 300
COPIED = "churn"


def main() -> int:
    """Measure every page and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="how long each page is fetched")
    parser.add_argument("--models", type=int, default=100_000, help="how many models there are the second time")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a time-out, too, leaves no server behind
    with tempfile.TemporaryDirectory(prefix="vouch-bench-") as name:
        place = Path(name)
        os.chmod(place, 0o755)
        with embedded.services(place / "services") as services:
            os.environ.update(DATABASE_URL=services.database, REDIS_URL=services.redis, VOUCH_SECRET_KEY="bench" * 12)
            os.environ.update(DJANGO_SETTINGS_MODULE="config.settings")
            static = {"VOUCH_STATIC": str(place / "static"), "VOUCH_STATIC_FROM_SOURCE": "0"}
            collect = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0"]
            subprocess.run(collect, cwd=ROOT, env=os.environ | static | {"VOUCH_URL": "http://127.0.0.1"}, check=True)
            with serving(place, "pages", workers=2, **static) as live:
                measure(live, options)
    return 0


def measure(live: Live, options: argparse.Namespace) -> None:
    pages = filled(live)
    visitor = Visitor(live)
    few = {label: visitor.first_byte(path, options.seconds) for label, path in pages.items()}
    transferred = {label: visitor.transferred(path) for label, path in pages.items()}
    with psycopg.connect(live.env["DATABASE_URL"], autocommit=True) as connection:
        multiply(connection, options.models)
    many = {label: visitor.first_byte(path, options.seconds) for label, path in pages.items()}
    print(f"| page | sample, ms | {options.models:,} models, ms | times | first visit, kB |\n|---|---:|---:|---:|---:|")
    for label in pages:
        times = many[label] / few[label]
        slow = few[label] > LIMIT_MS or times > LIMIT_TIMES or transferred[label] > LIMIT_KB * 1000
        row = f"| {label} | {few[label]:.1f} | {many[label]:.1f} | {times:.1f} | {transferred[label] / 1000:.0f} |"
        print(row + (" **over the limit**" if slow else ""))


# --- What there is ----------------------------------------------------------------------------------------------------


def filled(live: Live) -> dict[str, str]:
    """Some models with their history; what the pages are called → their paths."""
    ci = Api(live, "ci")
    experiment = ""
    for name in ("fraud", "forecast", COPIED):
        experiment = trained_model(live, name, versions=3)
    runs = [ci.rest("GET", f"/models/{COPIED}/versions/{number}")["run_id"] for number in (1, 2)]
    promotion = ci.asked(COPIED, 2, comment="Better in all that is measured.")
    ci.rest("PUT", f"/models/{COPIED}/tags/team", {"value": "retention"})
    return {
        "reviews": "/reviews",
        "reviews, waiting": "/reviews?show=waiting",
        "reviews, blocked": "/reviews?show=blocked",
        "reviews, decided": "/reviews?show=decided",
        "promotion": f"/promotions/{promotion}",
        "models": "/models",
        "models, searched": "/models?q=chur",
        "model": f"/models/{COPIED}",
        "history": f"/models/{COPIED}/history",
        "compare": f"/models/{COPIED}/compare?versions=1&versions=2&versions=3",
        "version": f"/models/{COPIED}/versions/2",
        "lineage": f"/models/{COPIED}/versions/2/lineage",
        "experiments": "/experiments",
        "experiment": f"/experiments/{experiment}",
        "compare runs": f"/experiments/{experiment}/compare?runs={runs[0]}&runs={runs[1]}",
        "run": f"/runs/{runs[0]}",
        "policies": "/policies",
        "webhooks": "/webhooks",
        "audit": "/audit",
        "members": "/members",
        "profile": "/profile",
        "tokens": "/tokens",
        "notifications": "/notifications",
    }


def multiply(connection: psycopg.Connection, models: int) -> None:
    """Have `models` copies of the model, of its version in Production and of what belongs to both."""
    model = f"(SELECT id FROM registry_model WHERE name = '{COPIED}')"
    version = f"(SELECT id FROM registry_version WHERE model_name = '{COPIED}' AND number = 1)"
    own = {"model_id": "md5('model-' || n)::uuid", "version_id": "md5('version-' || n)::uuid"}
    name = "'copy-' || lpad(n::text, 6, '0')"
    connection.execute("BEGIN")
    copy = Copier(connection, models)
    copy("registry_model", f"id = {model}", id=own["model_id"], name=name, last_version="1")
    made = {"id": own["version_id"], "model_id": own["model_id"], "model_name": name, "run_id": "NULL"}
    copy("registry_version", f"id = {version}", **made)
    copy("registry_occupancy", f"version_id = {version} AND ended_at IS NULL", **own, promotion_id="NULL")
    copy("registry_modeltag", f"model_id = {model}", model_id=own["model_id"])
    copy("registry_promotion", f"version_id = {version}", **own, id="md5('decided-' || n)::uuid")
    copy.count = models // 100
    waiting = f"model_id = {model} AND state = 'open'"
    copy("registry_promotion", waiting, **own, id="md5('open-' || n)::uuid")
    connection.execute("COMMIT")
    connection.execute("VACUUM ANALYZE")


class Copier:
    """Copies the rows of a table that fulfil a condition, `count` times: the n-th with these columns by its number."""

    def __init__(self, connection: psycopg.Connection, count: int):
        self.connection, self.count = connection, count

    def __call__(self, table: str, condition: str, **changed: str) -> None:
        columns = self.connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND is_identity = 'NO'", [table]
        )
        values = {f'"{column}"': changed.get(column, f'"{column}"') for (column,) in columns}
        self.connection.execute(
            f"INSERT INTO {table} ({', '.join(values)}) SELECT {', '.join(values.values())} "
            f"FROM {table}, generate_series(1, {self.count}) n WHERE {condition}"
        )


# --- How it is fetched ------------------------------------------------------------------------------------------------


class Visitor:
    """A signed-in administrator on one connection."""

    def __init__(self, live: Live):
        self.host = urlsplit(live.url).netloc
        self.connection = http.client.HTTPConnection(self.host, timeout=120)
        self.cookies: dict[str, str] = {}
        page = self._get("/sign-in").decode()
        (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        form = {"csrfmiddlewaretoken": token, "username": "admin", "password": live.accounts["admin"]["password"]}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Referer": f"{live.url}/sign-in"}
        self._fetch("POST", "/sign-in", urlencode(form), headers, status=302)

    def first_byte(self, path: str, seconds: float) -> float:
        """The median of how many milliseconds the answer takes to begin: of three at least, after one to warm up."""
        took: list[float] = []
        self._get(path)
        until = time.monotonic() + seconds
        while len(took) < 3 or time.monotonic() < until:
            started = time.monotonic()
            self.connection.request("GET", path, headers=self._headers({}))
            answer = self.connection.getresponse()
            answer.read(1)
            took.append((time.monotonic() - started) * 1000)
            answer.read()
        return statistics.median(took)

    def transferred(self, path: str) -> int:
        """The bytes of a page and all that it loads, on a first visit."""
        page = self._get(path).decode()
        linked = set(re.findall(r'<(?:link|script|img)[^>]*?(?:href|src)="([^"]+)"', page))
        packed = {"Accept-Encoding": "br, gzip"}
        return sum(len(self._fetch("GET", each, None, packed)) for each in [path, *linked])

    def _get(self, path: str) -> bytes:
        return self._fetch("GET", path, None, {})

    def _fetch(self, method: str, path: str, body: str | None, headers: dict[str, str], status: int = 200) -> bytes:
        self.connection.request(method, path, body, self._headers(headers))
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != status:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return content

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **more}


if __name__ == "__main__":
    sys.exit(main())
