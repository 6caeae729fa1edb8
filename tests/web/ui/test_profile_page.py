"""The page of one's own account."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.actor import Actor
from accounts.models import AuditEntry, User
from accounts.roles import Role
from accounts.services import people
from tests import make
from tests.web.ui.conftest import signed_in, text_of
from web.ui import throttle

pytestmark = pytest.mark.django_db
NEW = "an even longer password"


def change(client: Client, current: str = make.PASSWORD, new: str = NEW, again: str | None = None):
    sent = {"act": "password", "current": current, "password": new, "again": new if again is None else again}
    return client.post("/profile", sent)


@pytest.mark.parametrize("role", list(Role))
def test_everybody_sees_what_he_may_do_and_by_what(role: Role, administrator: Actor) -> None:
    somebody = make.actor("somebody", role)
    team = people.set_team(administrator, name="risk", usernames=["somebody"])
    people.give(administrator, Role.REVIEWER, team=team)
    model = make.model(administrator)
    people.give_by_name(administrator, Role.CONTRIBUTOR, username="somebody", model_id=model.pk)
    page = text_of(signed_in(somebody).get("/profile"))
    assert f"{role} " in page
    assert "reviewer approve or reject what others ask for, and roll back the whole workspace, by the team risk" in page
    assert "ask for promotions churn" in page
    assert "UTC 127.0.0.1" in page


def test_a_new_password_ends_the_sessions_elsewhere_and_keeps_this_one(viewer: Actor) -> None:
    here, elsewhere = signed_in(viewer), signed_in(viewer)
    response = change(here)
    assert response.status_code == 302
    assert "You are signed out everywhere but here" in text_of(here.get("/profile"))
    assert elsewhere.get("/profile").status_code == 302
    assert User.objects.get(username="viewer").check_password(NEW)
    entry = AuditEntry.objects.latest("id")
    assert (entry.verb, entry.data) == ("user.updated", {"changed": "password"})


@pytest.mark.parametrize(
    ("sent", "status", "field"),
    [
        ({"current": "not it"}, 400, "current"),
        ({"current": ""}, 400, "current"),
        ({"new": "short"}, 400, "password"),
        ({"new": "password1234"}, 400, "password"),
        ({"new": make.PASSWORD}, 400, "password"),
        ({"new": "x" * 2000}, 400, "password"),
        ({"again": "something else"}, 400, "again"),
    ],
)
def test_a_password_that_will_not_do_is_told_at_its_field(
    sent: dict[str, str], status: int, field: str, viewer: Actor
) -> None:
    response = change(signed_in(viewer), **sent)
    html = response.content.decode()
    assert response.status_code == status
    assert f'id="{field}-wrong"' in html
    for typed in (make.PASSWORD, NEW, *sent.values()):
        assert not typed or f'value="{typed}"' not in html
    assert User.objects.get(username="viewer").check_password(make.PASSWORD)


def test_an_open_browser_is_no_place_to_guess_in(viewer: Actor) -> None:
    client = signed_in(viewer)
    for _ in range(throttle.ATTEMPTS):
        assert change(client, "a guess").status_code == 400
    response = change(client)
    assert response.status_code == 409
    assert "Too many attempts" in text_of(response)


def test_a_name_is_changed_and_a_bad_one_comes_back(viewer: Actor) -> None:
    client = signed_in(viewer)
    assert "You are called so from now on" in text_of(
        client.post("/profile", {"act": "name", "display_name": "Vera <b>"}, follow=True)
    )
    assert User.objects.get(username="viewer").display_name == "Vera <b>"
    response = client.post("/profile", {"act": "name", "display_name": "x" * 300})
    assert response.status_code == 400
    assert "x" * 300 in response.content.decode()
    assert client.post("/profile", {"act": "email", "email": "x@y.example"}).status_code == 404


def test_profile_notifications_and_tokens_are_one_place(viewer: Actor) -> None:
    client = signed_in(viewer)
    for path in ("/profile", "/notifications", "/tokens"):
        html = client.get(path).content.decode()
        for other in ("/profile", "/notifications", "/tokens"):
            current = ' aria-current="page"' if other == path else ""
            assert f'<a href="{other}"{current}>' in html.partition('class="tabs person-tabs"')[2], (path, other)
