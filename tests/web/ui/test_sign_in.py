"""Signing in and out: who may, how often, where to, and what is written down."""

from __future__ import annotations

import datetime
import statistics
import time

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client
from redis.exceptions import ConnectionError as RedisDown

from accounts.actor import Actor
from accounts.models import AuditEntry, User, UserKind
from accounts.queries import system_actor
from accounts.roles import Role
from accounts.services import people
from tests import make
from tests.web.ui.conftest import signed_in
from web.ui import throttle

pytestmark = pytest.mark.django_db


def attempt(username: str, password: str = make.PASSWORD, *, client: Client | None = None, **more: str):
    return (client or Client()).post("/sign-in", {"username": username, "password": password, **more})


def test_a_person_signs_in_under_a_new_session_key_and_it_is_audited(reviewer: Actor) -> None:
    client = Client()
    client.get("/sign-in")
    client.session["planted"] = "x"
    client.session.save()
    before = client.session.session_key
    response = attempt("reviewer", client=client)
    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.session.session_key != before
    entry = AuditEntry.objects.get(verb="user.signed_in")
    assert (entry.actor_name, entry.address) == ("reviewer", "127.0.0.1")
    assert entry.request_id == response["X-Request-ID"]


def test_a_reviewer_lands_in_the_queue_and_others_at_the_models(reviewer: Actor, viewer: Actor) -> None:
    assert signed_in(reviewer).get("/")["Location"] == "/reviews"
    assert signed_in(viewer).get("/")["Location"] == "/models"


def test_the_cookie_is_kept_from_scripts_and_other_sites(reviewer: Actor) -> None:
    cookie = signed_in(reviewer).cookies["vouch_session"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")


@pytest.mark.parametrize("username", ["reviewer", "nobody-of-that-name", "", "x" * 5000, "a\0b", "‮"])
def test_what_is_wrong_is_not_told_apart(reviewer: Actor, username: str) -> None:
    response = attempt(username, "not the password")
    assert response.status_code == 403
    assert b"The user name or the password is wrong" in response.content
    assert "vouch_session" not in response.cookies


def test_service_and_disabled_accounts_cannot_sign_in(reviewer: Actor, administrator: Actor) -> None:
    make.actor("robot", Role.CONTRIBUTOR, kind=UserKind.SERVICE)
    robot = User.objects.get(username="robot")
    robot.set_password(make.PASSWORD)  # which no service would do
    robot.save()
    people.set_active(administrator, "reviewer", False)
    assert attempt("robot").status_code == 403
    assert attempt("reviewer").status_code == 403
    assert not AuditEntry.objects.filter(verb="user.signed_in").exists()


def test_an_unknown_name_takes_as_long_as_a_known_one(reviewer: Actor) -> None:
    def took(username: str) -> float:
        times = []
        for _ in range(5):
            begun = time.perf_counter()
            attempt(username, "not the password")
            times.append(time.perf_counter() - begun)
            cache.clear()
        return statistics.median(times)

    took("reviewer")
    known, unknown = took("reviewer"), took("unknown")
    assert 0.5 < known / unknown < 2


def test_the_ninth_attempt_in_a_while_is_not_looked_at(reviewer: Actor) -> None:
    for _ in range(8):
        assert attempt("reviewer", "wrong").status_code == 403
    response = attempt("Reviewer")  # the right password now, and another spelling of the name
    assert (response.status_code, response["Retry-After"]) == (429, "900")
    assert b"Too many attempts" in response.content
    assert Client(REMOTE_ADDR="10.1.1.1").post(
        "/sign-in", {"username": "reviewer", "password": make.PASSWORD}
    ).status_code == 302  # fmt: skip


def test_the_right_password_begins_the_count_anew(reviewer: Actor) -> None:
    for _ in range(3):
        for _ in range(7):
            attempt("reviewer", "wrong")
        assert attempt("reviewer").status_code == 302


def test_one_can_sign_in_while_the_cache_is_down(reviewer: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    class Down:
        def add(self, *_: object) -> None:
            raise RedisDown("refused")

        incr = delete = add

    monkeypatch.setattr(throttle, "cache", Down())
    assert attempt("reviewer").status_code == 302


def test_after_signing_in_one_is_where_one_wanted_to_go(reviewer: Actor) -> None:
    client = Client()
    response = client.get("/models/churn?page=x")
    assert response["Location"] == "/sign-in?next=%2Fmodels%2Fchurn%3Fpage%3Dx"
    assert b'value="/models/churn?page=x"' in client.get(response["Location"]).content
    assert attempt("reviewer", next="/models/churn?page=x")["Location"] == "/models/churn?page=x"


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "evil", "/\t/evil.example",
     "http:///evil.example", "\\\\evil.example", "/a\r\nSet-Cookie: x=y"],
)  # fmt: skip
def test_one_is_never_led_to_another_place(reviewer: Actor, elsewhere: str) -> None:
    assert attempt("reviewer", next=elsewhere)["Location"] == "/"


def test_signing_out_ends_the_session_and_takes_a_post(reviewer: Actor) -> None:
    client = signed_in(reviewer)
    assert client.get("/sign-out").status_code == 405
    assert client.get("/models").status_code == 200
    assert client.post("/sign-out")["Location"] == "/sign-in"
    assert client.get("/models").status_code == 302


def test_a_session_is_dead_once_its_person_is_disabled_or_has_a_new_password(
    reviewer: Actor, viewer: Actor, administrator: Actor
) -> None:
    first, second = signed_in(reviewer), signed_in(viewer)
    people.set_active(administrator, "reviewer", False)
    people.set_password(administrator, "viewer", "another long password")
    assert (first.get("/models").status_code, second.get("/models").status_code) == (302, 302)


def test_somebody_without_any_role_is_told_so(db: None) -> None:
    response = signed_in(make.actor("newcomer")).get("/models")
    assert response.status_code == 403
    assert b"holds no role in any workspace yet" in response.content


def test_one_goes_between_ones_workspaces_and_to_no_other(reviewer: Actor, outsider: Actor) -> None:
    client = signed_in(reviewer)
    assert b'name="workspace"' not in client.get("/models").content
    assert client.post("/workspace", {"workspace": "elsewhere"}).status_code == 404
    elsewhere = make.workspace("elsewhere")
    people.give(system_actor(elsewhere), Role.VIEWER, user=client.get("/models").wsgi_request.user)
    make.model(outsider, "theirs")
    make.model(make.actor("owner", Role.CONTRIBUTOR), "of-this-one")
    assert b"of-this-one" in client.get("/models").content
    assert client.post("/workspace", {"workspace": "elsewhere"}).status_code == 302
    page = client.get("/models").content
    assert b"theirs" in page
    assert b"of-this-one" not in page


def test_a_session_ends_after_twelve_idle_hours_and_not_while_it_is_used(reviewer: Actor) -> None:
    with time_machine.travel("2026-11-21 08:00", tick=False) as clock:
        client = signed_in(reviewer)
        for _ in range(3):
            clock.shift(datetime.timedelta(hours=11))
            assert client.get("/models").status_code == 200
        clock.shift(datetime.timedelta(hours=13))
        assert client.get("/models").status_code == 302


def test_after_signing_in_one_is_back_at_the_page_whose_form_found_the_session_ended(reviewer: Actor) -> None:
    """The form's own address may answer a POST alone."""
    came = "http://testserver/models/churn?page=x"
    to = Client().post("/models/churn/rollback", headers={"Referer": came})["Location"]
    assert to == "/sign-in?next=%2Fmodels%2Fchurn%3Fpage%3Dx"
    for elsewhere in ("http://testserver.evil.example/x", "https://evil.example/models", "nonsense", "http://["):
        to = Client().post("/models/churn/rollback", headers={"Referer": elsewhere})["Location"]
        assert to == "/sign-in?next=%2Fmodels%2Fchurn%2Frollback", elsewhere


def test_a_part_that_looks_again_is_told_that_the_session_ended_and_is_replaced_by_nothing(reviewer: Actor) -> None:
    response = Client().get("/reviews", headers={"HX-Request": "true"})
    assert (response.status_code, response.content) == (204, b"")
    assert response["HX-Trigger"] == "signed-out"


def test_a_page_that_is_left_open_does_not_keep_the_session_alive(
    reviewer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in(reviewer)
    client.get("/reviews")
    renewed = client.session["renewed"]
    monkeypatch.setattr("web.ui.desk.time.time", lambda: renewed + 3600)
    client.get("/reviews", headers={"HX-Request": "true"})
    assert client.session["renewed"] == renewed
    client.get("/reviews")
    assert client.session["renewed"] == renewed + 3600
