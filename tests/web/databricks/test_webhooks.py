"""Registry webhooks on the Databricks wire: the whole event list, the header, the states, and what is not there."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from accounts.actor import Actor
from registry.models import Attempt, Delivery, Version, Webhook
from registry.policy import Scope
from registry.services import promotions
from registry.services import webhooks as service
from tests import make
from tests.web.databricks.conftest import Databricks
from tests.web.mlflow.conftest import Answer
from web import waiting

pytestmark = pytest.mark.django_db

HOOKS = "mlflow/registry-webhooks"
URL = "https://example.com/webhook"
HEADER = "Bearer th3-receivers-own"
ASKED = ["MODEL_VERSION_TRANSITIONED_TO_STAGING", "TRANSITION_REQUEST_CREATED"]


@pytest.fixture
def keeper(maintainer: Actor) -> Databricks:
    return Databricks(make.token(maintainer))


def created(door: Databricks, **more: Any) -> Answer:
    return door.post(f"{HOOKS}/create", {"events": ASKED, "http_url_spec": {"url": URL}, **more})


def made(door: Databricks, **more: Any) -> dict[str, Any]:
    answer = created(door, **more)
    assert answer.status == 200, answer
    return dict(answer.body["webhook"])


def changed(door: Databricks, hook: dict[str, Any], **fields: Any) -> Answer:
    return door.post(f"{HOOKS}/update", {"id": hook["id"], **fields}, "PATCH")


def listed(door: Databricks, **query: Any) -> list[str]:
    return [hook["id"] for hook in door.get(f"{HOOKS}/list", **query).body["webhooks"]]


def deleted(door: Databricks, hook: dict[str, Any]) -> Answer:
    return door.raw("DELETE", f"{HOOKS}/delete?id={hook['id']}", b"", "application/octet-stream")


def test_a_webhook_is_made_listed_changed_and_deleted(keeper: Databricks, churn: Version) -> None:
    spec = {"url": URL, "secret": "s3cret", "authorization": HEADER, "enable_ssl_verification": True}
    hook = made(keeper, description="for CI", model_name="churn", http_url_spec=spec)
    kept = Webhook.objects.get()
    moment = int(kept.created_at.timestamp() * 1000)
    assert hook == {
        "id": str(kept.pk),
        "model_name": "churn",
        "events": ASKED,
        "description": "for CI",
        "status": "ACTIVE",
        "http_url_spec": {"url": URL, "enable_ssl_verification": True},
        "creation_timestamp": moment,
        "last_updated_timestamp": moment,
        "signed": True,
        "authorized": True,
        "page": f"http://127.0.0.1:8000/webhooks/{kept.pk}",
    }
    assert (kept.secrets(timezone.now()), kept.header()) == (["s3cret"], HEADER)
    assert keeper.get(f"{HOOKS}/list").body == {"webhooks": [hook]}
    for status in ("TEST_MODE", "DISABLED", "ACTIVE"):
        assert changed(keeper, hook, status=status).body["webhook"]["status"] == status
    off = changed(keeper, hook, description="", events=["COMMENT_CREATED"], http_url_spec={"url": f"{URL}/x"})
    now = off.body["webhook"]
    assert (now["description"], now["events"], now["http_url_spec"]["url"]) == ("", ["COMMENT_CREATED"], f"{URL}/x")
    assert now["signed"] is now["authorized"] is True
    gone = changed(keeper, hook, http_url_spec={"url": URL, "secret": "", "authorization": ""}).body["webhook"]
    assert gone["signed"] is gone["authorized"] is False
    assert deleted(keeper, hook).body == {}
    again = deleted(keeper, hook)
    assert (again.status, again.code) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert keeper.get(f"{HOOKS}/list").body == {"webhooks": []}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"events": []}, "events"),
        ({"events": ["MODEL_VERSION_DELETED"]}, "events[0]"),
        ({"http_url_spec": None}, "http_url_spec"),
        ({"http_url_spec": {}}, "http_url_spec.url"),
        ({"http_url_spec": {"url": "http://example.com/"}}, "url"),
        ({"http_url_spec": {"url": "https://192.168.1.1/"}}, "url"),
        ({"http_url_spec": {"url": URL, "enable_ssl_verification": False}}, "http_url_spec.enable_ssl_verification"),
        ({"http_url_spec": {"url": URL, "authorization": f"{HEADER}\r\nX-Evil: 1"}}, "authorization"),
        ({"http_url_spec": {"url": URL, "authorization": f"{HEADER}é"}}, "authorization"),
        ({"http_url_spec": {"url": URL, "secret": "th3\n"}}, "secret"),
        ({"job_spec": {"job_id": "1", "access_token": "th3"}}, "job_spec"),
        ({"status": "ASLEEP"}, "status"),
        ({"events": ["REGISTERED_MODEL_CREATED"], "model_name": "churn"}, "events"),
    ],
)
def test_what_will_not_do_is_refused_with_its_field(
    keeper: Databricks, churn: Version, fields: dict[str, Any], field: str
) -> None:
    refused = created(keeper, **fields)
    assert (refused.status, refused.code) == (400, "INVALID_PARAMETER_VALUE"), refused
    [_, details] = refused.body["details"]
    assert details["field_violations"][0]["field"] == field
    assert b"th3" not in refused.content
    assert not Webhook.objects.exists()


def test_another_host_needs_another_secret_and_header(keeper: Databricks) -> None:
    hook = made(keeper, http_url_spec={"url": URL, "secret": "s3cret", "authorization": HEADER})
    moved = {"url": "https://elsewhere.example/"}
    assert changed(keeper, hook, http_url_spec=moved).status == 400
    assert changed(keeper, hook, http_url_spec={**moved, "secret": "s3cond"}).status == 400
    assert Webhook.objects.get().url == URL
    assert changed(keeper, hook, http_url_spec={**moved, "secret": "s3cond", "authorization": ""}).status == 200


def test_the_list_is_narrowed_and_paged(keeper: Databricks, churn: Version, maintainer: Actor, outsider: Actor) -> None:
    service.create(outsider, url=URL, format="databricks")
    service.create(maintainer, url=URL, format="mlflow")
    of_churn = made(keeper, model_name="churn", events=["COMMENT_CREATED"])["id"]
    of_all = made(keeper)["id"]
    native = service.create(
        maintainer, url=URL, format="databricks", verbs=["version.transitioned"], targets=["Staging"]
    ).webhook
    assert listed(keeper) == [str(native.pk), of_all, of_churn]
    assert listed(keeper, model_name="churn") == listed(keeper, events="COMMENT_CREATED") == [of_churn]
    assert listed(keeper, events=ASKED[0]) == [str(native.pk), of_all]
    assert listed(keeper, events=["COMMENT_CREATED", ASKED[1]]) == [of_all, of_churn]
    assert listed(keeper, model_name="other") == []
    first = keeper.get(f"{HOOKS}/list", max_results=2).body
    assert listed(keeper, max_results=2, page_token=first["next_page_token"]) == [of_churn]
    assert keeper.get(f"{HOOKS}/list", events="NONE").status == 400


def test_each_event_is_narrowed_by_its_own_stage(keeper: Databricks, requester: Actor, churn: Version) -> None:
    made(keeper, model_name="churn", events=[ASKED[0], "TRANSITION_REQUEST_TO_PRODUCTION_CREATED"])
    promotions.transition(requester, "churn", 1, "Archived")  # a request as well, which is carried out at once
    assert not Delivery.objects.exists()
    promotions.transition(requester, "churn", 1, "Staging")
    promotions.request(requester, "churn", 1, "Production")
    assert list(Delivery.objects.order_by("id").values_list("verb", flat=True)) == [
        "version.transitioned",
        "promotion.requested",
    ]


def test_a_repeated_create_makes_one_webhook(keeper: Databricks) -> None:
    spec = {"url": URL, "secret": "s3cret", "authorization": HEADER}
    assert made(keeper, http_url_spec=spec) == made(keeper, http_url_spec=spec)
    assert made(keeper)["id"] != made(keeper, status="TEST_MODE")["id"]
    assert Webhook.objects.count() == 3


def test_webhooks_of_the_other_wire_are_none_here(keeper: Databricks, maintainer: Actor) -> None:
    other = service.create(maintainer, url=URL, format="mlflow", scope=Scope()).webhook
    for answer in (
        changed(keeper, {"id": str(other.pk)}, description="x"),
        deleted(keeper, {"id": str(other.pk)}),
        deleted(keeper, {"id": "17"}),
        keeper.post(f"{HOOKS}/test", {"id": str(other.pk)}),
    ):
        assert (answer.status, answer.code) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_test_tells_status_and_body(
    keeper: Databricks, administrator: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome: dict[str, Any] = {"status": 302, "answer": "INSIDE", "error": ""}
    asked: list[str] = []

    def meanwhile(actor: object, subject: Any, done: Any, *, at_most: int, yields: bool) -> bool:
        delivery = Delivery.objects.select_related("entry").get(pk=subject)
        asked.append(delivery.entry.data["event"])
        Attempt.objects.create(delivery=delivery, number=1, at=timezone.now(), headers={}, duration_ms=5, **outcome)
        Delivery.objects.filter(pk=subject).update(state="failed", attempts=1, finished_at=timezone.now())
        return bool(done())

    monkeypatch.setattr(waiting, "until", meanwhile)
    hook = made(keeper, status="TEST_MODE")
    for door, body in ((keeper, ""), (Databricks(make.token(administrator)), "INSIDE")):
        answer = door.post(f"{HOOKS}/test", {"id": hook["id"]})
        assert answer.body == {"status_code": 302, "status": 302, "body": body}
    outcome |= {"status": None, "error": "nobody listens there"}
    answer = keeper.post(f"{HOOKS}/test", {"id": hook["id"], "event": "COMMENT_CREATED"})
    assert answer.body == {"status_code": 0, "status": 0, "body": "nobody listens there"}
    assert asked == [ASKED[0], ASKED[0], "COMMENT_CREATED"]
    assert keeper.post(f"{HOOKS}/test", {"id": hook["id"], "event": "PARTY"}).status == 400
