"""Webhooks over REST: setting them up, what was sent, and that a secret is told once and nowhere else."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry, RememberedAnswer
from accounts.roles import Scope as TokenScope
from registry.models import Attempt, Delivery, Webhook
from registry.policy import Scope
from registry.services import catalog, redelivery, webhooks
from tests import make
from tests.web.api.conftest import Api, api_of
from web import waiting

pytestmark = pytest.mark.django_db

URL = "https://receiver.example/hook"


@pytest.fixture
def owner(maintainer: Actor) -> Api:
    return api_of(maintainer)


@pytest.fixture
def churn(requester: Actor) -> None:
    make.model(requester)


def made(owner: Api, **more: Any) -> dict[str, Any]:
    answer = owner("POST", "webhooks", {"url": URL, **more})
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def delivery(webhook: dict[str, Any], **more: Any) -> Delivery:
    """The newest delivery to a webhook, as it is after an attempt or so."""
    found = Delivery.objects.filter(webhook=webhook["id"]).latest("id")
    Delivery.objects.filter(pk=found.pk).update(**more)
    return found


def attempt(of: Delivery, number: int = 1, **more: Any) -> Attempt:
    headers = {"webhook-id": str(of.pk), "webhook-signature": "v1,SIGNATURE"}
    values = {"at": timezone.now(), "status": 500, "answer": "INSIDE", "duration_ms": 12, "address": "192.0.2.1"}
    return Attempt.objects.create(delivery=of, number=number, headers=headers, error="x", **{**values, **more})


def test_a_webhook_is_made_read_changed_and_deleted(owner: Api, churn: None) -> None:
    body = {"url": "HTTPS://receiver.example:443/hook", "model": "churn", "verbs": ["alias.set"], "targets": ["@x"]}
    answer = owner("POST", "webhooks", body)
    webhook = answer.json()
    assert (webhook["url"], webhook["model"], webhook["pattern"], webhook["format"]) == (URL, "churn", None, "vouch")
    assert (webhook["verbs"], webhook["targets"], webhook["owner"]) == (["alias.set"], ["@x"], "maintainer")
    assert (webhook["active"], webhook["disabled_because"], webhook["retired_at"]) == (True, None, None)
    assert answer["Cache-Control"] == "no-store"
    path = f"webhooks/{webhook['id']}"
    assert answer["Location"].endswith(path)
    assert owner("GET", path, If_None_Match=answer["ETag"]).status_code == 304
    changed = owner("PATCH", path, {"name": "ci", "active": False}, If_Match=answer["ETag"])
    assert (changed.status_code, changed.json()["name"], changed.json()["secret"]) == (200, "ci", None)
    assert changed.json()["disabled_because"] == "somebody switched it off"
    for method, where in (("PATCH", path), ("DELETE", path), ("POST", f"{path}/secret")):
        stale = owner(method, where, {"name": "x"} if method == "PATCH" else {}, If_Match=answer["ETag"])
        assert (stale.status_code, stale.json()["code"]) == (412, "stale"), where
    assert owner("DELETE", path, If_Match=changed["ETag"]).status_code == 204
    assert owner("DELETE", path).status_code == 404
    assert owner("GET", path).json()["retired_at"]
    assert owner("GET", "webhooks").json()["items"] == []


def test_the_etag_moves_when_its_receiver_fails_and_an_edit_is_not_lost_by_that(owner: Api) -> None:
    webhook = made(owner)
    path = f"webhooks/{webhook['id']}"
    etag = owner("GET", path)["ETag"]
    Webhook.objects.update(failures=3, failing_since=timezone.now())
    assert owner("GET", path, If_None_Match=etag).json()["failures"] == 3
    assert owner("PATCH", path, {"name": "x"}, If_Match=etag).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": ""}, "url"),
        ({"url": 7}, "url"),
        ({"url": "ftp://receiver.example/"}, "url"),
        ({"url": "http://receiver.example/"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": URL, "format": "xml"}, "format"),
        ({"url": URL, "verbs": "alias.set"}, "verbs"),
        ({"url": URL, "verbs": ["alias.set", "nonsense"]}, "verbs[1]"),
        ({"url": URL, "verbs": [1]}, "verbs.0"),
        ({"url": URL, "targets": ["Prod"]}, "targets[0]"),
        ({"url": URL, "model": "churn", "pattern": "c*"}, "pattern"),
        ({"url": URL, "secret": "CHOSEN"}, "secret"),
        ({"url": URL, "secret": "CHOSEN\n", "format": "mlflow"}, "secret"),
        ({"url": URL, "active": False}, "active"),
        ({"url": URL, "name": "x" * 101}, "name"),
    ],
)  # fmt: skip
def test_what_will_not_do_is_refused_with_the_field(owner: Api, churn: None, body: Any, field: str) -> None:
    refused = owner("POST", "webhooks", body)
    assert (refused.status_code, refused.json().get("field")) == (400, field), refused.json()
    assert b"CHOSEN" not in refused.content
    assert not Webhook.objects.exists()


def test_a_secret_is_told_once_and_nowhere_else(
    owner: Api, churn: None, caplog: pytest.LogCaptureFixture, maintainer: Actor
) -> None:
    caplog.set_level(logging.DEBUG)
    webhook = made(owner, model="churn")
    path = f"webhooks/{webhook['id']}"
    rotated = owner("POST", f"{path}/secret", {}).json()
    moved = owner("PATCH", path, {"url": "https://elsewhere.example/"}).json()
    chosen = made(owner, format="mlflow", secret="the-receivers-own-secret")
    secrets = {webhook["secret"], rotated["secret"], moved["secret"], chosen["secret"]}
    assert (len(secrets), chosen["secret"]) == (4, "the-receivers-own-secret")
    assert rotated["previous_secret_until"]
    assert moved["previous_secret_until"] is None
    owner("POST", f"{path}/test")
    owner("PATCH", path, {"url": "nonsense"})
    owner("PATCH", path, {"secret": "the-receivers-own-secret"})
    owner("POST", f"{path}/secret", {"overlap_hours": 200})
    seen = [owner("GET", where).content.decode() for where in (
        "webhooks", path, f"{path}/deliveries", f"webhooks/{chosen['id']}", "audit", "audit?model=churn",
    )]  # fmt: skip
    seen += [json.dumps([entry.data, entry.subject]) for entry in AuditEntry.objects.all()]
    seen += [caplog.text, str(list(RememberedAnswer.objects.values()))]
    seen += [repr(row.__dict__) for row in Webhook.objects.all()]
    for secret in secrets:
        assert not [text for text in seen if secret in text]
    assert not any("SealedSecret" in text for text in seen)
    kept = Webhook.objects.get(pk=webhook["id"])
    assert not any(kept.secret in text for text in seen[:6])
    assert kept.secrets(timezone.now()) == [moved["secret"]]


def test_the_list_is_narrowed(owner: Api, churn: None, outsider: Actor) -> None:
    webhooks.create(outsider, url=URL)
    of_model, slack = made(owner, model="churn"), made(owner, format="slack")
    owner("PATCH", f"webhooks/{slack['id']}", {"active": False})

    def ids(query: str) -> list[str]:
        return [each["id"] for each in owner("GET", f"webhooks{query}").json()["items"]]

    assert ids("") == [of_model["id"], slack["id"]]
    assert ids("?model=churn") == ids("?active=true") == ids("?format=vouch") == [of_model["id"]]
    assert ids("?active=false") == ids("?format=slack") == [slack["id"]]
    assert owner("GET", "webhooks?state=active").status_code == 400


def test_a_token_for_webhooks_alone_manages_them(maintainer: Actor, churn: None) -> None:
    alone = Api(make.token(maintainer, TokenScope.WEBHOOK))
    webhook = made(alone, model="churn")
    path = f"webhooks/{webhook['id']}"
    assert alone("GET", "models/churn").status_code == 404
    assert alone("PATCH", path, {"targets": ["Production"]}).status_code == 200
    assert alone("POST", f"{path}/secret", {}).status_code == 200
    tested = alone("POST", f"{path}/test")
    assert tested.status_code == 202
    assert len(alone("GET", f"{path}/deliveries?type=webhook.tested").json()["items"]) == 1
    assert alone("GET", f"{path}/deliveries/{tested.json()['id']}").status_code == 200
    assert alone("POST", f"{path}/redeliver", {"since": "2026-01-01T00:00:00Z"}).json() == {"count": 0}
    bound = Api(make.token(maintainer, TokenScope.WEBHOOK, model_glob="other*"))
    assert bound("GET", "webhooks").json()["items"] == []
    assert bound("GET", path).status_code == 404
    assert bound("POST", "webhooks", {"url": URL}).status_code == 403
    assert alone("DELETE", path).status_code == 204


def test_what_clients_of_the_wires_made_shows_with_what_it_has_besides(owner: Api, maintainer: Actor) -> None:
    asked = ["MODEL_VERSION_TRANSITIONED_TO_STAGING", "COMMENT_CREATED"]
    hook = webhooks.create(
        maintainer, url=URL, format="databricks", secret="", authorization="Bearer th3", events=asked, description="d"
    ).webhook
    path = f"webhooks/{hook.pk}"
    shown = owner("GET", path)
    body = shown.json()
    assert (body["events"], body["verbs"]) == (asked, ["version.transitioned", "comment.created"])
    assert (body["signed"], body["sends_authorization"], body["description"]) == (False, True, "d")
    assert owner("PATCH", path, {"description": "other"}).json()["events"] == asked
    assert owner("PATCH", path, {"authorization": "Bearer x"}).status_code == 400
    changed = owner("PATCH", path, {"verbs": ["comment.created"]}).json()
    assert (changed["events"], changed["description"]) == ([], "other")
    secret = owner("POST", f"{path}/secret", {}).json()
    assert secret["signed"] is True
    assert secret["secret"].startswith("whsec_")
    assert owner("PATCH", path, {"url": "https://elsewhere.example/"}).json()["sends_authorization"] is False
    assert b"th3" not in shown.content


# --- Deliveries -------------------------------------------------------------------------------------------------------


def test_deliveries_are_listed_with_their_events_and_narrowed(owner: Api, churn: None, requester: Actor) -> None:
    webhook = made(owner, pattern="*")
    path = f"webhooks/{webhook['id']}/deliveries"
    make.model(requester, "other")
    catalog.tag_model(requester, "churn", "a", "b")
    delivery(webhook, state="failed", finished_at=timezone.now(), status=500, error="it answered 500")
    tagged, created = owner("GET", path).json()["items"]
    assert (tagged["type"], tagged["state"], tagged["status"], tagged["due_at"]) == (
        "model.tagged",
        "failed",
        500,
        None,
    )
    entry = AuditEntry.objects.get(verb="model.tagged")
    assert (tagged["event"]["id"], tagged["event"]["subject"], tagged["event"]["actor"]) == (
        str(entry.pk), "model churn", "requester",
    )  # fmt: skip
    assert created["due_at"]

    def types(query: str) -> list[str]:
        answer = owner("GET", f"{path}?{query}")
        assert answer.status_code == 200, answer.content
        return [each["type"] for each in answer.json()["items"]]

    assert types("state=failed") == types("type=model.tagged") == types("model=churn") == ["model.tagged"]
    assert types("state=pending") == types("model=other") == ["model.created"]
    assert types("until=2026-01-01T00:00:00Z") == types("model=nothing") == []
    assert len(types("since=2026-01-01T00:00:00Z")) == 2
    first = owner("GET", f"{path}?page_size=1").json()
    assert types(f"page_size=1&page_token={first['next_page_token']}") == ["model.created"]
    for query in ("state=sent", "type=nonsense", "since=yesterday"):
        assert owner("GET", f"{path}?{query}").status_code == 400


@pytest.mark.parametrize("narrowed", ["", "state = 'failed' AND ", "verb = 'model.tagged' AND "])
def test_the_list_of_deliveries_is_read_from_an_index(owner: Api, narrowed: str) -> None:
    webhook = made(owner)
    with connection.cursor() as cursor:
        # In so small a table sorting a handful would do, and so would the index of all, or the one of ids.
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off")
        cursor.execute("ALTER TABLE registry_delivery DROP CONSTRAINT registry_delivery_pkey CASCADE")
        if narrowed:
            cursor.execute("DROP INDEX delivery_newest_first")
        cursor.execute(
            f"EXPLAIN SELECT * FROM registry_delivery WHERE {narrowed} webhook_id = %s ORDER BY id DESC LIMIT 50",
            [webhook["id"]],
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Index Scan using delivery_" in plan
    assert "Sort" not in plan


def test_what_was_answered_and_signed_is_for_administrators_alone(owner: Api, admin: Api, churn: None) -> None:
    webhook = made(owner, model="churn")
    sent = delivery(webhook, attempts=2)
    attempt(sent), attempt(sent, 2, status=None, answer="")
    path = f"webhooks/{webhook['id']}/deliveries/{sent.pk}"
    second, first = owner("GET", path).json()["tries"]
    assert (second["number"], second["status"], first["status"], first["duration_ms"]) == (2, None, 500, 12)
    assert (first["address"], first["error"], first["answer"]) == ("192.0.2.1", "x", None)
    assert first["headers"] == {"webhook-id": str(sent.pk), "webhook-signature": "…"}
    shown = admin("GET", path).json()["tries"][1]
    assert (shown["answer"], shown["headers"]["webhook-signature"]) == ("INSIDE", "v1,SIGNATURE")
    other = made(owner)
    assert owner("GET", f"webhooks/{other['id']}/deliveries/{sent.pk}").status_code == 404
    assert owner("POST", f"webhooks/{other['id']}/deliveries/{sent.pk}/redeliver").status_code == 404
    assert owner("GET", f"webhooks/{webhook['id']}/deliveries/nonsense").json()["code"] == "delivery-not-found"


def test_what_failed_is_sent_again_one_by_one_or_all(owner: Api, churn: None, requester: Actor) -> None:
    webhook = made(owner, model="churn")
    path = f"webhooks/{webhook['id']}"
    for number in range(3):
        catalog.tag_model(requester, "churn", "n", str(number))
    failed = delivery(webhook, attempts=10)
    Delivery.objects.update(state="failed", finished_at=timezone.now())
    one = owner("POST", f"{path}/deliveries/{failed.pk}/redeliver")
    assert (one.status_code, one.json()["state"], one.json()["id"]) == (200, "pending", str(failed.pk))
    assert owner("POST", f"{path}/redeliver", {"since": "2026-01-01T00:00:00Z"}).json() == {"count": 3}
    assert owner("POST", f"{path}/redeliver", {"since": "yesterday"}).json()["field"] == "since"
    owner("PATCH", path, {"active": False})
    for where, body in (
        (f"{path}/redeliver", {"since": "2026-01-01"}),
        (f"{path}/deliveries/{failed.pk}/redeliver", {}),
    ):
        refused = owner("POST", where, body)
        assert (refused.status_code, refused.json()["code"]) == (409, "webhook-disabled")


def test_a_test_tells_how_it_went_and_not_what_was_answered(
    owner: Api, admin: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = made(owner)
    path = f"webhooks/{webhook['id']}/test"
    now = owner("POST", path)
    assert (now.status_code, now.json()["state"], now.json()["tries"]) == (202, "pending", [])
    assert now["Location"].endswith(f"deliveries/{now.json()['id']}")

    def sent_meanwhile(actor: object, subject: object, changed: Any, *, at_most: int, yields: bool) -> bool:
        assert (at_most, yields) == (5, True)
        assert not changed()
        attempt(delivery(webhook, state="failed", attempts=1, status=500, error="x"))
        return bool(changed())

    monkeypatch.setattr(waiting, "until", sent_meanwhile)
    waited = admin("POST", f"{path}?wait=5")
    told = waited.json()
    assert (told["state"], told["status"], told["error"]) == ("failed", 500, "x")
    assert told["tries"][0].keys() == {"number", "at", "status", "duration_ms", "error", "address"}
    assert b"INSIDE" not in waited.content


def test_so_many_tests_at_once_are_enough_and_a_full_house_loses_none(
    owner: Api, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.VOUCH_WAIT_PLACES = 0
    path = f"webhooks/{made(owner)['id']}/test"
    for _ in range(redelivery.TESTS_AT_ONCE):
        assert owner("POST", f"{path}?wait=1").status_code == 202
    refused = owner("POST", path)
    assert (refused.status_code, refused.json()["code"]) == (409, "too-many-tests")
    assert owner("POST", f"{path}?wait=61").json()["field"] == "wait"


def test_a_delivery_of_another_workspace_is_not_there(owner: Api, outsider: Actor, churn: None) -> None:
    made(owner, model="churn")
    theirs = webhooks.create(outsider, url=URL, scope=Scope()).webhook
    for path in (f"webhooks/{theirs.pk}", f"webhooks/{theirs.pk}/deliveries"):
        assert owner("GET", path).json()["code"] == "webhook-not-found"
    assert owner("POST", f"webhooks/{theirs.pk}/test").status_code == 404
