"""`python3 bootstrap.py faults`: kill, cut off and mislead a Vouch that really runs, and print what came of it.

PostgreSQL flushes what it commits; web, worker, sender and beat are processes as an operator runs them. The exit status
is 1 when any bound is broken.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from tests.faults import bad, broker, kills, private
from tests.faults.figures import Figures
from tests.faults.house import House, house
from tests.receivers import BAD, Receivers, receiving

SCENARIOS = ("kills", "broker", "bad", "private")
SHORT = ("kills", "bad")
NAMES = (*kills.NAMES, broker.NAME, bad.NAME, "target", *BAD)


def main() -> int:
    """Run what is asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="bootstrap.py faults", description=__doc__)
    parser.add_argument("scenario", nargs="*", choices=[*SCENARIOS, []], help="all by default")
    parser.add_argument("--short", action="store_true", help="what runs with the tests: less of everything")
    parser.add_argument("--rounds", type=int, default=3, help="how often each process is killed (default %(default)s)")
    parser.add_argument("--events", type=int, default=1000, help="events meanwhile (default %(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a time-out, too, leaves nothing behind
    began, broken = time.monotonic(), []
    with receiving(*NAMES) as receivers, house(short=options.short) as home:
        for name in options.scenario or (SHORT if options.short else SCENARIOS):
            figures = measured(name, home, receivers, options)
            print(figures, flush=True)
            broken += figures.broken
    print(f"\n{time.monotonic() - began:.0f} s. " + ("BROKEN: " + "; ".join(broken) if broken else "All bounds hold."))
    return 1 if broken else 0


def measured(name: str, home: House, receivers: Receivers, options: argparse.Namespace) -> Figures:
    """One scenario in a house that is up."""
    short = options.short
    if name == "kills":
        chosen = ["sender", "PostgreSQL", "FLUSHALL"] if short else [*kills.KILLS] * options.rounds
        return kills.run(home, receivers, events=100 if short else options.events, kills=chosen, wait_out=not short)
    if name == "broker":
        return broker.run(home, receivers, promotions=15 if short else 100)
    if name == "bad":
        return bad.run(home, receivers, seconds=10 if short else 60)
    return private.run(home)


if __name__ == "__main__":
    sys.exit(main())
