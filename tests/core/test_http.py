"""Guarded outbound HTTP, against receivers that listen on this machine; only the resolver is replaced."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import ipaddress
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.http import Egress, Letter, Sender, SenderClosed, Sent

INSIDE = Egress.of(["127.0.0.0/8"])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Behaviour = Callable[[socket.socket], None]


class Receiver:
    """A server that does to each connection what `behave` does; counts connections and keeps what it was sent."""

    def __init__(self, behave: Behaviour, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None):
        self.behave, self.tls, self.connections, self.letters = behave, tls, 0, list[bytes]()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server((host, port))
        self.host, self.port = self._listener.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def url(self, path: str = "/hook") -> str:
        return f"http://{self.host}:{self.port}{path}"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._speak, args=[connection], daemon=True).start()

    def _speak(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            spoken = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
            self._open.append(spoken)
            with spoken:
                self.behave(spoken)

    def read(self, connection: socket.socket) -> bytes:
        """One whole letter; OSError at the end of the connection."""
        told = b""
        while b"\r\n\r\n" not in told:
            told += self._some(connection)
        head, _, body = told.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self._some(connection)
        self.letters.append(head + b"\r\n\r\n" + body)
        return self.letters[-1]

    def _some(self, connection: socket.socket) -> bytes:
        if not (part := connection.recv(65536)):
            raise ConnectionAbortedError
        return part

    def close(self) -> None:
        for each in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    """Starts receivers: `receiver(answer, …)` answers each letter with those bytes, or with a function's doing."""
    started: list[Receiver] = []

    def start(answer: bytes | Behaviour = OK, **how: object) -> Receiver:
        def speak(connection: socket.socket) -> None:
            while True:
                made.read(connection)
                if callable(answer):
                    answer(connection)
                else:
                    connection.sendall(answer)

        made = Receiver(how.pop("behave", speak), **how)  # type: ignore[arg-type]
        started.append(made)
        return made

    yield start
    for each in started:
        each.close()


@pytest.fixture(scope="module")
def sender() -> Iterator[Sender]:
    with Sender(INSIDE, connect_seconds=0.5, total_seconds=1) as made:
        yield made


class Resolver:
    """Stands for the domain name system: hands out the answers of a name in turn, the last one for ever."""

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []

    def __call__(self, host: str, port: object, *_: object, **__: object) -> list[tuple[object, ...]]:
        self.asked.append(host)
        answers = self.names.get(host)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port or 0))
            for each in addresses
        ]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    return made


def post(sender: Sender, url: str, body: bytes = b"{}", **headers: str) -> Sent:
    return sender.send(Letter(url, headers, body)).result(10)


def test_a_letter_arrives_as_it_was_written(sender: Sender, receiver: Callable[..., Receiver]) -> None:
    there = receiver(b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\nRetry-After: 7\r\n\r\nthere")
    sent = post(sender, there.url("/hook?a=1"), b'{"a":1}', **{"webhook-id": "msg_1", "Host": "elsewhere.example"})
    assert (sent.status, sent.answer, sent.retry_after, sent.error) == (202, b"there", 7.0, "")
    assert sent.address == "127.0.0.1"
    assert 0 < sent.seconds < 0.5
    assert there.letters == [
        b"POST /hook?a=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nwebhook-id: msg_1\r\nAccept-Encoding: identity\r\n"
        b'Content-Length: 7\r\n\r\n{"a":1}' % there.port
    ]


def drips(start: bytes, drop: bytes) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(drop)
            time.sleep(0.05)

    return behave


def floods(start: bytes, drop: bytes) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(drop * 1000)

    return behave


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hangs(_: socket.socket) -> None:
    time.sleep(5)


HEAD = b"HTTP/1.1 200 OK\r\n"
BAD = {
    "hangs after the letter": (hangs, "no answer within 1 s"),
    "drips its head": (drips(HEAD, b"X: y\r\n"), "no answer within 1 s"),
    "drips one header": (drips(HEAD + b"X: ", b"y"), "no answer within 1 s"),
    "never ends its head": (floods(HEAD, b"X: y\r\n"), "no answer within the first 65,536 bytes"),
    "never ends one header": (floods(HEAD + b"X: ", b"y"), "no answer within the first 65,536 bytes"),
    "floods with 103": (floods(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), "no answer within the first 65,536 bytes"),
    "drips 100": (drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "no answer within 1 s"),
    "resets": (resets, "the connection was cut off before an answer came"),
    "closes": (lambda connection: connection.close(), "the connection was closed before an answer came"),
    "speaks something else": (drips(b"SSH-2.0-OpenSSH_9.9\r\n\r\n", b""), "what came back is not HTTP/1.1"),
    "changes the protocol": (drips(b"HTTP/1.1 101 Ho\r\nUpgrade: x\r\n\r\n", b""), "what came back is not HTTP/1.1"),
    "answers by HTTP/2": (drips(b"\0\0\x06\x04\0\0\0\0\0\0\0\0\0\0\0\r\n\r\n", b""), "what came back is not HTTP/1.1"),
}


def test_a_bad_receiver_is_an_error_in_words_and_delays_no_other(
    sender: Sender, receiver: Callable[..., Receiver]
) -> None:
    healthy, there = receiver(), {name: receiver(behave) for name, (behave, _) in BAD.items()}
    post(sender, healthy.url())
    futures = {name: sender.send(Letter(each.url(), {}, b"{}")) for name, each in there.items()}
    good = [post(sender, healthy.url()) for _ in range(20)]
    sent = {name: future.result(5) for name, future in futures.items()}
    assert {name: each.error for name, each in sent.items()} == {name: error for name, (_, error) in BAD.items()}
    assert {each.status for each in sent.values()} == {None}
    assert max(each.seconds for each in sent.values()) < 2
    assert {each.status for each in good} == {200}
    assert max(each.seconds for each in good) < 0.8


@pytest.mark.parametrize(
    ("start", "drop", "behave", "answer"),
    [
        (b"Content-Length: 1000\r\n\r\n", b"y", drips, b"y"),
        (b"Content-Length: 100000000\r\n\r\n", b"y" * 100, floods, b"y" * 1024),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\ny\r\n", floods, b"y" * 1024),
        (b"Content-Length: 9\r\n\r\ny", b"", lambda start, _: lambda c: (c.sendall(start), c.close()), b"y"),
        (b"Transfer-Encoding: chunked\r\n\r\n1\r\ny\r\nnonsense\r\n", b"", drips, b"y"),
    ],
    ids=["drips", "huge", "huge in chunks", "cut off", "garbled"],
)
def test_a_status_counts_whatever_becomes_of_the_body(
    sender: Sender,
    receiver: Callable[..., Receiver],
    start: bytes,
    drop: bytes,
    behave: Callable[..., Behaviour],
    answer: bytes,
) -> None:
    there = receiver(behave(HEAD + start, drop))
    first, second = post(sender, there.url()), post(sender, there.url())
    for sent in (first, second):
        assert (sent.status, sent.error) == (200, "")
        assert sent.answer.strip(b"y") == b""
        assert sent.answer.startswith(answer)
        assert len(sent.answer) <= 1024
        assert sent.seconds < 2
    assert there.connections == 2  # none is used again whose body did not end


def test_no_more_than_the_limit_is_read_of_an_answer(receiver: Callable[..., Receiver]) -> None:
    written = 0

    def pours(connection: socket.socket) -> None:
        nonlocal written
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n")
        while True:
            written += connection.send(b"y" * 4096)

    with Sender(INSIDE, read_bytes=1000) as sender:
        assert post(sender, receiver(pours).url()).answer == b"y" * (1000 - len(HEAD) - 30)
    time.sleep(0.05)
    assert written < 8_000_000  # the buffers of the system, not a gigabyte


def test_a_compressed_answer_is_kept_as_it_came(sender: Sender, receiver: Callable[..., Receiver]) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    there = receiver(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
    assert post(sender, there.url()).answer == bomb[:1024]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(
    sender: Sender, receiver: Callable[..., Receiver], status: int
) -> None:
    target = receiver()
    there = receiver(b"HTTP/1.1 %d Go\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, target.url().encode()))
    assert post(sender, there.url()).status == status
    assert target.connections == 0


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("86400", 86400),
        ("86401", None),
        ("-1", None),
        ("soon", None),
        ("9" * 400, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("Fri, 32 Dec 9999 23:59:59 GMT", None),
        ("in an hour", 3600),
    ],
)
def test_only_a_sane_retry_after_is_taken(
    sender: Sender, receiver: Callable[..., Receiver], told: str, seconds: float | None
) -> None:
    if told == "in an hour":
        told = format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1), usegmt=True)
    there = receiver(b"HTTP/1.1 503 Busy\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n" % told.encode())
    assert post(sender, there.url()).retry_after == (seconds if seconds is None else pytest.approx(seconds, abs=2))


def test_a_connection_is_used_again(sender: Sender, receiver: Callable[..., Receiver]) -> None:
    there = receiver()
    assert [post(sender, there.url()).status for _ in range(5)] == [200] * 5
    assert (there.connections, len(there.letters)) == (1, 5)


def test_a_kept_connection_that_was_closed_is_replaced(sender: Sender, receiver: Callable[..., Receiver]) -> None:
    there = receiver(lambda connection: (connection.sendall(OK), connection.close()))
    for _ in range(3):
        assert post(sender, there.url()).status == 200
        time.sleep(0.02)
    assert (there.connections, len(there.letters)) == (3, 3)


def test_a_kept_connection_that_closes_on_a_letter_is_an_error_and_not_a_second_letter(
    sender: Sender, receiver: Callable[..., Receiver]
) -> None:
    def once(connection: socket.socket) -> None:
        if len(there.letters) == 2:
            connection.close()
        connection.sendall(OK)

    there = receiver(once)
    sent = [post(sender, there.url()) for _ in range(3)]
    assert [each.status for each in sent] == [200, None, 200]
    assert (sent[1].error, sent[1].address) == ("the connection was closed before an answer came", "127.0.0.1")
    assert (there.connections, len(there.letters)) == (2, 3)


def test_a_receiver_that_refuses_before_all_has_come_is_heard(
    sender: Sender, receiver: Callable[..., Receiver]
) -> None:
    def refuses(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        resets(connection)

    assert post(sender, receiver(behave=refuses).url(), bytes(10_000)).status == 413


def test_who_does_not_accept_or_listen_is_told_apart(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as others:
        for _ in range(3):
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        sent = post(sender, f"http://127.0.0.1:{port}/")
    assert (sent.error, sent.address) == (f"no connection to 127.0.0.1, port {port}, within 0.5 s", "127.0.0.1")
    sent = post(sender, f"http://127.0.0.1:{port}/")
    assert sent.error == f"no connection to 127.0.0.1, port {port}: connection refused"


# Names and addresses


def test_the_name_is_asked_once_for_each_connection_and_never_again_for_the_connection_itself(
    sender: Sender, receiver: Callable[..., Receiver], resolver: Resolver
) -> None:
    there = receiver()
    resolver.names["hook.example"] = [["127.0.0.1"], ["10.0.0.1"]]
    assert [post(sender, f"http://hook.example:{there.port}/").status for _ in range(3)] == [200] * 3
    assert resolver.asked == ["hook.example"]
    assert b"\r\nHost: hook.example:%d\r\n" % there.port in there.letters[0]


def test_a_name_that_changes_to_a_private_address_sends_that_address_no_packet(
    receiver: Callable[..., Receiver], resolver: Resolver
) -> None:
    good = receiver(lambda connection: (connection.sendall(OK), connection.close()), host="127.0.0.2")
    private = receiver(host="127.0.0.1", port=good.port)
    resolver.names["hook.example"] = [["127.0.0.2"], ["127.0.0.1"]]
    with Sender(Egress.of(["127.0.0.2/32"])) as sender:
        assert post(sender, f"http://hook.example:{good.port}/").status == 200
        time.sleep(0.02)
        sent = post(sender, f"http://hook.example:{good.port}/")
    assert sent.error == (
        "hook.example resolves to 127.0.0.1, which is not a public address (loopback); "
        "an operator can allow it with VOUCH_WEBHOOK_NETWORKS"
    )
    assert (good.connections, private.connections) == (1, 0)


@pytest.mark.parametrize("answers", [["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "::1"]])
def test_a_name_with_one_forbidden_address_is_refused_whole(
    receiver: Callable[..., Receiver], resolver: Resolver, answers: list[str]
) -> None:
    good = receiver(host="127.0.0.2")
    private = receiver(host="127.0.0.1", port=good.port)
    resolver.names["hook.example"] = [answers]
    with Sender(Egress.of(["127.0.0.2/32"])) as sender:
        assert "is not a public address (loopback)" in post(sender, f"http://hook.example:{good.port}/").error
    assert (good.connections, private.connections) == (0, 0)


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "64:ff9b::7f00:1", "fe80::1%lo"])
def test_without_allowed_networks_nothing_of_this_machine_is_reached(
    receiver: Callable[..., Receiver], resolver: Resolver, address: str
) -> None:
    there = receiver()
    resolver.names["hook.example"] = [[address]]
    with Sender(Egress(ports=frozenset({there.port}))) as sender:
        sent = post(sender, f"https://hook.example:{there.port}/")
        assert sent.error.startswith("hook.example resolves to ")
        assert post(sender, f"https://127.0.0.1:{there.port}/").error.startswith("its URL ")
        assert "use https" in post(sender, there.url()).error
    assert there.connections == 0


def test_plain_http_and_other_ports_are_refused_to_a_public_address_before_a_packet_leaves(
    sender: Sender, resolver: Resolver
) -> None:
    resolver.names["hook.example"] = [["192.0.2.1"], ["8.8.8.8"]]
    assert "documentation" in post(sender, "http://hook.example/").error
    assert post(sender, "http://hook.example/").error == (
        "hook.example resolves to 8.8.8.8, which is a public address, to which plain http is not sent: use https"
    )
    assert post(sender, "https://hook.example:22/").error == (
        "hook.example resolves to 8.8.8.8, which is a public address, of which only port 443 or 8443 may be used"
    )


def test_the_next_address_is_tried_when_one_does_not_answer(
    sender: Sender, receiver: Callable[..., Receiver], resolver: Resolver
) -> None:
    there = receiver(host="127.0.0.3")
    resolver.names["hook.example"] = [["127.0.0.4", "127.0.0.3"]]
    sent = post(sender, f"http://hook.example:{there.port}/")
    assert (sent.status, sent.address) == (200, "127.0.0.3")


def test_a_name_server_that_hangs_holds_up_its_own_letters_alone(
    sender: Sender, receiver: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, release, asked = receiver(), threading.Event(), []

    def resolve(host: str, *_: object, **__: object) -> object:
        asked.append(host)
        if host == "slow.example":
            release.wait(5)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    slow = [sender.send(Letter("http://slow.example/", {}, b"")) for _ in range(100)]
    assert post(sender, "http://nowhere.example/").error == (
        "the name nowhere.example does not resolve (name or service not known)"
    )
    assert post(sender, there.url()).status == 200
    assert {each.result(5).error for each in slow} == {"the name slow.example was not resolved within 0.5 s"}
    release.set()
    assert asked.count("slow.example") == 1


def test_proxies_of_the_environment_are_not_asked(
    receiver: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, there = receiver(), receiver()
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url())
    with Sender(INSIDE) as sender:
        assert post(sender, there.url()).status == 200
    assert (proxy.connections, there.connections) == (0, 1)


# TLS


class Authority:
    """A certificate authority of our own."""

    def __init__(self, folder: Path):
        self.folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "In-house authority")])
        self._file("ca.pem", self._certificate(self._name, self._key.public_key(), ca=True))
        self.ca_file = folder / "ca.pem"

    def server(self, *names: str) -> ssl.SSLContext:
        """What a server for `names` needs."""
        key = ec.generate_private_key(ec.SECP256R1())
        shown = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._file("server.pem", private + self._certificate(shown, key.public_key(), names=names))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem")
        return context

    def _file(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool = False, names: tuple[str, ...] = ()
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            alternatives = [
                x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
                for name in names
            ]
            made = made.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_tls_asks_for_the_name_and_checks_it_though_the_address_is_connected_to(
    receiver: Callable[..., Receiver], resolver: Resolver, authority: Authority
) -> None:
    context, asked = authority.server("hook.example", "127.0.0.1"), []
    context.set_servername_callback(lambda _, name, __: asked.append(name))
    there = receiver(tls=context)
    resolver.names |= {name: [["127.0.0.1"]] for name in ("hook.example", "other.example")}
    with Sender(INSIDE, ca_file=authority.ca_file) as sender:
        assert [post(sender, f"https://hook.example:{there.port}/").status for _ in range(3)] == [200] * 3
        assert post(sender, f"https://127.0.0.1:{there.port}/").status == 200
        other = post(sender, f"https://other.example:{there.port}/")
    assert other.status is None
    assert other.error.startswith("the certificate is not valid for other.example: Hostname mismatch")
    assert asked == ["hook.example", None, "other.example"]
    assert len(there.letters) == 4
    assert b"\r\nHost: hook.example:%d\r\n" % there.port in there.letters[0]


def test_a_certificate_of_an_authority_that_nobody_trusts_is_refused(
    receiver: Callable[..., Receiver], authority: Authority, sender: Sender
) -> None:
    there = receiver(tls=authority.server("127.0.0.1"))
    sent = post(sender, f"https://127.0.0.1:{there.port}/")
    assert sent.error == ("the certificate is not valid for 127.0.0.1: unable to get local issuer certificate")
    assert there.letters == []


@pytest.mark.parametrize(
    ("behave", "error"),
    [
        (hangs, "no connection by TLS within 0.5 s"),
        (drips(b"", b"\x16"), "no connection by TLS"),
        (lambda connection: (connection.recv(1), resets(connection)), "no connection by TLS: connection reset by peer"),
        (drips(OK, b""), "no connection by TLS: "),
    ],
    ids=["hangs", "drips", "resets", "speaks plain http"],
)
def test_a_handshake_that_goes_wrong_is_told_in_words(
    sender: Sender, receiver: Callable[..., Receiver], behave: Behaviour, error: str
) -> None:
    there = receiver(behave=behave)
    sent = post(sender, f"https://127.0.0.1:{there.port}/")
    assert sent.error.startswith(error)
    assert "Error" not in sent.error
    assert sent.seconds < 1


# The sender itself


def test_letters_from_many_threads_all_arrive_and_wait_for_a_place(receiver: Callable[..., Receiver]) -> None:
    at_once, most, lock = 0, 0, threading.Lock()

    def answers(connection: socket.socket) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.005)
        with lock:
            at_once -= 1
        connection.sendall(OK)

    there = receiver(answers)
    with Sender(INSIDE, places=4) as sender, ThreadPoolExecutor(8) as threads:
        sent = list(threads.map(lambda n: post(sender, there.url(f"/{n}")), range(100)))
    assert {each.status for each in sent} == {200}
    assert len({letter.split()[1] for letter in there.letters}) == 100
    assert most <= 4


def test_the_clock_of_a_letter_starts_when_it_has_a_place(receiver: Callable[..., Receiver]) -> None:
    there, hanging = receiver(), receiver(hangs)
    with Sender(INSIDE, total_seconds=0.1, places=1) as sender:
        futures = [sender.send(Letter(each.url(), {}, b"{}")) for each in (hanging, hanging, hanging, there)]
        sent = [future.result(5) for future in futures]
    assert [each.status for each in sent] == [None, None, None, 200]
    assert max(each.seconds for each in sent) < 1


def test_the_connections_of_letters_that_failed_are_closed(receiver: Callable[..., Receiver]) -> None:
    ended = threading.Semaphore(0)

    def until_closed(start: bytes) -> Behaviour:
        def behave(connection: socket.socket) -> None:
            connection.sendall(start)
            try:
                while connection.recv(65536):
                    pass
            except ConnectionResetError:
                pass
            ended.release()

        return behave

    starts = [
        b"",
        HEAD,
        HEAD + b"\r\n",
        HEAD + b"Content-Length: 99\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"x\r\n\r\n",
    ]
    urls = [receiver(behave=until_closed(start)).url() for start in starts]
    urls += [url.replace("http:", "https:") for url in urls]
    with Sender(INSIDE, connect_seconds=0.1, total_seconds=0.2, places=25) as sender:
        for future in [sender.send(Letter(url, {}, b"{}")) for _ in range(5) for url in urls]:
            future.result(5)
        assert all(ended.acquire(timeout=1) for _ in range(5 * len(urls)))
        assert post(sender, receiver().url()).status == 200  # every place is free again


def test_a_sender_without_letters_keeps_no_connections(
    receiver: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.http.KEPT_ALIVE_SECONDS", 0.05)
    ended = threading.Event()

    def behave(connection: socket.socket) -> None:
        with contextlib.suppress(ConnectionAbortedError):
            while there.read(connection):
                connection.sendall(OK)
        ended.set()

    there = receiver(behave=behave)
    with Sender(INSIDE) as sender:
        assert post(sender, there.url()).status == 200
        assert ended.wait(1)
        assert post(sender, there.url()).status == 200


def test_a_closed_sender_ends_what_is_open_and_takes_no_more(receiver: Callable[..., Receiver]) -> None:
    there, sender = receiver(hangs), Sender(INSIDE)
    letter = Letter(there.url(), {}, b"{}")
    future = sender.send(letter)
    time.sleep(0.1)
    sender.close()
    sender.close()
    assert future.result(0).error == "the sender was stopped before an answer came"
    with pytest.raises(SenderClosed):
        sender.send(letter)
    assert (there.connections, len(there.letters)) == (1, 1)
