"""The desk by keyboard: rows of a list, places to go, help; and lists that look again by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.workspace import Api, trained_model
from tests.live import Live


@pytest.fixture(scope="module")
def promotions(live: Live) -> list[str]:
    """Two models with a promotion each that waits for the reviewer, the older first."""
    found = []
    for name in ("keys-one", "keys-two"):
        trained_model(live, name)
        found.append(Api(live, "ci").asked(name, 2))
    return found


def test_rows_are_walked_and_opened_by_letters(promotions: list[str], people: Any) -> None:
    page = people("reviewer").page
    page.goto(page.url.partition("/reviews")[0] + "/reviews?model=keys-")
    page.keyboard.press("j")
    assert "keys-one v2" in page.locator(":focus").inner_text()
    page.keyboard.press("j")
    assert "keys-two v2" in page.locator(":focus").inner_text()
    page.keyboard.press("k")
    page.keyboard.press("o")
    page.wait_for_url(f"**/promotions/{promotions[0]}")


def test_a_letter_goes_to_what_decides_and_decides_nothing(promotions: list[str], people: Any, live: Live) -> None:
    person = people("reviewer")
    person.go(f"/promotions/{promotions[0]}")
    person.page.keyboard.press("r")
    assert person.page.locator(":focus").get_attribute("name") == "reason"
    person.page.keyboard.type("aj?")  # a field has every key to itself
    assert person.page.locator(":focus").input_value() == "aj?"
    assert Api(live, "ci").rest("GET", f"/promotions/{promotions[0]}")["state"] == "open"


def test_places_are_gone_to_and_help_lists_the_keys(promotions: list[str], people: Any) -> None:
    person = people("reviewer")
    person.go("/models")
    person.page.keyboard.press("?")
    help_of_keys = person.page.get_by_role("dialog", name="Keys on this page")
    help_of_keys.wait_for()
    assert "Reviews" in help_of_keys.inner_text()
    assert not person.flaws()
    person.page.keyboard.press("Escape")
    help_of_keys.wait_for(state="hidden")
    person.page.keyboard.press("g")
    person.page.keyboard.press("r")
    person.page.wait_for_url("**/reviews")


def test_models_are_found_as_one_types_and_the_address_remembers(promotions: list[str], people: Any) -> None:
    person = people("reviewer")
    person.go("/models")
    person.page.keyboard.press("/")
    person.page.keyboard.type("KEYS-t", delay=30)
    person.page.wait_for_url("**/models?**")
    person.page.get_by_role("link", name="keys-one", exact=True).wait_for(state="hidden")
    assert person.page.get_by_role("link", name="keys-two", exact=True).is_visible()
    person.page.reload()
    assert person.page.get_by_role("link", name="keys-one", exact=True).count() == 0


def test_a_snippet_is_copied(promotions: list[str], people: Any) -> None:
    person = people("reviewer", permissions=["clipboard-read", "clipboard-write"])
    person.go("/models/keys-one/versions/2")
    person.page.get_by_role("button", name="Copy: Exactly this version").first.click()
    person.page.get_by_text("Copied").wait_for()
    assert "models:/keys-one/2" in person.page.evaluate("navigator.clipboard.readText()")


def test_a_page_of_a_promotion_says_that_it_changed_and_keeps_what_was_typed(
    promotions: list[str], people: Any, live: Live
) -> None:
    """It looks again by itself: what somebody writes meanwhile stays where it is."""
    person = people("reviewer")
    person.window.clock.install()
    person.go(f"/promotions/{promotions[1]}")
    person.page.get_by_label("Comment").first.fill("I am still reading.")
    report = {"check": "late", "state": "failed", "summary": "It fails on the new data."}
    Api(live, "ci").rest("POST", "/models/keys-two/versions/2/checks", report)
    overtaking = Api(live, "ci").asked("keys-two", 1, stage="Archived")
    assert overtaking
    person.window.clock.run_for(45_000)
    person.page.get_by_text("changed", exact=False).first.wait_for()
    assert person.page.get_by_label("Comment").first.input_value() == "I am still reading."


def test_what_was_written_outlives_a_session_that_ended(promotions: list[str], people: Any) -> None:
    person = people("reviewer")
    person.go(f"/promotions/{promotions[0]}")
    words = "Not to be lost."
    person.page.get_by_label("Say something").fill(words)
    person.window.clear_cookies(name="vouch_session")
    person.page.get_by_role("button", name="Comment", exact=True).click()
    person.page.get_by_label("Password").wait_for()
    person.page.get_by_label("User name").fill(person.username)
    person.page.get_by_label("Password").fill(person.live.accounts[person.username]["password"])
    person.page.keyboard.press("Enter")
    person.page.wait_for_url(f"**/promotions/{promotions[0]}")
    assert person.page.get_by_label("Say something").input_value() == words
    person.page.get_by_role("button", name="Comment", exact=True).click()
    person.page.locator("#main > .notice.success").wait_for()
    assert person.page.get_by_label("Say something").input_value() == ""
    assert person.page.locator(".talk .words").get_by_text(words).count() == 1
    person.go(f"/promotions/{promotions[0]}")
    assert person.page.get_by_label("Say something").input_value() == ""


def test_a_list_says_that_one_is_signed_out_and_stays(promotions: list[str], people: Any) -> None:
    person = people("reviewer")
    person.window.clock.install()
    person.go("/reviews?model=keys-")
    person.window.clear_cookies(name="vouch_session")
    person.window.clock.run_for(45_000)
    person.page.get_by_text("You are signed out").wait_for()
    assert person.page.get_by_role("link", name="keys-one").count()
    assert all("401" in each for each in person.complaints)  # htmx tells the console
    person.complaints.clear()
