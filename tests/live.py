"""A live server for tests with real clients: granian, on a database of its own."""

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
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Live:
    """`accounts`: admin, reviewer, ci → password and token. `pids`: granian's main process."""

    url: str
    accounts: dict[str, dict[str, str]]
    env: dict[str, str]
    log: Path
    pids: list[int] = field(default_factory=list)

    def peak_memory(self) -> int:
        """What the server's processes have taken at most, together, in bytes."""
        return sum(_peak(pid) for main in self.pids for pid in (main, *_children(main)))

    def token(self, account: str) -> str:
        return self.accounts[account]["token"]

    def manage(self, *arguments: str) -> str:
        """Run `manage.py` against the server's database; its output."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            check=True,
            capture_output=True,
            text=True,
        ).stdout


@contextmanager
def serving(directory: Path, name: str, *, workers: int = 1, **settings: str) -> Iterator[Live]:
    """A server with the sample accounts, on a new database called `name`; its files and log go into `directory`."""
    database = _database(name)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    env = {
        **os.environ,
        "DATABASE_URL": database,
        "VOUCH_URL": url,
        "VOUCH_DATA": str(directory / "data"),
        "VOUCH_INSECURE_HTTP": "1",
        "VOUCH_ADMIN": "1",
        "VOUCH_STATIC_FROM_SOURCE": "1",
        **settings,
    }
    log = directory / "granian.log"
    live = Live(url, {}, env, log)
    live.manage("migrate", "--verbosity", "0")
    live.accounts.update(json.loads(live.manage("sample", "accounts", "--json"))["accounts"])
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "config.wsgi:application", "--http", "1"]
    command += ["--no-ws", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    command += ["--blocking-threads", "6"]
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True)
    live.pids.append(server.pid)
    try:
        _wait_until_ready(url, server, log)
        yield live
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                break
            time.sleep(0.1)
    raise RuntimeError(f"the server did not come up:\n{log.read_text()[-4000:]}")


def _database(name: str) -> str:
    given = urlsplit(os.environ["DATABASE_URL"])
    with psycopg.connect(urlunsplit(given._replace(path="/postgres")), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    return urlunsplit(given._replace(path=f"/{name}"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
