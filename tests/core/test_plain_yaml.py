"""YAML of strangers: read in bounded time, or refused in words."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from core import plain_yaml
from core.plain_yaml import BadYaml

BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(24)
)


def test_plain_documents_are_read() -> None:
    read = plain_yaml.read("a: 1\nb: [x, 2.5, null, true]\n'c': {d: 2026-11-21}\né: ü".encode())
    assert read["a"] == 1
    assert read["b"] == ["x", 2.5, None, True]
    assert (str(read["c"]["d"]), read["é"]) == ("2026-11-21", "ü")
    assert plain_yaml.read(b"") is None


@pytest.mark.parametrize(
    ("hostile", "why"),
    [
        (BOMB, "anchor"),
        ("&a [*a]", "anchor"),
        ("a: {<<: *b}", "anchor"),
        ("!!python/object/apply:os.system ['touch /tmp/pwned']", "tag"),
        ("a: !!python/name:os.system", "tag"),
        ("a: !secret x", "tag"),
        ("[" * 100_000, "nested deeper"),
        ("? " * 100_000, "nested deeper"),
        ("".join(" " * n + "a:\n" for n in range(1000)), "nested deeper"),
        ("[" + "a," * 200_000 + "]", "more than 100000 values"),
        ("a: 1" + ":59" * 300_000, "a number in it"),
        ("a: " + "9" * 5000, "a number in it"),
        ("a: 2001-99-99", "not what it looks like"),
        ("a: 0x_", "not what it looks like"),
        ("a: [", "in line 2"),
        ("a: b\n---\nc: d", "another document"),
        ("? [a]\n: b", "unhashable"),
        (b"\x00\x01\xff" * 1000, "at byte 0"),
        (b"\xff\xfe\x00\xd8", "."),
        (b"a" * (plain_yaml.LIMIT + 1), "bytes"),
    ],
)
def test_hostile_documents_are_refused_at_once_and_say_why(hostile: str | bytes, why: str) -> None:
    data = hostile.encode() if isinstance(hostile, str) else hostile
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(BadYaml, match=why) as refused:
            plain_yaml.read(data)
        assert time.monotonic() - began < 3
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert len(refused.value.message) < 400
