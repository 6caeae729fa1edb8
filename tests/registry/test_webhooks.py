"""Webhooks: who may set them up, what they may be, their secrets, and sending again."""

from __future__ import annotations

import base64
import datetime
import json
import uuid
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Event
from accounts.models import AuditEntry, User
from accounts.permissions import BeyondToken, RoleMissing, ScopeMissing
from accounts.roles import Role
from accounts.roles import Scope as TokenScope
from accounts.services import people
from accounts.verbs import Verb
from core import sealing
from core.addresses import BadUrl
from core.http import Sent
from core.text import TooLong
from registry import delivery as engine
from registry import errors
from registry.models import Delivery, Model, Webhook
from registry.models.webhooks import DeliveryState, Disabled
from registry.policy import Scope
from registry.services import catalog, recording, redelivery, subscriptions, webhooks
from registry.services.webhooks import Issued
from tests import make

pytestmark = pytest.mark.django_db

URL = "https://receiver.example/hook/T0K3N"


@pytest.fixture
def churn(requester: Actor) -> Model:
    return make.model(requester)


@pytest.fixture
def issued(maintainer: Actor) -> Issued:
    return webhooks.create(maintainer, url=URL)


def again(issued: Issued | Webhook) -> Webhook:
    pk = issued.webhook.pk if isinstance(issued, Issued) else issued.pk
    return Webhook.objects.select_related("model").get(pk=pk)


def events(prefix: str = "webhook.") -> list[str]:
    return list(AuditEntry.objects.filter(verb__startswith=prefix).order_by("id").values_list("verb", flat=True))


def owed(issued: Issued, count: int = 1, **more: Any) -> list[Delivery]:
    """So many deliveries, each of an entry of its own."""
    actor = make.actor("maintainer")
    told = [Event(Verb.TOKEN_CREATED, f"token {number}", {}) for number in range(count)]
    entries = audit.record_all(actor, told)
    values = {"due_at": timezone.now(), **more}
    return Delivery.objects.bulk_create(
        Delivery(webhook=issued.webhook, entry=entry, verb=entry.verb, **values) for entry in entries
    )


FAILED = {"state": DeliveryState.FAILED, "attempts": 10, "finished_at": timezone.now(), "error": "it answered 500"}


# --- Making one -------------------------------------------------------------------------------------------------------


def test_a_webhook_is_made_with_a_secret_that_is_told_once_and_kept_sealed(maintainer: Actor) -> None:
    made = webhooks.create(
        maintainer, url=URL, name="ci", verbs=["version.transitioned"] * 2, targets=["production", "@champion"]
    )
    kept = again(made)
    assert (kept.verbs, kept.targets) == (["version.transitioned"], ["Production", "@champion"])
    assert (kept.owner_id, kept.active, kept.revision) == (maintainer.user_id, True, 1)
    assert made.secret.startswith("whsec_")
    assert len(base64.b64decode(made.secret.removeprefix("whsec_"))) == 32
    assert kept.secrets(timezone.now()) == [made.secret]
    assert made.secret not in kept.secret
    assert made.secret not in repr(made)
    entry = AuditEntry.objects.get(verb="webhook.created")
    told = json.dumps(entry.data) + entry.subject
    assert made.secret not in told
    assert "T0K3N" not in told  # of some receivers the path is the secret
    assert (entry.data["origin"], entry.chain.subject_id) == ("https://receiver.example", None)


def test_of_a_model_it_is_told_in_the_chain_of_the_model(maintainer: Actor, churn: Model) -> None:
    made = webhooks.create(maintainer, url=URL, scope=Scope(model="churn")).webhook
    assert (made.model, str(made.scope)) == (churn, "model churn")
    assert AuditEntry.objects.get(verb="webhook.created").chain.subject_id == churn.pk


@pytest.mark.parametrize(
    ("refusal", "field", "given"),
    [
        (BadUrl, "url", {"url": "http://receiver.example/"}),
        (BadUrl, "url", {"url": "https://127.0.0.1/"}),
        (BadUrl, "url", {"url": "https://user:pw@receiver.example/"}),
        (errors.BadScope, "pattern", {"scope": Scope("churn", "c*")}),
        (errors.BadScope, "pattern", {"scope": Scope(pattern="a/b")}),
        (errors.ModelNotFound, None, {"scope": Scope("nothing")}),
        (errors.UnknownFormat, "format", {"format": "xml"}),
        (errors.UntoldVerb, "verbs[1]", {"verbs": ["model.created", "model.crated"]}),
        (errors.UntoldVerb, "verbs[0]", {"verbs": ["policy.changed"], "format": "mlflow"}),
        (errors.UntoldVerb, "verbs[0]", {"verbs": ["webhook.tested"]}),
        (errors.BadTarget, "targets[0]", {"targets": ["Prod"]}),
        (errors.TooMany, "targets", {"targets": ["Staging"] * 51}),
        (errors.SecretIsMadeHere, "secret", {"secret": "chosen"}),
        (errors.SecretIsMadeHere, "secret", {"secret": "chosen", "format": "slack"}),
        (TooLong, "secret", {"secret": "x" * 501, "format": "mlflow"}),
        (TooLong, "name", {"name": "x" * 101}),
    ],
)
def test_what_will_not_do_is_refused_with_its_field(
    maintainer: Actor, churn: Model, refusal: type[Exception], field: str | None, given: dict[str, Any]
) -> None:
    with pytest.raises(refusal) as refused:
        webhooks.create(maintainer, **{"url": URL, **given})
    assert refused.value.at_field == field  # type: ignore[attr-defined]
    assert "chosen" not in str(refused.value)
    assert not Webhook.objects.exists()


def test_each_format_has_the_secret_that_its_receivers_know(maintainer: Actor) -> None:
    made = {form: webhooks.create(maintainer, url=URL, format=form) for form in ("cloudevents", "databricks", "slack")}
    assert made["cloudevents"].secret.startswith("whsec_")
    assert made["databricks"].secret
    assert (made["slack"].secret, again(made["slack"]).secrets(timezone.now())) == ("", [])
    chosen = webhooks.create(maintainer, url=URL, format="mlflow", secret="the receiver's own")
    assert again(chosen).secrets(timezone.now()) == ["the receiver's own"]
    with pytest.raises(errors.SignsNothing):
        webhooks.rotate(maintainer, made["slack"].webhook.pk)


def test_private_networks_are_for_the_operator_to_allow(maintainer: Actor, settings: Any) -> None:
    settings.VOUCH_WEBHOOK_NETWORKS = ["127.0.0.0/8"]
    assert webhooks.create(maintainer, url="http://127.0.0.1:9000/x").webhook.url == "http://127.0.0.1:9000/x"
    settings.VOUCH_WEBHOOK_NETWORKS = ["127.0.0.1/8"]
    with pytest.raises(ImproperlyConfigured, match=r"127\.0\.0\.0/8"):
        engine.egress()


def test_a_workspace_has_as_many_as_each_event_can_look_at(
    maintainer: Actor, outsider: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "LIMIT", 2)
    first, _ = [webhooks.create(maintainer, url=URL) for _ in range(2)]
    with pytest.raises(errors.TooManyWebhooks):
        webhooks.create(maintainer, url=URL)
    webhooks.create(outsider, url=URL)
    webhooks.delete(maintainer, first.webhook.pk)
    webhooks.create(maintainer, url=URL)


# --- Who may ----------------------------------------------------------------------------------------------------------

ACTS: dict[str, Callable[[Actor, Issued, Delivery], object]] = {
    "update": lambda actor, issued, _: webhooks.update(actor, issued.webhook.pk, name="x"),
    "rotate": lambda actor, issued, _: webhooks.rotate(actor, issued.webhook.pk),
    "test": lambda actor, issued, _: redelivery.test(actor, issued.webhook.pk),
    "redeliver": lambda actor, _, delivery: redelivery.redeliver(actor, delivery.pk),
    "redeliver_failed": lambda actor, issued, _: redelivery.redeliver_failed(actor, issued.webhook.pk, timezone.now()),
    "delete": lambda actor, issued, _: webhooks.delete(actor, issued.webhook.pk),
}


@pytest.mark.parametrize("act", ACTS)
def test_who_may_not_manage_a_webhook_finds_none(
    act: str, issued: Issued, requester: Actor, reviewer: Actor, outsider: Actor, maintainer: Actor
) -> None:
    (delivery,) = owed(issued)
    reading = make.by_token(maintainer, TokenScope.READ)
    bound = make.by_token(maintainer, TokenScope.WEBHOOK, model_glob="churn*")
    for somebody in (requester, reviewer, outsider, reading, bound):
        with pytest.raises((errors.WebhookNotFound, errors.DeliveryNotFound)):
            ACTS[act](somebody, issued, delivery)
    ACTS[act](make.by_token(maintainer, TokenScope.WEBHOOK), issued, delivery)


def test_making_one_needs_the_role_and_the_scope(maintainer: Actor, requester: Actor, churn: Model) -> None:
    of_churn = Scope(model="churn")
    for scope in (Scope(), Scope(pattern="c*"), of_churn):
        with pytest.raises(RoleMissing):
            webhooks.create(requester, url=URL, scope=scope)
        with pytest.raises(ScopeMissing):
            webhooks.create(make.by_token(maintainer, TokenScope.READ), url=URL, scope=scope)
        webhooks.create(make.by_token(maintainer, TokenScope.WEBHOOK), url=URL, scope=scope)
    bound = make.by_token(maintainer, TokenScope.WEBHOOK, model_glob="ch*")
    for scope in (Scope(), Scope(pattern="ch*")):
        with pytest.raises(BeyondToken):
            webhooks.create(bound, url=URL, scope=scope)
    own = webhooks.create(bound, url=URL, scope=of_churn).webhook
    elsewhere = make.by_token(maintainer, TokenScope.WEBHOOK, model_glob="x*")
    with pytest.raises(errors.ModelNotFound):
        webhooks.create(elsewhere, url=URL, scope=of_churn)
    assert set(Webhook.objects.visible_to(bound)) == set(Webhook.objects.filter(model=churn))
    assert own in Webhook.objects.visible_to(bound)
    assert not Webhook.objects.visible_to(elsewhere).exists()


def test_the_maintainer_of_one_model_manages_its_webhooks_alone(
    maintainer: Actor, issued: Issued, churn: Model
) -> None:
    make.actor("member")
    people.give(maintainer, Role.MAINTAINER, user=User.objects.get(username="member"), model_id=churn.pk)
    member = make.actor("member")
    own = webhooks.create(member, url=URL, scope=Scope(model="churn")).webhook
    assert list(Webhook.objects.visible_to(member)) == [own]
    with pytest.raises(RoleMissing):
        webhooks.create(member, url=URL)
    with pytest.raises(errors.WebhookNotFound):
        webhooks.update(member, issued.webhook.pk, name="x")


# --- Changing one -----------------------------------------------------------------------------------------------------


def test_what_is_changed_is_told_and_the_same_again_is_nothing(maintainer: Actor, issued: Issued) -> None:
    pk = issued.webhook.pk
    webhooks.update(maintainer, pk, name="deploys", verbs=["alias.set"], url=URL + "/2")
    kept = again(issued)
    assert (kept.name, kept.verbs, kept.url, kept.revision) == ("deploys", ["alias.set"], URL + "/2", 2)
    entry = AuditEntry.objects.latest("id")
    assert (entry.verb, entry.data["changed"]) == ("webhook.updated", ["name", "url", "verbs"])
    assert webhooks.update(maintainer, pk, name="deploys", active=True).secret == ""
    assert again(issued).revision == 2
    with pytest.raises(errors.Stale):
        webhooks.update(maintainer, pk, expected=1, name="x")
    assert events() == ["webhook.created", "webhook.updated"]
    webhooks.update(maintainer, pk, verbs=[])
    assert again(issued).verbs == []


def test_another_host_never_gets_what_is_signed_for_the_first(maintainer: Actor, issued: Issued) -> None:
    pk = issued.webhook.pk
    rotated = webhooks.rotate(maintainer, pk)
    assert webhooks.update(maintainer, pk, url="https://receiver.example/other").secret == ""
    assert again(issued).secrets(timezone.now()) == [rotated.secret, issued.secret]
    moved = webhooks.update(maintainer, pk, url="https://elsewhere.example/hook")
    assert again(issued).secrets(timezone.now()) == [moved.secret]
    assert moved.secret not in (rotated.secret, issued.secret, "")
    assert events()[-2:] == ["webhook.updated", "webhook.secret_rotated"]
    other_port = webhooks.update(maintainer, pk, url="https://elsewhere.example:8443/hook")
    assert again(issued).secrets(timezone.now()) == [other_port.secret]


def test_disabled_by_hand_it_owes_nothing_and_enabled_it_has_forgotten_its_failures(
    maintainer: Actor, issued: Issued, requester: Actor
) -> None:
    (pending,) = owed(issued)
    webhooks.update(maintainer, issued.webhook.pk, active=False)
    kept = again(issued)
    assert (kept.active, kept.disabled_because, kept.disabled_at is None) == (False, Disabled.BY_HAND, False)
    pending.refresh_from_db()
    assert (pending.state, pending.error) == ("failed", "the webhook was disabled: somebody switched it off")
    make.model(requester)
    assert Delivery.objects.count() == 1
    now = timezone.now()
    Webhook.objects.update(failing_since=now, failures=7, rests_until=now, disabled_because=Disabled.FAILING)
    webhooks.update(maintainer, issued.webhook.pk, active=True)
    kept = again(issued)
    assert (kept.active, kept.disabled_because, kept.disabled_at) == (True, "", None)
    assert (kept.failing_since, kept.failures, kept.rests_until) == (None, 0, None)
    assert events()[-2:] == ["webhook.disabled", "webhook.enabled"]


def test_somebody_else_can_be_told_when_it_fails_if_he_may_manage_it(
    maintainer: Actor, issued: Issued, requester: Actor, administrator: Actor
) -> None:
    for nobody in ("requester", "nobody"):
        with pytest.raises(errors.NoSuchOwner):
            webhooks.update(maintainer, issued.webhook.pk, owner=nobody)
    webhooks.update(maintainer, issued.webhook.pk, owner="administrator")
    assert again(issued).owner_id == administrator.user_id


def test_two_secrets_live_for_a_while_and_never_three(maintainer: Actor, issued: Issued) -> None:
    now = timezone.now()
    second = webhooks.rotate(maintainer, issued.webhook.pk)
    assert again(issued).secrets(now) == [second.secret, issued.secret]
    assert again(issued).secrets(now + datetime.timedelta(hours=25)) == [second.secret]
    third = webhooks.rotate(maintainer, issued.webhook.pk, overlap_hours=1)
    assert again(issued).secrets(now) == [third.secret, second.secret]
    last = webhooks.rotate(maintainer, issued.webhook.pk, overlap_hours=0)
    assert again(issued).secrets(now) == [last.secret]
    for hours in (-1, 169, True):
        with pytest.raises(errors.BadOverlap):
            webhooks.rotate(maintainer, issued.webhook.pk, overlap_hours=hours)


def test_a_deleted_one_is_owed_nothing_and_forgets_its_secrets(
    maintainer: Actor, issued: Issued, requester: Actor
) -> None:
    webhooks.rotate(maintainer, issued.webhook.pk)
    owed(issued, 2)
    redelivery.test(maintainer, issued.webhook.pk)
    with pytest.raises(errors.Stale):
        webhooks.delete(maintainer, issued.webhook.pk, expected=1)
    webhooks.delete(maintainer, issued.webhook.pk)
    assert set(Delivery.objects.values_list("state", "error")) == {("failed", "the webhook was deleted")}
    kept = again(issued)
    assert (kept.secret, kept.previous_secret, kept.secrets(timezone.now())) == ("", "", [])
    make.model(requester)
    assert Delivery.objects.count() == 3
    for act in ACTS.values():
        with pytest.raises((errors.WebhookNotFound, errors.DeliveryNotFound)):
            act(maintainer, issued, Delivery.objects.latest("id"))


def test_keys_are_replaced_without_a_new_secret(maintainer: Actor, issued: Issued, settings: Any) -> None:
    other = webhooks.rotate(maintainer, issued.webhook.pk)
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    subscriptions.change(maintainer, slack_url="https://hooks.chat.example/T0")
    settings.VOUCH_ENCRYPTION_KEYS = [new]
    out = StringIO()
    call_command("webhooks", "reseal", stdout=out)
    assert "2 sealed anew" in out.getvalue()
    settings.SECRET_KEY = "x" * 60  # what it was sealed with at first is gone
    assert sealing.opened(subscriptions.settings_of(maintainer).slack_url) == "https://hooks.chat.example/T0"
    assert again(issued).secrets(timezone.now()) == [other.secret, issued.secret]
    settings.VOUCH_ENCRYPTION_KEYS = [old]
    with pytest.raises(CommandError, match=str(issued.webhook.pk)):
        call_command("webhooks", "reseal", stdout=StringIO())


# --- Sending again, and tests -----------------------------------------------------------------------------------------


def test_a_test_is_owed_to_the_one_alone_also_when_it_is_disabled(maintainer: Actor, churn: Model) -> None:
    scope = Scope(model="churn")
    tested, other = (webhooks.create(maintainer, url=URL, scope=scope) for _ in range(2))
    webhooks.update(maintainer, tested.webhook.pk, active=False)
    Delivery.objects.all().delete()
    for _ in range(redelivery.TESTS_AT_ONCE):
        made = redelivery.test(maintainer, tested.webhook.pk)
        assert (made.test, made.verb, made.entry.verb) == (True, "webhook.tested", "webhook.tested")
    assert not Delivery.objects.filter(webhook=other.webhook).exists()
    assert other.webhook.hears("webhook.tested", {}) is False
    with pytest.raises(errors.TooManyTests):
        redelivery.test(maintainer, tested.webhook.pk)
    redelivery.test(maintainer, other.webhook.pk)
    Delivery.objects.update(state=DeliveryState.DELIVERED)
    redelivery.test(maintainer, tested.webhook.pk)


def test_a_delivery_is_sent_again_under_its_id_and_the_schedule_begins_again(maintainer: Actor, issued: Issued) -> None:
    (failed,) = owed(issued, **FAILED)
    Webhook.objects.update(rests_until=timezone.now() + datetime.timedelta(hours=1))
    redelivery.redeliver(maintainer, failed.pk)
    kept = Delivery.objects.get(pk=failed.pk)
    assert (kept.state, kept.attempts, kept.tried_before, kept.finished_at) == ("pending", 10, 10, None)
    assert kept.due_at <= timezone.now()
    assert again(issued).rests_until is None
    entry = AuditEntry.objects.latest("id")
    assert (entry.verb, entry.data["delivery"]) == ("webhook.redelivered", str(failed.pk))
    sent = Sent(status=500, answer=b"", retry_after=None, seconds=0, address="", error="")
    before = timezone.now()
    recording.record([recording.Made(again(issued), kept, None, before, sent)])
    kept.refresh_from_db()
    assert (kept.state, kept.attempts, kept.tries.get().number) == ("pending", 11, 11)
    assert datetime.timedelta(seconds=5) <= kept.due_at - before < datetime.timedelta(seconds=8)


def test_what_was_delivered_is_sent_again_singly_and_a_test_never(maintainer: Actor, issued: Issued) -> None:
    (delivered,) = owed(issued, state=DeliveryState.DELIVERED, attempts=1, finished_at=timezone.now())
    assert redelivery.redeliver(maintainer, delivered.pk).state == "pending"
    with pytest.raises(errors.TriedOnce):
        redelivery.redeliver(maintainer, redelivery.test(maintainer, issued.webhook.pk).pk)
    with pytest.raises(errors.DeliveryNotFound):
        redelivery.redeliver(maintainer, uuid.uuid4())


def test_all_that_has_failed_since_then_is_sent_again_and_nothing_else(
    maintainer: Actor, issued: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redelivery, "_BATCH", 2)
    old = owed(issued, 2, **FAILED)
    _wait_a_millisecond()
    since = timezone.now()
    new = owed(issued, 5, **FAILED)
    delivered = owed(issued, 2, state=DeliveryState.DELIVERED)
    other = webhooks.create(maintainer, url=URL)
    others = owed(other, 2, **FAILED)
    assert redelivery.redeliver_failed(maintainer, issued.webhook.pk, since) == 5
    assert set(Delivery.objects.filter(state="pending").values_list("pk", flat=True)) == {row.pk for row in new}
    assert AuditEntry.objects.latest("id").data["count"] == 5
    assert redelivery.redeliver_failed(maintainer, issued.webhook.pk, since) == 0
    assert events().count("webhook.redelivered") == 1
    monkeypatch.setattr(redelivery, "MOST", 1)
    long_ago = datetime.datetime.min.replace(tzinfo=datetime.UTC)
    assert redelivery.redeliver_failed(maintainer, issued.webhook.pk, long_ago) == 1
    assert Delivery.objects.filter(pk__in=[row.pk for row in old], state="pending").count() == 1
    assert (len(delivered), len(others)) == (2, 2)


def _wait_a_millisecond() -> None:
    begun = timezone.now()
    while timezone.now() - begun < datetime.timedelta(milliseconds=2):
        pass


def test_nothing_is_sent_again_to_what_is_disabled(maintainer: Actor, issued: Issued) -> None:
    (failed,) = owed(issued, **FAILED)
    webhooks.update(maintainer, issued.webhook.pk, active=False)
    with pytest.raises(errors.WebhookDisabled, match="enable it first"):
        redelivery.redeliver(maintainer, failed.pk)
    with pytest.raises(errors.WebhookDisabled):
        redelivery.redeliver_failed(maintainer, issued.webhook.pk, timezone.now())


def test_a_webhook_of_a_model_that_is_gone_can_be_deleted(maintainer: Actor, churn: Model) -> None:
    made = webhooks.create(maintainer, url=URL, scope=Scope(model="churn")).webhook
    catalog.delete_model(maintainer, "churn")
    webhooks.delete(maintainer, made.pk)
    assert again(made).retired_at
