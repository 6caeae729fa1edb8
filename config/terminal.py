"""What `config.up` prints: lines that appear at once, and steps with the seconds they took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


def say(text: str, *, end: str = "\n", file: TextIO | None = None) -> None:
    """Print at once, also into a pipe; a terminal that has gone is no reason to leave processes behind."""
    with suppress(OSError):
        print(text, end=end, file=file, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step and say how long it took."""
    say(f"  {title:<44}", end="")
    began = time.monotonic()
    try:
        yield
    except BaseException as end:
        say("stopped" if isinstance(end, KeyboardInterrupt) else "failed")
        raise
    say(f"{time.monotonic() - began:6.1f} s")
