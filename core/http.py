"""Guarded outbound HTTP: posts to where a user told us to, and nowhere else whatever a name or an answer says.

The guard sits where the connection is made: a network backend for httpcore2's pool resolves the name itself, demands
that every answer may be connected to (`core.addresses`), and connects to one of those addresses. TLS still asks for
the name and checks the certificate against it, since the pool knows only the name. There are no proxies, no redirects
and no other protocol than HTTP/1.1, and nothing of an answer is decompressed or kept beyond its beginning.

Certificates are checked against the file or folder that SSL_CERT_FILE or SSL_CERT_DIR names, otherwise against the
system's trust store; `ca_file` adds the authorities of an operator.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import ipaddress
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpcore2

from core.addresses import Address, BadUrl, Egress, Target, checked_url, plain, refused, taken_apart

__all__ = ["BadUrl", "Egress", "Letter", "Sender", "Sent", "checked_url", "refused"]

# Shorter than the five seconds after which the servers in wide use close an idle connection, so that a letter seldom
# meets one that is just being closed.
KEPT_ALIVE_SECONDS = 4.0
# Each send looks at every idle connection once, so they cannot be many.
KEPT_ALIVE = 64
RESOLVERS = 64
ADDRESSES_TRIED = 8
CHUNK = 16 * 1024  # what is parsed in one go, while all other sends wait
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
            network_backend=_Guard(egress, connect_seconds),
        )
        self._open: dict[asyncio.Task[Sent], Future[Sent]] = {}
        self._closed = False
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
            self._loop.run_forever()
            self._loop.run_until_complete(self._end())
        finally:
            self._resolvers.shutdown(wait=False, cancel_futures=True)
            self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}  # letters and lookups
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._pool.aclose()

    def _start(self, letter: Letter, future: Future[Sent]) -> None:
        if future.set_running_or_notify_cancel():
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
            trip = _Trip(left=self._read_bytes)
            _trip.set(trip)
            started = time.monotonic()
            error = ""
            try:
                async with asyncio.timeout(self._total_seconds):
                    trip.target = taken_apart("url", letter.url, self._egress)
                    await self._exchange(trip, _request(letter, trip.target))
            except BadUrl as bad:
                error = bad.message
            except TimeoutError:
                error = f"no answer within {self._total_seconds:g} s"
            except _Failed as failed:
                error = str(failed)
            except (httpcore2.RemoteProtocolError, httpcore2.NetworkError, ssl.SSLError) as failed:
                error = _words(failed, trip)
            finally:
                if trip.response:
                    await trip.response.aclose()
            seconds = time.monotonic() - started
            if trip.response is None:
                return Sent(None, b"", None, seconds, trip.address, error)
            # An answer whose status came counts, however its body went.
            after = _retry_after(trip.response.headers)
            return Sent(trip.response.status, bytes(trip.kept), after, seconds, trip.address, "")

    async def _exchange(self, trip: _Trip, request: httpcore2.Request) -> None:
        trip.response = await self._pool.handle_async_request(request)
        async for part in trip.response.aiter_stream():
            if (room := self._kept_bytes - len(trip.kept)) > 0:
                trip.kept += part[:room]


@dataclass
class _Trip:
    """One letter on its way; the connection that carries it finds it in `_trip`."""

    left: int  # bytes that may still be read
    target: Target | None = None
    address: str = ""
    connect_by: float = 0.0
    ended: bool = False
    response: httpcore2.Response | None = None
    kept: bytearray = field(default_factory=bytearray)


_trip: ContextVar[_Trip] = ContextVar("_trip")


class _Failed(Exception):
    """What went wrong, in words for a person."""


class _Guard(httpcore2.AsyncNetworkBackend):
    """Connects to an address that was checked a moment ago, for the letter whose task this is."""

    def __init__(self, egress: Egress, seconds: float):
        self._egress = egress
        self._seconds = seconds
        self._stock = httpcore2.AnyIOBackend()
        self._lookups: dict[str, asyncio.Task[list[Address]]] = {}

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        trip = _trip.get()
        now = asyncio.get_running_loop().time
        trip.connect_by = now() + self._seconds
        addresses = await self._allowed(trip, host, port)
        failure = ""
        for number, address in enumerate(addresses):
            trip.address = str(address)
            share = max(trip.connect_by - now(), 0.0) / (len(addresses) - number)
            try:
                stream = await self._stock.connect_tcp(trip.address, port, timeout=share)
                return _Stream(stream, trip.address, self._seconds)
            except httpcore2.ConnectTimeout:
                failure = f"no connection to {trip.address}, port {port}, within {self._seconds:g} s"
            except httpcore2.ConnectError as error:
                failure = f"no connection to {trip.address}, port {port}: {_reason(error)}"
        raise _Failed(failure)

    async def _allowed(self, trip: _Trip, host: str, port: int) -> list[Address]:
        assert trip.target is not None  # set before the pool is asked
        named = trip.target.address is None
        addresses = await self._resolved(host, trip.connect_by) if named else [ipaddress.ip_address(host)]
        for address in addresses:
            # All of them: a name with one good and one bad address is a trap, or a mistake to be told of.
            if why := self._egress.forbids(address, scheme=trip.target.scheme, port=port):
                trip.address = str(address)
                raise _Failed(f"{host} resolves to {address}, which {why}" if named else f"{address} {why}")
        return addresses[:ADDRESSES_TRIED]

    async def _resolved(self, host: str, by: float) -> list[Address]:
        # Letters to one host share a lookup that is under way, so that a name server that hangs holds one thread.
        lookup = self._lookups.get(host)
        if lookup is None:
            lookup = self._lookups[host] = asyncio.get_running_loop().create_task(_resolve(host))
            lookup.add_done_callback(functools.partial(self._looked_up, host))
        try:
            async with asyncio.timeout_at(by):
                return await asyncio.shield(lookup)
        except TimeoutError:
            raise _Failed(f"the name {host} was not resolved within {self._seconds:g} s") from None

    def _looked_up(self, host: str, lookup: asyncio.Task[list[Address]]) -> None:
        del self._lookups[host]
        if not lookup.cancelled():
            lookup.exception()  # it may be that nobody waits for it any more


async def _resolve(host: str) -> list[Address]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else ""
        raise _Failed(f"the name {host} does not resolve ({(why or 'unknown').lower()})") from None
    if not found:
        raise _Failed(f"the name {host} does not resolve (no address)")
    return list(dict.fromkeys(plain(ipaddress.ip_address(entry[4][0])) for entry in found))


class _Stream(httpcore2.AsyncNetworkStream):
    """A connection that charges what it reads to the letter it carries just now."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream, address: str, connect_seconds: float):
        self._stream = stream
        self._address = address
        self._connect_seconds = connect_seconds
        self._unsent = b""
        self._readable = select.poll()
        self._readable.register(stream.get_extra_info("socket"), select.POLLIN)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # Head and body come one by one; kept until the answer is asked for, they leave as one packet.
        _trip.get().address = self._address
        self._unsent += buffer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        trip = _trip.get()
        if self._unsent:
            unsent, self._unsent = self._unsent, b""
            # Who refuses a letter may answer and close before all of it has come: read on.
            with contextlib.suppress(httpcore2.WriteError):
                await self._stream.write(unsent)
        if trip.left <= 0:
            raise _Failed("no answer in all that may be read of one")
        data = await self._stream.read(min(max_bytes, trip.left, CHUNK))
        trip.left -= len(data)
        trip.ended = not data
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        left = _trip.get().connect_by - asyncio.get_running_loop().time()
        try:
            stream = await self._stream.start_tls(ssl_context, server_hostname, max(left, 0.0))
        except httpcore2.ConnectTimeout:
            raise _Failed(f"no connection by TLS within {self._connect_seconds:g} s") from None
        except (httpcore2.ConnectError, ssl.SSLError) as error:
            raise _Failed(_tls(error, server_hostname)) from None
        except asyncio.CancelledError:
            await self._stream.aclose()  # the stock stream closes itself for errors alone
            raise
        return _Stream(stream, self._address, self._connect_seconds)

    def get_extra_info(self, info: str) -> Any:
        # The pool asks this of every idle connection at every letter; the stock answer takes ten times as long.
        if info == "is_readable":
            return bool(self._readable.poll(0))
        return self._stream.get_extra_info(info)


def _request(letter: Letter, target: Target) -> httpcore2.Request:
    headers = [("Host", target.authority)]
    headers += [(name, value) for name, value in letter.headers.items() if name.lower() not in OURS]
    headers += [("Accept-Encoding", "identity"), ("Content-Length", str(len(letter.body)))]
    url = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
    return httpcore2.Request("POST", url, headers=headers, content=letter.body)


def _words(error: Exception, trip: _Trip) -> str:
    if isinstance(error, ssl.SSLError):
        return f"the connection was ended by TLS before an answer came ({_reason(error)})"
    if trip.ended:
        return "the connection was closed before an answer came"
    if isinstance(error, httpcore2.RemoteProtocolError):
        return "what came back is not HTTP/1.1"
    return "the connection was cut off before an answer came"


def _tls(error: Exception, host: str | None) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not valid for {host}: {cause.verify_message.rstrip('.')}"
    return f"no connection by TLS: {_reason(error)}"


def _reason(error: BaseException) -> str:
    """What the operating system or OpenSSL calls it, in small letters."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return cause.reason.replace("_", " ").lower()
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    return "the other side ended it"


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


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
