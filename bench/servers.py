"""What the benchmarks measure against: `mlflow server` and others as child processes, and calls of MLflow's wire."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

ROOT = Path(__file__).resolve().parent.parent
MLFLOW = ROOT / ".venvs" / "mlflow-3" / "bin"


def has_clients() -> bool:
    """Whether the reference server is there to be started; says how to get it when it is not."""
    there = (MLFLOW / "mlflow").exists()
    if not there:
        print("the client environments are missing: python3 bootstrap.py clients", file=sys.stderr)
    return there


@contextmanager
def mlflow_server(place: Path, name: str, *arguments: str, **env: str) -> Iterator[str]:
    given = urlsplit(os.environ["DATABASE_URL"])
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    database = given._replace(scheme="postgresql+psycopg2", path=f"/{name}").geturl()
    port = free_port()
    command = [str(MLFLOW / "mlflow"), "server", "--port", str(port), "--backend-store-uri", database]
    command += ["--artifacts-destination", str(place / name), *arguments]
    url = f"http://127.0.0.1:{port}"
    path = f"{MLFLOW}{os.pathsep}{os.environ['PATH']}"  # it starts its web server by name
    with running(command, place / f"{name}.log", f"{url}/health", PATH=path, **env):
        yield url


@contextmanager
def running(command: list[str], log: Path, probe: str, **env: str) -> Iterator[None]:
    """A server process of its own group, once `probe` answers; stopped at the end with all its workers."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | env, stdout=output, stderr=output, start_new_session=True
        )
    try:
        for _ in range(1200):
            try:
                with urllib.request.urlopen(probe, timeout=2):
                    break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None:
                    raise RuntimeError(f"{command[0]} ended:\n{log.read_text()[-3000:]}") from None
                time.sleep(0.1)
        else:
            raise RuntimeError(f"{command[0]} does not answer:\n{log.read_text()[-3000:]}")
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)


def call(url: str, authorization: str, endpoint: str, **fields: Any) -> Any:
    request = urllib.request.Request(
        f"{url}/api/2.0/mlflow/{endpoint}",
        data=json.dumps(fields).encode(),
        headers={"Content-Type": "application/json"} | ({"Authorization": authorization} if authorization else {}),
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def bearer(token: str) -> str:
    return f"Bearer {token}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
