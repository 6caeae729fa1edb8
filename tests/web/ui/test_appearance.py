"""Pages are light or dark as the system is, or as the person chose."""

from __future__ import annotations

from accounts.actor import Actor
from tests.web.ui.conftest import signed_in


def test_the_choice_is_kept_for_the_browser_and_leads_back_to_the_page(administrator: Actor) -> None:
    client = signed_in(administrator)
    assert b"data-appearance" not in client.get("/models").content
    answer = client.post("/appearance", {"appearance": "dark", "next": "/models?q=a"})
    assert answer.headers["Location"] == "/models?q=a"
    page = client.get("/models").content.decode()
    assert 'data-appearance="dark"' in page
    assert 'value="dark" aria-pressed="true"' in page
    client.post("/appearance", {"appearance": ""})
    assert b"data-appearance" not in client.get("/models").content


def test_a_choice_that_there_is_not_is_as_none_and_no_way_out_of_here(administrator: Actor) -> None:
    client = signed_in(administrator)
    answer = client.post("/appearance", {"appearance": '"><script>', "next": "https://elsewhere.example/"})
    assert answer.headers["Location"] == "/"
    client.cookies["appearance"] = '"><script>alert(1)</script>'
    assert b"data-appearance" not in client.get("/models").content
