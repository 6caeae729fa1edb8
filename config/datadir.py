"""The data directory: who may use it, one Vouch at a time, and the secrets that are kept there."""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RUNNING = "running.json"  # in the data directory: the environment of the Vouch that runs on it
LEFTOVERS_WITHIN = 20.0  # seconds for the servers of a killed run to end


class CannotStart(RuntimeError):
    """Vouch cannot run here; the message says why and what to do."""


def default_data() -> Path:
    """Where the data lie when nobody says otherwise: /var/lib/vouch for root, else in the user's own data folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/vouch")
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "vouch"


def private_directory(path: Path) -> Path:
    """`path`, made when missing and absolute; ours and writable by us alone, else CannotStart."""
    path = path.expanduser().absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.stat()
    except OSError as error:
        raise CannotStart(f"Cannot use {path} for the data: {error.strerror}. Choose another with --data.") from error
    if found.st_uid != os.geteuid():
        owner = _name_of(found.st_uid)
        raise CannotStart(f"{path} belongs to {owner}. Run as {owner}, or choose another directory with --data.")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CannotStart(f"Others may write to {path}. Take that away (chmod go-w), or choose another with --data.")
    return path


@contextmanager
def claim(data: Path) -> Iterator[None]:
    """Hold the data directory for this process alone; CannotStart when another Vouch has it."""
    lock = os.open(data / "vouch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _take(lock):
            holder = os.read(lock, 20).decode(errors="replace").strip() or "unknown"
            raise CannotStart(
                f"{data} is in use by another Vouch (process {holder}). Stop that one, or choose another with --data."
            )
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        yield
    finally:
        os.close(lock)


@contextmanager
def servers_lock(data: Path) -> Iterator[int]:
    """A lock that both servers inherit, so that it is free only when the last process of an earlier run has gone.

    After a kill -9 of its parent PostgreSQL needs a moment to shut down; a second one on its files would ruin them.
    """
    lock = os.open(data / "servers.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + LEFTOVERS_WITHIN
        while not _take(lock):
            if time.monotonic() > deadline:
                raise CannotStart(f"A PostgreSQL or Valkey of an earlier run still uses {data} and does not stop.")
            time.sleep(0.1)
        yield lock
    finally:
        os.close(lock)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def kept_secret(path: Path) -> str:
    """The secret in `path`, made and written there for good when there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        pass
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    secret = secrets.token_urlsafe(48)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    return secret


@contextmanager
def open_directory(path: Path) -> Iterator[int]:
    """A descriptor of a directory to hand to a child, which names it /proc/self/fd/N."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise CannotStart(f"{path} is not a directory.") from error
        raise
    try:
        yield opened
    finally:
        os.close(opened)
