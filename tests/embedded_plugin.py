"""Pytest plugin: one PostgreSQL and one Valkey for the whole run, started before Django reads its settings.

Loaded by `-p tests.embedded_plugin`. DATABASE_URL and REDIS_URL in the environment are used as they are. With xdist
only the controller starts anything; its workers inherit the environment, and pytest-django gives each a database.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from config import datadir, embedded

PREFIX = "vouch-tests-"


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the services and export what settings and xdist workers read."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    _remove_leftovers()
    stack = ExitStack()
    early_config.add_cleanup(stack.close)  # runs however the run ends, also when a conftest fails to load
    data = Path(tempfile.mkdtemp(prefix=PREFIX))
    stack.callback(shutil.rmtree, data, ignore_errors=True)
    try:
        services = stack.enter_context(embedded.services(data / "services", durable=False))
    except datadir.CannotStart as error:
        raise pytest.UsageError(str(error)) from error
    os.environ["DATABASE_URL"] = services.database
    os.environ["REDIS_URL"] = services.redis
    password = data / "services" / "postgres.password"
    if password.exists():  # not with a DATABASE_URL of somebody else's
        os.environ["VOUCH_TESTS_SUPERUSER"] = password.read_text()
    os.environ["VOUCH_DATA"] = str(data / "vouch")
    os.environ["VOUCH_SECRET_KEY"] = secrets.token_urlsafe(48)
    os.environ["VOUCH_URL"] = "http://127.0.0.1:8000"
    os.environ["VOUCH_ALLOWED_HOSTS"] = "127.0.0.1,localhost,testserver"
    os.environ["VOUCH_INSECURE_HTTP"] = "1"
    os.environ["VOUCH_ADMIN"] = "1"
    os.environ["VOUCH_STATIC_FROM_SOURCE"] = "1"


def _remove_leftovers() -> None:
    """Remove the directories of runs that were killed: those whose claim nobody holds any more."""
    for data in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            if data.is_symlink() or data.stat().st_uid != os.geteuid():
                continue
            with datadir.claim(data / "services"):
                shutil.rmtree(data, ignore_errors=True)
        except (OSError, datadir.CannotStart):
            continue  # in use, or just being made
