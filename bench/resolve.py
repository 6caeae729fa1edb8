"""How fast a serving system learns what is in Production: Vouch beside `mlflow server`, in one run.

Both servers get the same models over the same MLflow calls, on the same PostgreSQL (fsync on), each with its default
number of workers, one server at a time. The load is wrk (Debian: apt install wrk) from this machine, so figures are to
be read as ratios. Run with the project's own Python: `.venv/bin/python bench/resolve.py`.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


from bench.servers import bearer, call, free_port, has_clients, mlflow_server, running  # noqa: E402
from config import embedded  # noqa: E402
from tests.live import Live, serving  # noqa: E402

ADMIN_PASSWORD = "a long enough password"
NAME = "model-{}"


@dataclass(frozen=True)
class Case:
    """One kind of request against one server; the number of a model takes the place of `{}`."""

    label: str
    url: str
    method: str = "GET"
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Figure:
    """Requests per second, and the time of the median and of the slowest percent in milliseconds."""

    rate: float
    p50: float
    p99: float
    failed: int


def main() -> int:
    """Measure every case and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15, help="how long each case is driven")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--models", type=int, default=20, help="models in each registry, five versions each")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a time-out, too, leaves no server behind
    if not shutil.which("wrk"):
        print("wrk is missing: apt install wrk", file=sys.stderr)
        return 2
    if not has_clients():
        return 2
    figures: dict[str, Figure] = {}
    with tempfile.TemporaryDirectory(prefix="vouch-bench-") as place, ExitStack() as stack:
        os.chmod(place, 0o755)
        services = stack.enter_context(embedded.services(Path(place) / "services"))
        os.environ.update(DATABASE_URL=services.database, REDIS_URL=services.redis, VOUCH_SECRET_KEY="bench")
        os.environ.update(DJANGO_SETTINGS_MODULE="config.settings")
        for server in (bare, vouch, mlflow_open, mlflow_basic_auth):
            with server(Path(place), options.models) as cases:
                for case in cases:
                    figures[case.label] = drive(case, options)
                    print(f"  {case.label:<52} {figures[case.label].rate:>9,.0f}/s", flush=True)
    report(figures, options)
    return 1 if any(figure.failed for figure in figures.values()) else 0


# --- The servers ------------------------------------------------------------------------------------------------------


@contextmanager
def bare(place: Path, models: int) -> Iterator[list[Case]]:
    """The web server answering a constant, as Vouch starts it."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "bench.bare:application", "--http", "1"]
    command += ["--no-ws", "--port", str(port), "--workers", "2", "--blocking-threads", "6", "--backpressure", "512"]
    with running(command, place / "bare.log", f"http://127.0.0.1:{port}/"):
        yield [Case("bare web server, a constant", f"http://127.0.0.1:{port}/")]


@contextmanager
def vouch(place: Path, models: int) -> Iterator[list[Case]]:
    """Vouch, with two workers as `bootstrap.py up` starts it; every call carries a token."""
    with serving(place, "vouch_bench", workers=2) as live:
        fill(live.url, bearer(live.token("admin")), models)
        token = (("Authorization", bearer(live.token("ci"))),)
        resolve = f"{live.url}/api/v1/resolve?uri=models:/{NAME}/Production"
        yield [
            Case("bare Django view", f"{live.url}/livez"),
            Case("Vouch, REST resolve, token", resolve, headers=token),
            Case("Vouch, REST resolve, token, 304", resolve, headers=(*token, ("If-None-Match", etag(live)))),
            latest("Vouch, get-latest-versions, token", live.url, token),
        ]


@contextmanager
def mlflow_open(place: Path, models: int) -> Iterator[list[Case]]:
    """`mlflow server` without authentication."""
    with mlflow_server(place, "mlflow_open") as url:
        fill(url, "", models)
        yield [latest("mlflow server, get-latest-versions, open", url, ())]


@contextmanager
def mlflow_basic_auth(place: Path, models: int) -> Iterator[list[Case]]:
    """`mlflow server` with its basic-auth app."""
    config = place / "basic_auth.ini"
    config.write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
        f"admin_password = {ADMIN_PASSWORD}\ndatabase_uri = sqlite:///{place}/auth.db\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    secret = {"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": "bench"}
    with mlflow_server(place, "mlflow_auth", "--app-name", "basic-auth", **secret) as url:
        credentials = "Basic " + base64.b64encode(f"admin:{ADMIN_PASSWORD}".encode()).decode()
        fill(url, credentials, models)
        yield [latest("mlflow server, get-latest-versions, basic-auth", url, (("Authorization", credentials),))]


# --- Data and load ----------------------------------------------------------------------------------------------------


def fill(url: str, authorization: str, models: int) -> None:
    """The same models for either server: five versions each, the last of them in Production, one in Staging."""
    for number in range(models):
        name = NAME.format(number)
        call(url, authorization, "registered-models/create", name=name)
        for version in range(1, 6):
            source = f"s3://bucket/{name}/{version}"
            call(url, authorization, "model-versions/create", name=name, source=source, description="a version")
        for version, stage in (("4", "Staging"), ("5", "Production")):
            call(
                url,
                authorization,
                "model-versions/transition-stage",
                name=name,
                version=version,
                stage=stage,
                archive_existing_versions=False,
            )


def latest(label: str, url: str, headers: tuple[tuple[str, str], ...]) -> Case:
    body = json.dumps({"name": NAME, "stages": ["Production"]})
    address = f"{url}/api/2.0/mlflow/registered-models/get-latest-versions"
    return Case(label, address, "POST", body, (*headers, ("Content-Type", "application/json")))


def etag(live: Live) -> str:
    """Every model's ETag differs; this is the first one's, so the 304 case asks for that model alone."""
    request = urllib.request.Request(
        f"{live.url}/api/v1/resolve?uri=models:/{NAME.format(0)}/Production",
        headers={"Authorization": bearer(live.token("ci"))},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.headers["ETag"])


_SCRIPT = """
local names, at, made = %d, 0, {}
request = function()
  at = at %% names + 1
  if not made[at] then
    local number = tostring(at - 1)
    local path = string.gsub([[%s]], "{}", number)
    local body = string.gsub([[%s]], "{}", number)
    made[at] = wrk.format("%s", path, {%s}, body ~= "" and body or nil)
  end
  return made[at]
end
"""


def drive(case: Case, options: argparse.Namespace) -> Figure:
    """Drive `case` for a second to warm up, then for the time that counts."""
    address = urlsplit(case.url)
    path = address.path + (f"?{address.query}" if address.query else "")
    headers = ", ".join(f"[ [[{name}]] ] = [[{value}]]" for name, value in case.headers)
    names = 1 if any(name == "If-None-Match" for name, _ in case.headers) else options.models
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % (names, path, case.body, case.method, headers))
        script.flush()
        command = [
            "wrk",
            "-t1",
            "--timeout",
            "30s",
            "--timeout",
            "30s",
            f"-c{options.connections}",
            "-s",
            script.name,
            "--latency",
        ]
        target = f"{address.scheme}://{address.netloc}"
        warm_up = subprocess.run([*command, "-d1s", target], capture_output=True, text=True, check=False)
        seconds = max(1, round(options.seconds))
        measured = subprocess.run([*command, f"-d{seconds}s", target], capture_output=True, text=True, check=False)
    if measured.returncode:
        raise RuntimeError(measured.stderr or warm_up.stderr)
    return read(measured.stdout)


_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def read(printed: str) -> Figure:
    """wrk's report as figures."""

    def milliseconds(percent: str) -> float:
        found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s)", printed, re.MULTILINE)
        return float(found[1]) * _UNITS[found[2]] if found else float("nan")

    rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", printed)
    return Figure(
        float(rate[1]) if rate else 0.0, milliseconds("50"), milliseconds("99"), int(failed[1]) if failed else 0
    )


def report(figures: dict[str, Figure], options: argparse.Namespace) -> None:
    """The table, each line as a multiple of the three that it is compared with."""
    print(f"\n{options.models} models, {options.connections} connections, {options.seconds:g} s each\n")
    references = ("mlflow server, get-latest-versions, open", "mlflow server, get-latest-versions, basic-auth")
    bases = [figures[name].rate for name in (*references, "bare Django view", "bare web server, a constant")]
    heads = ("× mlflow open", "× mlflow basic-auth", "× bare view", "× bare server")
    print("| case | requests/s | p50 ms | p99 ms | failed | " + " | ".join(heads) + " |")
    print("|---|" + "---:|" * (4 + len(heads)))
    for label, figure in figures.items():
        ratios = " | ".join(f"{figure.rate / base:,.2f}" if base else "–" for base in bases)
        print(f"| {label} | {figure.rate:,.0f} | {figure.p50:.2f} | {figure.p99:.2f} | {figure.failed} | {ratios} |")


if __name__ == "__main__":
    sys.exit(main())
