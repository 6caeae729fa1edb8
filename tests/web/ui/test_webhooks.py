"""The pages of webhooks: who sees them, the form, the secret, the delivery log, tests and sending again."""

from __future__ import annotations

import datetime
import re
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Event
from accounts.models import Grant, User
from accounts.roles import Role
from accounts.verbs import Verb
from registry.models import Attempt, Delivery, Webhook
from registry.models.webhooks import DeliveryState
from registry.policy import Scope
from registry.services import redelivery, webhooks
from tests import make
from tests.web.ui.conftest import signed_in, text_of
from web.ui.webhook_form import Form, Typed

pytestmark = pytest.mark.django_db

URL = "https://receiver.example/hook/T0K3N"
HOSTILE = '<script>alert(1)</script>\u202e"><img src=x onerror=alert(1)> {{ 7 }}'
SENT = {"url": URL, "name": "CI", "format": "vouch", "about": "all", "events": "all"}
WRONG = {"state": DeliveryState.FAILED, "status": 500, "error": "it answered 500"}


@pytest.fixture
def webhook(maintainer: Actor) -> Webhook:
    return webhooks.create(maintainer, url=URL, name="CI").webhook


@pytest.fixture
def of_a_model(requester: Actor) -> Actor:
    """Somebody who maintains the model churn, and sees the rest."""
    model = make.model(requester)
    actor = make.actor("keeper", Role.VIEWER)
    user, workspace = User.objects.get(pk=actor.user_id), make.workspace()
    Grant.objects.create(user=user, workspace=workspace, model_id=model.pk, role=Role.MAINTAINER)
    return actor


def owed(webhook: Webhook, count: int = 1, verb: Verb = Verb.MODEL_UPDATED, **more: Any) -> list[Delivery]:
    """So many deliveries, each tried once, of events of their own."""
    told = [Event(verb, f"churn {number}", {"model": "churn"}) for number in range(count)]
    entries = audit.record_all(make.actor("maintainer"), told)
    now = timezone.now()
    values = {"due_at": now, "attempts": 1, "finished_at": now if "state" in more else None, **more}
    made = Delivery.objects.bulk_create(
        Delivery(webhook=webhook, entry=entry, verb=entry.verb, **values) for entry in entries
    )
    for delivery in made:
        tried(delivery)
    return made


def tried(delivery: Delivery, number: int = 1, **more: Any) -> Attempt:
    headers = {"webhook-id": str(delivery.pk), "webhook-signature": "v1,S1GNED"}
    values = {"headers": headers, "status": 500, "duration_ms": 1234, "answer": "so sorry",
              "address": "203.0.113.7", "error": "it answered 500", "at": timezone.now(), **more}  # fmt: skip
    return Attempt.objects.create(delivery=delivery, number=number, **values)


# --- Who --------------------------------------------------------------------------------------------------------------


def test_only_who_manages_webhooks_is_led_to_them(
    viewer: Actor, requester: Actor, reviewer: Actor, maintainer: Actor, administrator: Actor, of_a_model: Actor
) -> None:
    for actor in (viewer, requester, reviewer):
        client = signed_in(actor)
        assert 'href="/webhooks"' not in client.get("/models").content.decode()
        assert client.get("/webhooks").status_code == 403
        assert client.get("/webhooks/new").status_code == 403
        assert client.post("/webhooks/new", SENT).status_code == 403
    for actor in (maintainer, administrator, of_a_model):
        client = signed_in(actor)
        assert 'href="/webhooks"' in client.get("/models").content.decode()
        assert client.get("/webhooks").status_code == client.get("/webhooks/new").status_code == 200
    assert not Webhook.objects.exists()


def test_who_may_not_manage_a_webhook_finds_none_of_its_pages(
    webhook: Webhook, requester: Actor, reviewer: Actor, outsider: Actor, of_a_model: Actor
) -> None:
    [delivery] = owed(webhook)
    before = Delivery.objects.count()
    for actor in (requester, reviewer, outsider, of_a_model):
        client = signed_in(actor)
        for path in ("", "/edit", f"/deliveries/{delivery.pk}"):
            assert client.get(webhook.page + path).status_code == 404, (actor.username, path)
            for act in ("test", "rotate", "disable", "delete", "redeliver"):
                sent = {**SENT, "act": act, "since": "2020-01-01T00:00"}
                assert client.post(webhook.page + path, sent).status_code == 404, (actor.username, path, act)
    webhook.refresh_from_db()
    assert (webhook.revision, Delivery.objects.count()) == (1, before)


def test_who_maintains_a_model_makes_webhooks_of_it_alone(of_a_model: Actor, webhook: Webhook) -> None:
    client = signed_in(of_a_model)
    assert webhook.page not in client.get("/webhooks").content.decode()
    page = client.get("/webhooks/new").content.decode()
    assert '<option value="churn">' in page
    assert 'value="pattern"' not in page
    assert client.post("/webhooks/new", SENT).status_code == 403
    assert "Its secret" not in text_of(client.post("/webhooks/new", {**SENT, "about": "pattern", "pattern": "c*"}))
    client.post("/webhooks/new", {**SENT, "about": "model", "model": "churn"})
    assert str(Webhook.objects.latest("created_at").scope) == "model churn"
    assert Webhook.objects.count() == 2


def test_what_a_client_of_a_wire_made_is_shown_and_kept_by_an_edit_of_something_else(maintainer: Actor) -> None:
    asked = ["MODEL_VERSION_TRANSITIONED_TO_STAGING", "COMMENT_CREATED"]
    hook = webhooks.create(
        maintainer,
        url=URL,
        format="databricks",
        secret="",
        authorization="Bearer th3",
        events=asked,
        description=HOSTILE,
    ).webhook
    client = signed_in(maintainer)
    page = client.get(hook.page).content.decode()
    for words in ("none: what is sent is not signed", "sent as a header", *asked):
        assert words in page
    assert "th3" not in page
    assert "<script>alert" not in page
    form = client.get(f"{hook.page}/edit").content.decode()
    assert "Once you choose other events" in form
    sent = {
        "url": URL,
        "events": "some",
        "verbs": ["comment.created", "version.transitioned"],
        "description": "one\r\ntwo",
    }
    client.post(f"{hook.page}/edit", sent)
    hook.refresh_from_db()
    assert (hook.events, hook.description) == (asked, "one\ntwo")
    client.post(f"{hook.page}/edit", {**sent, "verbs": ["comment.created"]})
    hook.refresh_from_db()
    assert (hook.events, hook.verbs) == ([], ["comment.created"])


# --- The form ---------------------------------------------------------------------------------------------------------


def test_a_webhook_is_made_and_its_secret_shown_this_once(maintainer: Actor) -> None:
    client = signed_in(maintainer)
    sent = {**SENT, "about": "pattern", "pattern": "Churn-*", "events": "some", "verbs": ["alias.set"],
            "stages": ["Production"], "aliases": "champion, @challenger"}  # fmt: skip
    response = client.post("/webhooks/new", sent)
    made = Webhook.objects.get()
    [secret] = made.secrets(timezone.now())
    assert secret in response.content.decode()
    assert "no-store" in response["Cache-Control"]
    assert "standardwebhooks" in text_of(response)
    assert (made.pattern, made.verbs, made.targets) == (
        "churn-*", ["alias.set"], ["Production", "@champion", "@challenger"],
    )  # fmt: skip
    pages = [client.get(path) for path in ("/webhooks", made.page, made.page + "/edit")]
    assert not any(secret in page.content.decode() for page in pages)
    assert "alias.set of models churn-* ; of moves, those to Production , @champion or @challenger" in text_of(pages[1])
    assert "T0K3N" not in pages[0].content.decode()  # of some receivers the path is the secret
    assert URL in pages[1].content.decode()


@pytest.mark.parametrize(
    ("wrong", "field", "status"),
    [({"url": "http://receiver.example/"}, "url", 400), ({"url": ""}, "url", 400), ({"name": "x" * 101}, "name", 400),
     ({"format": "xml"}, "format", 400), ({"about": "pattern"}, "pattern", 400),
     ({"about": "pattern", "pattern": "a/b"}, "pattern", 400), ({"about": "model"}, "model", 400),
     ({"about": "model", "model": "nope"}, "model", 404), ({"events": "some"}, "verbs", 400),
     ({"events": "some", "verbs": ["policy.changed"], "format": "mlflow"}, "verbs", 400),
     ({"events": "some", "verbs": ["webhook.tested"]}, "verbs", 400),
     ({"stages": ["Moon"]}, "targets", 400), ({"aliases": "@latest"}, "targets", 400), ({"url": "\0"}, "url", 400)],
)  # fmt: skip
def test_a_form_that_is_wrong_comes_back_with_what_was_typed(
    maintainer: Actor, wrong: dict[str, Any], field: str, status: int
) -> None:
    response = signed_in(maintainer).post("/webhooks/new", {**SENT, "aliases": "@typed-before", **wrong})
    page = response.content.decode()
    assert response.status_code == status
    assert f'href="#{field}"' in page
    assert f'id="{field}"' in page
    assert f'id="{field}-wrong"' in page
    assert 'value="@typed-before"' in page or "aliases" in wrong
    for verb in wrong.get("verbs", []):
        assert f'value="{verb}" checked' in page or verb == "webhook.tested"
    assert not Webhook.objects.exists()


def test_every_event_can_be_ticked_and_an_edit_offers_what_the_format_tells(maintainer: Actor) -> None:
    groups = Form(Typed()).groups
    offered = [event.verb for events in groups.values() for event in events]
    assert sorted(offered) == sorted(set(Verb) - {Verb.WEBHOOK_TESTED})
    assert list(groups) == ["Versions", "Promotions", "Aliases", "Models", "Comments", "Checks", "Policies", "Accounts",
                            "Webhooks"]  # fmt: skip
    made = webhooks.create(maintainer, url=URL, format="mlflow", verbs=["alias.set"]).webhook
    page = signed_in(maintainer).get(made.page + "/edit").content.decode()
    assert 'value="alias.set" checked' in page
    assert 'value="model.created">' in page
    assert "policy.changed" not in page


def test_an_edit_holds_and_another_host_gets_another_secret(
    maintainer: Actor, administrator: Actor, webhook: Webhook
) -> None:
    client = signed_in(maintainer)
    sent = {**SENT, "name": "New", "events": "some", "verbs": ["alias.set"], "owner": "administrator", "revision": "1"}
    response = client.post(webhook.page + "/edit", sent)
    assert (response.status_code, response["Location"]) == (302, webhook.page)
    webhook.refresh_from_db()
    assert (webhook.name, webhook.verbs, webhook.owner_id) == ("New", ["alias.set"], administrator.user_id)
    stale = client.post(webhook.page + "/edit", {**sent, "name": "Newest"})
    assert stale.status_code == 409
    assert 'value="Newest"' in stale.content.decode()
    moved = client.post(webhook.page + "/edit", {**sent, "url": "https://other.example/", "revision": "2"})
    webhook.refresh_from_db()
    assert webhook.secrets(timezone.now())[0] in moved.content.decode()
    assert client.post(webhook.page + "/edit", {**sent, "revision": "3", "owner": "viewer"}).status_code == 400


# --- What one can do --------------------------------------------------------------------------------------------------


def test_it_is_disabled_enabled_given_a_secret_and_deleted(maintainer: Actor, webhook: Webhook) -> None:
    client = signed_in(maintainer)
    told = text_of(client.post(webhook.page, {"act": "disable"}, follow=True))
    assert "disabled just now : somebody switched it off" in told
    assert "Redeliver all failed" not in told
    assert "active" in text_of(client.post(webhook.page, {"act": "enable"}, follow=True))
    rotated = client.post(webhook.page, {"act": "rotate"})
    webhook.refresh_from_db()
    new, before = webhook.secrets(timezone.now())
    assert new in rotated.content.decode()
    assert before not in rotated.content.decode()
    assert "no-store" in rotated["Cache-Control"]
    assert "two sign, the one before until" in text_of(client.get(webhook.page))
    assert client.post(webhook.page, {"act": "delete"})["Location"] == "/webhooks"
    assert webhook.page not in client.get("/webhooks").content.decode()
    gone = client.get(webhook.page)
    assert "It was deleted" in text_of(gone)
    assert 'method="post" action="/webhooks' not in gone.content.decode()
    assert client.post(webhook.page, {"act": "test"}).status_code == 404
    assert client.get(webhook.page + "/edit")["Location"] == webhook.page


def test_what_fails_says_since_when_and_how_often(maintainer: Actor, webhook: Webhook) -> None:
    since = timezone.now() - datetime.timedelta(hours=3)
    Webhook.objects.update(failures=4, failing_since=since, rests_until=timezone.now() + datetime.timedelta(minutes=3))
    client = signed_in(maintainer)
    for path in ("/webhooks", webhook.page):
        assert "failing since 3 h ago , 4 times in a row" in text_of(client.get(path))
    assert "is left alone for a while" in text_of(client.get(webhook.page))


def test_forms_need_the_csrf_token_and_unknown_acts_are_nobodys(maintainer: Actor, webhook: Webhook) -> None:
    client = signed_in(maintainer, enforce_csrf_checks=True)
    assert client.post(webhook.page, {"act": "delete"}).status_code == 403
    assert client.post("/webhooks/new", SENT).status_code == 403
    token = client.cookies["vouch_csrf"].value
    assert client.post(webhook.page, {"act": "explode", "csrfmiddlewaretoken": token}).status_code == 404
    webhook.refresh_from_db()
    assert webhook.retired_at is None


# --- The log ----------------------------------------------------------------------------------------------------------


def test_the_log_is_in_words_filtered_and_paged_at_a_constant_cost(maintainer: Actor, webhook: Webhook) -> None:
    client = signed_in(maintainer)
    owed(webhook, 1, **WRONG)
    client.get(webhook.page)
    with CaptureQueriesContext(connection) as few:
        client.get(webhook.page)
    owed(webhook, 30, Verb.MODEL_DELETED, state=DeliveryState.DELIVERED, status=204)
    with CaptureQueriesContext(connection) as many:
        first = client.get(webhook.page)
    assert len(many) == len(few) <= 10, [query["sql"] for query in many]
    following = re.search(r'rel="next" href="(\?page=[^"]+)"', first.content.decode())
    assert following
    second = text_of(client.get(webhook.page + following[1]))
    assert "maintainer changed the description of the model" in second
    assert "failed 1 500 1.2 s" in second
    failed = text_of(client.get(webhook.page, {"state": "failed"}))
    assert "model.updated · just now" in failed
    assert "model.deleted · just now" not in failed
    deleted = text_of(client.get(webhook.page, {"type": "model.deleted", "since": "2020-01-01T00:00"}))
    assert "model.updated · just now" not in deleted
    assert "No delivery is like that" in text_of(client.get(webhook.page, {"since": "2999-01-01T00:00"}))
    assert client.get(webhook.page, {"since": "yesterday"}).status_code == 400
    assert client.get(webhook.page, {"page": "forged"}).status_code == 400


def test_the_list_shows_the_last_delivery_at_a_constant_cost(maintainer: Actor) -> None:
    client = signed_in(maintainer)
    assert "Nobody is told yet" in text_of(client.get("/webhooks"))
    counts = []
    for wanted in (1, 24, 30):
        while Webhook.objects.count() < wanted:
            made = webhooks.create(maintainer, url=URL, targets=["Production"]).webhook
            owed(made, 1, state=DeliveryState.DELIVERED, status=200)
            owed(made, 1, **WRONG)
        with CaptureQueriesContext(connection) as seen:
            page = client.get("/webhooks")
        counts.append(len(seen))
        assert "failed just now status 500" in text_of(page)
    assert counts[0] == counts[1] == counts[2] <= 9
    assert page.content.decode().count('<th scope="row">') == 25


def test_all_that_failed_since_a_time_is_sent_again(maintainer: Actor, webhook: Webhook) -> None:
    owed(webhook, 3, **WRONG)
    client = signed_in(maintainer)
    sent = {"act": "redeliver", "since": "2020-01-01T00:00"}
    assert "3 deliveries are sent again." in text_of(client.post(webhook.page, sent, follow=True))
    assert "Nothing that was owed since then has failed." in text_of(client.post(webhook.page, sent, follow=True))
    refused = client.post(webhook.page, {"act": "redeliver", "since": "soon"})
    assert refused.status_code == 400
    assert 'value="soon"' in refused.content.decode()
    webhooks.update(maintainer, webhook.pk, active=False)
    assert client.post(webhook.page, sent).status_code == 409


# --- One delivery -----------------------------------------------------------------------------------------------------


def test_a_delivery_shows_its_attempts_and_answers_to_administrators_alone(
    maintainer: Actor, administrator: Actor, webhook: Webhook
) -> None:
    [delivery] = owed(webhook, **WRONG)
    path = f"{webhook.page}/deliveries/{delivery.pk}"
    seen = text_of(signed_in(maintainer).get(path))
    assert "status 500 Took 1.2 s Address 203.0.113.7" in seen
    assert "so sorry" not in seen
    assert "S1GNED" not in seen
    assert "are shown to administrators only" in seen
    opened = text_of(signed_in(administrator).get(path))
    assert "so sorry" in opened
    assert "webhook-signature v1,S1GNED" in opened
    assert "&quot;type&quot;: &quot;model.updated&quot;" in seen
    assert webhook.secrets(timezone.now())[0] not in seen
    client = signed_in(maintainer)
    assert "It is sent again." in text_of(client.post(path, follow=True))
    delivery.refresh_from_db()
    assert (delivery.state, delivery.tried_before) == (DeliveryState.PENDING, 1)
    other = webhooks.create(maintainer, url=URL).webhook
    assert client.get(f"{other.page}/deliveries/{delivery.pk}").status_code == 404
    assert client.post(f"{other.page}/deliveries/{delivery.pk}").status_code == 404


def test_many_attempts_are_paged_at_a_constant_cost(maintainer: Actor, webhook: Webhook) -> None:
    [delivery] = owed(webhook, **WRONG)
    client, path = signed_in(maintainer), f"{webhook.page}/deliveries/{delivery.pk}"
    client.get(path)
    with CaptureQueriesContext(connection) as few:
        client.get(path)
    for number in range(2, 40):
        tried(delivery, number)
    with CaptureQueriesContext(connection) as many:
        page = client.get(path).content.decode()
    assert len(few) == len(many) <= 10
    assert page.count("<h3>Attempt") == 25
    assert 'rel="next"' in page


def test_a_test_leads_to_a_page_that_looks_again_until_it_was_tried(maintainer: Actor, webhook: Webhook) -> None:
    client = signed_in(maintainer)
    response = client.post(webhook.page, {"act": "test"})
    delivery = Delivery.objects.get()
    path = f"{webhook.page}/deliveries/{delivery.pk}"
    assert response["Location"] == path
    page = client.get(path)
    assert "Sending…" in text_of(page)
    assert '<meta http-equiv="refresh" content="2">' in page.content.decode()
    Delivery.objects.update(due_at=timezone.now() - datetime.timedelta(minutes=2))
    page = client.get(path)
    assert "no process that sends is running" in text_of(page)
    assert "http-equiv" not in page.content.decode()
    tried(delivery, status=204, error="", duration_ms=87)
    now = timezone.now()
    Delivery.objects.update(state=DeliveryState.DELIVERED, attempts=1, status=204, finished_at=now)
    page = client.get(path)
    assert "The receiver took it: status 204 after 87 ms" in text_of(page)
    assert "http-equiv" not in page.content.decode()
    assert client.post(path).status_code == 409  # a test is tried once
    for _ in range(redelivery.TESTS_AT_ONCE):
        client.post(webhook.page, {"act": "test"})
    refused = client.post(webhook.page, {"act": "test"})
    assert refused.status_code == 409
    assert "tests of this webhook are on their way already" in text_of(refused)


# --- Hostile text -----------------------------------------------------------------------------------------------------


def test_what_others_wrote_shows_as_text(maintainer: Actor, administrator: Actor, requester: Actor) -> None:
    make.model(requester)
    made = webhooks.create(maintainer, url=URL + "?" + "x" * 1800, name=HOSTILE[:100], scope=Scope("churn")).webhook
    [delivery] = owed(made, **{**WRONG, "error": HOSTILE})
    tried(delivery, 2, answer=HOSTILE * 9, error=HOSTILE, headers={"x": HOSTILE})
    Delivery.objects.update(attempts=2)
    client = signed_in(administrator)
    for path in ("/webhooks", made.page, made.page + "/edit", f"{made.page}/deliveries/{delivery.pk}"):
        page = client.get(path).content.decode()
        assert "<script>alert" not in page, path
        assert "<img" not in page, path
        assert "&lt;script&gt;alert(1)" in page, path
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=\"|style=", page), path
    assert "\\u202e" in page
    secret = client.post(made.page, {"act": "rotate"}).content.decode()
    assert "<script>alert" not in secret
