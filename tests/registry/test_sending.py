"""What is owed to webhooks is sent: at least once, in time, and nobody waits behind anybody else."""

from __future__ import annotations

import datetime
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
import time_machine
from django.db import connection, transaction
from django.utils import timezone
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook as Verifier
from werkzeug import Request, Response

from accounts import audit
from accounts.actor import Actor
from accounts.models import AuditEntry, User
from accounts.roles import Role
from accounts.verbs import Verb
from core import sealing
from core.addresses import Egress
from core.http import Sender, Sent
from registry import delivery
from registry.models import Attempt, Delivery, Model, Webhook
from registry.models.webhooks import Disabled
from registry.services import catalog, promotions, recording, redelivery, sending
from tests import make

SECRET = "whsec_c2VjcmV0IHRoYXQgaXMgbG9uZyBlbm91Z2ggZm9yIHVz"


@pytest.fixture(autouse=True)
def local_receivers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Receivers on this machine are allowed, and those that hang are given up sooner."""
    with Sender(Egress.of(["127.0.0.0/8"], [443]), connect_seconds=1, total_seconds=1) as sender:
        monkeypatch.setattr(sending, "_sender", lambda: sender)
        yield


@pytest.fixture
def churn(requester: Actor) -> Model:
    return make.model(requester)


def webhook(url: str, **more: object) -> Webhook:
    owner = User.objects.get(username="requester")
    more = {"secret": sealing.sealed(SECRET), "owner": owner, **more}
    return Webhook.objects.create(workspace=make.workspace(), url=url, **more)


def happen(requester: Actor, times: int = 1) -> None:
    """So many events of the model."""
    for number in range(times):
        catalog.tag_model(requester, "churn", "n", str(number))


def states(hook: Webhook) -> Counter[str]:
    return Counter(Delivery.objects.filter(webhook=hook).values_list("state", flat=True))


@contextmanager
def hanging() -> Iterator[tuple[str, Callable[[], int]]]:
    """The address of a receiver that takes connections and never answers, and how many it had open at most."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        peak, taken, ended = [0], list[socket.socket](), threading.Event()

        def take() -> None:
            server.settimeout(0.05)
            while not ended.is_set():
                with suppress(TimeoutError):
                    taken.append(server.accept()[0])
                for one in list(taken):
                    one.setblocking(False)
                    try:
                        if not one.recv(65536):
                            taken.remove(one)
                    except BlockingIOError:
                        pass
                    except OSError:
                        taken.remove(one)
                peak[0] = max(peak[0], len(taken))

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/", lambda: peak[0]
        finally:
            ended.set()
            thread.join()
            for one in taken:
                one.close()


# --- One delivery -----------------------------------------------------------------------------------------------------


def test_an_event_arrives_signed_with_its_sequence_and_the_hash_of_its_entry(
    churn: Model, requester: Actor, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook", method="POST").respond_with_data("thanks")
    hook = webhook(httpserver.url_for("/hook"))
    happen(requester)
    assert sending.deliver_due() == 1
    request, _ = httpserver.log[0]
    owed, entry = Delivery.objects.get(), AuditEntry.objects.latest("pk")
    said = Verifier(SECRET).verify(request.get_data(), dict(request.headers))
    assert (said["type"], said["sequence"], said["hash"]) == ("model.tagged", entry.sequence, entry.hash)
    assert request.headers["webhook-id"] == str(owed.pk)
    assert (owed.state, owed.status, owed.attempts, owed.error) == ("delivered", 200, 1, "")
    made = Attempt.objects.get()
    assert (made.number, made.status, made.answer, made.address) == (1, 200, "thanks", "127.0.0.1")
    assert made.headers["webhook-id"] == str(owed.pk)
    hook.refresh_from_db()
    assert hook.leased_until is None


def test_both_secrets_sign_while_a_rotation_lasts(churn: Model, requester: Actor, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("")
    newer = "whsec_YW5vdGhlciBzZWNyZXQgdGhhdCBpcyBsb25nIGVub3VnaA=="
    soon = timezone.now() + datetime.timedelta(hours=1)
    webhook(
        httpserver.url_for("/"),
        secret=sealing.sealed(newer),
        previous_secret=sealing.sealed(SECRET),
        previous_until=soon,
    )
    happen(requester)
    sending.deliver_due()
    with time_machine.travel(soon + datetime.timedelta(seconds=1)):
        happen(requester)
        sending.deliver_due()
    during, after = (request.headers["webhook-signature"].split() for request, _ in httpserver.log)
    assert (len(during), len(after)) == (2, 1)


def test_what_failed_is_tried_again_with_the_same_id_and_a_new_timestamp(
    churn: Model, requester: Actor, httpserver: HTTPServer
) -> None:
    httpserver.expect_ordered_request("/").respond_with_data("on fire", status=500)
    httpserver.expect_ordered_request("/").respond_with_data("fine")
    hook = webhook(httpserver.url_for("/"))
    happen(requester)
    assert sending.deliver_due() == 1
    owed = Delivery.objects.get()
    assert (owed.state, owed.attempts, owed.status, owed.error) == ("pending", 1, 500, "it answered 500")
    assert 5 <= (owed.due_at - timezone.now()).total_seconds() + 1 < 8
    assert sending.deliver_due() == 0
    with time_machine.travel(owed.due_at):
        assert sending.deliver_due() == 1
    assert states(hook) == {"delivered": 1}
    (first, _), (second, _) = httpserver.log
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    tries = Attempt.objects.order_by("number").values_list("number", "status", "answer")
    assert list(tries) == [(1, 500, "on fire"), (2, 200, "fine")]
    hook.refresh_from_db()
    assert (hook.failures, hook.failing_since) == (0, None)


def test_the_receiver_is_left_alone_as_long_as_it_asks_for(
    churn: Model, requester: Actor, httpserver: HTTPServer
) -> None:
    httpserver.expect_ordered_request("/").respond_with_data("", status=429, headers={"Retry-After": "120"})
    hook = webhook(httpserver.url_for("/"))
    happen(requester, times=3)
    assert sending.deliver_due() <= 2
    hook.refresh_from_db()
    assert 118 < (hook.rests_until - timezone.now()).total_seconds() <= 120
    waits = Delivery.objects.filter(attempts=1).latest("due_at").due_at - timezone.now()
    assert 118 < waits.total_seconds() <= 121
    assert sending.deliver_due() == 0


def test_ten_attempts_over_three_days_and_then_it_has_failed() -> None:
    pauses = [delivery.pause_after(attempts) for attempts in range(1, 11)]
    assert pauses[-1] is None
    known = [pause for pause in pauses if pause]
    nominal = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert all(least <= pause.total_seconds() <= 1.1 * least for least, pause in zip(nominal, known, strict=True))
    assert len({delivery.pause_after(3) for _ in range(5)}) > 1, "no jitter"
    assert delivery.pause_after(1, retry_after=90) == datetime.timedelta(seconds=90)
    assert delivery.pause_after(9, retry_after=90) >= datetime.timedelta(seconds=86400)


def test_after_the_last_attempt_it_is_failed(churn: Model, requester: Actor, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("", status=404)
    hook = webhook(httpserver.url_for("/"))
    happen(requester)
    Delivery.objects.update(attempts=9)
    sending.deliver_due()
    assert states(hook) == {"failed": 1}
    assert Delivery.objects.get().finished_at


def test_an_event_that_its_format_cannot_tell_is_not_owed(churn: Model, requester: Actor) -> None:
    webhook("https://example.org/", format="mlflow", secret="")
    happen(requester)  # MLflow has no event for a model's tag
    assert not Delivery.objects.exists()
    make.version(requester)
    assert [owed.verb for owed in Delivery.objects.all()] == ["version.registered"]


def test_a_webhook_can_be_narrowed_to_a_pattern_and_to_stages(churn: Model, requester: Actor) -> None:
    hook = webhook("https://example.org/", pattern="CH*", targets=["Production"], verbs=["version.transitioned"])
    make.model(requester, "iris")
    for name in ("churn", "iris"):
        make.version(requester, name)
        promotions.request(requester, name, 1, "Staging")
    assert not Delivery.objects.exists()
    reviewer = make.actor("reviewer", Role.REVIEWER)
    for name in ("churn", "iris"):
        asked = promotions.request(requester, name, 1, "Production")
        promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    assert [(owed.webhook, owed.entry.data["model"]) for owed in Delivery.objects.all()] == [(hook, "churn")]


# --- A receiver in trouble --------------------------------------------------------------------------------------------


def test_gone_disables_at_once_and_the_log_tells_of_it(churn: Model, requester: Actor, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("", status=410)
    hook = webhook(httpserver.url_for("/"), name="deploys")
    happen(requester, times=5)
    sending.deliver_due()
    hook.refresh_from_db()
    assert (hook.active, hook.disabled_because) == (False, "gone")
    assert states(hook) == {"failed": 5}
    assert len(httpserver.log) <= 2
    told = AuditEntry.objects.get(verb="webhook.disabled")
    assert (told.actor_name, told.subject, told.data["webhook"]) == ("vouch", "webhook deploys", str(hook.pk))
    happen(requester)
    assert Delivery.objects.count() == 5, "something is owed to a disabled webhook"


def test_five_days_without_success_disable(churn: Model, requester: Actor, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("", status=503)
    hook = webhook(httpserver.url_for("/"))
    began = timezone.now()
    for days, active in [(0, True), (1, True), (2, True), (3, True), (4, True), (4.9, True), (5.1, False)]:
        with time_machine.travel(began + datetime.timedelta(days=days)):
            happen(requester)
            sending.deliver_due()
        hook.refresh_from_db()
        assert hook.active is active, days
    assert hook.disabled_because == "failing"


def test_a_receiver_that_keeps_failing_is_asked_ever_less_often(
    churn: Model, requester: Actor, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/").respond_with_data("", status=500)
    hook = webhook(httpserver.url_for("/"))
    happen(requester, times=50)
    sending.deliver_due()
    asked = len(httpserver.log)
    assert asked in (3, 4), "it rests after three failures; one more may have been open"
    hook.refresh_from_db()
    httpserver.clear()
    httpserver.expect_request("/").respond_with_data("", status=500)
    with time_machine.travel(hook.rests_until + datetime.timedelta(seconds=1)):
        sending.deliver_due()
    assert len(httpserver.log) == 1, "in trouble it is tried once at a time"
    hook.refresh_from_db()
    httpserver.clear()
    httpserver.expect_request("/").respond_with_data("")
    with time_machine.travel(hook.rests_until + datetime.timedelta(minutes=10)):
        sending.deliver_due()
    assert states(hook) == {"delivered": 50}


def test_a_hanging_receiver_delays_no_other_and_has_two_sends_open_at_most(
    churn: Model, requester: Actor, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/").respond_with_data("")
    with hanging() as (url, peak):
        stuck = [webhook(url, name=f"stuck {number}") for number in range(3)]
        healthy = webhook(httpserver.url_for("/"))
        happen(requester, times=6)
        sending.deliver_due()
        assert peak() == 2 * len(stuck)
    given_up = Attempt.objects.filter(delivery__webhook__in=stuck)
    assert set(given_up.values_list("error", flat=True)) == {"no answer within 1 s"}
    first = min(tried.at + datetime.timedelta(milliseconds=tried.duration_ms) for tried in given_up)
    assert states(healthy) == {"delivered": 6}
    arrived = Attempt.objects.filter(delivery__webhook=healthy).latest("at").at
    assert arrived < first, "it waited for those that hang"


# --- Who sends --------------------------------------------------------------------------------------------------------


def test_a_webhook_that_another_sender_has_is_left_to_it_until_its_lease_ends(
    churn: Model, requester: Actor, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/").respond_with_data("")
    hook = webhook(httpserver.url_for("/"))
    happen(requester)
    (leased,) = sending.lease(10, troubled=10)
    assert leased == hook
    assert sending.deliver_due() == 0
    Webhook.objects.update(leased_until=timezone.now() - datetime.timedelta(seconds=1))  # it was killed
    assert sending.deliver_due() == 1
    sending.release(leased)


@pytest.mark.django_db(transaction=True)
def test_two_senders_at_once_send_each_event_once_and_no_more_than_two_at_a_time(
    requester: Actor, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, peak, lock = [0], [0], threading.Lock()

    def slow(request: Request) -> Response:
        with lock:
            now[0] += 1
            peak[0] = max(peak[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        return Response("")

    httpserver.expect_request("/").respond_with_handler(slow)
    make.model(requester)
    hook = webhook(httpserver.url_for("/"))
    happen(requester, times=40)
    monkeypatch.setattr(sending, "_TURN", 0.05)  # so that it changes hands

    def send(_: int) -> None:
        try:
            while Delivery.objects.filter(state="pending").exists():
                sending._Round(time.monotonic() + 1).run()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(4)))
    assert states(hook) == {"delivered": 40}
    ids = [request.headers["webhook-id"] for request, _ in httpserver.log]
    assert len(ids) == len(set(ids)) == 40
    assert peak[0] <= 2


def test_a_webhook_that_is_disabled_meanwhile_gets_nothing_more(
    churn: Model, requester: Actor, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpserver.expect_request("/").respond_with_data("")
    hook = webhook(httpserver.url_for("/"))
    happen(requester, times=30)
    recorded = sending.recorded

    def and_then_disable(ended: Sequence[sending.Made]) -> list[bool]:
        recording.disable(hook, Disabled.GONE)
        return recorded(ended)

    monkeypatch.setattr(sending, "recorded", and_then_disable)
    sending.deliver_due()
    assert len(httpserver.log) <= 2


def test_a_failure_of_before_does_not_count_against_a_webhook_that_was_mended_meanwhile(
    churn: Model, requester: Actor
) -> None:
    hook = webhook("https://example.org/")
    happen(requester)
    (leased,) = sending.lease(1, troubled=10)
    (owed,) = sending.due(leased)
    Webhook.objects.update(revision=2)
    gone = Sent(status=410, answer=b"", retry_after=None, seconds=0, address="", error="")
    letter = delivery.letter_of(leased, owed, timezone.now())
    assert recording.record([sending.Made(leased, owed, letter, timezone.now(), gone)]) == [False]
    hook.refresh_from_db()
    assert (hook.active, hook.failures) == (True, 0)


def test_a_test_is_tried_once_even_of_a_disabled_webhook_and_counts_for_nothing(
    churn: Model, requester: Actor, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/").respond_with_data("", status=500)
    hook = webhook(httpserver.url_for("/"), active=False, disabled_because="by hand")
    entry = AuditEntry.objects.latest("pk")
    Delivery.objects.create(webhook=hook, entry=entry, verb="webhook.tested", test=True, due_at=timezone.now())
    assert sending.deliver_due() == 1
    hook.refresh_from_db()
    assert (states(hook), hook.failures) == ({"failed": 1}, 0)


@pytest.mark.parametrize(
    ("form", "says"),
    [("vouch", "webhook.tested"), ("mlflow", "model_version"), ("databricks", "MODEL_VERSION_CREATED")],
)
def test_every_format_has_something_to_test_with(
    form: str, says: str, churn: Model, requester: Actor, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/").respond_with_data("")
    hook = webhook(httpserver.url_for("/"), format=form)
    entry = audit.record(requester, Verb.WEBHOOK_TESTED, subject="webhook", data={"webhook": str(hook.pk)})
    Delivery.objects.create(webhook=hook, entry=entry, verb=entry.verb, test=True, due_at=timezone.now())
    sending.deliver_due()
    assert states(hook) == {"delivered": 1}
    said = json.loads(httpserver.log[0][0].get_data())
    assert says in (said.get("type"), said.get("entity"), said.get("event"))


def test_nothing_due_costs_one_query(churn: Model, django_assert_num_queries: Callable[..., object]) -> None:
    with django_assert_num_queries(1):
        assert sending.deliver_due() == 0


# --- The shortcut -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_commit_calls_the_sender_and_a_rollback_owes_nothing(
    requester: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setattr(delivery.current_app, "send_task", lambda name, **_: called.append(name))
    make.model(requester)
    webhook("https://example.org/")
    with transaction.atomic():
        happen(requester)
        assert Delivery.objects.count() == 1
        transaction.set_rollback(True)
    assert not Delivery.objects.exists()
    happen(requester)
    deadline = time.monotonic() + 5
    while not called and time.monotonic() < deadline:
        time.sleep(0.01)
    assert called == ["registry.tasks.deliver_due"]


def test_a_dead_broker_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> None:
        time.sleep(0.3)
        raise delivery.OperationalError("no broker")

    monkeypatch.setattr(delivery.current_app, "send_task", hang)
    began = time.monotonic()
    for _ in range(100):
        delivery.call_sender()
    assert time.monotonic() - began < 0.1
    time.sleep(0.4)
    assert delivery._bell._thread.is_alive()


def test_what_ended_long_ago_is_forgotten_with_its_attempts(
    churn: Model, requester: Actor, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/").respond_with_data("")
    hook = webhook(httpserver.url_for("/"))
    happen(requester, times=2)
    sending.deliver_due()
    happen(requester)
    Delivery.objects.filter(pk=Delivery.objects.earliest("pk").pk).update(
        finished_at=timezone.now() - datetime.timedelta(days=31)
    )
    assert redelivery.prune(timezone.now() - datetime.timedelta(days=30)) == 1
    assert states(hook) == {"delivered": 1, "pending": 1}
    assert Attempt.objects.count() == 1
