"""One's own notifications over REST."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.actor import Actor
from accounts.models import Grant
from accounts.roles import Scope
from core import sealing
from registry.models import Following, Notification, NotificationSettings
from registry.services import notices, subscriptions
from tests import make
from tests.registry.notified import MAIL_SERVER, reachable
from tests.web.api.conftest import Api, api_of

pytestmark = pytest.mark.django_db
CHAT = "https://hooks.chat.example/services/T0/secret"


def test_the_address_of_the_chat_is_sealed_and_never_shown(viewer: Actor) -> None:
    me = api_of(viewer)
    assert me("GET", "notifications").json() == {
        "mail": "at_once",
        "muted": False,
        "slack": False,
        "address": "",
        "mail_is_on": False,
        "digest_hour": 8,
        "messages_per_day": 50,
    }
    answer = me("PUT", "notifications", {"mail": "digest", "muted": False, "slack_url": CHAT})
    assert (answer.status_code, answer.json()["slack"], answer.json()["mail"]) == (200, True, "digest")
    assert b"secret" not in answer.content + me("GET", "notifications").content
    row = NotificationSettings.objects.get()
    assert "secret" not in row.slack_url
    assert sealing.opened(row.slack_url) == CHAT
    assert me("PUT", "notifications", {"mail": "never", "muted": True}).json()["slack"] is True
    assert me("PUT", "notifications", {"mail": "never", "muted": True, "slack_url": ""}).json()["slack"] is False


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"mail": "hourly"}, "mail"), ({"muted": "no"}, "muted"), ({"slack_url": "http://10.0.0.1/"}, "slack_url"),
     ({"slack_url": "https://169.254.169.254/"}, "slack_url"), ({"slack_url": "x"}, "slack_url"),
     ({"slack_url": None}, "slack_url"), ({"slak_url": CHAT}, "slak_url")],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_field(viewer: Actor, wrong: dict[str, Any], field: str) -> None:
    answer = api_of(viewer)("PUT", "notifications", {"mail": "digest", "muted": False, **wrong})
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert not NotificationSettings.objects.exists()


def test_a_token_that_was_found_cannot_have_everything_told_to_somebody_else(viewer: Actor, requester: Actor) -> None:
    make.model(requester)
    sent = {"mail": "at_once", "muted": False, "slack_url": CHAT}
    reading = Api(make.token(viewer, Scope.READ))
    bound = Api(make.token(viewer, *Scope, model_glob="churn*"))
    assert reading("PUT", "notifications", sent).json()["code"] == "scope-missing"
    assert reading("PUT", "models/churn/following", {"muted": True}).json()["code"] == "scope-missing"
    assert bound("PUT", "notifications", sent).json()["code"] == "beyond-token"
    assert bound("PUT", "models/churn/following", {}).status_code == 200
    assert not NotificationSettings.objects.exists()


def test_a_model_is_followed_muted_and_left(viewer: Actor, requester: Actor) -> None:
    make.model(requester)
    me = api_of(viewer)
    assert me("GET", "models/churn/following").status_code == 404
    assert me("PUT", "models/churn/following", {}).json()["muted"] is False
    assert me("PUT", "models/churn/following", {"muted": True}).json()["muted"] is True
    assert me("GET", "models/churn/following").json()["model"] == "churn"
    assert [item["model"] for item in me("GET", "notifications/models").json()["items"]] == ["churn"]
    assert me("DELETE", "models/churn/following").status_code == 204
    assert me("DELETE", "models/churn/following").status_code == 204
    assert not Following.objects.exists()


def test_what_one_was_told_is_listed_while_one_may_see_it(viewer: Actor, requester: Actor, settings: Any) -> None:
    settings.VOUCH_EMAIL_URL = MAIL_SERVER
    make.model(requester)
    make.model(requester, "fraud")
    reachable(viewer)
    for name in ("churn", "fraud"):
        subscriptions.follow(viewer, name)
    notices.note()
    for name in ("churn", "fraud"):
        make.version(requester, name)
    notices.note()
    assert Notification.objects.count() == 2
    items = api_of(viewer)("GET", "notifications/recent").json()["items"]
    assert [item["subject"] for item in items] == ["fraud v1", "churn v1"]
    assert (items[0]["state"], items[0]["reason"], items[0]["finished_at"]) == ("pending", "follower", None)
    bound = Api(make.token(viewer, Scope.READ, model_glob="churn"))
    assert [item["subject"] for item in bound("GET", "notifications/recent").json()["items"]] == ["churn v1"]
    assert api_of(requester)("GET", "notifications/recent").json()["items"] == []
    Grant.objects.filter(user_id=viewer.user_id).delete()
    assert api_of(viewer)("GET", "notifications/recent").json()["items"] == []
