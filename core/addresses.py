"""Where we may connect to: addresses on the public internet, and those networks that the operator allowed.

A URL is judged twice. When it is given, `checked_url` refuses what can never be right and says so to the person who
typed it. When it is used, `core.http` judges every address that the name resolves to at that moment and connects to
one of exactly those: what a name meant earlier is no promise (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import ClassVar

import idna

from core.errors import Invalid

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL = 2000
ALLOW = "an operator can allow it with VOUCH_WEBHOOK_NETWORKS"

# No network of an operator can hold these: nothing that listens has such an address, and 0.0.0.0 is this very machine.
_NOBODY: dict[Network, str] = {
    ipaddress.ip_network(network): kind
    for network, kind in {
        "0.0.0.0/32": "the unspecified address",
        "224.0.0.0/4": "multicast",
        "255.255.255.255/32": "broadcast",
        "::/128": "the unspecified address",
        "ff00::/8": "multicast",
    }.items()
}

# The special-purpose registries of IANA (RFC 6890 and its updates), spelt out, since `is_global` answers differently
# from one Python to the next: 3.11.7 takes 192.0.0.8, 64:ff9b:1::1 and 3fff::1 for global. The first that fits names
# the kind.
_SPECIAL: dict[Network, str] = {
    ipaddress.ip_network(network): kind
    for network, kind in {
        "0.0.0.0/8": "this network",
        "10.0.0.0/8": "a private network",
        "100.64.0.0/10": "shared by a carrier's customers",
        "127.0.0.0/8": "loopback",
        "168.63.129.16/32": "a cloud's own service",  # Azure's, global by its number and reachable from inside alone
        "169.254.0.0/16": "link-local",  # 169.254.169.254 hands a cloud's credentials to whoever asks
        "172.16.0.0/12": "a private network",
        "192.0.0.0/24": "reserved",
        "192.0.2.0/24": "documentation",
        "192.88.99.0/24": "a tunnel",
        "192.168.0.0/16": "a private network",
        "198.18.0.0/15": "benchmarks",
        "198.51.100.0/24": "documentation",
        "203.0.113.0/24": "documentation",
        "240.0.0.0/4": "reserved",
        "::1/128": "loopback",
        "::/96": "an IPv4 address in disguise",
        "64:ff9b:1::/48": "a private translation to IPv4",
        "100::/64": "discarded",
        "fc00::/7": "a private network",
        "fe80::/10": "link-local",
        "fec0::/10": "site-local",
        "2001::/32": "a tunnel",
        "2001::/23": "reserved",
        "2001:db8::/32": "documentation",
        "2002::/16": "a tunnel",
        "3ffe::/16": "reserved",
        "3fff::/20": "documentation",
    }.items()
}

_UNICAST = IPv6Network("2000::/3")  # all that IANA has given out as global so far
_NAT64 = IPv6Network("64:ff9b::/96")  # the way to all of IPv4 for a machine that has IPv6 alone

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:\[(?P<six>[^\]/?]*)\]|(?P<host>[^\[\]:/?]*))(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?]*)?(?P<query>\?.*)?"
)
_TARGET = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*")  # RFC 3986: pchar, "/" and "?"


class BadUrl(Invalid):
    """{field} {value!r} cannot be posted to: {because}."""


@dataclass(frozen=True)
class Egress:
    """Where we may connect: private `networks` that the operator allowed, and `ports` for everybody else."""

    STANDARD: ClassVar[frozenset[int]] = frozenset({443, 8443})

    networks: tuple[Network, ...] = ()
    ports: frozenset[int] = STANDARD

    @classmethod
    def of(cls, networks: Sequence[str], ports: Sequence[int] = tuple(STANDARD)) -> Egress:
        """Read it from settings; ValueError whose message an operator understands."""
        for port in ports:
            if not 1 <= port <= 65535:
                raise ValueError(f"{port} is not a port: use 1 to 65535")
        return cls(tuple(_network(text.strip()) for text in networks), frozenset(ports))

    def holds(self, address: Address) -> bool:
        """Whether the operator allowed the network of `address`."""
        return any(address in network for network in self.networks)

    def forbids(self, address: Address, *, scheme: str, port: int) -> str:
        """Why `address` may not be spoken to in this way, as the rest of a sentence about it; "" if it may.

        Plain http and other ports are for the operator's own networks: elsewhere the one could be read and changed on
        its way, and the others are not a web server's.
        """
        if why := refused(address, self):
            return why
        if self.holds(plain(address)):
            return ""
        if scheme != "https":
            return "is a public address, to which plain http is not sent: use https"
        if port not in self.ports:
            return f"is a public address, of which only port {_listed(self.ports)} may be used"
        return ""


def refused(address: Address | str, egress: Egress) -> str:
    """Why `address` may not be connected to, as the rest of a sentence about it ("is loopback …"); "" if it may."""
    try:
        address = plain(ipaddress.ip_address(address))
    except ValueError:
        return "is not an IP address"
    if getattr(address, "scope_id", None) is not None:
        return "has a zone, which only this machine understands"
    if kind := _kind(address, _NOBODY):
        return f"is not the address of a receiver ({kind})"
    if egress.holds(address):
        return ""
    kind = _kind(address, _SPECIAL)
    if not kind and isinstance(address, IPv6Address) and address in _NAT64:
        # A translator would send the packet to the address inside.
        inner = IPv4Address(int(address) & 0xFFFF_FFFF)
        return f"stands for {inner}, which {why}" if (why := refused(inner, egress)) else ""
    if not kind and (not address.is_global or (address.version == 6 and address not in _UNICAST)):
        kind = "reserved"
    return f"is not a public address ({kind}); {ALLOW}" if kind else ""


def plain(address: Address) -> Address:
    """`address` as a socket takes it: an IPv4 address mapped into IPv6 is that IPv4 address."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


@dataclass(frozen=True)
class Target:
    """The parts of a URL that was taken apart here; nothing else may take it apart again and see another host."""

    scheme: str
    host: str
    port: int
    path: str
    address: Address | None  # the host, if it is written as an address

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them: the scheme's own port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL in its one spelling."""
        return f"{self.scheme}://{self.authority}{self.path}"


def checked_url(field: str, value: object, egress: Egress) -> str:
    """`value` as a URL that can be posted to, in its one spelling, or BadUrl.

    A host that is a name is judged when it is connected to. One that is an address is judged now, in whichever
    notation a resolver would take it: 2130706433, 0x7f.1 and 0177.0.0.1 are all 127.0.0.1.
    """
    return taken_apart(field, value, egress).url


def taken_apart(field: str, value: object, egress: Egress) -> Target:
    """The parts of a URL that passes; BadUrl. See `checked_url`."""
    try:
        target = _read(value, egress)
    except _Wrong as wrong:
        raise BadUrl(field=field, value=value, because=str(wrong)) from None
    if target.address and (why := egress.forbids(target.address, scheme=target.scheme, port=target.port)):
        raise BadUrl(field=field, value=value, because=f"{target.address} {why}")
    return target


class _Wrong(Exception):
    """What is wrong with a URL, and the way out."""


def _read(value: object, egress: Egress) -> Target:
    if not isinstance(value, str) or not value:
        raise _Wrong("give a URL such as https://example.com/hook")
    if len(value) > LONGEST_URL:
        raise _Wrong(f"use at most {LONGEST_URL:,} characters")
    if any(c.isspace() or not c.isprintable() for c in value):
        raise _Wrong("remove spaces, line ends and control characters")
    if "\\" in value:
        raise _Wrong("remove the backslash, which some read as a slash")
    if "#" in value:
        raise _Wrong("remove the fragment, from # on: it is never sent")
    if "@" in value.partition("://")[2].partition("/")[0].partition("?")[0]:
        raise _Wrong("remove user and password from before the host; what is sent is signed instead")
    found = _URL.fullmatch(value)
    if not found:
        raise _Wrong("give a URL such as https://example.com/hook")
    scheme = found["scheme"].lower()
    if scheme not in ("http", "https"):
        raise _Wrong("use https")
    if scheme == "http" and not egress.networks:
        raise _Wrong("use https; plain http is for networks that an operator allows with VOUCH_WEBHOOK_NETWORKS")
    port = int(found["port"] or (443 if scheme == "https" else 80))
    if not 1 <= port <= 65535:
        raise _Wrong("use a port from 1 to 65535")
    if port not in egress.ports and not egress.networks:
        raise _Wrong(f"use port {_listed(egress.ports)}; an operator can allow others with VOUCH_WEBHOOK_PORTS")
    path = (found["path"] or "/") + (found["query"] or "")
    if not _TARGET.fullmatch(path):
        raise _Wrong('write the characters of path and query that are not plain ASCII, and any of "<>[]^`{|}, as %XX')
    host, address = _six(found["six"]) if found["six"] is not None else _host(found["host"])
    target = Target(scheme, host, port, path, address)
    if len(target.url) > LONGEST_URL:
        raise _Wrong(f"use at most {LONGEST_URL:,} characters, counted with the host in ASCII")
    return target


def _six(text: str) -> tuple[str, Address]:
    try:
        address = IPv6Address(text)
    except ValueError:
        raise _Wrong("what stands in brackets is not an IPv6 address") from None
    if address.scope_id is not None:
        raise _Wrong("remove the zone from the address: only one machine understands it")
    told = plain(address)
    return str(told), told


def _host(text: str) -> tuple[str, Address | None]:
    """The host as it is asked for, in ASCII and without the dot of the root, and its address if it is one."""
    name = text.lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except UnicodeError:
            raise _Wrong("the host is not a name that the domain name system can hold") from None
    name = name.removesuffix(".")
    if not name:
        raise _Wrong("name a host, as in https://example.com/hook")
    labels = name.split(".")
    # As in the URL standard of the WHATWG: a last label that is a number makes the whole an address, or nothing.
    if _NUMBER.fullmatch(labels[-1]):
        address = _four(labels)
        return str(address), address
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _Wrong("the host is not a name: use letters, digits, hyphens and dots")
    return name, None


def _four(parts: list[str]) -> IPv4Address:
    """What inet_aton makes of 1 to 4 numbers, decimal, octal or hexadecimal, the last of which fills the rest."""
    try:
        *first, last = [_number(part) for part in parts]
        if len(parts) > 4 or any(number > 255 for number in first) or last >= 256 ** (5 - len(parts)):
            raise ValueError
        return IPv4Address(last + sum(number << (24 - 8 * place) for place, number in enumerate(first)))
    except ValueError:
        raise _Wrong("the host ends in a number and is not an IPv4 address") from None


def _number(part: str) -> int:
    if not _NUMBER.fullmatch(part):  # int() would take 1_0
        raise ValueError
    if part.startswith("0x"):
        return int(part, 16)
    return int(part, 8 if part.startswith("0") else 10)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        try:
            meant = f": write {ipaddress.ip_network(text, strict=False)}"
        except ValueError:
            meant = ""
        raise ValueError(f"{text!r} is not a network such as 10.0.0.0/8 or fd00::/8 ({error}){meant}") from None


def _kind(address: Address, table: dict[Network, str]) -> str:
    return next((kind for network, kind in table.items() if address in network), "")


def _listed(ports: frozenset[int]) -> str:
    return " or ".join(str(port) for port in sorted(ports)) or "none"
