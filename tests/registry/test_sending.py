"""What is owed to webhooks is sent: at least once, in time, and nobody is behind anybody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook as Verifier

from accounts.actor import Actor
from accounts.models import AuditEntry, User
from core import sealing
from core.addresses import Egress
from core.http import Sender
from registry.models import Attempt, Delivery, Model, Webhook
from registry.services import catalog, sending
from tests import make

SECRET = "whsec_" + "c2VjcmV0IHRoYXQgaXMgbG9uZyBlbm91Z2ggZm9yIHVz"


@pytest.fixture(autouse=True)
def local_receivers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Receivers on this machine are allowed, and hanging ones give up sooner."""
    sender = Sender(Egress.of(["127.0.0.0/8"], [443]), connect_seconds=1, total_seconds=1)
    monkeypatch.setattr(sending, "_sender", lambda: sender)
    yield
    sender.close()


def webhook(url: str, **more: object) -> Webhook:
    owner = User.objects.get(username="requester")
    return Webhook.objects.create(
        workspace=make.workspace(), url=url, secret=sealing.sealed(SECRET), owner=owner, **more
    )


def events(requester: Actor, count: int = 1, name: str = "churn") -> list[AuditEntry]:
    """So many entries of a model that is there already."""
    for number in range(count):
        catalog.tag_model(requester, name, "n", str(number))
    return list(AuditEntry.objects.filter(verb="model.tagged").order_by("-pk")[:count])


def delivered() -> int:
    return Delivery.objects.filter(state="delivered").count()


@pytest.fixture
def churn(requester: Actor) -> Model:
    return make.model(requester)


def test_an_event_arrives_signed_with_its_sequence_and_the_hash_of_its_entry(
    churn: Model, requester: Actor, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook", method="POST").respond_with_data("thanks")
    hook = webhook(httpserver.url_for("/hook"))
    (entry,) = events(requester)
    assert sending.deliver_due() == 1
    request, _ = httpserver.log[0]
    owed = Delivery.objects.get()
    said = Verifier(SECRET).verify(request.get_data(), dict(request.headers))
    assert (said["type"], said["sequence"], said["hash"]) == ("model.tagged", entry.sequence, entry.hash)
    assert request.headers["webhook-id"] == str(owed.pk)
    assert (owed.state, owed.status, owed.attempts, owed.error) == ("delivered", 200, 1, "")
    made = Attempt.objects.get()
    assert (made.status, made.answer, made.address, made.number) == (200, "thanks", "127.0.0.1", 1)
    assert made.headers["webhook-id"] == str(owed.pk)
    hook.refresh_from_db()
    assert hook.leased_until is None


def test_nothing_due_costs_one_query(churn: Model, django_assert_num_queries: Callable[..., object]) -> None:
    with django_assert_num_queries(1):
        assert sending.deliver_due() == 0
