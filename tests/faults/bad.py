"""One receiver of each bad sort beside a healthy one: it notices nothing, and neither does the sender."""

from __future__ import annotations

import time

from tests.faults.figures import Figures, percentile
from tests.faults.house import House, every
from tests.receivers import BAD, Receivers

NAME = "healthy.beside"
EVENTS_EVERY = 0.2  # seconds
WARM_UP = 5.0  # seconds, until all of them have been met
GROWTH = 24.0  # MiB: what buffers of a dozen connections and the allocator may come to


def run(house: House, receivers: Receivers, *, seconds: float) -> Figures:
    """A steady stream of events to all of them."""
    house.call("POST", "models", {"name": "steady"})
    house.add_webhooks(*[(name, receivers.url(name), "steady") for name in (NAME, *BAD)])
    memory: list[float] = []
    began = time.monotonic()
    with every(0.5, lambda: memory.append(house.memory("sender"))):
        number = 0
        while time.monotonic() < began + seconds:
            number += 1
            house.call("PUT", "models/steady/tags/n", {"value": str(number)})
            time.sleep(max(0.0, began + number * EVENTS_EVERY - time.monotonic()))
            if receivers.count("gone") and number % 20 == 0:  # 410 disables it; somebody switches it on again
                house.rows(
                    "UPDATE registry_webhook SET active = true, disabled_because = '' WHERE name = 'gone' RETURNING id"
                )
        house.until(lambda: _owed(house) == 0, "the healthy one got everything", 30)
    happened = dict(
        house.rows(
            "SELECT d.id::text, extract(epoch FROM e.at)::float8 FROM registry_delivery d "
            "JOIN accounts_auditentry e ON e.id = d.entry_id JOIN registry_webhook w ON w.id = d.webhook_id "
            "WHERE w.name = %s",
            NAME,
        )
    )
    delays = [at - happened[webhook_id] for webhook_id, at in receivers.letters(NAME)]
    figures = Figures(f"{len(BAD)} bad receivers, {seconds:g} s")
    figures.add("delivered to the healthy one", len(delays), least=1)
    figures.add("its p50", 1000 * percentile(delays, 0.5), unit="ms")
    figures.add("its p99", 1000 * percentile(delays, 0.99), most=5000, unit="ms")
    warm = memory[min(len(memory) - 1, int(WARM_UP / 0.5))]
    figures.add("memory of the sender, at the start", memory[0], unit="MiB")
    figures.add("at most", max(memory), most=warm + GROWTH, unit="MiB")
    figures.add("at the end", memory[-1], most=warm + GROWTH / 2, unit="MiB")
    for name in BAD:
        if name != "refusing":
            figures.add(f"letters to: {name}", receivers.count(name), least=1)
    figures.add("open at once at one of them", max(receivers.most_open(name) for name in BAD), most=2)
    figures.add("connections to where a redirect points", receivers.connections("target"), most=0)
    return figures


def _owed(house: House) -> int:
    return int(
        house.rows(
            "SELECT count(*) FROM registry_delivery d JOIN registry_webhook w ON w.id = d.webhook_id "
            "WHERE w.name = %s AND d.state = 'pending'",
            NAME,
        )[0][0]
    )
