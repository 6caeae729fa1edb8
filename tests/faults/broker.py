"""The broker is down for the whole time: promotions are answered in time, and everything is delivered afterwards."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.figures import Figures, percentile
from tests.faults.house import House
from tests.receivers import Receivers

NAME = "healthy.broker"


def run(house: House, receivers: Receivers, *, promotions: int) -> Figures:
    """So many promotions with no broker there, and as many with one that accepts and never answers."""
    figures = Figures("no broker")
    house.call("POST", "models", {"name": "broker"})
    house.add_webhooks(("broker", receivers.url(NAME), "broker"))
    there = _promote(house, "there", promotions)
    house.kill("valkey")
    down = _promote(house, "down", promotions)
    with _black_hole(house.ports["valkey"]):
        silent = _promote(house, "silent", promotions)
    house.start("valkey")
    back = time.monotonic()
    house.until(lambda: _owed(house) == 0, "everything delivered after the broker is back", 90)
    figures.add("p99 with a broker, to compare", 1000 * percentile(there, 0.99), unit="ms")
    figures.add("promotions answered with 200 or 201, broker stopped", len(down), least=promotions)
    figures.add("p99, broker stopped", 1000 * percentile(down, 0.99), most=1000, unit="ms")
    figures.add("promotions answered with 200 or 201, broker silent", len(silent), least=promotions)
    figures.add("p99, broker silent", 1000 * percentile(silent, 0.99), most=1000, unit="ms")
    arrived = {str(event["id"]) for event in receivers.bodies(NAME).values()}
    log = {entry for (entry,) in house.rows(_LOG)}
    figures.add("events in the log", len(log), least=promotions)
    figures.add("not delivered", len(log - arrived), most=0)
    figures.add("until everything was delivered, once it is back", time.monotonic() - back, unit="s")
    return figures


_LOG = "SELECT id::text FROM accounts_auditentry WHERE data->>'model' = 'broker' AND verb <> 'model.created'"


def _promote(house: House, label: str, promotions: int) -> list[float]:
    """Seconds that each promotion to Staging took which was answered as it should be."""
    took = []
    for number in range(promotions):
        status, version = house.call("POST", "models/broker/versions", {"source": f"s3://{label}/{number}"})
        assert status == 201, version
        began = time.monotonic()
        asked = {"model": "broker", "version": version["version"], "stage": "Staging"}
        if house.call("POST", "promotions", asked)[0] in (200, 201):
            took.append(time.monotonic() - began)
    return took


@contextmanager
def _black_hole(port: int) -> Iterator[None]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", port), backlog=1024):
        yield


def _owed(house: House) -> int:
    return int(house.rows("SELECT count(*) FROM registry_delivery WHERE state = 'pending'")[0][0])
