#!/usr/bin/env python3
"""Makes the environment of this checkout, then runs one command in it. Needs Python 3.11 with venv, and nothing else.

up       start Vouch with its database, queue, worker and sample workspace (up --help shows its options)
test     run the tests; arguments go to pytest
check    format, lint, types, import contract, migrations, settings for production, tests
mutants  take away one guard after the other: a test must fail each time (some minutes)
faults   kill, cut off and mislead a Vouch that really runs: what is delivered nevertheless (some minutes; --short)
manage   Django's command line on the Vouch that runs (manage audit verify)
env      only make the environment .venv
clients  make the environments of the stock MLflow clients, .venvs/mlflow-3 and .venvs/mlflow-2
browser  make the environment of what drives the tests' browser, .venvs/browser, and install Chromium as root
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # before anything that an older Python would trip over
    sys.exit(f"Vouch needs Python 3.11 or newer; this is {sys.version.split()[0]}. Run: python3.11 bootstrap.py")

import ctypes
import fcntl
import hashlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
CLIENTS = {
    ROOT / ".venvs" / "mlflow-3": ROOT / "examples" / "requirements-mlflow-3.lock",
    ROOT / ".venvs" / "mlflow-2": ROOT / "examples" / "requirements-mlflow-2.lock",
}
DEMO = ROOT / ".venvs" / "mlflow-3"
# What drives the browser of the tests; the browser is Debian's, with fonts for what the tests write.
BROWSER = ROOT / ".venvs" / "browser"
BROWSER_LOCK = ROOT / "tests" / "browser" / "requirements.lock"
CHROMIUM = ("chromium", "fonts-liberation", "fonts-dejavu-core")
PR_SET_PDEATHSIG = 1


class Refused(Exception):
    """The environment cannot be made; the message says why and what to do."""


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status, unless it replaces this process."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    commands = {
        "up": up,
        "test": test,
        "check": check,
        "mutants": mutants,
        "faults": faults,
        "manage": manage,
        "env": env,
        "clients": clients,
        "browser": browser,
    }
    if command not in commands:
        print(f"usage: python3 bootstrap.py COMMAND [ARGUMENT …]\n\n{__doc__}", file=sys.stderr)
        return 0 if command in ("-h", "--help", "help") else 2
    try:
        return commands[command](rest)
    except Refused as refused:
        print(f"\n{refused}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


# --- The commands -----------------------------------------------------------------------------------------------------
def up(arguments: list[str]) -> int:
    """Start everything; the sample workspace is filled by the stock MLflow client."""
    make(VENV, LOCK)
    if not {"-h", "--help"} & set(arguments):
        make(DEMO, CLIENTS[DEMO])
    return become("-P", "-m", "config.up", *arguments)


def test(arguments: list[str]) -> int:
    """Run the tests: all of them on two processes, or what the arguments name."""
    clients([])
    browser([])
    os.chdir(ROOT)
    return become("-m", "pytest", *pytest_arguments(arguments))


def pytest_arguments(arguments: list[str]) -> list[str]:
    """Two processes pay off for the whole suite only, and a debugger or `-s` cannot work through them."""
    names_tests = any((ROOT / argument.split("::")[0]).exists() for argument in arguments if argument[:1] != "-")
    alone = names_tests or any(a in ("-s", "--pdb", "--trace") or a.startswith(("-n", "--numproc")) for a in arguments)
    return ["-q", *arguments] if alone else ["-n", "2", "-q", *arguments]


def check(arguments: list[str]) -> int:
    """Everything that CI checks; each step runs even when one before it failed."""
    clients([])
    os.chdir(ROOT)
    python = str(VENV / "bin" / "python")
    # As in production, but never contacted: the steps that get it read the settings and the models only.
    production = {
        "DATABASE_URL": "postgresql://vouch@127.0.0.1:1/vouch",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "VOUCH_SECRET_KEY": hashlib.sha512(os.urandom(64)).hexdigest(),
        "VOUCH_URL": "https://vouch.example.org",
        "PYTHONWARNINGS": "ignore:Got an error checking a consistent migration history:RuntimeWarning",
    }
    steps: dict[str, tuple[list[str], dict[str, str]]] = {
        "format": ([python, "-m", "ruff", "format", "--check"], {}),
        "lint": ([python, "-m", "ruff", "check"], {}),
        "types": ([python, "-m", "mypy"], production),
        "imports": ([str(VENV / "bin" / "lint-imports")], {}),
        "migrations": ([python, "manage.py", "makemigrations", "--check", "--dry-run"], production),
        "production": ([python, "manage.py", "check", "--deploy", "--fail-level", "WARNING"], production),
        "tests": ([sys.executable, str(ROOT / "bootstrap.py"), "test", *arguments], {}),
    }
    failed = []
    for name, (command, extra) in steps.items():
        print(f"\n=== {name}", flush=True)
        began = time.monotonic()
        status = subprocess.run(command, env=environment() | extra).returncode
        verdict = "passed" if status == 0 else f"FAILED (exit status {status})"
        print(f"=== {name} {verdict}, {time.monotonic() - began:.1f} s", flush=True)
        if status:
            failed.append(name)
    print(f"\ncheck: {'FAILED: ' + ', '.join(failed) if failed else 'everything passed'}", flush=True)
    return 1 if failed else 0


def mutants(arguments: list[str]) -> int:
    """Whether the tests notice what must not be taken away."""
    make(VENV, LOCK)
    os.chdir(ROOT)
    return become("-m", "tests.mutants", *arguments)


def faults(arguments: list[str]) -> int:
    """What arrives at webhooks whatever dies, with figures."""
    make(VENV, LOCK)
    os.chdir(ROOT)
    return become("-m", "tests.faults", *arguments)


def manage(arguments: list[str]) -> int:
    """Django's command line, pointed at the services of the Vouch that runs."""
    make(VENV, LOCK)
    return become("-P", "-m", "config.manage", *arguments)


def env(arguments: list[str]) -> int:
    """Make the environment and say where it is."""
    make(VENV, LOCK)
    print(VENV)
    return 0


def clients(arguments: list[str]) -> int:
    """Make both client environments."""
    make(VENV, LOCK)
    for place, lock in CLIENTS.items():
        make(place, lock)
    return 0


def browser(arguments: list[str]) -> int:
    """Make the environment that drives a browser, and install the browser where we may; the tests skip without one."""
    make(BROWSER, BROWSER_LOCK)
    if shutil.which("chromium"):
        return 0
    install = "apt-get install --no-install-recommends " + " ".join(CHROMIUM)
    if os.geteuid() or not shutil.which("apt-get"):
        print(f"NO BROWSER: the tests of the pages in a browser are skipped. As root: {install}", flush=True)
        return 1
    with step("Chromium (apt)"):
        problem = run(["apt-get", "-qq", "update"]) or run(
            [*install.split(), "--yes"], DEBIAN_FRONTEND="noninteractive"
        )
    if problem:
        print(f"NO BROWSER: the tests of the pages in a browser are skipped. {install} says:\n{last_lines(problem)}")
    return 1 if problem else 0


def become(*arguments: str) -> int:
    """Replace this process by the environment's Python, so that no second one waits above it."""
    sys.stdout.flush()
    python = str(VENV / "bin" / "python")
    os.execve(python, [python, *arguments], environment())


def environment() -> dict[str, str]:
    """Ours, without what would make the environment's Python look elsewhere for modules."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


# --- Environments -----------------------------------------------------------------------------------------------------
def make(place: Path, lock: Path) -> None:
    """Bring one environment to what its lock says. Does nothing when it is there already; raises Refused."""
    if ready(place, lock):
        return
    require_venv()
    require_writable(place)
    with alone():
        if ready(place, lock):  # another bootstrap made it while we waited
            return
        print(f"Making {place.relative_to(ROOT)} from {lock.relative_to(ROOT)}", flush=True)
        stamp(place).unlink(missing_ok=True)
        with step("virtual environment"):
            make_empty(place)
        fill(place, lock)
        # Lets `python -m config.up` find this checkout from any directory.
        if place == VENV:
            next(place.glob("lib/python3*/site-packages")).joinpath("vouch.pth").write_text(f"{ROOT}\n")
        new = stamp(place).with_suffix(".new")
        new.write_text(wanted(place, lock))
        new.rename(stamp(place))  # last: an environment without a stamp is one that was never finished


def ready(place: Path, lock: Path) -> bool:
    """Whether the environment was finished, for this lock, by this Python, and still starts."""
    try:
        return stamp(place).read_text() == wanted(place, lock) and os.access(place / "bin" / "python", os.X_OK)
    except OSError:
        return False


def stamp(place: Path) -> Path:
    """The file that says what a finished environment was made from."""
    return place / "made-from"


def wanted(place: Path, lock: Path) -> str:
    """What the stamp has to say. The path is in it because scripts in an environment hold it too."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    return f"{digest} {sys.version_info[0]}.{sys.version_info[1]} {place}\n"


def require_venv() -> None:
    """Debian ships Python without the two modules that make an environment."""
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        raise Refused("This Python cannot make virtual environments. On Debian or Ubuntu: apt install python3-venv")


def require_writable(place: Path) -> None:
    """Raise Refused when the environment cannot be written here by us."""
    for path in (ROOT, place.parent, place):
        if path.exists() and not os.access(path, os.W_OK):
            owner, me = name_of(path.stat().st_uid), name_of(os.geteuid())
            raise Refused(f"{path} belongs to {owner} and {me} may not write there. Use a clone of your own.")


def name_of(uid: int) -> str:
    """A user's name; a container may run as one that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


@contextmanager
def alone() -> Iterator[None]:
    """One bootstrap at a time makes environments in this checkout."""
    with open(ROOT / ".bootstrap.lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another bootstrap is at work in this checkout; waiting for it.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_empty(place: Path) -> None:
    """A fresh environment: with pip for our own, which fetches uv; the others are filled by that uv."""
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(exist_ok=True)
    problem = run([sys.executable, "-m", "venv", str(place)] + ([] if place == VENV else ["--without-pip"]))
    if problem:
        raise Refused(f"Could not make a virtual environment in {place}:\n{problem}")


def fill(place: Path, lock: Path) -> None:
    """Install what the lock names, by uv, or by pip where uv cannot do it (a mirror that only pip knows, say)."""
    uv, python = VENV / "bin" / "uv", str(place / "bin" / "python")
    if place == VENV:
        with step("uv, the installer"):
            install_uv(place)
    with step(f"packages ({count(lock)})") as title:
        command = [str(uv), "pip", "sync", "--quiet", "--python", python, "--only-binary", ":all:"]
        problem = run([*command, "--require-hashes", str(lock)], UV_PYTHON_DOWNLOADS="never")
        if problem:
            title.append("by pip, since uv said: " + problem.strip().splitlines()[-1].strip())
            install_by_pip(place, lock)


def install_uv(place: Path) -> None:
    """The pinned uv, checked against the hashes that the lock has for it."""
    lines = LOCK.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("uv=="))
    hashes = itertools.takewhile(lambda line: line.startswith("    --hash="), lines[first + 1 :])
    pinned = place / "uv.lock"
    pinned.write_text("\n".join([lines[first], *hashes]).rstrip(" \\") + "\n")
    problem = run(pip(place / "bin" / "python", pinned))
    if problem:
        raise Refused(f"pip could not fetch the installer. {REACH}\n{last_lines(problem)}")


def install_by_pip(place: Path, lock: Path) -> None:
    """The slow way, several times as long as uv."""
    python = place / "bin" / "python"
    problem = None if place == VENV else run([str(python), "-m", "ensurepip"])
    problem = problem or run(pip(python, lock))
    if problem:
        raise Refused(f"pip could not install {lock.name}. {REACH}\n{last_lines(problem)}")


REACH = (
    "Is a package registry reachable from here (a proxy: HTTPS_PROXY, a mirror: PIP_INDEX_URL)? Run again to resume."
)


def pip(python: Path, lock: Path) -> list[str]:
    """The command that installs exactly what a lock names, wheels only, nothing without a matching hash."""
    options = ["--quiet", "--no-input", "--no-user", "--disable-pip-version-check", "--retries", "2", "--no-deps"]
    return [
        str(python),
        "-m",
        "pip",
        "install",
        *options,
        "--only-binary",
        ":all:",
        "--require-hashes",
        "-r",
        str(lock),
    ]


def count(lock: Path) -> int:
    """How many packages a lock pins."""
    return sum("==" in line and line[0] not in " #" for line in lock.read_text().splitlines() if line)


# --- Running and telling ----------------------------------------------------------------------------------------------
def run(command: list[str], **extra: str) -> str | None:
    """Run to the end; what it wrote when it failed, None when it worked. It dies with us, so nothing is left behind."""
    parent, prctl = os.getpid(), getattr(ctypes.CDLL(None), "prctl", None)

    def die_with_parent() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)

    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment() | extra,
            preexec_fn=die_with_parent,
        )
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stdout.decode(errors="replace") or f"exit status {done.returncode}"


def last_lines(text: str) -> str:
    """The end of a long output, indented."""
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-12:])


@contextmanager
def step(title: str) -> Iterator[list[str]]:
    """Announce a step and say how long it took; what is put into the list is said as well."""
    print(f"  {title:<28}", end="", flush=True)
    began, remarks = time.monotonic(), list[str]()
    try:
        yield remarks
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.monotonic() - began:6.1f} s  {'; '.join(remarks)}".rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
