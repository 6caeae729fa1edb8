"""Fixtures that put a bucket in the place of the disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import fake_s3
from tests.fake_s3 import Kept


@pytest.fixture(scope="session")
def s3_server() -> Iterator[tuple[str, Kept]]:
    """One for all tests: a client of boto3 for each would take longer than what is tested."""
    with fake_s3.serving() as server:
        yield server


@pytest.fixture
def bucket(s3_server: tuple[str, Kept], settings: Any, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """What lies in the bucket that artifacts go to: nothing yet."""
    address, kept = s3_server
    kept.clear()
    for name, value in fake_s3.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    settings.VOUCH_ARTIFACTS = f"s3://store/models?endpoint={address}"
    return kept
