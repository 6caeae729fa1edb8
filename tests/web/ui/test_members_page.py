"""The pages of members and teams: who sees and changes what, each change by its service, and said in words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from accounts.actor import Actor
from accounts.models import AuditEntry, Grant, Team, Token, User, UserKind
from accounts.queries import system_actor
from accounts.roles import Role
from accounts.services import people, teams, tokens
from tests import make
from tests.web.ui.conftest import signed_in, text_of
from tests.web.ui.test_pages import HOSTILE

pytestmark = pytest.mark.django_db
PATHS = ("/members", "/members?show=services", "/members?show=teams", "/members/new", "/members/accounts/viewer",
         "/members/teams/risk", "/tokens?of=viewer")  # fmt: skip


def newest() -> tuple[str, str, str]:
    entry = AuditEntry.objects.latest("id")
    return entry.verb, entry.actor_name, entry.subject


@pytest.fixture
def risk(maintainer: Actor, viewer: Actor) -> Team:
    return people.set_team(maintainer, name="risk", usernames=["viewer"])


# --- Who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_each_role_gets_the_pages_that_it_may_have(role: Role, risk: Team) -> None:
    client = signed_in(make.actor("somebody", role))
    looks, makes = role in (Role.MAINTAINER, Role.ADMINISTRATOR), role == Role.ADMINISTRATOR
    expected = [makes if path in ("/members/new", "/tokens?of=viewer") else looks for path in PATHS]
    assert [client.get(path).status_code for path in PATHS] == [200 if may else 403 for may in expected]


_SENT = [
    ("/members", {"act": "give", "holder": "viewer", "role": "reviewer"}, {Role.MAINTAINER}),
    ("/members", {"act": "give", "holder": "viewer", "role": "administrator"}, set()),
    ("/members", {"act": "team", "name": "new-team"}, {Role.MAINTAINER}),
    ("/members/new", {"username": "new", "kind": "service"}, set()),
    ("/members/accounts/viewer", {"act": "give", "role": "reviewer"}, {Role.MAINTAINER}),
    ("/members/accounts/viewer", {"act": "take", "grant": "<grant>"}, {Role.MAINTAINER}),
    ("/members/accounts/viewer", {"act": "details", "display_name": "Vera"}, set()),
    ("/members/accounts/viewer", {"act": "password", "password": "a brand new password"}, set()),
    ("/members/accounts/viewer", {"act": "disable"}, set()),
    ("/members/accounts/viewer", {"act": "enable"}, set()),
    ("/members/teams/risk", {"act": "add", "holder": "somebody"}, {Role.MAINTAINER}),
    ("/members/teams/risk", {"act": "remove", "member": "viewer"}, {Role.MAINTAINER}),
    ("/members/teams/risk", {"act": "give", "role": "reviewer"}, {Role.MAINTAINER}),
    ("/tokens?of=robot", {"name": "CI", "scopes": "read", "days": "9"}, set()),
]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(
    ("path", "sent", "may"), _SENT, ids=[f"{path} {sent.get('act', '')}" for path, sent, _ in _SENT]
)
def test_each_role_changes_what_it_may_and_it_is_recorded(
    role: Role, path: str, sent: dict[str, str], may: set[Role], risk: Team
) -> None:
    make.actor("robot", Role.VIEWER, kind=UserKind.SERVICE)
    client = signed_in(make.actor("somebody", role))
    sent = {key: str(Grant.objects.get(user__username="viewer").pk) if value == "<grant>" else value
            for key, value in sent.items()}  # fmt: skip
    before = AuditEntry.objects.count()
    response = client.post(path, sent)
    if role in may | {Role.ADMINISTRATOR}:
        assert response.status_code == (200 if path.startswith("/tokens") else 302), text_of(response)
        assert (AuditEntry.objects.count(), newest()[1]) == (before + 1, "somebody")
    else:
        assert response.status_code == 403
        assert AuditEntry.objects.count() == before


@pytest.mark.parametrize("path", ["/members/accounts/viewer", "/members/teams/risk", "/tokens?of=viewer"])
def test_nothing_of_another_workspace_is_seen(path: str, risk: Team, outsider: Actor) -> None:
    client = signed_in(outsider)
    assert client.get(path).status_code == 404
    assert client.post(path, {"act": "give", "role": "viewer"}).status_code == 404
    page = text_of(client.get("/members")) + text_of(client.get("/members?show=teams"))
    assert "viewer" not in re.findall(r"/members/accounts/(\w+)", client.get("/members").content.decode())
    assert "risk" not in page.split()


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/members", {"act": "give", "holder": "nobody", "role": "viewer"}, 404),
        ("/members", {"act": "give", "holder": "", "role": "viewer"}, 400),
        ("/members", {"act": "give", "holder": "x\0", "to": "team", "role": "viewer"}, 404),
        ("/members", {"act": "give", "holder": "viewer", "role": "king"}, 400),
        ("/members", {"act": "give", "holder": "viewer"}, 400),
        ("/members", {"act": "give", "holder": "viewer", "role": "viewer", "model": "nope\0"}, 404),
        ("/members", {"act": "team", "name": "risk"}, 409),
        ("/members", {"act": "team", "name": "x" * 64}, 400),
        ("/members", {"act": "nonsense"}, 404),
        ("/members/accounts/viewer", {"act": "take", "grant": "9" * 30}, 404),
        ("/members/accounts/viewer", {"act": "take", "grant": "٣"}, 404),
        ("/members/accounts/viewer", {"act": "details", "email": "nonsense"}, 400),
        ("/members/accounts/viewer", {"act": "details", "display_name": "x" * 300}, 400),
        ("/members/accounts/viewer", {"act": "password", "password": "tiny-secret"}, 400),
        ("/members/accounts/viewer", {}, 404),
        ("/members/accounts/administrator", {"act": "disable"}, 403),
        ("/members/teams/risk", {"act": "add", "holder": "nobody"}, 404),
        ("/members/teams/risk", {"act": "remove", "member": "\0"}, 404),
        ("/members/new", {"username": "two words"}, 400),
        ("/members/new", {"username": "viewer"}, 409),
        ("/members/new", {"username": "new", "role": "king"}, 400),
        ("/members/new", {"username": "new", "kind": "service", "responsible": "nobody"}, 400),
        ("/members/new", {"username": "new", "password": "tiny-secret"}, 400),
    ],
)
def test_what_is_wrong_is_told_on_the_page_and_nothing_is_changed(
    path: str, sent: dict[str, str], status: int, administrator: Actor, risk: Team
) -> None:
    client = signed_in(administrator)
    before = AuditEntry.objects.count()
    response = client.post(path, sent)
    assert response.status_code == status
    assert AuditEntry.objects.count() == before
    html = response.content.decode()
    for name, typed in sent.items():
        if name == "password":
            assert typed not in html
        elif name in ("holder", "username", "email", "name", "model", "responsible") and typed and "\0" not in typed:
            assert f'value="{typed}"' in html


# --- What is done and said --------------------------------------------------------------------------------------------


def test_a_role_is_given_and_taken_with_words_for_what_it_means(maintainer: Actor, viewer: Actor) -> None:
    make.model(maintainer)
    client = signed_in(maintainer)
    sent = {"act": "give", "holder": "VIEWER", "role": "reviewer", "model": "churn"}
    page = text_of(client.post("/members", sent, follow=True))
    assert "VIEWER holds the role reviewer for the model churn: may approve or reject what others ask for" in page
    assert "viewer can no longer approve or reject what others ask for, and roll back, in churn , unless" in page
    assert newest() == ("grant.given", "maintainer", "viewer")
    again = text_of(client.post("/members/accounts/viewer", {"act": "give", "role": "viewer"}, follow=True))
    assert "holds already the role viewer in default" in again
    grant = Grant.objects.get(model__isnull=False)
    client.post("/members/accounts/viewer", {"act": "take", "grant": str(grant.pk)})
    assert newest() == ("grant.revoked", "maintainer", "viewer")


def test_the_last_administrator_is_told_why_he_stays(administrator: Actor) -> None:
    client = signed_in(administrator)
    grant = Grant.objects.get(role=Role.ADMINISTRATOR)
    response = client.post("/members/accounts/administrator", {"act": "take", "grant": str(grant.pk)})
    assert response.status_code == 409
    assert "would have no administrator any more" in text_of(response)
    make.actor("second", Role.ADMINISTRATOR)
    response = client.post("/members/accounts/administrator", {"act": "take", "grant": str(grant.pk)})
    assert response["Location"] == "/profile"


def test_a_new_person_signs_in_with_the_password_that_was_made_up(administrator: Actor) -> None:
    client = signed_in(administrator)
    sent = {
        "username": "vera",
        "kind": "person",
        "display_name": "Vera",
        "email": "vera@ml.example",
        "role": "reviewer",
    }
    response = client.post("/members/new", sent)
    assert "no-store" in response["Cache-Control"]
    [password] = re.findall(r"<code>([\w-]{20})</code>", response.content.decode())
    assert User.objects.get(username="vera").check_password(password)
    assert password not in client.get("/members/accounts/vera").content.decode()
    assert "reviewer" in text_of(client.get("/members/accounts/vera"))
    sent = {"act": "password", "password": "chosen by somebody"}
    assert "signed out everywhere" in text_of(client.post("/members/accounts/vera", sent, follow=True))
    assert User.objects.get(username="vera").check_password("chosen by somebody")


def test_a_service_account_has_somebody_who_answers_and_tokens_by_administrators(
    administrator: Actor, reviewer: Actor
) -> None:
    client = signed_in(administrator)
    sent = {"username": "robot", "kind": "service", "responsible": "reviewer", "role": "contributor"}
    client.post("/members/new", {**sent, "password": "is not looked at"})
    robot = User.objects.get(username="robot")
    assert (robot.responsible_id, robot.has_usable_password()) == (reviewer.user_id, False)
    page = client.post("/tokens?of=robot", {"name": "CI", "scopes": ["read", "register"], "days": "9"})
    [plain] = re.findall(r"vch-[0-9A-Za-z]{40}", page.content.decode())
    assert tokens.authenticate(plain, address=None, request_id="").username == "robot"
    assert "reviewer answers for it" in text_of(client.get("/members/accounts/robot"))
    assert "robot" in text_of(client.get("/members?show=services"))
    assert "One token is refused at once" in text_of(client.get("/members/accounts/robot"))
    assert "Service accounts that it answers for, robot , go on" in text_of(client.get("/members/accounts/reviewer"))
    token = Token.objects.get()
    response = client.post("/tokens?of=robot", {"act": "revoke", "token": str(token.pk)})
    assert response["Location"] == "/tokens?of=robot"
    assert newest()[0] == "token.revoked"


def test_of_other_people_tokens_are_revoked_and_not_made(administrator: Actor, reviewer: Actor) -> None:
    make.token(reviewer)
    client = signed_in(administrator)
    page = client.get("/tokens?of=reviewer").content.decode()
    assert Token.objects.get().public_id in page
    assert "Make a token" not in page
    assert client.post("/tokens?of=reviewer", {"name": "x", "scopes": ["read"], "days": "9"}).status_code == 403
    assert (
        client.post("/tokens?of=reviewer", {"act": "revoke", "token": str(Token.objects.get().pk)}).status_code == 302
    )


def test_who_is_disabled_is_signed_out_and_may_be_enabled_again(administrator: Actor, viewer: Actor) -> None:
    theirs, client = signed_in(viewer), signed_in(administrator)
    page = text_of(client.post("/members/accounts/viewer", {"act": "disable"}, follow=True))
    assert "viewer is disabled: sessions and tokens are dead" in page
    assert theirs.get("/models").status_code == 302
    client.post("/members/accounts/viewer", {"act": "enable"})
    assert User.objects.get(username="viewer").is_active


def test_an_administrator_changes_his_own_password_on_his_profile_alone(administrator: Actor) -> None:
    client = signed_in(administrator)
    sent = {"act": "password", "password": "without the present one"}
    assert client.post("/members/accounts/administrator", sent)["Location"] == "/profile"
    assert User.objects.get(username="administrator").check_password(make.PASSWORD)


def test_an_account_that_reaches_beyond_the_workspace_is_left_alone(administrator: Actor) -> None:
    make.actor("both", Role.VIEWER)
    make.actor("both", Role.VIEWER, slug="elsewhere")
    response = signed_in(administrator).post("/members/accounts/both", {"act": "disable"})
    assert response.status_code == 403
    assert "holds roles beyond this workspace" in text_of(response)


def test_operators_are_named_and_told_apart(maintainer: Actor, viewer: Actor) -> None:
    people.make_operator(system_actor(make.workspace()), "viewer")
    client = signed_in(maintainer)
    assert "Operators are administrators of every workspace: viewer" in text_of(client.get("/members"))
    assert "An operator, and so administrator" in text_of(client.get("/members/accounts/viewer"))


# --- What it costs, and what is written in it -------------------------------------------------------------------------


def test_the_lists_cost_the_same_however_many_there_are(
    administrator: Actor, maintainer: Actor, django_assert_max_num_queries: Any
) -> None:
    model = make.model(maintainer)
    for n in range(40):
        user = User.objects.create(username=f"user-{n:02}", kind=UserKind.PERSON if n % 2 else UserKind.SERVICE)
        people.give(administrator, Role.VIEWER, user=user)
        people.give(administrator, Role.REVIEWER, user=user, model_id=model.pk)
        team = people.set_team(maintainer, name=f"team-{n:02}", usernames=[user.username, "maintainer"])
        people.give(administrator, Role.VIEWER, team=team)
    everybody = User.objects.filter(username__startswith="user").values_list("username", flat=True)
    people.set_team(maintainer, name="all", usernames=list(everybody))
    client = signed_in(administrator)
    for path in ("/members", "/members?show=services&q=user", "/members?show=teams", "/members/accounts/maintainer",
                 "/members/accounts/user-01", "/members/teams/all", "/profile", "/tokens?of=user-00"):  # fmt: skip
        with django_assert_max_num_queries(15):
            assert client.get(path).status_code == 200, path
    first = client.get("/members?show=teams").content.decode()
    following = re.search(r'rel="next" href="(\?[^"]+)"', first)
    assert following
    assert "team-39" in client.get("/members" + following[1].replace("&amp;", "&")).content.decode()


def test_hostile_names_are_shown_as_names(administrator: Actor, viewer: Actor) -> None:
    words = (HOSTILE + "x" * 300)[:255]
    people.edit_user(administrator, "viewer", display_name=words, email="", responsible=None)
    teams.create(administrator, "ops")
    teams.add(administrator, "ops", "viewer")
    client = signed_in(administrator)
    for path in ("/members", "/members/accounts/viewer", "/members/teams/ops", "/members?q=" + "%3Cscript%3E"):
        html = client.get(path).content.decode()
        assert "<script>" not in html, path
        assert "<img" not in html, path
    theirs = signed_in(viewer).get("/profile").content.decode()
    assert "<script>" not in theirs
    assert "<img" not in theirs


def test_taking_a_role_from_oneself_says_what_cannot_be_undone_and_nothing_else(administrator: Actor) -> None:
    """Who may give roles still gives himself the others back."""
    me = User.objects.get(pk=administrator.user_id)
    for role in (Role.VIEWER, Role.REVIEWER):
        people.give(administrator, role, user=me)
    html = signed_in(administrator).get("/members/accounts/administrator").content.decode()
    said = {role: form for form, role in re.findall(r'<p class="will">(.*?)Take (\w+) back', html, re.S)}
    assert set(said) == {"administrator", "viewer", "reviewer"}
    assert [role for role, form in said.items() if "give it back to yourself" in form] == ["administrator"]
