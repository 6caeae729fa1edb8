"""The watcher of `config.children.guard`: kills process groups when the process that holds its pipe is gone.

Run as a script, isolated and without site-packages, so that it is small and needs nothing that could be missing.
"""

import os
import signal
import sys
import time

PATIENCE = (
    3.0  # seconds for the groups to end by themselves: they were sent the parent-death signal in the same instant
)


def main() -> None:
    """Read `+group` and `-group` lines until the pipe ends, then see to it that no group is left."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups = set()
    for line in sys.stdin:
        group = int(line[1:])
        groups.add(group) if line[0] == "+" else groups.discard(group)
    deadline = time.monotonic() + PATIENCE
    while groups and time.monotonic() < deadline:
        time.sleep(0.1)
        groups = {group for group in groups if _send(group, 0)}
    for group in groups:
        _send(group, signal.SIGKILL)


def _send(group: int, number: int) -> bool:
    """Send a signal to a group (0: none, only ask); False when there is no such group any more."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if __name__ == "__main__":
    main()
