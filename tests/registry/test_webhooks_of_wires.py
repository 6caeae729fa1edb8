"""What webhooks of MLflow and Databricks have besides: events by name, no secret, a header, and that tests alone go."""

from __future__ import annotations

import datetime
import json
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry, Workspace
from core import sealing
from core.http import Sent
from registry import errors
from registry.delivery import letter_of
from registry.models import Delivery, Model, Webhook
from registry.models.webhooks import Disabled
from registry.policy import Scope
from registry.services import catalog, promotions, recording, redelivery, webhooks
from registry.services.webhooks import Issued
from tests import make

pytestmark = pytest.mark.django_db

URL = "https://receiver.example/hook"
HEADER = "Bearer th3-receivers-own"
OF_TAGS = ["model_version_tag.deleted"]


@pytest.fixture
def churn(requester: Actor) -> Model:
    model = make.model(requester)
    make.version(requester)
    return model


def of_mlflow(owner: Actor, *events: str, **more: Any) -> Issued:
    given = {"url": URL, "format": "mlflow", "secret": "", "events": events or OF_TAGS, **more}
    return webhooks.create(owner, **given)


def of_databricks(owner: Actor, *events: str, **more: Any) -> Issued:
    asked = events or ["COMMENT_CREATED"]
    return webhooks.create(owner, **{"url": URL, "format": "databricks", "secret": "", "events": asked, **more})


def kept(issued: Issued) -> Webhook:
    return Webhook.objects.select_related("workspace").get(pk=issued.webhook.pk)


def owed(issued: Issued) -> list[str]:
    return list(Delivery.objects.filter(webhook=issued.webhook).order_by("id").values_list("verb", flat=True))


def headers(issued: Issued) -> dict[str, str]:
    """Those of what would be sent for a test now."""
    redelivery.test(make.actor("maintainer"), issued.webhook.pk)
    delivery = Delivery.objects.select_related("entry__workspace", "entry__chain").latest("id")
    sent = letter_of(kept(issued), delivery, timezone.now()).headers
    return {name.lower(): value for name, value in sent.items()}


# --- Events by name ---------------------------------------------------------------------------------------------------


def test_only_what_was_asked_for_by_name_is_owed(maintainer: Actor, requester: Actor, churn: Model) -> None:
    deleted, every = of_mlflow(maintainer), of_mlflow(maintainer, "model_version_tag.set", *OF_TAGS)
    assert kept(deleted).verbs == ["version.tagged"]
    catalog.tag_version(requester, "churn", 1, "k", "v")
    assert (owed(deleted), owed(every)) == ([], ["version.tagged"])
    catalog.tag_version(requester, "churn", 1, "k", None)
    assert (owed(deleted), owed(every)) == (["version.tagged"], ["version.tagged"] * 2)


def test_stages_of_several_events_narrow_each_by_itself(maintainer: Actor, requester: Actor, churn: Model) -> None:
    hook = of_databricks(
        maintainer, "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED", "TRANSITION_REQUEST_TO_PRODUCTION_CREATED"
    )
    promotions.transition(requester, "churn", 1, "Staging")
    assert owed(hook) == []
    promotions.request(requester, "churn", 1, "Production")
    assert owed(hook) == ["promotion.requested"]
    promotions.transition(requester, "churn", 1, "Archived")
    assert owed(hook) == ["promotion.requested", "version.transitioned"]
    told = [
        json.loads(letter_of(kept(hook), delivery, timezone.now()).body)["event"]
        for delivery in Delivery.objects.select_related("entry__workspace", "entry__chain").order_by("id")
    ]
    assert told == ["TRANSITION_REQUEST_TO_PRODUCTION_CREATED", "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED"]


@pytest.mark.parametrize(
    ("refusal", "given"),
    [
        (errors.UnknownEvent, {"events": ["model_version.updated"]}),
        (errors.UnknownEvent, {"events": ["COMMENT_CREATED"]}),
        (errors.UnknownEvent, {"events": OF_TAGS, "format": "vouch", "secret": None}),
        (errors.AskedTwice, {"events": OF_TAGS * 2}),
        (errors.OnlyOfAll, {"events": ["registered_model.created"], "scope": Scope("churn")}),
        (errors.SendsNoHeader, {"authorization": HEADER}),
        (errors.BadHeader, {"authorization": f"{HEADER}\r\nX-More: 1", "format": "databricks", "events": ()}),
        (errors.BadHeader, {"authorization": f"{HEADER}\n", "format": "databricks", "events": ()}),
        (errors.BadHeader, {"authorization": f" {HEADER}", "format": "databricks", "events": ()}),
        (errors.BadHeader, {"authorization": "Bearer schlüssel", "format": "databricks", "events": ()}),
        (errors.BadHeader, {"authorization": "x" * 4001, "format": "databricks", "events": ()}),
        (errors.SecretIsMadeHere, {"format": "vouch", "events": ()}),
    ],
)
def test_what_will_not_do_is_refused_and_never_quoted(
    maintainer: Actor, churn: Model, refusal: type[Exception], given: dict[str, Any]
) -> None:
    with pytest.raises(refusal) as refused:
        webhooks.create(maintainer, **{"url": URL, "format": "mlflow", "secret": "", "events": OF_TAGS, **given})
    assert "th3" not in str(refused.value)
    assert not Webhook.objects.exists()


def test_other_verbs_take_the_place_of_events_and_the_same_leave_them(maintainer: Actor) -> None:
    hook = of_databricks(maintainer, "COMMENT_CREATED", "MODEL_VERSION_TRANSITIONED_TO_STAGING")
    verbs = ["version.transitioned", "comment.created"]
    webhooks.update(maintainer, hook.webhook.pk, verbs=verbs, targets=[], name="as a form posts it")
    assert kept(hook).events == ["COMMENT_CREATED", "MODEL_VERSION_TRANSITIONED_TO_STAGING"]
    webhooks.update(maintainer, hook.webhook.pk, targets=["Production"])
    assert (kept(hook).events, kept(hook).heard) == (
        [], ["COMMENT_CREATED", "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION"],
    )  # fmt: skip
    webhooks.update(maintainer, hook.webhook.pk, events=["COMMENT_CREATED"])
    assert (kept(hook).verbs, kept(hook).targets, kept(hook).heard) == (["comment.created"], [], ["COMMENT_CREATED"])


# --- Secrets ----------------------------------------------------------------------------------------------------------


def test_without_a_secret_nothing_is_signed_until_there_is_one(maintainer: Actor) -> None:
    hook = of_mlflow(maintainer)
    assert (hook.secret, kept(hook).secret, "x-mlflow-signature" in headers(hook)) == ("", "", False)
    moved = webhooks.update(maintainer, hook.webhook.pk, url="https://elsewhere.example/")
    assert (moved.secret, kept(hook).secret) == ("", "")
    webhooks.update(maintainer, hook.webhook.pk, secret="th3-receivers-own")
    assert headers(hook)["x-mlflow-signature"]
    revision = kept(hook).revision
    webhooks.update(maintainer, hook.webhook.pk, secret="th3-receivers-own")
    assert kept(hook).revision == revision
    webhooks.update(maintainer, hook.webhook.pk, secret="")
    assert "x-mlflow-signature" not in headers(hook)
    rotated = AuditEntry.objects.filter(verb="webhook.secret_rotated").order_by("id")
    assert [entry.data["reason"] for entry in rotated] == ["another one was given", "it was taken away"]


def test_who_cannot_be_shown_a_secret_sends_another_one_along_to_another_host(maintainer: Actor) -> None:
    hook = of_databricks(maintainer, secret="th3-first", authorization=HEADER)
    blind: dict[str, Any] = {"url": "https://elsewhere.example/", "secret_is_shown": False}
    for field, more in (("secret", {}), ("secret", {"authorization": ""}), ("authorization", {"secret": "th3-second"})):
        with pytest.raises(errors.NeededAnew) as refused:
            webhooks.update(maintainer, hook.webhook.pk, **blind, **more)
        assert refused.value.at_field == field
    assert kept(hook).url == URL
    webhooks.update(maintainer, hook.webhook.pk, **blind, secret="th3-second", authorization="")
    assert kept(hook).secrets(timezone.now()) == ["th3-second"]
    assert kept(hook).header() == ""


def test_another_host_is_not_sent_the_header_of_the_one_before(maintainer: Actor) -> None:
    hook = of_databricks(maintainer, authorization=HEADER)
    webhooks.update(maintainer, hook.webhook.pk, url=f"{URL}/other")
    assert headers(hook)["authorization"] == HEADER
    webhooks.update(maintainer, hook.webhook.pk, url="https://elsewhere.example/")
    assert "authorization" not in headers(hook)


def test_the_header_is_kept_sealed_and_shown_nowhere(maintainer: Actor) -> None:
    hook = of_databricks(maintainer, authorization=HEADER)
    delivery = redelivery.test(maintainer, hook.webhook.pk)
    delivery = Delivery.objects.select_related("entry__workspace", "entry__chain").get(pk=delivery.pk)
    webhook, now = kept(hook), timezone.now()
    letter = letter_of(webhook, delivery, now)
    assert letter.headers["authorization"] == HEADER
    sent = Sent(status=200, answer=b"", retry_after=None, seconds=0.1, address="192.0.2.1", error="")
    recording.record([recording.Made(webhook, delivery, letter, now, sent)])
    assert delivery.tries.get().headers["authorization"] == "…"
    seen = [repr(webhook.__dict__), str(list(AuditEntry.objects.values_list("data", "subject")))]
    seen += [str(list(Delivery.objects.values())), str(list(delivery.tries.values()))]
    assert not [text for text in seen if "th3" in text and "_plain" not in text]
    webhooks.delete(maintainer, hook.webhook.pk)
    assert (kept(hook).authorization, kept(hook).secret) == ("", "")


def test_what_no_key_opens_any_more_hinders_no_change_and_can_be_replaced(maintainer: Actor) -> None:
    issued = of_databricks(maintainer, secret="s1gns", authorization=HEADER)
    Webhook.objects.update(secret="lost", authorization="lost")
    webhooks.update(maintainer, issued.webhook.pk, description="of the billing team")
    with pytest.raises(errors.NeededAnew):
        webhooks.update(
            maintainer, issued.webhook.pk, url="https://other.example/", secret="n3w", secret_is_shown=False
        )
    webhooks.update(maintainer, issued.webhook.pk, secret="n3w", authorization=HEADER)
    now = kept(issued)
    assert (now.description, now.secrets(timezone.now()), now.header()) == ("of the billing team", ["n3w"], HEADER)


def test_the_header_of_an_unsigned_webhook_is_sealed_anew_as_well(maintainer: Actor, settings: Any) -> None:
    hook = of_databricks(maintainer, authorization=HEADER)
    settings.VOUCH_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    call_command("webhooks", "reseal", stdout=StringIO())
    settings.SECRET_KEY = "another" * 10
    assert sealing.opened(kept(hook).authorization) == HEADER


# --- States -----------------------------------------------------------------------------------------------------------


def test_in_test_mode_only_tests_are_sent(maintainer: Actor, requester: Actor, churn: Model) -> None:
    hook = of_databricks(maintainer, "MODEL_VERSION_TAG_SET", disabled=Disabled.TESTING)
    catalog.tag_version(requester, "churn", 1, "k", "v")
    assert owed(hook) == []
    redelivery.test(maintainer, hook.webhook.pk, event="COMMENT_CREATED")
    assert owed(hook) == ["webhook.tested"]
    for reason in (Disabled.BY_HAND, Disabled.TESTING):
        webhooks.update(maintainer, hook.webhook.pk, active=False, disabled=reason)
        assert kept(hook).disabled_because == reason
    webhooks.update(maintainer, hook.webhook.pk, active=False)
    assert kept(hook).disabled_because == Disabled.TESTING
    webhooks.update(maintainer, hook.webhook.pk, active=True)
    assert (kept(hook).active, kept(hook).disabled_because) == (True, "")


def test_to_disable_what_failed_does_not_hide_that_it_failed(maintainer: Actor) -> None:
    hook = of_mlflow(maintainer)
    recording.disable(kept(hook), Disabled.FAILING)
    webhooks.update(maintainer, hook.webhook.pk, active=False, disabled=Disabled.BY_HAND)
    assert kept(hook).disabled_because == Disabled.FAILING


def test_a_test_sends_an_example_of_the_event_that_it_names(maintainer: Actor) -> None:
    hook = of_mlflow(maintainer)
    delivery = redelivery.test(maintainer, hook.webhook.pk, event="model_version_alias.deleted")
    delivery = Delivery.objects.select_related("entry__workspace", "entry__chain").get(pk=delivery.pk)
    body = json.loads(letter_of(kept(hook), delivery, timezone.now()).body)
    assert (body["entity"], body["action"]) == ("model_version_alias", "deleted")
    with pytest.raises(errors.UnknownEvent):
        redelivery.test(maintainer, hook.webhook.pk, event="COMMENT_CREATED")
    with pytest.raises(errors.NeverHappens):
        redelivery.test(maintainer, hook.webhook.pk, event="budget_policy.exceeded")


# --- Repeated calls ---------------------------------------------------------------------------------------------------


def test_a_create_that_a_client_repeats_makes_one_webhook(maintainer: Actor, administrator: Actor) -> None:
    def ids(owner: Actor, *calls: dict[str, Any]) -> set[object]:
        return {of_databricks(owner, folds=True, **more).webhook.pk for more in calls}

    same: dict[str, Any] = {"secret": "th3-first", "authorization": HEADER}
    assert len(ids(maintainer, same, same)) == 1
    others = [{**same, "secret": "x"}, {**same, "authorization": ""}, {**same, "description": "x"}, {"secret": ""}]
    assert len(ids(maintainer, same, *others, *others)) == 5
    assert len(ids(maintainer, same) | ids(administrator, same)) == 2
    assert Webhook.objects.count() == AuditEntry.objects.filter(verb="webhook.created").count() == 6


def test_it_is_another_one_when_it_was_changed_is_older_or_the_workspace_wants_it_so(maintainer: Actor) -> None:
    made = {of_mlflow(maintainer, folds=True).webhook.pk}
    webhooks.update(maintainer, next(iter(made)), name="mine")
    made.add(of_mlflow(maintainer, folds=True).webhook.pk)
    Webhook.objects.update(created_at=timezone.now() - datetime.timedelta(minutes=11))
    made.add(of_mlflow(maintainer, folds=True).webhook.pk)
    Workspace.objects.update(folds_repeated_creates=False)
    made.add(of_mlflow(maintainer, folds=True).webhook.pk)
    assert len(made) == 4


def test_in_a_conformance_run_each_create_makes_one_and_mlflow_is_told_no_workspace(
    maintainer: Actor, settings: Any
) -> None:
    bodies = []
    for conformance in (False, True):
        settings.VOUCH_CONFORMANCE = conformance
        hook = of_mlflow(maintainer, folds=True)
        delivery = redelivery.test(maintainer, hook.webhook.pk)
        delivery = Delivery.objects.select_related("entry__workspace", "entry__chain").get(pk=delivery.pk)
        bodies.append(json.loads(letter_of(kept(hook), delivery, timezone.now()).body))
    assert Webhook.objects.count() == 2
    assert [body.get("workspace") for body in bodies] == ["default", None]
