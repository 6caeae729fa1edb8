"""Looks after web, worker, sender and beat: starts them, restarts the one that dies, stops them together."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from config import children
from config.datadir import CannotStart
from config.embedded import Services
from config.terminal import say

READY_WITHIN = 90.0  # seconds
STOP_WITHIN = 6.0
LONGEST_PAUSE = 30.0  # seconds between two attempts to restart a process that keeps dying
SETTLED_AFTER = 60.0  # seconds after which a restarted process counts as healthy again


@dataclass
class Child:
    """One of the processes, and when it may be started again after it has died."""

    name: str
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    pause: float = 1.0
    due: float | None = None


class Supervisor:
    """Starts web, worker, sender and beat, restarts the one that dies, and stops them together."""

    def __init__(self, data: Path, guard: children.Guard, services: Services) -> None:
        """Nothing runs until `start`."""
        self._data, self._guard, self._services = data, guard, services
        self._children: list[Child] = []

    def start(self, commands: dict[str, list[str]]) -> None:
        """Start all of them."""
        for name, command in commands.items():
            log = self._data / "logs" / f"{name}.log"
            self._children.append(Child(name, command, log, self._spawn(command, log)))

    def _spawn(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        process = children.spawn(command, log=log, cwd=children.ROOT)
        self._guard.watch(process)
        return process

    def wait(self, ready: Callable[[], bool], what: str) -> None:
        """Return when `ready()` is true; CannotStart when it takes too long."""
        deadline = time.monotonic() + READY_WITHIN
        while not ready():
            self.look()
            if time.monotonic() > deadline:
                logs = "\n".join(f"{child.log}:\n{children.tail(child.log)}" for child in self._children)
                raise CannotStart(f"{what} is not ready after {READY_WITHIN:.0f} s. The ends of the logs:\n{logs}")
            time.sleep(0.1)

    def watch(self) -> None:
        """Look after them for ever."""
        while True:
            self.look()
            time.sleep(0.3)

    def look(self) -> None:
        """Notice who has died; restart web, worker, sender and beat, give up when it is the database or the queue."""
        for server in self._services.started:
            if server.process.poll() is not None:
                raise CannotStart(
                    f"{server.name} has stopped ({verdict(server.process)}). The end of {server.log}:\n"
                    f"{children.tail(server.log)}"
                )
        for child in self._children:
            if child.due is None and child.process.poll() is not None:
                self._bury(child)
            elif child.due is not None and time.monotonic() >= child.due:
                child.process, child.started, child.due = self._spawn(child.command, child.log), time.monotonic(), None

    def _bury(self, child: Child) -> None:
        """Report a death and set the time of the next attempt."""
        children.kill_group(child.process.pid)
        self._guard.forget(child.process)
        if time.monotonic() - child.started > SETTLED_AFTER:
            child.pause = 1.0
        say(
            f"\n{child.name} has stopped ({verdict(child.process)}) and starts again in {child.pause:.0f} s. "
            f"The end of {child.log}:\n{children.tail(child.log)}"
        )
        child.due = time.monotonic() + child.pause
        child.pause = min(2 * child.pause, LONGEST_PAUSE)

    def stop(self) -> None:
        """Stop all of them, killing what does not want to."""
        children.stop([child.process for child in self._children], patience=STOP_WITHIN)
        for child in self._children:
            self._guard.forget(child.process)


def verdict(process: subprocess.Popen[bytes]) -> str:
    """How a process ended, in words."""
    code = process.returncode
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
