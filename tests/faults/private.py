"""Addresses that are not public, however they are written, and names that turn to them: no packet ever goes there."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from unittest import mock

from core.http import Egress, Letter, Sender
from tests.faults.figures import Figures
from tests.faults.house import House

# Ways to write this machine; `{}` is the port on which it listens.
_HERE = (
    "https://127.0.0.1:{}/",
    "http://127.0.0.1:{}/",
    "https://127.1.2.3:{}/",
    "https://localhost:{}/",
    "https://0.0.0.0:{}/",
    "https://2130706433:{}/",
    "https://0x7f000001:{}/",
    "https://0177.0.0.1:{}/",
    "https://[::1]:{}/",
    "https://[::ffff:127.0.0.1]:{}/",
    "https://[64:ff9b::7f00:1]:{}/",
    "https://[2002:7f00:1::]:{}/",
)
_ELSEWHERE = ("https://10.0.0.1/", "https://169.254.169.254/", "https://[fe80::1]/", "https://[fd00::1]/")
REBINDINGS = 20


class Listener:
    """Counts who connects, on every address of this machine."""

    def __init__(self) -> None:
        self.accepted = 0
        self._socket = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        self.port = self._socket.getsockname()[1]
        Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        try:
            while True:
                self._socket.accept()[0].close()
                self.accepted += 1
        except OSError:
            return

    def close(self) -> None:
        self._socket.close()


@contextmanager
def listener() -> Iterator[Listener]:
    there = Listener()
    try:
        socket.create_connection(("127.0.0.1", there.port), 2).close()  # it does count
        while not there.accepted:
            time.sleep(0.01)
        there.accepted = 0
        yield there
    finally:
        there.close()


def run(house: House) -> Figures:
    """The sender of the house with no private network allowed, and a sender in this process for names that turn."""
    figures = Figures("private addresses")
    house.call("POST", "models", {"name": "private"})
    with listener() as there:
        urls = [url.format(there.port) for url in (*_HERE, *_ELSEWHERE)]
        house.add_webhooks(*[(f"private {number}", url, "private") for number, url in enumerate(urls)])
        house.kill("sender")
        house.start("sender", VOUCH_WEBHOOK_NETWORKS="", VOUCH_WEBHOOK_PORTS=f"443,{there.port}")
        assert house.call("PUT", "models/private/tags/n", {"value": "1"})[0] == 200
        house.until(lambda: _tried(house) == len(urls), "every address was tried", 60)
        figures.add("addresses tried", len(urls))
        figures.add("connections", there.accepted, most=0)
        tried, there.accepted = _rebinding(there), 0
        figures.add("names that turned to this machine, tried", tried, least=REBINDINGS)
        figures.add("connections to this machine", there.accepted, most=0)
    return figures


def _tried(house: House) -> int:
    refused = (
        "SELECT count(*) FROM registry_attempt a JOIN registry_delivery d ON d.id = a.delivery_id "
        "JOIN registry_webhook w ON w.id = d.webhook_id "
        "WHERE w.name LIKE 'private %%' AND a.number = 1 AND a.status IS NULL AND a.error <> ''"
    )
    return int(house.rows(refused)[0][0])


def _rebinding(there: Listener) -> int:
    """A name that answers with a public address at first and with this machine's at every second look.

    The resolver is replaced in this process, since the real one cannot be made to turn. 192.0.0.9 is global and leads
    nowhere, so what connects to it ends soon.
    """
    looks = 0

    def turning(host: str, port: int | None, *rest: object, **more: object) -> list[tuple[object, ...]]:
        nonlocal looks
        looks += 1
        address = "127.0.0.1" if looks % 2 == 0 else "8.8.8.8"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))]

    letter = Letter(f"https://turning.example:{there.port}/", {}, b"{}")
    with (
        mock.patch("socket.getaddrinfo", turning),
        Sender(Egress.of([], [there.port]), connect_seconds=0.2, total_seconds=0.5) as sender,
    ):
        for _ in range(REBINDINGS):
            sent = sender.send(letter).result(10)
            assert sent.status is None, sent
    return looks
