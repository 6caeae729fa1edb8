"""Messages go out: at least once, retried each by itself, capped for each day, gathered into digests, never to who lost
the right to know."""

from __future__ import annotations

import datetime
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.db import connection
from django.utils import timezone
from pytest_httpserver import HTTPServer
from werkzeug import Response

from accounts.actor import Actor
from accounts.models import Grant, User
from accounts.roles import Role
from registry.models import Notification
from registry.services import discussion, notices, notices_due, notices_sending, promotions, subscriptions
from tests import make
from tests.registry.mail_server import MailServer, mail_server
from tests.registry.notified import MAIL_SERVER, reachable

pytestmark = pytest.mark.django_db
AT = datetime.datetime(2031, 5, 6, 12, 0, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def begun(requester: Actor, viewer: Actor, settings: Any) -> None:
    """churn, which viewer follows; mail is on."""
    settings.VOUCH_EMAIL_URL = MAIL_SERVER
    settings.VOUCH_MAIL_FROM = "Vouch <vouch@vouch.example>"
    reachable(requester, viewer)
    make.model(requester)
    subscriptions.follow(viewer, "churn")
    notices.note()


@pytest.fixture
def server(settings: Any) -> Iterator[MailServer]:
    """A real mail server, which Django's backend for SMTP talks to."""
    with mail_server() as started:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", started.port
        yield started


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(AT, tick=True) as travelled:
        yield travelled


def happen(owner: Actor, times: int = 1, name: str = "churn") -> None:
    """So many events that viewer is told of, written down."""
    for _ in range(times):
        make.version(owner, name)
    notices.note()


def states() -> list[str]:
    return list(Notification.objects.order_by("entry", "user").values_list("state", flat=True))


# --- What a mail says -------------------------------------------------------------------------------------------------


def test_a_mail_says_what_happened_why_he_is_told_and_where_to_mute_it(
    requester: Actor, reviewer: Actor, settings: Any
) -> None:
    promotion = promotions.request(requester, "churn", make.version(requester).number, "Production")
    reachable(reviewer)
    discussion.request_review(requester, promotion.pk, ["reviewer"])
    notices.note()
    assert notices_sending.send() == 3
    sent = next(each for each in mail.outbox if "reviewer@example.org" in each.to[0])
    assert sent.subject == "[Vouch] requester asked reviewer to review the promotion of churn v1 to Production"
    assert f"{settings.VOUCH_URL}{promotion.page}\n" in sent.body
    assert "because you were asked to review it" in sent.body
    assert f"To mute churn, or to be told otherwise:\n{settings.VOUCH_URL}/notifications\n" in sent.body
    headers = sent.message()
    row = Notification.objects.get(user_id=reviewer.user_id)
    assert headers["Message-ID"] == f"<notification-{row.pk.hex}@vouch.example>"
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["List-Unsubscribe"] == f"<{settings.VOUCH_URL}/notifications>"
    assert headers["References"] == f"<about-{promotion.pk}@vouch.example>"
    assert (row.state, row.attempts, row.error) == ("sent", 1, "")
    assert notices_sending.send() == 0


def test_no_name_adds_a_header_or_a_recipient(requester: Actor, viewer: Actor, server: MailServer) -> None:
    name = "Kim\r\nBcc: all@example.org\r\n\r\n<b>, eve@example.org"
    User.objects.filter(pk=viewer.user_id).update(display_name=name)
    other = make.actor("other", Role.VIEWER)
    User.objects.filter(pk=other.user_id).update(email="other@example.org\r\nBcc: all@example.org")
    subscriptions.follow(other, "churn")
    happen(requester)
    assert notices_sending.send() == 1
    assert server.recipients == ["viewer@example.org"]
    assert server.taken[0][1]["Bcc"] is None
    assert states() == ["sent", "failed"]
    assert "cannot be mailed to" in Notification.objects.get(user_id=other.user_id).error


# --- Who may know, when it is sent ------------------------------------------------------------------------------------


def test_what_he_lost_sight_of_or_muted_before_it_was_sent_is_dropped(
    requester: Actor, viewer: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    reachable(reviewer, maintainer)
    for actor in (reviewer, maintainer):
        subscriptions.follow(actor, "churn")
    happen(requester)
    Grant.objects.filter(user_id=viewer.user_id).delete()
    subscriptions.follow(reviewer, "churn", muted=True)
    subscriptions.change(maintainer, mail="never")
    assert notices_sending.send() == 0
    ended = dict(Notification.objects.values_list("user__username", "error"))
    assert ended == {
        "viewer": "cannot see it any more",
        "reviewer": "muted",
        "maintainer": "no mail is wanted",
    }
    assert states() == ["dropped"] * 3
    assert not mail.outbox


# --- The cap and digests ----------------------------------------------------------------------------------------------


def test_beyond_the_cap_it_waits_for_the_digest_and_the_last_one_says_so(
    requester: Actor, settings: Any, clock: time_machine.Coordinates
) -> None:
    settings.VOUCH_MAILS_PER_DAY = 2
    happen(requester, 5)
    assert notices_sending.send() == 2
    assert ["last mail of today" in each.body for each in mail.outbox] == [False, True]
    assert states() == ["sent"] * 2 + ["gathered"] * 3
    clock.move_to(datetime.datetime(2031, 5, 7, 7, 59, tzinfo=datetime.UTC))
    happen(requester)  # a new day, a new cap
    assert notices_sending.send() == 1
    clock.move_to(datetime.datetime(2031, 5, 7, 8, 1, tzinfo=datetime.UTC))
    assert notices_sending.send() == 1
    digest = mail.outbox[-1]
    assert digest.subject == "[Vouch] 3 events of churn"
    assert [f"registered churn v{number}" in digest.body for number in range(1, 7)] == [False] * 2 + [True] * 3 + [
        False
    ]
    assert states() == ["sent"] * 2 + ["folded"] * 3 + ["sent"]
    assert notices_sending.send() == 0


def test_a_digest_has_all_of_a_day_by_model_oldest_first_and_is_bounded(
    requester: Actor, viewer: Actor, clock: time_machine.Coordinates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.messages.SHOWN", 3)
    subscriptions.change(viewer, mail="digest")
    make.model(requester, "fraud")
    subscriptions.follow(viewer, "fraud")
    happen(requester, 2)
    happen(requester, 1, "fraud")
    happen(requester, 2)
    assert notices_sending.send() == 0
    clock.move_to(datetime.datetime(2031, 5, 7, 8, 1, tzinfo=datetime.UTC))
    assert notices_sending.send() == 1
    (digest,) = mail.outbox
    assert digest.subject == "[Vouch] 5 events of churn and 1 more"
    places = [digest.body.index(words) for words in ("churn v1.", "churn v2.", "fraud\n\n", "fraud v1.", "And 2 more")]
    assert places == sorted(places)
    assert states() == ["folded"] * 5


# --- Failures ---------------------------------------------------------------------------------------------------------


def test_only_what_failed_is_tried_again_by_a_real_server(
    requester: Actor, viewer: Actor, reviewer: Actor, maintainer: Actor, server: MailServer, clock: Any
) -> None:
    reachable(reviewer, maintainer)
    for actor in (reviewer, maintainer):
        subscriptions.follow(actor, "churn")
    server.refusing = {"reviewer@example.org": "450 full", "maintainer@example.org": "550 nobody of that name"}
    happen(requester)
    assert notices_sending.send() == 1
    assert Notification.objects.get(user_id=maintainer.user_id).state == "failed"
    again = Notification.objects.get(user_id=reviewer.user_id)
    assert (again.state, again.attempts) == ("pending", 1)
    assert "full" in again.error
    server.refusing = {}
    assert notices_sending.send() == 0
    clock.shift(datetime.timedelta(seconds=61))
    assert notices_sending.send() == 1
    assert server.recipients == ["reviewer@example.org", "viewer@example.org"]


def test_with_the_mail_server_away_everything_waits_and_is_given_up_after_five_times(
    requester: Actor, settings: Any, clock: time_machine.Coordinates
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    happen(requester, 2)
    for attempts in range(1, 6):
        assert notices_sending.send() == 0
        rows = Notification.objects.values_list("attempts", flat=True)
        assert list(rows) == [attempts] * 2
        assert states() == [("pending" if attempts < 5 else "failed")] * 2
        clock.shift(datetime.timedelta(hours=7))
    assert "refused" in Notification.objects.all()[0].error


def test_what_its_sender_left_when_it_died_goes_out_under_the_same_message_id(
    requester: Actor, clock: time_machine.Coordinates
) -> None:
    happen(requester)
    parcels = notices_due.claim(timezone.now())
    assert parcels
    first = notices_sending.messages.mail(parcels[0].rows[0]).message()["Message-ID"]
    assert notices_sending.send() == 0  # nobody else takes it meanwhile
    clock.shift(notices_due.LEASE + datetime.timedelta(seconds=1))
    assert notices_sending.send() == 1
    assert mail.outbox[0].message()["Message-ID"] == first
    # The one that was thought dead comes back: what it says changes nothing.
    notices_sending.record(parcels[0], notices_sending.Outcome("too late"))
    assert states() == ["sent"]


@pytest.mark.django_db(transaction=True)
def test_two_who_send_at_once_send_nothing_twice_and_no_more_than_the_cap(
    requester: Actor, reviewer: Actor, server: MailServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VOUCH_MAILS_PER_DAY = 4
    reachable(reviewer)
    subscriptions.follow(reviewer, "churn")
    happen(requester, 6)
    server.slow = 0.05
    monkeypatch.setattr(notices_due, "_AT_ONCE", 2)

    def send() -> None:
        for _ in range(6):
            if parcels := notices_due.claim(timezone.now()):
                notices_sending._deliver(parcels)
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    notices_sending.send()
    assert server.recipients == ["reviewer@example.org"] * 4 + ["viewer@example.org"] * 4
    assert sorted(states()) == ["gathered"] * 4 + ["sent"] * 8
    assert Notification.objects.filter(fills_the_day=True).count() == 2


# --- Slack ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def chat(httpserver: HTTPServer, viewer: Actor, settings: Any) -> Iterator[HTTPServer]:
    """viewer's own incoming webhook, and no mail."""
    settings.VOUCH_CHAT_NETWORKS = ["127.0.0.0/8", "::1/128"]
    notices_sending._sender.cache_clear()
    subscriptions.change(viewer, mail="never", slack_url=httpserver.url_for("/services/T0/B0"))
    yield httpserver
    notices_sending._sender().close()
    notices_sending._sender.cache_clear()


def test_a_chat_is_told_in_its_own_form(requester: Actor, chat: HTTPServer, settings: Any) -> None:
    chat.expect_request("/services/T0/B0", method="POST").respond_with_data("ok")
    happen(requester)
    assert notices_sending.send() == 1
    told = json.loads(chat.log[0][0].get_data())
    page = f"{settings.VOUCH_URL}/models/churn/versions/1"
    assert told == {"text": f"requester registered churn v1. <{page}|Open in Vouch> (you follow this model)"}
    assert states() == ["sent"]


def test_a_chat_that_is_overloaded_is_tried_again_and_one_that_is_gone_is_not(
    requester: Actor, chat: HTTPServer, clock: time_machine.Coordinates
) -> None:
    chat.expect_ordered_request("/services/T0/B0").respond_with_response(
        Response(status=429, headers={"Retry-After": "600"})
    )
    chat.expect_ordered_request("/services/T0/B0").respond_with_data("no_service", status=404)
    happen(requester)
    assert notices_sending.send() == 0
    clock.shift(datetime.timedelta(seconds=590))
    assert notices_sending.send() == 0
    assert len(chat.log) == 1
    clock.shift(datetime.timedelta(seconds=20))
    assert notices_sending.send() == 0
    assert len(chat.log) == 2
    assert states() == ["failed"]
    assert Notification.objects.get().error == "it answered 404"


def test_a_capped_chat_gets_its_own_digest(
    requester: Actor, chat: HTTPServer, settings: Any, clock: time_machine.Coordinates
) -> None:
    settings.VOUCH_MAILS_PER_DAY = 1
    chat.expect_request("/services/T0/B0").respond_with_data("ok")
    happen(requester, 3)
    assert notices_sending.send() == 1
    clock.move_to(datetime.datetime(2031, 5, 7, 8, 1, tzinfo=datetime.UTC))
    assert notices_sending.send() == 1
    first, digest = (json.loads(request.get_data())["text"] for request, _ in chat.log)
    assert "last message of today" in first
    assert digest.startswith("2 events since the last digest:\n• requester registered churn v2.")
    assert states() == ["sent", "folded", "folded"]


# --- Forgetting -------------------------------------------------------------------------------------------------------


def test_what_ended_long_ago_is_forgotten_and_what_is_due_is_not(requester: Actor) -> None:
    happen(requester)
    notices_sending.send()
    happen(requester)
    assert notices.prune(timezone.now() + datetime.timedelta(days=1)) == 1
    assert states() == ["pending"]
