"""The form of a checkpoint, and what makes one sound.

A file of canonical JSON lines (`core.canonical`), each ended by a line feed:

1. `{"at", "format", "key", "number", "previous"}`: `key` is the public key, 64 hex digits; `previous` the digest of the
   checkpoint before, 64 zeros for the first.
2. One line for each chain that has moved: `{"chain", "hash", "sequence"}`; `chain` is the id of a model, or empty.
3. `{"digest", "points", "signature"}`: the SHA-256 of all bytes above, the number of lines of kind 2, and the
   signature (128 hex digits) of the ASCII text `vouch-checkpoint/1 DIGEST`.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from accounts.checkpoints import keys
from core.canonical import canonical_json

FORMAT = "vouch-checkpoint/1"
FIRST_PREVIOUS = "0" * 64
_LONGEST_LINE = 4096


@dataclass(frozen=True)
class Point:
    """A chain had this hash at this sequence. `chain` is the id of a model as text, or empty."""

    chain: str
    sequence: int
    hash: str


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says of itself. `digest` is its own, which the next one names."""

    number: int
    previous: str
    at: datetime.datetime
    public_key: str
    digest: str


class Unsound(Exception):
    """A file that is not the checkpoint it should be; the text says why."""


def name(number: int) -> str:
    """The file name of a checkpoint: in the order of numbers when sorted as text."""
    return f"checkpoint-{number:010d}.jsonl"


def number_of(name: str) -> int:
    """The number in a file name that `name` made."""
    return int(name.removeprefix("checkpoint-").removesuffix(".jsonl"))


def write(
    file: BinaryIO,
    key: keys.SigningKey,
    points: Iterable[Point],
    *,
    number: int,
    previous: str,
    at: datetime.datetime,
) -> Checkpoint:
    """Write the checkpoint into `file`, a line at a time."""
    hashing, count = hashlib.sha256(), 0
    public_key = keys.public_hex(key)

    def line(value: dict[str, Any]) -> bytes:
        written = canonical_json(value) + b"\n"
        file.write(written)
        return written

    first = {"format": FORMAT, "number": number, "previous": previous, "at": at.isoformat(), "key": public_key}
    hashing.update(line(first))
    for count, point in enumerate(points, 1):  # noqa: B007  # the count is what remains of it
        hashing.update(line({"chain": point.chain, "sequence": point.sequence, "hash": point.hash}))
    digest = hashing.hexdigest()
    line({"digest": digest, "points": count, "signature": key.sign(_signed(digest)).hex()})
    return Checkpoint(number, previous, at, public_key, digest)


def check(file: BinaryIO, *, number: int, trusted: Collection[str]) -> Checkpoint:
    """The checkpoint in `file` when it is sound, has this number and is signed by one of the `trusted` public keys.

    Whether it follows the one before it is for the caller to see. Raises Unsound.
    """
    hashing, head, last = hashlib.sha256(), b"", b""
    for line in _lines(file):
        hashing.update(last)
        head, last = head or line, line
    first, closing = _object(head), _object(last)
    try:
        digest, signature = closing["digest"], bytes.fromhex(closing["signature"])
        found = Checkpoint(
            number=first["number"],
            previous=str(first["previous"]),
            at=datetime.datetime.fromisoformat(first["at"]),
            public_key=str(first["key"]),
            digest=str(digest),
        )
        if first["format"] != FORMAT:
            raise Unsound(f"its format is not {FORMAT}")
    except (KeyError, TypeError, ValueError):
        raise Unsound("it is not a checkpoint") from None
    if digest != hashing.hexdigest():
        raise Unsound("its content is not what was signed")
    if found.number != number:
        raise Unsound(f"it is checkpoint {found.number}")
    if found.public_key not in trusted:
        raise Unsound(f"it is signed by the key {found.public_key}, which is not among those you trust")
    if not keys.is_signed(_signed(digest), signature, by=found.public_key):
        raise Unsound("its signature is not valid")
    return found


def points(file: BinaryIO) -> Iterator[Point]:
    """The points of a checkpoint that `check` has found sound, from its beginning."""
    file.seek(0)
    for line in _lines(file):
        told = _object(line)
        if "chain" in told:
            yield Point(told["chain"], told["sequence"], told["hash"])


def _signed(digest: str) -> bytes:
    return f"{FORMAT} {digest}".encode()


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(_LONGEST_LINE):
        if not line.endswith(b"\n"):
            raise Unsound("it is not a checkpoint, or it was cut off")
        yield line


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Unsound("it is not a checkpoint")
    return value
