"""Webhooks on the MLflow wire: what is stored, shown, changed, refused, tested, and for whom."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry
from registry.models import Attempt, Delivery, Webhook
from registry.policy import Scope
from registry.services import webhooks as service
from tests import make
from tests.web.mlflow.conftest import Answer, Door
from web import waiting

pytestmark = pytest.mark.django_db

URL = "https://example.com/webhook"
HOOKS = "mlflow/webhooks"
VERSION = {"entity": "MODEL_VERSION", "action": "CREATED"}
TAG_GONE = {"entity": "MODEL_VERSION_TAG", "action": "DELETED"}
NOBODYS = "01900000-0000-7000-8000-000000000000"


@pytest.fixture
def keeper(maintainer: Actor) -> Door:
    return Door(make.token(maintainer))


def made(door: Door, **more: Any) -> dict[str, Any]:
    answer = door.post(HOOKS, {"name": "test_webhook", "url": URL, "events": [VERSION], **more})
    assert answer.status == 200, answer
    return dict(answer.body["webhook"])


def changed(door: Door, hook: dict[str, Any], **fields: Any) -> Answer:
    return door.post(f"{HOOKS}/{hook['webhook_id']}", fields, "PATCH")


def test_a_webhook_is_made_shown_changed_and_deleted(keeper: Door) -> None:
    hook = made(keeper, events=[TAG_GONE, VERSION], description="for CI", secret="s3cret")
    kept = Webhook.objects.get()
    assert hook == {
        "webhook_id": str(kept.pk),
        "name": "test_webhook",
        "description": "for CI",
        "url": URL,
        "events": [TAG_GONE, VERSION],
        "status": "ACTIVE",
        "creation_timestamp": int(kept.created_at.timestamp() * 1000),
        "last_updated_timestamp": int(kept.created_at.timestamp() * 1000),
    }
    path = f"{HOOKS}/{hook['webhook_id']}"
    assert keeper.get(path).body == {"webhook": hook}
    assert keeper.get(HOOKS).body == {"webhooks": [hook]}
    off = changed(keeper, hook, name="other", status="DISABLED", description="").body["webhook"]
    assert (off["name"], off["status"], off["events"], "description" in off) == (
        "other",
        "DISABLED",
        hook["events"],
        False,
    )
    assert off["last_updated_timestamp"] >= hook["last_updated_timestamp"]
    again = changed(keeper, hook, status=1, events=[VERSION], name="", url="").body["webhook"]
    assert (again["name"], again["url"], again["status"], again["events"]) == ("other", URL, "ACTIVE", [VERSION])
    assert changed(keeper, hook).body["webhook"] == again
    assert keeper.raw("DELETE", path, b"", "").body == {}  # as the client sends it: no body, no type
    for gone in (keeper.get(path), keeper.post(path, None, "DELETE"), changed(keeper, hook, name="x")):
        assert (gone.status, gone.code) == (404, "RESOURCE_DOES_NOT_EXIST")
        assert gone.message == f"Webhook with ID {hook['webhook_id']} not found."
    assert keeper.get(HOOKS).body == {}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": None}, "Missing value for required parameter 'name'"),
        ({"url": None}, "Missing value for required parameter 'url'"),
        ({"events": []}, "Missing value for required parameter 'events'"),
        ({"name": 5}, "Invalid value 5 for parameter 'name' supplied"),
        ({"name": "_x"}, "Webhook name '_x' is invalid. It must start and end with a letter or digit"),
        ({"name": "a" * 64}, "is invalid"),
        ({"name": "a b"}, "is invalid"),
        ({"name": "ä"}, "is invalid"),
        ({"url": "   "}, "Webhook URL cannot be empty or just whitespace"),
        ({"url": "ftp://example.com"}, "Invalid webhook URL scheme: 'ftp'"),
        ({"url": "example.com"}, "Invalid webhook URL scheme"),
        ({"url": "http://example.com/"}, "Invalid webhook URL"),
        ({"url": "https://"}, "Invalid webhook URL"),
        ({"url": "https://[::1"}, "Invalid webhook URL"),
        ({"url": "https://10.0.0.1/"}, "Invalid webhook URL"),
        ({"url": "https://user:pw@example.com/"}, "Invalid webhook URL"),
        ({"events": "MODEL_VERSION"}, "Invalid value \"MODEL_VERSION\" for parameter 'events'"),
        (
            {"events": [{"entity": "MODEL_VERSION", "action": "UPDATED"}]},
            "Invalid action 'updated' for entity 'model_v",
        ),
        (
            {"events": [{"entity": "model_version", "action": "created"}]},
            "events[0].entity 'model_version' is not known",
        ),
        ({"events": [{"entity": "MODEL_VERSION"}]}, "Invalid action 'None' for entity"),
        ({"events": [{"entity": "STAGE", "action": "CREATED"}]}, "events[0].entity 'STAGE' is not known"),
        ({"events": [VERSION, VERSION]}, "twice"),
        ({"secret": "a\nb"}, "secret"),
    ],
)
def test_what_will_not_do_is_refused_in_the_words_that_clients_look_for(
    keeper: Door, fields: dict[str, Any], says: str
) -> None:
    refused = keeper.post(HOOKS, {"name": "test_webhook", "url": URL, "events": [VERSION], **fields})
    assert (refused.status, refused.code) == (400, "INVALID_PARAMETER_VALUE"), refused
    assert says in refused.message
    assert not Webhook.objects.exists()
    hook = made(keeper)
    if not (says.startswith("Missing") or fields == {"url": None}):
        assert (changed(keeper, hook, **fields).status, changed(keeper, hook).body["webhook"]) == (400, hook)


def test_every_event_of_the_client_can_be_asked_for(keeper: Door) -> None:
    entities = ("REGISTERED_MODEL", "MODEL_VERSION", "PROMPT", "PROMPT_VERSION")
    asked = [{"entity": entity, "action": "CREATED"} for entity in entities]
    asked += [{"entity": "BUDGET_POLICY", "action": "EXCEEDED"}, {"entity": "PROMPT_ALIAS", "action": "DELETED"}]
    assert made(keeper, events=asked)["events"] == asked
    assert made(keeper, events=[{"entity": 4, "action": 3}])["events"] == [
        {"entity": "MODEL_VERSION_ALIAS", "action": "DELETED"}
    ]


def test_a_secret_stays_unseen_and_without_one_nothing_is_signed(keeper: Door) -> None:
    hook = made(keeper, secret="s3cret")
    assert Webhook.objects.get().secrets(timezone.now()) == ["s3cret"]
    moved = changed(keeper, hook, url="https://elsewhere.example/")
    assert (moved.status, "secret" in moved.message) == (400, True)
    assert changed(keeper, hook, url=f"{URL}/deeper").status == 200
    assert changed(keeper, hook, url="https://elsewhere.example/", secret="s3cond").status == 200
    assert Webhook.objects.get().secrets(timezone.now()) == ["s3cond"]
    assert changed(keeper, hook, secret="").status == changed(keeper, hook, url=URL).status == 200
    assert Webhook.objects.get().secret == ""
    shown = keeper.get(HOOKS).content + json.dumps(list(AuditEntry.objects.values_list("data", flat=True))).encode()
    assert b"s3c" not in shown


def test_several_changes_are_made_together_or_not_at_all(keeper: Door) -> None:
    hook = made(keeper)
    assert changed(keeper, hook, name="other", secret="x" * 501, status="DISABLED").status == 400
    assert keeper.get(f"{HOOKS}/{hook['webhook_id']}").body["webhook"] == hook
    changed(keeper, hook, name="other", secret="s3cret", status="DISABLED")
    told = set(AuditEntry.objects.filter(verb__startswith="webhook.").values_list("verb", flat=True))
    assert told == {"webhook.created", "webhook.updated", "webhook.secret_rotated", "webhook.disabled"}
    assert Webhook.objects.get().revision == 2


def test_the_list_is_paged_newest_first_and_costs_the_same_for_many(keeper: Door, outsider: Actor) -> None:
    service.create(outsider, url=URL, format="mlflow")
    ids = [made(keeper, name=f"hook{number}")["webhook_id"] for number in range(5)]
    first = keeper.get(HOOKS, max_results=2).body
    rest = keeper.get(HOOKS, max_results=3, page_token=first["next_page_token"]).body
    assert [hook["webhook_id"] for hook in first["webhooks"] + rest["webhooks"]] == sorted(ids, reverse=True)
    assert "next_page_token" not in rest
    for wrong in ({"max_results": 1001}, {"max_results": 0}, {"page_token": "x"}, {"max_results": "many"}):
        assert keeper.get(HOOKS, **wrong).code == "INVALID_PARAMETER_VALUE"
    counts = []
    for size in (1, 5):
        with CaptureQueriesContext(connection) as queries:
            assert len(keeper.get(HOOKS, max_results=size).body["webhooks"]) == size
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_those_of_other_doors_show_when_they_are_of_this_format(
    keeper: Door, maintainer: Actor, requester: Actor
) -> None:
    make.model(requester)
    narrow = service.create(
        maintainer, url=URL, format="mlflow", scope=Scope(model="churn"), verbs=["version.tagged", "alias.set"]
    ).webhook
    other = service.create(maintainer, url=URL, format="databricks").webhook
    [shown] = keeper.get(HOOKS).body["webhooks"]
    assert (shown["webhook_id"], shown["name"]) == (str(narrow.pk), "")
    assert shown["events"] == [
        {"entity": "MODEL_VERSION_TAG", "action": "SET"},
        TAG_GONE,
        {"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"},
    ]
    for unknown in (other.pk, NOBODYS, "nonexistent"):
        assert keeper.get(f"{HOOKS}/{unknown}").message == f"Webhook with ID {unknown} not found."


def test_webhooks_are_for_maintainers(keeper: Door, ci: Door, stranger: Door) -> None:
    hook = made(keeper)
    path = f"{HOOKS}/{hook['webhook_id']}"
    refused = ci.post(HOOKS, {"name": "x", "url": URL, "events": [VERSION]})
    assert (refused.status, refused.code) == (403, "PERMISSION_DENIED")
    for door in (ci, stranger):
        assert door.get(HOOKS).body == {}
        for answer in (
            door.get(path),
            door.post(path, {"name": "x"}, "PATCH"),
            door.post(path, None, "DELETE"),
            door.post(f"{path}/test"),
        ):
            assert (answer.status, answer.code) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert changed(keeper, hook).body["webhook"] == hook


def test_a_repeated_create_makes_one_webhook(keeper: Door) -> None:
    assert made(keeper, secret="s3cret") == made(keeper, secret="s3cret")
    assert made(keeper)["webhook_id"] != made(keeper, status="DISABLED")["webhook_id"]
    assert Webhook.objects.count() == 3


def test_both_prefixes_lead_there(keeper: Door) -> None:
    hook, headers = made(keeper), {"Authorization": f"Bearer {keeper.token}"}
    for prefix in ("api", "ajax-api"):
        answer = Client().get(f"/{prefix}/2.0/{HOOKS}/{hook['webhook_id']}", headers=headers)
        assert answer.json()["webhook"] == hook


# --- Tests ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a sender records of a test while the call waits; `event` is what it was of."""
    outcome: dict[str, Any] = {"status": 200, "answer": "thanks", "error": ""}

    def meanwhile(actor: object, subject: Any, done: Any, *, at_most: int, yields: bool) -> bool:
        assert at_most == 25
        delivery = Delivery.objects.select_related("entry").get(pk=subject)
        outcome["event"] = delivery.entry.data["event"]
        more = {key: outcome[key] for key in ("status", "answer", "error")}
        Attempt.objects.create(delivery=delivery, number=1, at=timezone.now(), headers={}, duration_ms=5, **more)
        Delivery.objects.filter(pk=subject).update(state="failed", attempts=1, finished_at=timezone.now())
        return bool(done())

    monkeypatch.setattr(waiting, "until", meanwhile)
    return outcome


def test_a_test_tells_what_the_receiver_answered(keeper: Door, root: Door, sent: dict[str, Any]) -> None:
    path = f"{HOOKS}/{made(keeper, events=[TAG_GONE, VERSION], status='DISABLED')['webhook_id']}/test"
    assert keeper.post(path).body == {"result": {"success": True, "response_status": 200, "response_body": ""}}
    assert sent["event"] == "model_version_tag.deleted"
    # What the receiver said may be what lies behind a firewall: it is for administrators.
    assert root.post(path, {"event": VERSION}).body["result"]["response_body"] == "thanks"
    assert sent["event"] == "model_version.created"
    for status, success in ((302, True), (399, True), (400, False), (500, False)):
        sent["status"] = status
        assert keeper.post(path).body["result"]["success"] is success, status
    sent |= {"status": None, "error": "the host has no address"}
    assert keeper.post(path).body == {"result": {"success": False, "error_message": "the host has no address"}}


def test_a_test_of_what_does_not_happen_here_says_so(keeper: Door, sent: dict[str, Any]) -> None:
    alias, budget = {"entity": "PROMPT_ALIAS", "action": "CREATED"}, {"entity": "BUDGET_POLICY", "action": "EXCEEDED"}
    path = f"{HOOKS}/{made(keeper, events=[budget, VERSION])['webhook_id']}/test"
    assert keeper.post(path).body["result"]["success"] is True
    assert sent["event"] == "model_version.created"
    told = keeper.post(path, {"event": budget}).body["result"]
    assert (told["success"], "does not happen here" in told["error_message"]) == (False, True)
    only = f"{HOOKS}/{made(keeper, events=[alias])['webhook_id']}/test"
    assert keeper.post(only).body["result"]["success"] is False
    assert keeper.post(path, {"event": {"entity": "MODEL_VERSION", "action": "SET"}}).status == 400


def test_a_test_that_nobody_sends_or_waits_for_comes_to_an_end(
    keeper: Door, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    path = f"{HOOKS}/{made(keeper)['webhook_id']}/test"
    settings.VOUCH_WAIT_PLACES = 0
    full = keeper.post(path).body["result"]
    assert (full["success"], "waiting already" in full["error_message"]) == (False, True)
    monkeypatch.setattr(waiting, "until", lambda *_, **__: False)
    late = keeper.post(path).body["result"]
    assert (late["success"], "a process that sends" in late["error_message"]) == (False, True)
    keeper.post(path)
    assert (keeper.post(path).status, keeper.post(path).code) == (409, "RESOURCE_CONFLICT")
