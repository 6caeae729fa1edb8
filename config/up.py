"""`python -m config.up`: database, queue and the four processes of Vouch, with a sample workspace, until Ctrl-C."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TextIO
from urllib.parse import urlsplit

from django.conf import settings

from config import children, datadir, embedded
from config.conformance import SWITCHED_OFF
from config.datadir import CannotStart
from config.supervisor import Supervisor
from config.terminal import say, step

ROOT = children.ROOT
DEMO_PYTHON = ROOT / ".venvs" / "mlflow-3" / "bin" / "python"
ACCOUNTS = ("admin", "reviewer", "ci")
SAMPLE_STATE = "sample.state"
SAMPLE = "breast-cancer"  # one of the models of examples/sample.py, and in Production


def main(arguments: list[str] | None = None) -> int:
    """Run until told to stop; returns the exit status."""
    options = parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_quietly)
    try:
        run(options)
    except CannotStart as error:
        say(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("\nStopped. The data stay where they are; run the same command to carry on.")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options of `bootstrap.py up`."""
    parser = argparse.ArgumentParser(prog="bootstrap.py up", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="where the web server listens (default %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="the address it listens on (default %(default)s)")
    parser.add_argument("--data", type=Path, metavar="DIR", help=f"where the data lie ({datadir.default_data()})")
    parser.add_argument("--no-sample", action="store_true", help="begin without the sample models")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write address, passwords and tokens there, for scripts"
    )
    return parser.parse_args(arguments)


def stop_quietly(number: int, frame: FrameType | None) -> None:
    """Turn a signal into an orderly stop; further ones change nothing, as it takes a few seconds at most."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


# --- From nothing to healthy ------------------------------------------------------------------------------------------
def run(options: argparse.Namespace) -> None:
    """Start everything in order, tell what there is, then look after it. Ends by an exception only."""
    with ExitStack() as stack:
        url = public_url(options.host, options.port)
        require_free(options.host, options.port)
        data = datadir.private_directory(options.data or datadir.default_data())
        say(f"Starting Vouch on {data}")
        guard = stack.enter_context(children.guard())
        with step("database and queue"):
            services = stack.enter_context(embedded.services(data))
        os.environ.update(environment(options, url, data, services))
        stack.enter_context(announced(data))
        with step("database schema"):
            manage(data, "migrate", "--noinput", "-v", "0")
        with step("accounts"):
            accounts = sample_accounts(data, fresh=False)
            if options.json and not accounts["created"]:
                accounts = sample_accounts(data, fresh=True)
        supervisor = Supervisor(data, guard, services)
        stack.callback(supervisor.stop)
        with step("web, worker, sender and beat"):
            supervisor.start(commands())
            supervisor.wait(lambda: web_is_ready(options), "the web server")
            supervisor.wait(workers_answer, "the worker or the sender")
        if not options.no_sample:
            accounts = fill_sample(data, url, supervisor, guard, accounts)
        if options.json:
            write_private(options.json, {"url": url, "accounts": accounts["accounts"]})
        say(farewell(url, data, accounts, sample=sample_state(data) == "done"))
        if settings.VOUCH_CONFORMANCE:  # which stand in the environment by now
            say(f"\n*** {SWITCHED_OFF}\n")
        supervisor.watch()


def public_url(host: str, port: int) -> str:
    """The address people type. Beyond loopback it has to be given: passwords must not travel over plain http."""
    given = os.environ.get("VOUCH_URL")
    if given:
        return given.rstrip("/")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise CannotStart(
            f"--host {host} can be reached from other machines. Put a server with TLS in front and set VOUCH_URL to "
            f"its address (VOUCH_URL=https://…, and VOUCH_BEHIND_TLS_PROXY=1), or leave --host away."
        )
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def require_free(host: str, port: int) -> None:
    """Raise CannotStart when the web server could not listen there."""
    try:
        if not 0 < port < 2**16:  # which getaddrinfo would take modulo
            raise OverflowError("ports go from 1 to 65535")
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotStart(f"Cannot listen on {host} port {port}: {reason}. Choose another with --port.") from error


def environment(options: argparse.Namespace, url: str, data: Path, services: embedded.Services) -> dict[str, str]:
    """What the settings read; what the caller has set already wins."""
    insecure = url.startswith("http://")
    hosts = [urlsplit(url).hostname or options.host, "127.0.0.1", "localhost"]
    ours = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "VOUCH_SECRET_KEY": datadir.kept_secret(data / "secret.key"),
        "VOUCH_URL": url,
        "VOUCH_ALLOWED_HOSTS": ",".join(dict.fromkeys(hosts)),
        "VOUCH_INSECURE_HTTP": "1" if insecure else "0",
        "VOUCH_STATIC_FROM_SOURCE": "1",  # compressing them, as the image does, takes longer than everything else
        "VOUCH_ADMIN": "1",
        # To try webhooks with a receiver on this machine; whoever can reach the service sits at it.
        "VOUCH_WEBHOOK_NETWORKS": "127.0.0.0/8,::1/128" if insecure else "",
    }
    chosen = {name: os.environ.get(name) or value for name, value in ours.items()}
    return chosen | {
        "DATABASE_URL": services.database,
        "REDIS_URL": services.redis,
        "VOUCH_DATA": str(data),
        "VOUCH_HOST": options.host,
        "VOUCH_PORT": str(options.port),
        "VOUCH_PYTHON": sys.executable,
        "VOUCH_WORKER_NAME": "localhost",
        "VOUCH_BEAT_SCHEDULE": str(data / "beat.schedule"),
    }


@contextmanager
def announced(data: Path) -> Iterator[None]:
    """Leave our environment in the data directory for `bootstrap.py manage`, for as long as we run."""
    names = ("DATABASE_URL", "REDIS_URL")
    known = {name: value for name, value in os.environ.items() if name in names or name.startswith("VOUCH_")}
    write_private(data / datadir.RUNNING, known)
    try:
        yield
    finally:
        (data / datadir.RUNNING).unlink(missing_ok=True)


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Write JSON for our eyes only, whole or not at all."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
        new.replace(path)
    except OSError as error:
        raise CannotStart(f"Cannot write {path}: {error.strerror}.") from error


def manage(data: Path, *arguments: str) -> str:
    """Run a management command and return what it printed; CannotStart with the end of its log when it fails."""
    log = data / "logs" / "manage.log"
    return finish(subprocess_of([sys.executable, "-P", str(ROOT / "manage.py"), *arguments], log), arguments[0], log)


def subprocess_of(command: list[str], log: Path, **options: Any) -> subprocess.Popen[bytes]:
    """A child that ends by itself; what it prints is for us, what it complains about is for the log."""
    with children.open_log(log) as errors:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            start_new_session=True,
            preexec_fn=children.die_with_parent(signal.SIGKILL),
            **options,
        )


def finish(process: subprocess.Popen[bytes], name: str, log: Path) -> str:
    """Wait for a child and return what it printed."""
    try:
        printed, _ = process.communicate()
    finally:
        children.stop([process], patience=0)
    if process.returncode != 0:
        raise CannotStart(f"{name} failed (exit status {process.returncode}). The end of {log}:\n{children.tail(log)}")
    return printed.decode()


# --- Accounts and the sample workspace --------------------------------------------------------------------------------
def sample_accounts(data: Path, *, fresh: bool) -> dict[str, Any]:
    """Make the three accounts, or with `fresh` give them new passwords and tokens."""
    answer: dict[str, Any] = json.loads(manage(data, "sample", "accounts", "--json", *(["--fresh"] if fresh else [])))
    return answer


def sample_state(data: Path) -> str:
    """`begun`, `done`, or nothing."""
    note = data / SAMPLE_STATE
    return note.read_text() if note.exists() else ""


def fill_sample(
    data: Path, url: str, supervisor: Supervisor, guard: children.Guard, accounts: dict[str, Any]
) -> dict[str, Any]:
    """Log the sample models with the stock client, unless there is something already; returns the accounts to show.

    A note says that it began, so that an interrupted one goes on and somebody's own models are never mixed with ours.
    """
    state = sample_state(data)
    if state == "done" or not DEMO_PYTHON.exists():
        return accounts
    if state != "begun" and manage(data, "sample", "status").strip() != "empty":
        return accounts
    if not all(accounts["accounts"].get(name, {}).get("token") for name in ("ci", "reviewer")):
        accounts = sample_accounts(data, fresh=True)
    (data / SAMPLE_STATE).write_text("begun")
    log = data / "logs" / "sample.log"
    say("  sample models, trained now")
    known = dict(os.environ)
    known["MLFLOW_TRACKING_URI"] = url
    known["MLFLOW_TRACKING_TOKEN"] = accounts["accounts"]["ci"]["token"]
    known["VOUCH_REVIEWER_TOKEN"] = accounts["accounts"]["reviewer"]["token"]
    process = children.spawn([DEMO_PYTHON, ROOT / "examples" / "sample.py"], log=log, cwd=data, env=known)
    guard.watch(process)
    try:
        with log.open(errors="replace") as written:
            written.seek(0, os.SEEK_END)
            while process.poll() is None:
                supervisor.look()
                relay(written)
                time.sleep(0.2)
            relay(written)
    finally:
        children.stop([process], patience=1)
        guard.forget(process)
    if process.returncode == 0:
        (data / SAMPLE_STATE).write_text("done")
    else:
        say(
            f"  The sample models could not be logged; Vouch runs without them. The end of {log}:\n{children.tail(log)}"
        )
    return accounts


def relay(written: TextIO) -> None:
    """Say what the sample tells of its progress, and leave the rest to its log."""
    for line in written:
        if line.startswith("-> "):
            say(f"    {line[3:].rstrip()}")


def farewell(url: str, data: Path, accounts: dict[str, Any], *, sample: bool) -> str:
    """What a person needs now: the address, how to sign in, what to type next."""
    known = accounts["accounts"]
    token = known.get("ci", {}).get("token")
    where = "" if data == datadir.default_data() else f"VOUCH_DATA={shlex.quote(str(data))} "
    question = f"resolve?uri=models:/{SAMPLE}/Production" if sample else "models"
    lines = ["", f"Vouch is at {url}", ""]
    if known.get("admin", {}).get("password"):
        lines += ["  These are shown this once:", ""]
        lines += [f"    {name:<10} password  {known[name]['password']}" for name in ACCOUNTS if name in known]
        lines += [f"    {'ci':<10} token     {token}"]
    else:
        lines += [
            "  Accounts, passwords and tokens are as before. New ones for admin, reviewer and ci:",
            "",
            f"    {where}python3 bootstrap.py manage sample accounts --fresh",
        ]
    lines += [
        "",
        "  Next, in another terminal:",
        "",
        f"    export MLFLOW_TRACKING_URI={url} MLFLOW_TRACKING_TOKEN={token or 'THE-TOKEN-OF-CI'}",
        f'    curl -H "Authorization: Bearer $MLFLOW_TRACKING_TOKEN" "{url}/api/v1/{question}"',
        "    .venvs/mlflow-3/bin/python examples/promote.py",
        "",
        f"  Ctrl-C stops everything. Data and logs are in {data}.",
    ]
    return "\n".join(lines)


# --- The processes ----------------------------------------------------------------------------------------------------
def commands() -> dict[str, list[str]]:
    """The four processes, started by the script that the image starts them by."""
    entrypoint = str(ROOT / "deploy" / "entrypoint.sh")
    return {name: ["/bin/sh", entrypoint, name] for name in ("web", "worker", "sender", "beat")}


def web_is_ready(options: argparse.Namespace) -> bool:
    """Whether /readyz answers 200, asked directly and never through a proxy."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)  # noqa: S104 - asks, binds nothing
    address = f"http://{f'[{host}]' if ':' in host else host}:{options.port}/readyz"
    request = urllib.request.Request(address, headers={"Host": os.environ["VOUCH_ALLOWED_HOSTS"].split(",")[0]})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def workers_answer() -> bool:
    """Whether worker and sender answer a ping over the queue."""
    command = [sys.executable, "-P", "-m", "celery", "--workdir", str(ROOT), "-A", "config.celery"]
    log = Path(os.environ["VOUCH_DATA"]) / "logs" / "ping.log"
    asked = ("vouch@localhost", "sender@localhost")
    process = subprocess_of([*command, "inspect", "ping", "--timeout", "3", "-d", ",".join(asked)], log)
    try:
        printed, _ = process.communicate()
    finally:
        children.stop([process], patience=0)
    return all(name in printed.decode() for name in asked)


if __name__ == "__main__":
    sys.exit(main())
