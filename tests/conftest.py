"""The cast: a requester, two reviewers, an administrator, an outsider; and a data directory of each test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.actor import Actor
from accounts.roles import Role
from tests import make
from tests.live import Live, serving


@pytest.fixture(autouse=True)
def data_directory(settings: Any, tmp_path: Path) -> Path:
    settings.VOUCH_DATA = tmp_path
    return tmp_path


@pytest.fixture(autouse=True)
def static_files_on_demand(settings: Any) -> None:
    """The test client sets up its middleware anew for each of thousands; looking at every file takes 20 ms."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Lets transactional tests empty the audit table between them, which its trigger would refuse."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_auditentry DISABLE TRIGGER audit_table_stays")


@pytest.fixture
def requester(db: None) -> Actor:
    return make.actor("requester", Role.CONTRIBUTOR)


@pytest.fixture
def reviewer(db: None) -> Actor:
    return make.actor("reviewer", Role.REVIEWER)


@pytest.fixture
def second_reviewer(db: None) -> Actor:
    return make.actor("second-reviewer", Role.REVIEWER)


@pytest.fixture
def viewer(db: None) -> Actor:
    return make.actor("viewer", Role.VIEWER)


@pytest.fixture
def maintainer(db: None) -> Actor:
    return make.actor("maintainer", Role.MAINTAINER)


@pytest.fixture
def administrator(db: None) -> Actor:
    return make.actor("administrator", Role.ADMINISTRATOR)


@pytest.fixture
def outsider(db: None) -> Actor:
    """Everything there is to be, in another workspace."""
    return make.actor("outsider", *Role, slug="elsewhere")


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Live]:
    """One live server for all tests of a worker: each test uses names of its own."""
    with serving(tmp_path_factory.mktemp("live"), f"vouch_live_{worker_id}") as server:
        yield server
