"""Events while one process after the other is killed: none is lost, none is of a write that was rolled back."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psycopg
import redis

from tests.config.processes import descendants
from tests.faults.figures import Figures
from tests.faults.house import House, every
from tests.receivers import Receivers

WRITERS = 3
MODELS = 4
OPEN = 2  # sends that may be open to one webhook when the sender or the database is killed
NAMES = ("healthy.first", "healthy.second")
PATIENCE = 300.0  # seconds: for the next writes, on a busy machine
DRAINED_WITHIN = 90.0  # seconds: a lease and some


@dataclass
class Writes:
    """What was asked for over REST, and what was acknowledged."""

    house: House
    wanted: int
    over: threading.Event = field(default_factory=threading.Event)
    acknowledged: set[str] = field(default_factory=set)  # the values of the tags
    refused: int = 0
    unanswered: int = 0
    promoted: int = 0
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def write(self) -> None:
        """Until it is over: tags, now and then a version into Production, now and then what is refused."""
        while not self.over.is_set():
            number = next(self._numbers)
            model = f"kills-{number % MODELS}"
            if number % 20 == 3:
                self.promoted += self.house.promote(model, f"s3://bucket/{number}")
            if number % 10 == 5:
                self._refused(model)
            status, _ = self.house.call("PUT", f"models/{model}/tags/n", {"value": f"write {number}"})
            if status == 200:
                self.acknowledged.add(f"write {number}")
            else:
                self.unanswered += 1
                time.sleep(0.2)

    def _refused(self, model: str) -> None:
        """A write that the rules refuse after it has begun."""
        asked = {"model": model, "version": 999_999, "stage": "Staging"}
        self.refused += self.house.call("POST", "promotions", asked)[0] in (404, 409, 422)

    @property
    def enough(self) -> bool:
        return len(self.acknowledged) >= self.wanted


# --- The kills --------------------------------------------------------------------------------------------------------
def _process(house: House, name: str) -> None:
    house.kill(name)
    house.start(name)


def _web_worker(house: House) -> None:
    os.kill(descendants(house.processes["web"].pid)[-1], signal.SIGKILL)


def _valkey(house: House) -> None:
    _process(house, "valkey")
    house.until(house.valkey_answers, "Valkey")


def _flush(house: House) -> None:
    try:
        house.valkey.flushall()
    except redis.RedisError:
        time.sleep(0.5)


def _postgres(house: House) -> None:
    house.kill("postgres")
    # Those that it leaves behind hold on to its memory for a moment.
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        house.start("postgres")
        end = time.monotonic() + 20
        while time.monotonic() < end and house.processes["postgres"].poll() is None:
            if house.postgres_answers():
                return
            time.sleep(0.1)
        time.sleep(0.3)


def _backend(house: House) -> None:
    """One of the server's processes: PostgreSQL ends all others with it, and recovers."""
    mine = "SELECT pid FROM pg_stat_activity WHERE usename = 'vouch' ORDER BY random() LIMIT 1"
    for (pid,) in house.rows(mine):
        os.kill(pid, signal.SIGKILL)
    house.until(house.postgres_answers, "PostgreSQL")


KILLS: dict[str, Callable[[House], None]] = {
    "sender": lambda house: _process(house, "sender"),
    "PostgreSQL": _postgres,
    "FLUSHALL": _flush,
    "worker": lambda house: _process(house, "worker"),
    "beat": lambda house: _process(house, "beat"),
    "a process of web": _web_worker,
    "Valkey": _valkey,
    "a process of PostgreSQL": _backend,
    "web": lambda house: _process(house, "web"),
}
BEARING = ("sender", "PostgreSQL", "a process of PostgreSQL")  # whose death may repeat what was open


def run(house: House, receivers: Receivers, *, events: int, kills: list[str], wait_out: bool = True) -> Figures:
    """At least so many acknowledged writes while these are killed; without `wait_out`, leases are cut short."""
    for number in range(MODELS):
        house.call("POST", "models", {"name": f"kills-{number}"})
    house.add_webhooks(*[(name, receivers.url(name), "kills-*") for name in NAMES])
    ages: list[float] = []
    writes = Writes(house, events)
    with every(0.25, lambda: ages.append(_age(house))), ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(writes.write) for _ in range(WRITERS)]
        try:
            for number, name in enumerate(kills):
                due = events * (number + 1) // (len(kills) + 1)
                house.until(lambda due=due: len(writes.acknowledged) >= due, f"{due} writes before: {name}", PATIENCE)
                KILLS[name](house)
            house.until(lambda: writes.enough, "enough writes", PATIENCE)
        finally:
            writes.over.set()
        for writer in writers:
            writer.result()
        ended = time.monotonic()
        house.roll_back("kills-0", 10)
        if not wait_out:
            house.rows("UPDATE registry_webhook SET leased_until = NULL RETURNING id")
        house.until(lambda: _owed(house) == 0, "everything delivered", DRAINED_WITHIN)
        drained = time.monotonic() - ended
    return _figures(house, receivers, writes, kills, ages, drained)


def _age(house: House) -> float:
    try:
        ((age,),) = house.rows(
            "SELECT extract(epoch FROM now() - min(due_at))::float8 FROM registry_delivery "
            "WHERE state = 'pending' AND due_at <= now()"
        )
    except psycopg.OperationalError:
        return 0.0
    return age or 0.0


def _owed(house: House) -> int:
    try:
        return int(house.rows("SELECT count(*) FROM registry_delivery WHERE state <> 'delivered'")[0][0])
    except psycopg.OperationalError:
        return -1


def _figures(
    house: House, receivers: Receivers, writes: Writes, kills: list[str], ages: list[float], drained: float
) -> Figures:
    log = house.rows(
        "SELECT id::text, verb, data->>'value' FROM accounts_auditentry WHERE data->>'model' LIKE 'kills-%%' AND id > "
        "(SELECT max(id) FROM accounts_auditentry WHERE verb = 'model.created' AND data->>'model' LIKE 'kills-%%')"
    )
    known = {entry for entry, _, _ in log}
    noted = {value for _, verb, value in log if verb == "model.tagged"}
    lost = len(writes.acknowledged - noted)
    phantoms = duplicates = delivered = 0
    for name in NAMES:
        arrived = [str(event["id"]) for event in receivers.bodies(name).values()]
        lost += len(known - set(arrived))
        phantoms += len(set(arrived) - known)
        duplicates = max(duplicates, receivers.count(name) - len(set(arrived)))
        delivered += len(set(arrived))
    figures = Figures(f"{len(kills)} kills")
    figures.add("events in the log", len(log), least=writes.wanted)
    figures.add("writes acknowledged", len(writes.acknowledged), least=writes.wanted)
    figures.add("writes without an answer", writes.unanswered)
    figures.add("versions brought into Production", writes.promoted, least=1)
    figures.add("writes refused", writes.refused, least=1)
    figures.add("transactions rolled back", 10)
    figures.add(f"delivered to {len(NAMES)} webhooks", delivered)
    figures.add("lost", lost, most=0)
    figures.add("of what was rolled back", phantoms, most=0)
    most = OPEN * sum(name in BEARING for name in kills)
    figures.add("duplicates at one webhook", duplicates, most=most)
    figures.add("oldest due, at most", max(ages), unit="s")
    figures.add("oldest due, at the end", _age(house), most=1, unit="s")
    figures.add("until everything was delivered", drained, unit="s")
    return figures
