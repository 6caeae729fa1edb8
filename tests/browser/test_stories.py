"""From sign-in to Production in a real browser: by mouse, by keyboard alone, and by two people at once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.browser.workspace import Api, trained_model
from tests.live import Live


def in_production(live: Live, model: str) -> int:
    newest = Api(live, "ci").mlflow("registered-models/get-latest-versions", name=model, stages=["Production"])
    return int(newest["model_versions"][0]["version"])


def test_a_version_is_asked_for_and_approved_by_mouse(live: Live, people: Any) -> None:
    trained_model(live, "by-mouse")
    asking = people("ci").page
    asking.get_by_role("link", name="Models", exact=True).click()
    asking.get_by_role("link", name="by-mouse", exact=True).click()
    asking.get_by_role("link", name=re.compile(r"\bv2\b")).first.click()
    asking.get_by_text("Ask for Production…").click()
    form = asking.locator("form", has=asking.get_by_role("button", name="Ask for Production"))
    form.get_by_label("Why").fill("Better in all that we measure.")
    form.get_by_role("button", name="Ask for Production").click()
    asking.wait_for_url("**/promotions/*")
    assert "v1 becomes Archived" in asking.locator(".outcome").inner_text()

    deciding = people("reviewer").page
    deciding.get_by_role("link", name=re.compile("^Reviews")).click()
    deciding.get_by_role("link", name=re.compile("by-mouse v2")).click()
    deciding.get_by_role("button", name="Approve v2 for Production").click()
    deciding.get_by_text("v2 is in Production now").wait_for()
    assert in_production(live, "by-mouse") == 2


def test_the_same_by_keyboard_alone(live: Live, people: Any) -> None:
    """Links and buttons are reached by Tab and used by Enter; nothing is clicked."""
    trained_model(live, "by-keyboard")
    asking = people("ci").page
    to(asking, "Models")
    to(asking, "by-keyboard")
    to(asking, re.compile(r"\bv2\b"))
    reach(asking, "Ask for Production…")
    asking.keyboard.press("Enter")
    asking.keyboard.press("Tab")
    asking.keyboard.type("Better in all that we measure.")
    asking.keyboard.press("Tab")
    asking.keyboard.press("Enter")
    asking.wait_for_url("**/promotions/*")

    deciding = people("reviewer").page
    to(deciding, re.compile("^Reviews"))
    to(deciding, re.compile("by-keyboard v2"))
    reach(deciding, "Approve v2 for Production")
    deciding.keyboard.press("Enter")
    deciding.get_by_text("v2 is in Production now").wait_for()
    assert in_production(live, "by-keyboard") == 2


def test_two_reviewers_at_once_carry_it_out_together(live: Live, people: Any) -> None:
    """Each sees what the other did; the second of two approvals carries it out, and nobody's word is lost."""
    admin = Api(live, "admin")
    second = {"username": "reviewer-2", "password": "nobody guesses these words"}
    admin.rest("POST", "/users", second)
    admin.rest("POST", "/grants", {"user": "reviewer-2", "role": "reviewer"})
    live.accounts["reviewer-2"] = second
    trained_model(live, "by-two")
    admin.rest("PUT", "/policies", {"model": "by-two", "target": "Production", "approvals": 2})
    promotion = Api(live, "ci").asked("by-two", 2)

    first, other = people("reviewer"), people("reviewer-2")
    for person in (first, other):
        person.go(f"/promotions/{promotion}")
    first.page.get_by_role("button", name="Approve v2 for Production").click()
    first.page.get_by_text("It goes through once nothing is missing").wait_for()
    assert in_production(live, "by-two") == 1
    other.page.get_by_role("button", name="Approve v2 for Production").click()
    other.page.get_by_text("v2 is in Production now").wait_for()
    assert in_production(live, "by-two") == 2
    first.page.reload()
    assert "went through" in first.page.locator(".outcome").inner_text()


def test_an_approval_of_what_is_not_so_any_more_is_refused_and_says_what_changed(live: Live, people: Any) -> None:
    trained_model(live, "moving", versions=3)
    ci, reviewer = Api(live, "ci"), people("reviewer")
    promotion, overtaking = ci.asked("moving", 2), ci.asked("moving", 3)
    reviewer.go(f"/promotions/{promotion}")
    Api(live, "reviewer").approve(overtaking)  # while the page is open, another version goes into Production
    reviewer.page.get_by_label("Comment").first.fill("I have looked at all of it.")
    reviewer.page.get_by_role("button", name="Approve v2 for Production").click()
    told = reviewer.page.get_by_role("alert").first
    told.wait_for()
    assert "Nothing was approved" in told.inner_text()
    assert "v3" in told.inner_text()
    assert reviewer.page.get_by_label("Comment").first.input_value() == "I have looked at all of it."
    assert in_production(live, "moving") == 3


# A link may have its whole row outlined in its stead.
_OUTLINED = """element => {
  for (let at = element; at; at = at.parentElement) if (getComputedStyle(at).outlineStyle !== "none") return true;
  return false;
}"""


def to(page: Any, name: str | re.Pattern[str]) -> None:
    """Go where a link of this name leads, by the keyboard."""
    reach(page, name)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def reach(page: Any, name: str | re.Pattern[str]) -> None:
    """Tab until something of this name has the focus, and can be seen to have it."""
    for _ in range(120):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if not focused.count():
            continue
        said = (focused.get_attribute("aria-label") or focused.inner_text()).strip()
        if said == name if isinstance(name, str) else name.search(said):
            assert focused.evaluate(_OUTLINED), f"{name} has the focus, and one does not see it"
            return
    pytest.fail(f"Tab does not reach {name}")
