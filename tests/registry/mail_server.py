"""A mail server of thirty lines: it keeps what it takes, and refuses whom it is told to refuse."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message


class MailServer(socketserver.ThreadingTCPServer):
    """Speaks SMTP on a port of this machine. `refusing`: address → the answer to it; `slow`: seconds for each mail."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.taken: list[tuple[str, Message]] = []
        self.refusing: dict[str, str] = {}
        self.slow = 0.0

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def recipients(self) -> list[str]:
        return sorted(recipient for recipient, _ in self.taken)


class _Conversation(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._say("220 here")
        recipient = ""
        while line := self.rfile.readline().decode().strip():
            word = line.upper()
            if word.startswith("RCPT"):
                recipient = line[line.index("<") + 1 : line.index(">")]
                self._say(self.server.refusing.get(recipient, "250 known"))
            elif word == "DATA":
                self._say("354 go on")
                self._take(recipient)
            elif word == "QUIT":
                return self._say("221 bye")
            else:
                self._say("250 fine")
        return None

    def _take(self, recipient: str) -> None:
        content = b""
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            content += line
        time.sleep(self.server.slow)
        self.server.taken.append((recipient, message_from_bytes(content)))
        self._say("250 taken")

    def _say(self, words: str) -> None:
        self.wfile.write(words.encode() + b"\r\n")


@contextmanager
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()
