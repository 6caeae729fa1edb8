"""A real browser for the tests of the pages: Debian's Chromium, driven by playwright from an environment of its own.

Where there is none, these tests are skipped; CI sets VOUCH_BROWSER=required and fails instead.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import site
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.person import Person
from tests.live import ROOT, Live

ENVIRONMENT = ROOT / ".venvs" / "browser"
SHOTS = ROOT / "screenshots"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser; each person opens a context of his own in it.

    It ends with the module: as long as playwright runs, Django takes this process for an asynchronous one, in which no
    test may use the database.
    """
    for packages in ENVIRONMENT.glob("lib/python*/site-packages"):
        site.addsitedir(str(packages))
    program = shutil.which("chromium")
    if importlib.util.find_spec("playwright") is None or program is None:
        lacks = "no browser: run `python3 bootstrap.py browser` as root"
        if os.environ.get("VOUCH_BROWSER") == "required":
            pytest.fail(lacks)
        pytest.skip(lacks)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def people(chromium: Any, live: Live) -> Iterator[Any]:
    """Opens a browser window for a person, signed in: `people("reviewer", width=390)`."""
    opened: list[Person] = []

    def person(username: str, *, width: int = 1280, **context: Any) -> Person:
        window = chromium.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce", **context)
        opened.append(Person(window, live, username))
        return opened[-1]

    yield person
    for each in opened:
        each.window.close()
    for each in opened:
        assert not each.complaints, f"the console of {each.username} says: {each.complaints}"


@pytest.fixture(scope="session")
def shots() -> Path:
    """The folder of the screenshots, which git ignores and CI keeps."""
    SHOTS.mkdir(exist_ok=True)
    return SHOTS
