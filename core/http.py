"""Guarded outbound HTTP: posts to where a user told us to, and nowhere else whatever a name or an answer says.

The guard (`core.guard`) sits where the connection is made. There are no proxies, no redirects and no other protocol
than HTTP/1.1, and nothing of an answer is decompressed or kept beyond its beginning.

Certificates are checked against the file or folder that SSL_CERT_FILE or SSL_CERT_DIR names, otherwise against the
system's trust store; `ca_file` adds the authorities of an operator.
"""

from __future__ import annotations

import asyncio
import datetime
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpcore2

from core.addresses import BadUrl, Egress, Target, checked_url, refused, taken_apart
from core.guard import Failed, Guard, Trip, reason, trip_of_task

__all__ = ["BadUrl", "Egress", "Letter", "Sender", "Sent", "checked_url", "refused"]

# Shorter than the five seconds after which the servers in wide use close an idle connection, so that a letter seldom
# meets one that is just being closed.
KEPT_ALIVE_SECONDS = 4.0
# Each send looks at every idle connection once, so they cannot be many.
KEPT_ALIVE = 64
# A lookup cannot be called off: one whose name server hangs has its thread for long after its letter was given up, and
# other names need theirs meanwhile. They are started as they are needed.
RESOLVERS = 256
LONGEST_RETRY_AFTER = 24 * 60 * 60.0
OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect"})


@dataclass(frozen=True)
class Letter:
    """What is posted: a URL, headers of ASCII, and the bytes of the body."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Sent:
    """What came of a letter: either `status`, or `error` in words for a person."""

    status: int | None
    answer: bytes  # the beginning of the body, as it came over the wire
    retry_after: float | None  # seconds from now
    seconds: float
    address: str  # the IP address that was connected to, or was tried last
    error: str


class SenderClosed(Exception):
    """The sender was closed and takes no more letters."""


class Sender:
    """Posts letters from a thread of its own, `places` at a time; thread-safe.

    It is made in the process that uses it: a thread does not survive a fork.

    A letter is sent once. When a kept connection turns out to be closed as it is used, nobody can tell whether the
    letter was read, so that is an error like any other, and the caller's schedule decides about the next attempt: each
    attempt in its log is then one letter on the wire, and no receiver gets two for one. The pool drops a connection
    whose end has arrived before it is used, which leaves the moment in which the two cross on the way.
    """

    def __init__(
        self,
        egress: Egress,
        *,
        connect_seconds: float = 5,
        total_seconds: float = 15,
        read_bytes: int = 64 * 1024,
        kept_bytes: int = 1024,
        places: int = 256,
        ca_file: str | Path | None = None,
    ):
        """Start the thread.

        Resolving, connecting and TLS end after `connect_seconds`, everything together after `total_seconds`, reading
        after `read_bytes` of head and body. `ca_file` (PEM) is trusted in addition to the trust store. Raises OSError
        or ssl.SSLError if it cannot be read.
        """
        trust = httpcore2.default_ssl_context()
        if ca_file:
            trust.load_verify_locations(cafile=str(ca_file))
        self._egress = egress
        self._total_seconds = total_seconds
        self._read_bytes = read_bytes
        self._kept_bytes = kept_bytes
        self._places = asyncio.Semaphore(places)
        self._resolvers = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolver")
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=trust,
            max_connections=places,
            max_keepalive_connections=KEPT_ALIVE,
            keepalive_expiry=KEPT_ALIVE_SECONDS,
            network_backend=Guard(egress, connect_seconds),
        )
        self._open: dict[asyncio.Task[Sent], Future[Sent]] = {}
        self._closed = False
        self._quiet = True
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(self._resolvers)
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._thread.start()

    def send(self, letter: Letter) -> Future[Sent]:
        """Post `letter`, or have it wait for a place; the clock starts when it has one.

        The future never raises for what the network or the other side does, nor for a URL that may not be used: that
        is `Sent.error`. What it calls back runs in the sender's thread and holds up everybody. Raises SenderClosed.
        """
        future: Future[Sent] = Future()
        with self._lock:
            if self._closed:
                raise SenderClosed("the sender is closed")
            self._loop.call_soon_threadsafe(self._start, letter, future)
        return future

    def close(self) -> None:
        """End the thread and all connections; letters on their way end with an error that says so."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        try:
            tidying = self._loop.create_task(self._tidy())  # a name, since the loop itself holds tasks but weakly
            self._loop.run_forever()
            tidying.cancel()
            self._loop.run_until_complete(self._end())
        finally:
            self._resolvers.shutdown(wait=False, cancel_futures=True)
            self._loop.close()

    async def _tidy(self) -> None:
        """Close the kept connections of a sender that nobody uses: the pool looks at their age at the next letter."""
        while True:
            await asyncio.sleep(KEPT_ALIVE_SECONDS)
            if self._quiet and not self._open:
                await self._pool.aclose()
            self._quiet = True

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}  # letters and lookups
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._pool.aclose()

    def _start(self, letter: Letter, future: Future[Sent]) -> None:
        if future.set_running_or_notify_cancel():
            self._quiet = False
            task = self._loop.create_task(self._deliver(letter))
            self._open[task] = future
            task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[Sent]) -> None:
        future = self._open.pop(task)
        if task.cancelled():
            future.set_result(Sent(None, b"", None, 0.0, "", "the sender was stopped before an answer came"))
        elif error := task.exception():
            future.set_exception(error)
        else:
            future.set_result(task.result())

    async def _deliver(self, letter: Letter) -> Sent:
        async with self._places:
            trip, answer, error = Trip(self._read_bytes), _Answer(), ""
            trip_of_task.set(trip)
            started = time.monotonic()
            try:
                async with asyncio.timeout(self._total_seconds):
                    trip.target = taken_apart("url", letter.url, self._egress)
                    await self._exchange(_request(letter, trip.target), answer)
            except BadUrl as bad:
                # Without the URL: the path of some is a secret, and what is wrong is kept where others read it.
                error = f"its URL cannot be posted to: {bad.context['because']}"
            except TimeoutError:
                error = f"no answer within {self._total_seconds:g} s"
            except Failed as failed:
                error = str(failed)
            except (httpcore2.RemoteProtocolError, httpcore2.NetworkError, ssl.SSLError) as failed:
                error = _words(failed, trip)
            finally:
                if answer.response:
                    await answer.response.aclose()
            seconds = time.monotonic() - started
            if answer.response is None:
                return Sent(None, b"", None, seconds, trip.address, error)
            # An answer whose status came counts, however its body went.
            after = _retry_after(answer.response.headers)
            return Sent(answer.response.status, bytes(answer.kept), after, seconds, trip.address, "")

    async def _exchange(self, request: httpcore2.Request, answer: _Answer) -> None:
        answer.response = await self._pool.handle_async_request(request)
        async for part in answer.response.aiter_stream():
            if (room := self._kept_bytes - len(answer.kept)) > 0:
                answer.kept += part[:room]


@dataclass
class _Answer:
    """As much of an answer as has come."""

    response: httpcore2.Response | None = None
    kept: bytearray = field(default_factory=bytearray)


def _request(letter: Letter, target: Target) -> httpcore2.Request:
    headers = [("Host", target.authority)]
    headers += [(name, value) for name, value in letter.headers.items() if name.lower() not in OURS]
    headers += [("Accept-Encoding", "identity"), ("Content-Length", str(len(letter.body)))]
    url = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
    return httpcore2.Request("POST", url, headers=headers, content=letter.body)


def _words(error: Exception, trip: Trip) -> str:
    if isinstance(error, ssl.SSLError):
        return f"the connection was ended by TLS before an answer came ({reason(error)})"
    if trip.ended:
        return "the connection was closed before an answer came"
    if isinstance(error, httpcore2.RemoteProtocolError):
        return "what came back is not HTTP/1.1"
    return "the connection was cut off before an answer came"


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    """Seconds of the header Retry-After, a number or a date (RFC 9110, 10.2.3); None without a sane one."""
    told = next((value for name, value in headers if name.lower() == b"retry-after"), b"").decode("latin-1").strip()
    try:
        if told.isdecimal():
            seconds = float(told)
        else:
            seconds = (parsedate_to_datetime(told) - datetime.datetime.now(datetime.UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return seconds if 0 <= seconds <= LONGEST_RETRY_AFTER else None
