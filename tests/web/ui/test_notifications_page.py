"""The page on which a person says how he is told, and the buttons of a model's page; all without a script."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.actor import Actor
from core import sealing
from registry.models import Following, NotificationSettings
from registry.services import notices, subscriptions
from tests import make
from tests.registry.notified import MAIL_SERVER, reachable
from tests.web.ui.conftest import signed_in, text_of

pytestmark = pytest.mark.django_db
CHAT = "https://hooks.chat.example/services/T0/secret"


def test_a_person_chooses_how_he_is_told_and_the_chat_is_not_shown_again(viewer: Actor, settings: Any) -> None:
    client = signed_in(viewer)
    assert "sends no mail" in text_of(client.get("/notifications"))
    settings.VOUCH_EMAIL_URL = MAIL_SERVER
    assert "No address is known of you" in text_of(client.get("/notifications"))
    reachable(viewer)
    sent = {"mail": "digest", "slack_url": CHAT}
    assert client.post("/notifications", sent).status_code == 302
    page = client.get("/notifications")
    assert b"secret" not in page.content
    assert b'value="digest" checked' in page.content
    assert "To viewer@example.org" in text_of(page)
    assert client.post("/notifications", {"mail": "never", "muted": "1"}).status_code == 302
    row = NotificationSettings.objects.get()
    assert (row.mail, row.muted, sealing.opened(row.slack_url)) == ("never", True, CHAT)
    assert client.post("/notifications", {"mail": "never", "forget_slack": "1"}).status_code == 302
    row.refresh_from_db()
    assert (row.muted, row.slack_url) == (False, "")


@pytest.mark.parametrize(
    ("wrong", "field"), [({"slack_url": "http://10.0.0.1/"}, "slack_url"), ({"mail": "hourly"}, "mail")]
)
def test_a_form_that_is_wrong_comes_back_with_what_was_typed(viewer: Actor, wrong: dict[str, str], field: str) -> None:
    response = signed_in(viewer).post("/notifications", {"mail": "digest", "slack_url": CHAT, "muted": "1", **wrong})
    assert response.status_code == 400
    page = response.content.decode()
    assert f'href="#{field}"' in page
    assert 'aria-invalid="true"' in page
    assert f'value="{wrong.get("slack_url", CHAT)}"' in page
    assert not NotificationSettings.objects.exists()


def test_a_model_is_followed_muted_and_left_by_buttons(viewer: Actor, requester: Actor, outsider: Actor) -> None:
    make.model(requester)
    client = signed_in(viewer, enforce_csrf_checks=True)
    token = client.cookies["vouch_csrf"].value

    def press(act: str, **more: str) -> str:
        sent = {"act": act, "csrfmiddlewaretoken": client.cookies["vouch_csrf"].value, **more}
        return client.post("/models/churn/following", sent, follow=True).content.decode()

    assert client.post("/models/churn/following", {"act": "follow"}).status_code == 403
    assert token
    assert "you follow it" in press("follow")
    assert "you have muted it" in press("mute")
    assert "You neither follow churn" in press("leave", back="notifications")
    assert not Following.objects.exists()
    assert signed_in(outsider).post("/models/churn/following", {"act": "follow"}).status_code == 404


def test_the_page_lists_what_one_was_told(viewer: Actor, requester: Actor, settings: Any) -> None:
    settings.VOUCH_EMAIL_URL = MAIL_SERVER
    make.model(requester)
    reachable(viewer)
    subscriptions.follow(viewer, "churn")
    notices.note()
    make.version(requester)
    notices.note()
    words = text_of(signed_in(viewer).get("/notifications"))
    assert "version.registered churn v1 you follow this model mail on its way" in words
