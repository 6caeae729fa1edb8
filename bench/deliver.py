"""How fast webhooks are sent, and whether a backlog shrinks: one sender, PostgreSQL with fsync, receivers that answer.

The sender is the process that `deploy/entrypoint.sh sender` starts; the receivers are one process beside it on the same
machine. Events are entries of the audit log, written as every write does it. A backlog is given the due times of events
that came in evenly before, so that the age of its oldest says whether the sender keeps up: what it has to catch up with
is the time before the run, and new events come meanwhile.
Run with the project's own Python: `.venv/bin/python bench/deliver.py`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from config import embedded  # noqa: E402
from tests.receivers import Receivers, receiving  # noqa: E402

EVENTS_PER_SECOND = 500  # written beforehand, for each second that is asked for
CAME_IN_AT = 100  # a second: how the backlog came about
MEANWHILE = 50  # a second: what comes while it drains, one half for those who are behind, the other for one who is not
BATCH = 100  # events in one transaction, when they are written beforehand
LOOK_EVERY = 0.2  # seconds
CAUGHT_UP = 0.5  # seconds: what is due has only just come
PATIENCE = 120.0  # seconds for one case
ANOTHER = "healthy"  # the receiver that is never behind


@dataclass(frozen=True)
class Figure:
    """Deliveries per second from the first arrival to the last, and the sender's own time for each."""

    delivered: int
    rate: float
    cpu: float  # milliseconds of the sender's processor time


def main() -> int:
    """Measure and print the tables; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help=f"{EVENTS_PER_SECOND} events are sent for each")
    parser.add_argument("--models", type=int, default=8, help="webhooks that are sent to at a time, one for each model")
    options = parser.parse_args()
    names = [f"healthy.{number}" for number in range(options.models)]
    with tempfile.TemporaryDirectory(prefix="vouch-bench-") as place, ExitStack() as stack:
        os.chmod(place, 0o755)
        services = stack.enter_context(embedded.services(Path(place) / "services"))
        os.environ.update(
            DATABASE_URL=services.database,
            REDIS_URL=services.redis,
            DJANGO_SETTINGS_MODULE="config.settings",
            VOUCH_DATA=str(Path(place) / "data"),
            VOUCH_LOG_LEVEL="WARNING",
            VOUCH_PYTHON=sys.executable,
            VOUCH_SECRET_KEY="bench",
            VOUCH_WEBHOOK_NETWORKS="127.0.0.0/8",
            VOUCH_WORKER_NAME="bench",
        )
        bench = Bench(stack.enter_context(receiving(ANOTHER, *names)), Path(place) / "sender.log")
        events = max(200, int(options.seconds * EVENTS_PER_SECOND))
        one = bench.steady([ANOTHER], events)
        several = bench.steady(names, events)
        drained, ages, delays = bench.backlog(names, events)
    print(f"\n`--seconds {options.seconds:g} --models {options.models}`\n")
    print("| case | events | events/s | sender's processor time, ms each |\n|---|---:|---:|---:|")
    for label, figure in {
        "one webhook": one,
        f"{options.models} webhooks": several,
        f"a backlog of {options.models} webhooks, while others come": drained,
    }.items():
        print(f"| {label} | {figure.delivered:,} | {figure.rate:,.0f} | {figure.cpu:.2f} |")
    print("\n| while the backlog drains | start | ¼ | ½ | ¾ | end |\n|---|---:|---:|---:|---:|---:|")
    shown = [ages[min(len(ages) - 1, len(ages) * quarter // 4)] for quarter in range(5)]
    print("| " + " | ".join(["age of the oldest due, s", *[f"{age:.1f}" for age in shown]]) + " |")
    print("\n| events that came meanwhile | p50 ms | p99 ms |\n|---|---:|---:|")
    for label, each in delays.items():
        times = sorted(1000 * seconds for seconds in each)
        p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
        print(f"| {label} | {statistics.median(times):,.0f} | {p99:,.0f} |")
    return 0


class Bench:
    """A model for each receiver, with a webhook that lies there."""

    def __init__(self, receivers: Receivers, log: Path) -> None:
        """Make the schema, the models and the webhooks; the sender will write to `log`."""
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        from accounts.roles import Role
        from core import sealing
        from registry.models import Webhook
        from tests import make

        self._receivers, self._log = receivers, log
        self._actor = make.actor("ci", Role.CONTRIBUTOR)
        self._models = {name: make.model(self._actor, name) for name in receivers.ports}
        secret = sealing.sealed("whsec_" + "c2VjcmV0IHRoYXQgaXMgbG9uZyBlbm91Z2ggZm9yIHVz")
        for name, model in self._models.items():
            Webhook.objects.create(workspace=make.workspace(), model=model, url=receivers.url(name), secret=secret)

    def steady(self, names: list[str], events: int) -> Figure:
        """Everything that is due is there at the start."""
        self._write(names, events)
        return self._measured(names, self._until_sent)

    def backlog(self, names: list[str], events: int) -> tuple[Figure, list[float], dict[str, list[float]]]:
        """What came in before is due since then; returns the ages of the oldest due as well, and delays in seconds."""
        from django.db import connection

        self._write(names, events)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE registry_delivery d SET due_at = now() - make_interval(secs => n.place / %s::float8) FROM "
                "(SELECT id, row_number() OVER (ORDER BY entry_id DESC) AS place FROM registry_delivery "
                "WHERE state = 'pending') n WHERE n.id = d.id",
                [CAME_IN_AT],
            )
        ages: list[float] = []
        meanwhile: list[Any] = []

        def drain() -> None:
            until = time.monotonic() + PATIENCE
            while (age := self._oldest(names)) > CAUGHT_UP and time.monotonic() < until:
                ages.append(age)
                next_look = time.monotonic() + LOOK_EVERY
                for _ in range(round(MEANWHILE * LOOK_EVERY / 2)):
                    meanwhile.extend(self._emit(names[len(meanwhile) % len(names)], 1))
                    meanwhile.extend(self._emit(ANOTHER, 1))
                time.sleep(max(0.0, next_look - time.monotonic()))
            ages.append(age)
            self._until_sent()

        figure = self._measured(names, drain)
        return figure, ages, self._delays(meanwhile, names)

    # --- Events -------------------------------------------------------------------------------------------------------
    def _write(self, names: list[str], events: int) -> None:
        for turn in range(events // BATCH):
            self._emit(names[turn % len(names)], BATCH)

    def _emit(self, name: str, events: int) -> list[Any]:
        from django.db import transaction

        from accounts.audit import Event
        from accounts.verbs import Verb
        from registry.outbox import emit_all

        tagged = [Event(Verb.MODEL_TAGGED, f"model {name}", {"key": "n", "value": str(n)}) for n in range(events)]
        with transaction.atomic():
            return emit_all(self._actor, self._models[name], tagged)

    # --- What comes of them -------------------------------------------------------------------------------------------
    def _measured(self, names: list[str], act: Callable[[], None]) -> Figure:
        """Start a sender and see what it does, from the first that arrives until `act` is over."""
        from registry.delivery import call_sender

        before = {name: self._receivers.count(name) for name in names}
        with self._sender() as sender:
            call_sender()
            until = time.monotonic() + PATIENCE
            while all(self._receivers.count(name) == before[name] for name in names):
                if time.monotonic() > until:
                    raise SystemExit(f"nothing was sent; the sender's log:\n{self._log.read_text()[-4000:]}")
                time.sleep(0.005)
            spent, arrived = _processor_seconds(sender.pid), self._arrived()
            act()
            spent, arrived = _processor_seconds(sender.pid) - spent, self._arrived() - arrived
        times = sorted(at for name in names for _, at in self._receivers.letters(name, before[name]))
        return Figure(len(times), len(times) / (times[-1] - times[0]), 1000 * spent / arrived)

    @contextmanager
    def _sender(self) -> Iterator[subprocess.Popen[bytes]]:
        command = ["sh", str(ROOT / "deploy" / "entrypoint.sh"), "sender"]
        with self._log.open("ab") as log, subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as process:
            try:
                yield process
            finally:
                process.terminate()

    def _arrived(self) -> int:
        return sum(self._receivers.count(name) for name in self._models)

    def _until_sent(self) -> None:
        """Wait until nothing is owed any more."""
        from registry.models import Attempt, Delivery

        until = time.monotonic() + PATIENCE
        while Delivery.objects.filter(state="pending").exists():
            if time.monotonic() > until:
                failed = Counter(Attempt.objects.exclude(error="").values_list("error", flat=True))
                raise SystemExit(f"not everything was sent; {failed}")
            time.sleep(0.05)

    def _oldest(self, names: list[str]) -> float:
        """The age in seconds of the oldest that is due to one of these, 0 when nothing is."""
        from django.db.models import Min
        from django.utils import timezone

        from registry.models import Delivery

        pending = Delivery.objects.filter(state="pending", webhook__model__name__in=names)
        oldest = pending.aggregate(oldest=Min("due_at"))["oldest"]
        return (timezone.now() - oldest).total_seconds() if oldest else 0.0

    def _delays(self, meanwhile: list[Any], names: list[str]) -> dict[str, list[float]]:
        """Seconds from each of these events to its arrival, of webhooks with a backlog and of the other."""
        from registry.models import Delivery

        ids = dict(Delivery.objects.filter(entry__in=meanwhile).values_list("entry_id", "id"))
        delays = {}
        for label, group in (("to webhooks that are behind", names), ("to another webhook", [ANOTHER])):
            arrived = {webhook_id: at for name in group for webhook_id, at in self._receivers.letters(name)}
            hits = [(arrived.get(str(ids[entry.pk])), entry.at.timestamp()) for entry in meanwhile]
            delays[label] = [at - since for at, since in hits if at]
        return delays


def _processor_seconds(pid: int) -> float:
    """What a process has used so far, in user mode and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
