"""Receivers of webhooks in a process of their own: a healthy one, and one of each bad sort.

They count what they get: every letter with the time of its arrival, and the most that were open at once. The process
is asked through its standard input, answers through its output, and ends with whoever started it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BAD = (
    "slow",
    "hanging",
    "dripping-head",
    "dripping-body",
    "huge",
    "endless-head",
    "redirecting",
    "resetting",
    "refusing",
    "failing",
    "gone",
)
SLOW = 10.0  # seconds until a slow one answers
DRIP = 0.5  # seconds between two bytes
# Those that answer at once.
_ANSWERS = {
    "healthy": b"200 OK",
    "target": b"200 OK",
    "failing": b"500 Internal Server Error",
    "gone": b"410 Gone",
}


@dataclass(frozen=True)
class Letter:
    """What arrived: the id of the delivery, when (seconds since 1970), and the body."""

    webhook_id: str
    at: float
    body: bytes = b""
    head: dict[str, str] = field(default_factory=dict)  # names in lower case


# --- For those who use them -------------------------------------------------------------------------------------------
class Receivers:
    """The process; one receiver for each name, of the sort that the name begins with: `healthy`, `healthy.2`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lock = threading.Lock()
        self.ports: dict[str, int] = self._answer()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}/{name}"

    def letters(self, name: str, first: int = 0) -> list[tuple[str, float]]:
        """What arrived at one of them, from that number on: the delivery's id, and the time in seconds since 1970."""
        return [(webhook_id, at) for webhook_id, at in self._ask("letters", name, first)]

    def bodies(self, name: str) -> dict[str, Any]:
        """The events that arrived, by the ids of their deliveries."""
        return {webhook_id: json.loads(body) for webhook_id, body in self._ask("bodies", name, 0).items()}

    def sent(self, name: str) -> list[tuple[dict[str, str], bytes]]:
        """The letters that arrived at one of them: the headers, their names in lower case, and the body."""
        return [(head, body.encode()) for head, body in self._ask("sent", name, 0)]

    def count(self, name: str) -> int:
        return int(self._ask("count", name, 0))

    def connections(self, name: str) -> int:
        """How many were ever accepted."""
        return int(self._ask("connections", name, 0))

    def most_open(self, name: str) -> int:
        """How many letters were with it at once, at most."""
        return int(self._ask("most", name, 0))

    def _ask(self, what: str, name: str, first: int) -> Any:
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps([what, name, first]) + "\n")
            self._process.stdin.flush()
            return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def receiving(*names: str) -> Iterator[Receivers]:
    """Receivers of these names, until the block ends."""
    command = [sys.executable, "-m", "tests.receivers", *names]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Receivers(process)
        finally:
            process.kill()


# --- The process ------------------------------------------------------------------------------------------------------
@dataclass
class Book:
    """What one of them counted."""

    sort: str
    target: str = ""  # where a redirecting one points
    letters: list[Letter] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most: int = 0

    def opened(self) -> None:
        self.open += 1
        self.most = max(self.most, self.open)


class Connection(asyncio.Protocol):
    """Reads letters one after the other, and answers each as its sort does."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._unread = b""
        self._open = False
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._writable = asyncio.Event()
        self._writable.set()
        self._book.connections += 1

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            lines = [line.split(": ", 1) for line in self._unread[:end].decode("latin-1").split("\r\n")[1:]]
            head = {name.lower(): value for name, value in lines}
            whole = end + 4 + int(head.get("content-length", "0"))
            if len(self._unread) < whole:
                return
            body, self._unread = self._unread[end + 4 : whole], self._unread[whole:]
            self._book.letters.append(Letter(head.get("webhook-id", ""), time.time(), body, head))
            self._begun()
            if status := _ANSWERS.get(self._book.sort):
                self._transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n")
                self._ended()
            else:
                self._answering = asyncio.get_running_loop().create_task(self._answer())

    def connection_lost(self, error: Exception | None) -> None:
        self._writable.set()
        if self._answering:
            self._answering.cancel()
        self._ended()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _begun(self) -> None:
        if not self._open:
            self._open = True
            self._book.opened()

    def _ended(self) -> None:
        if self._open:
            self._open = False
            self._book.open -= 1

    async def _answer(self) -> None:
        sort = self._book.sort
        if sort == "slow":
            await asyncio.sleep(SLOW)
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            self._ended()
        elif sort == "dripping-head":
            await self._drip(b"HTTP/1.1 200 OK\r\nx-slowly: " + b"a" * 10_000)
        elif sort == "dripping-body":
            self._transport.write(b"HTTP/1.1 500 No\r\ncontent-length: 1000000\r\n\r\n")
            await self._drip(b"a" * 10_000)
        elif sort == "huge":
            self._transport.write(b"HTTP/1.1 500 No\r\ncontent-length: 1000000000000\r\n\r\n")
            await self._pour(b"a" * 65536)
        elif sort == "endless-head":
            self._transport.write(b"HTTP/1.1 200 OK\r\n")
            await self._pour(b"x-more: and more\r\n" * 4096)
        elif sort == "redirecting":
            place = self._book.target.encode()
            self._transport.write(b"HTTP/1.1 307 Over there\r\nlocation: " + place + b"\r\ncontent-length: 0\r\n\r\n")
            self._ended()
        elif sort == "resetting":
            at_once = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            self._transport.abort()

    async def _drip(self, text: bytes) -> None:
        for place in range(len(text)):
            self._transport.write(text[place : place + 1])
            await asyncio.sleep(DRIP)

    async def _pour(self, piece: bytes) -> None:
        while not self._transport.is_closing():
            self._transport.write(piece)
            await self._writable.wait()
            await asyncio.sleep(0)


async def _serve(names: list[str]) -> None:
    books, ports, loop = {}, {}, asyncio.get_running_loop()
    for name in names:
        book = books[name] = Book(name.split(".")[0])
        listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        ports[name] = listening.getsockname()[1]
        if book.sort == "refusing":
            listening.close()
        else:
            await loop.create_server(partial(Connection, book), sock=listening)
    if "target" in ports:
        for book in books.values():
            book.target = f"http://127.0.0.1:{ports['target']}/"
    print(json.dumps(ports), flush=True)
    # The books only ever grow, so that another thread may read them.
    await loop.run_in_executor(None, _tell, books)


def _tell(books: dict[str, Book]) -> None:
    for line in sys.stdin:
        what, name, first = json.loads(line)
        book = books[name]
        told: Any
        if what == "letters":
            told = [(letter.webhook_id, letter.at) for letter in book.letters[first:]]
        elif what == "bodies":
            told = {letter.webhook_id: letter.body.decode() for letter in book.letters}
        elif what == "sent":
            told = [(letter.head, letter.body.decode()) for letter in book.letters]
        else:
            told = {"count": len(book.letters), "connections": book.connections, "most": book.most}[what]
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
