"""Child processes that never outlive the process which started them, and the end of what they wrote."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOG_KEPT = 10 * 1024 * 1024  # bytes; a longer log is set aside as `.1` when its process is started again
PR_SET_PDEATHSIG = 1

# Looked up here, not in the child: after the switch to another user the Python that we run may be unreadable.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


def spawn(
    command: Sequence[str | Path], *, log: Path, on_parent_death: signal.Signals = signal.SIGTERM, **options: Any
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, writing to `log`; `options` are those of `Popen`.

    The kernel sends `on_parent_death` to it when we vanish. Linux ties that to the *thread* that started the child, so
    call this from the main thread.
    """
    with open_log(log) as output:
        return subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C in the terminal is for us alone; we stop the children in their order
            preexec_fn=die_with_parent(on_parent_death),
            **{"stdin": subprocess.DEVNULL, **options},
        )


def die_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """What a child runs before its program: ask for `death_signal` when the caller of this function dies."""
    parent = os.getpid()

    def ask() -> None:
        if _prctl is not None:
            _prctl(PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask


def stop(
    processes: Sequence[subprocess.Popen[bytes]], *, patience: float, first: signal.Signals = signal.SIGTERM
) -> None:
    """Ask all of them to end, wait `patience` seconds together, then kill what is left with its whole group."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(first)
    deadline = time.monotonic() + patience
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    for process in processes:
        kill_group(process.pid)  # also what a child left behind when it ended by itself
        process.wait()


def kill_group(group: int) -> None:
    """Kill every process of a group; one that has gone already is fine."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


@contextmanager
def guard() -> Iterator[Guard]:
    """A watcher process that kills the given groups, with all their descendants, when we vanish without a word.

    The parent-death signal reaches only a direct child. A web server killed that way takes its workers with it only if
    it still can, and this is for when it cannot.
    """
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", str(ROOT / "config" / "guard.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert watcher.stdin is not None
    try:
        yield Guard(watcher)
    finally:
        with suppress(BrokenPipeError):
            watcher.stdin.close()
        watcher.wait()


class Guard:
    """Tells the watcher which process groups are ours."""

    def __init__(self, watcher: subprocess.Popen[bytes]) -> None:
        self._watcher = watcher

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """Have the group of `process` killed when we vanish."""
        self._tell(f"+{process.pid}")

    def forget(self, process: subprocess.Popen[bytes]) -> None:
        """The group has ended: its number may soon be somebody else's."""
        self._tell(f"-{process.pid}")

    def _tell(self, line: str) -> None:
        assert self._watcher.stdin is not None
        with suppress(BrokenPipeError):  # somebody killed the watcher; the parent-death signal remains
            self._watcher.stdin.write(f"{line}\n".encode())
            self._watcher.stdin.flush()


@contextmanager
def open_log(path: Path) -> Iterator[Any]:
    """`path` opened for appending, readable by us alone; a long one is set aside first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_KEPT:
        path.replace(path.with_suffix(path.suffix + ".1"))
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab") as log:
        yield log


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, indented for a message."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 16 * 1024))
            text = log.read().decode(errors="replace")
    except OSError:
        return "    (nothing written)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (nothing written)"
