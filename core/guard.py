"""The guard of outbound connections: resolves a name, judges every address, connects to one of exactly those.

It is a network backend for httpcore2's pool. TLS still asks for the name and checks the certificate against it, since
the pool knows only the name.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import os
import select
import socket
import ssl
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore2

from core.addresses import Address, Egress, Target, plain

ADDRESSES_TRIED = 8
CHUNK = 16 * 1024  # what is parsed in one go, while all other letters wait


@dataclass
class Trip:
    """One letter on its way; the connection that carries it finds it in `trip_of_task`."""

    limit: int  # bytes that may be read
    read: int = 0
    target: Target | None = None
    address: str = ""
    connect_by: float = 0.0
    ended: bool = False


trip_of_task: ContextVar[Trip] = ContextVar("trip_of_task")


class Failed(Exception):
    """What went wrong, in words for a person."""


class Guard(httpcore2.AsyncNetworkBackend):
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
        trip = trip_of_task.get()
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
                failure = f"no connection to {trip.address}, port {port}: {reason(error)}"
        raise Failed(failure)

    async def _allowed(self, trip: Trip, host: str, port: int) -> list[Address]:
        assert trip.target is not None  # set before the pool is asked
        named = trip.target.address is None
        addresses = await self._resolved(host, trip.connect_by) if named else [ipaddress.ip_address(host)]
        for address in addresses:
            # All of them: a name with one good and one bad address is a trap, or a mistake to be told of.
            if why := self._egress.forbids(address, scheme=trip.target.scheme, port=port):
                trip.address = str(address)
                raise Failed(f"{host} resolves to {address}, which {why}" if named else f"{address} {why}")
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
            raise Failed(f"the name {host} was not resolved within {self._seconds:g} s") from None

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
        raise Failed(f"the name {host} does not resolve ({(why or 'unknown').lower()})") from None
    if not found:
        raise Failed(f"the name {host} does not resolve (no address)")
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
        trip_of_task.get().address = self._address
        self._unsent += buffer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        trip = trip_of_task.get()
        if self._unsent:
            unsent, self._unsent = self._unsent, b""
            # Who refuses a letter may answer and close before all of it has come: read on.
            with contextlib.suppress(httpcore2.WriteError):
                await self._stream.write(unsent)
        if (left := trip.limit - trip.read) <= 0:
            raise Failed(f"no answer within the first {trip.limit:,} bytes")
        data = await self._stream.read(min(max_bytes, left, CHUNK))
        trip.read += len(data)
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
        left = trip_of_task.get().connect_by - asyncio.get_running_loop().time()
        try:
            stream = await self._stream.start_tls(ssl_context, server_hostname, max(left, 0.0))
        except httpcore2.ConnectTimeout:
            raise Failed(f"no connection by TLS within {self._connect_seconds:g} s") from None
        except (httpcore2.ConnectError, ssl.SSLError) as error:
            raise Failed(_tls(error, server_hostname)) from None
        except asyncio.CancelledError:
            await self._stream.aclose()  # the stock stream closes itself for errors alone
            raise
        return _Stream(stream, self._address, self._connect_seconds)

    def get_extra_info(self, info: str) -> Any:
        # The pool asks this of every idle connection at every letter; the stock answer takes ten times as long.
        if info == "is_readable":
            return bool(self._readable.poll(0))
        return self._stream.get_extra_info(info)


def _tls(error: Exception, host: str | None) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not valid for {host}: {cause.verify_message.rstrip('.')}"
    return f"no connection by TLS: {reason(error)}"


def reason(error: BaseException) -> str:
    """What the operating system or OpenSSL calls it, in small letters."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return cause.reason.replace("_", " ").lower()
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno).lower()
    return "the other side ended it"


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
