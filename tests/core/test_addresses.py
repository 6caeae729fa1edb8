"""Which addresses and URLs may be posted to."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.addresses import BadUrl, Egress, checked_url, refused

PUBLIC = Egress()
INSIDE = Egress.of(["10.0.0.0/8", "127.0.0.0/8", "fd00::/8"])


SPECIAL = """
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.0.1 168.63.129.16 169.254.169.254 172.16.0.1
    172.31.255.255 192.0.0.8 192.0.0.9 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1
    239.1.1.1 240.0.0.1 255.255.255.255
    :: ::1 ::7f00:1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1
    64:ff9b::169.254.169.254 64:ff9b:1::8.8.8.8 100::1 2001::1 2001:0:a00:1::1 2001:2::1 2001:10::1 2001:db8::1
    2002:7f00:1:: 2002:808:808::1 3ffe::1 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0
    2606:4700::1%eth0 fec0::1 ff02::1 ff0e::1 nonsense
"""
WITHIN = """
    127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 0x7F.1 0177.0.0.1 017700000001 127.0.0.1. １２７.0.0.1 127。0。0。1 0
    ①27.1 [::1] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [64:ff9b::7f00:1] [2002:7f00:1::] [::]
    169.254.169.254 0xa9fea9fe 2852039166 [fd00::1] [fe80::1] 10.1
"""


@pytest.mark.parametrize("address", SPECIAL.split())
def test_what_is_not_a_public_address_is_refused(address: str) -> None:
    assert refused(address, PUBLIC)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_a_public_address_is_not_refused(address: str) -> None:
    assert refused(address, PUBLIC) == ""


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("64:ff9b::10.1.2.3", True),
        ("fd12::1", True),
        ("192.168.0.1", False),
        ("::10.1.2.3", False),
        ("2002:a01:203::1", False),
        ("0.0.0.0", False),
        ("fd12::1%eth0", False),
    ],
)
def test_a_network_of_the_operator_opens_itself_alone(address: str, allowed: bool) -> None:
    assert (refused(address, INSIDE) == "") == allowed


def test_allowing_every_network_does_not_allow_what_nobody_has() -> None:
    everything = Egress.of(["0.0.0.0/0", "::/0"])
    assert refused("192.168.0.1", everything) == refused("fe80::1", everything) == ""
    assert all(refused(address, everything) for address in ("0.0.0.0", "::", "224.0.0.1", "ff02::1", "fe80::1%1"))


def test_a_refusal_tells_the_operator_the_way_out() -> None:
    assert refused("10.0.0.1", PUBLIC) == (
        "is not a public address (a private network); an operator can allow it with VOUCH_WEBHOOK_NETWORKS"
    )


@pytest.mark.parametrize(
    ("networks", "ports", "message"),
    [
        (["10.0.0.1/8"], [443], r"'10\.0\.0\.1/8' is not a network .*: write 10\.0\.0\.0/8"),
        (["intranet"], [443], "'intranet' is not a network such as 10.0.0.0/8"),
        ([], [0], "0 is not a port"),
        ([], [65536], "65536 is not a port"),
    ],
)
def test_wrong_settings_are_told_in_words(networks: list[str], ports: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Egress.of(networks, ports)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM.:443/Hook?a=%20b", "https://example.com/Hook?a=%20b"),
        ("https://example.com:08443/x", "https://example.com:8443/x"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("https://ＥＸＡＭＰＬＥ。com/", "https://example.com/"),
        ("https://example.com?x=1", "https://example.com/?x=1"),
        ("https://example.com/a@b//c", "https://example.com/a@b//c"),
        ("https://134744072/", "https://8.8.8.8/"),
        ("https://[2606:4700:0::1111]/", "https://[2606:4700::1111]/"),
        ("https://[::ffff:8.8.8.8]/", "https://8.8.8.8/"),
    ],
)
def test_a_url_has_one_spelling(given: str, used: str) -> None:
    assert checked_url("url", given, PUBLIC) == used
    assert checked_url("url", used, PUBLIC) == used


@pytest.mark.parametrize(
    ("value", "because"),
    [
        (None, "give a URL"),
        ("", "give a URL"),
        ("example.com/hook", "give a URL"),
        ("https:/example.com", "give a URL"),
        ("https:///hook", "name a host"),
        ("https://./", "name a host"),
        ("http://example.com/", "use https; plain http is for networks"),
        ("ftp://example.com/", "use https"),
        ("file:///etc/passwd", "use https"),
        ("https://user:secret@example.com/", "remove user and password"),
        ("https://example.com:443@127.0.0.1/", "remove user and password"),
        ("https://example.com/#top", "remove the fragment"),
        ("https://example.com#@127.0.0.1/", "remove the fragment"),
        ("https://example.com\\@127.0.0.1/", "remove the backslash"),
        ("https://example.com/a b", "remove spaces"),
        ("https://example.com/\r\nX: y", "remove spaces"),
        (" https://example.com/", "remove spaces"),
        ("https://exam\u00adple\u200b.com/", "remove spaces"),
        ("https://example.com/é", "as %XX"),
        ("https://example.com:0/", "a port from 1"),
        ("https://example.com:99999/", "a port from 1"),
        ("https://example.com:22/", "use port 443 or 8443; an operator can"),
        ("https://example.com:/", "give a URL"),
        ("https://exa%6dple.com/", "the host is not a name"),
        ("https://-x.example/", "the host is not a name"),
        ("https://a..example/", "the host is not a name"),
        (f"https://{'a' * 64}.example/", "the host is not a name"),
        ("https://[fe80::1%25eth0]/", "is not an IPv6 address|remove the zone"),
        ("https://[::1/", "give a URL"),
        ("https://1.2.3.4.5/", "ends in a number"),
        ("https://example.1/", "ends in a number"),
        ("https://1_0.1/", "ends in a number"),
        ("https://08.1/", "ends in a number"),
        ("https://256.1.1.1/", "ends in a number"),
        (f"https://example.com/{'x' * 2000}", "at most 2,000 characters"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused_with_the_way_out(value: object, because: str) -> None:
    with pytest.raises(BadUrl, match=because) as refusal:
        checked_url("url", value, PUBLIC)
    assert refusal.value.message.startswith("url ")


@pytest.mark.parametrize("host", WITHIN.split())
def test_an_address_within_is_refused_in_every_notation(host: str) -> None:
    with pytest.raises(BadUrl):
        checked_url("url", f"https://{host}/", PUBLIC)


@given(st.from_regex(r"[0-9a-fx_]{1,10}(\.[0-9a-fx]{1,4}){0,4}\.?", fullmatch=True))
def test_whatever_the_system_takes_for_an_address_is_judged_as_the_same_one(host: str) -> None:
    try:
        meant = socket.inet_ntoa(socket.inet_aton(host.removesuffix(".")))
    except OSError:
        return
    try:
        used = checked_url("url", f"https://{host}/", PUBLIC)
    except BadUrl:
        return
    assert used == f"https://{meant}/"


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ("http://127.0.0.1:5000/", True),
        ("http://receiver.internal:5000/", True),
        ("https://10.0.0.1:22/", True),
        ("http://8.8.8.8/", False),
        ("https://8.8.8.8:22/", False),
        ("https://8.8.8.8/", True),
        ("http://192.168.0.1/", False),
    ],
)
def test_plain_http_and_other_ports_are_for_networks_of_the_operator(value: str, allowed: bool) -> None:
    if allowed:
        assert checked_url("url", value, INSIDE) == value
    else:
        with pytest.raises(BadUrl):
            checked_url("url", value, INSIDE)
