"""Webhooks as MLflow's client has them: those of the format `mlflow`, whoever made them.

A secret never comes back on this wire, so a webhook that is made without one has none, and nothing that it is sent is
signed.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from accounts.actor import Actor
from accounts.roles import Action
from core.addresses import BadUrl
from core.errors import Invalid
from core.paging import page_size, paginate
from registry import queries
from registry.errors import NeverHappens, WebhookNotFound
from registry.formats import Format, asked_for
from registry.models import Webhook
from registry.models.webhooks import Disabled
from registry.services import redelivery, webhooks
from web import waiting
from web.mlflow.encode import millis
from web.mlflow.wire import Fields, MissingField

PAGE, PAGE_LIMIT = 100, 1000
# The longest send takes 15 seconds, and a sender that nobody has called looks every five.
PATIENCE = 25
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class NoSuchWebhook(WebhookNotFound):
    """Webhook with ID {webhook} not found."""


class BadWebhookName(Invalid):
    """Webhook name {value!r} is invalid. It must start and end with a letter or digit: use 1 to 63 letters, digits,
    dots, underscores and hyphens of ASCII."""

    field = "name"


class BlankUrl(Invalid):
    """Webhook URL cannot be empty or just whitespace: give one such as https://example.com/hook."""

    field = "url"


class BadScheme(Invalid):
    """Invalid webhook URL scheme: {scheme!r}. Use https."""

    field = "url"


class BadWebhookUrl(BadUrl):
    """Invalid webhook URL {value!r}: {because}."""

    field = "url"


class UnknownKind(Invalid):
    """{field} {value!r} is not known: use one of {known}."""


class BadAction(Invalid):
    """Invalid action {action!r} for entity {entity!r}: use one of {known}."""


class Entity(StrEnum):
    REGISTERED_MODEL = "registered_model"
    MODEL_VERSION = "model_version"
    MODEL_VERSION_TAG = "model_version_tag"
    MODEL_VERSION_ALIAS = "model_version_alias"
    PROMPT = "prompt"
    PROMPT_VERSION = "prompt_version"
    PROMPT_TAG = "prompt_tag"
    PROMPT_VERSION_TAG = "prompt_version_tag"
    PROMPT_ALIAS = "prompt_alias"
    BUDGET_POLICY = "budget_policy"


class Act(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    SET = "set"
    EXCEEDED = "exceeded"


class Status(Enum):
    ACTIVE = None
    DISABLED = Disabled.BY_HAND


# By name, and by the number that protobuf gives it.
_ENTITIES: dict[str | int, Entity] = {**{e.name: e for e in Entity}, **dict(enumerate(Entity, 1))}
_ACTS: dict[str | int, Act] = {**{a.name: a for a in Act}, **dict(enumerate(Act, 1))}
_STATUS: dict[str | int, Status] = {"ACTIVE": Status.ACTIVE, 1: Status.ACTIVE, "DISABLED": Status.DISABLED,
                                    2: Status.DISABLED}  # fmt: skip


def create(actor: Actor, fields: Fields) -> dict[str, Any]:
    name, url, asked = fields.required("name"), fields.required("url"), _events(fields)
    if not asked:
        raise MissingField(field="events")
    with _judging(url):
        made = webhooks.create(
            actor,
            url=url,
            name=_named(name),
            description=fields.text("description"),
            events=asked,
            format=Format.MLFLOW,
            secret=fields.text("secret"),
            disabled=(fields.choice("status", _STATUS) or Status.ACTIVE).value,
            folds=True,
        )
    return _webhook(actor, made.webhook.pk)


def search(actor: Actor, fields: Fields) -> dict[str, Any]:
    """All that the caller may manage, the newest first."""
    page = paginate(
        queries.webhooks(actor).filter(format=Format.MLFLOW),
        order=["-id"],
        size=page_size(fields.whole("max_results"), default=PAGE, limit=PAGE_LIMIT, field="max_results"),
        token=fields.text("page_token"),
        query=["mlflow-webhooks", actor.workspace_id],
    )
    return {
        **({"webhooks": [_encoded(row) for row in page.items]} if page.items else {}),
        **({"next_page_token": page.next_token} if page.next_token else {}),
    }


def get(actor: Actor, webhook_id: str) -> dict[str, Any]:
    return {"webhook": _encoded(found(actor, webhook_id, Format.MLFLOW))}


def update(actor: Actor, fields: Fields, webhook_id: str) -> dict[str, Any]:
    """What is absent stays; of name, url and events also what is empty."""
    webhook = found(actor, webhook_id, Format.MLFLOW)
    status, url = fields.choice("status", _STATUS), fields.text("url") or None
    name = fields.text("name")
    with _judging(url):
        webhooks.update(
            actor,
            webhook.pk,
            name=_named(name) if name else None,
            description=given(fields, "description"),
            url=url,
            events=_events(fields) or None,
            secret=given(fields, "secret"),
            active=None if status is None else status is Status.ACTIVE,
            disabled=status.value if status else None,
            secret_is_shown=False,
        )
    return _webhook(actor, webhook.pk)


def delete(actor: Actor, webhook_id: str) -> dict[str, Any]:
    webhooks.delete(actor, found(actor, webhook_id, Format.MLFLOW).pk)
    return {}


def test(actor: Actor, fields: Fields, webhook_id: str) -> dict[str, Any]:
    """Always an answer: that the receiver cannot be reached is a result like any other."""
    webhook = found(actor, webhook_id, Format.MLFLOW)
    wanted = _event(fields.inner("event")) if fields.values.get("event") is not None else ""
    try:
        tried = tested(actor, webhook, wanted)
    except NeverHappens as refusal:
        tried = Tried(error=refusal.message)
    result: dict[str, Any] = {"success": tried.status is not None and tried.status < 400}
    if tried.status is not None:
        result |= {"response_status": tried.status, "response_body": tried.answer}
    else:
        result["error_message"] = tried.error
    return {"result": result}


# --- For the wire of Databricks as well -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tried:
    """What came of a test: a status with what the receiver said, for those who may know that, or an error."""

    status: int | None = None
    answer: str = ""
    error: str = ""


def tested(actor: Actor, webhook: Webhook, event: str) -> Tried:
    """Have an example of `event` sent, or if it is empty of the first that the webhook hears and that happens here.

    Waits until it was tried, for PATIENCE seconds at most. Raises what `redelivery.test` does.
    """
    kinds = asked_for(Format(webhook.format))
    happening = [name for name in webhook.heard if kinds[name].verb]
    wanted = event or next(iter([*happening, *webhook.heard]), "")
    delivery = redelivery.test(actor, webhook.pk, event=wanted)
    shows = f"what comes of it shows at {settings.VOUCH_URL}{webhook.page}."
    try:
        waiting.until(actor, delivery.pk, lambda: not queries.is_under_way(delivery.pk), at_most=PATIENCE, yields=True)
    except waiting.NoPlace:
        return Tried(error=f"As many calls as may are waiting already, so this one did not wait for the test; {shows}")
    last = queries.attempts(delivery).first()
    if last is None:
        return Tried(error=f"Nobody tried it in {PATIENCE} seconds: is there a process that sends? If so, {shows}")
    answer = last.answer if actor.may(Action.READ_ANSWERS, webhook.model_id) else ""
    return Tried(last.status, answer, last.error)


def found(actor: Actor, webhook_id: str, form: Format) -> Webhook:
    """The living webhook of this format; those of others are none on a wire. NoSuchWebhook."""
    try:
        wanted = queries.webhooks(actor).filter(pk=uuid.UUID(webhook_id), format=form).first()
    except ValueError:
        wanted = None
    if wanted is None:
        raise NoSuchWebhook(webhook=webhook_id)
    return wanted


def given(fields: Fields, name: str) -> str | None:
    """A text, the empty one too; None when it is absent."""
    return None if fields.values.get(name) is None else fields.text(name)


# --- Parsing and encoding ---------------------------------------------------------------------------------------------


def _webhook(actor: Actor, webhook_id: uuid.UUID) -> dict[str, Any]:
    return {"webhook": _encoded(found(actor, str(webhook_id), Format.MLFLOW))}


def _encoded(webhook: Webhook) -> dict[str, Any]:
    events = [name.upper().split(".") for name in webhook.heard]
    return {
        "webhook_id": str(webhook.pk),
        "name": webhook.name,
        **({"description": webhook.description} if webhook.description else {}),
        "url": webhook.url,
        "events": [{"entity": entity, "action": action} for entity, action in events],
        "status": "ACTIVE" if webhook.active else "DISABLED",
        "creation_timestamp": millis(webhook.created_at),
        # Made and never changed: the columns are written one after the other.
        "last_updated_timestamp": millis(webhook.created_at if webhook.revision == 1 else webhook.updated_at),
    }


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadWebhookName(value=name)
    return name


def _events(fields: Fields) -> list[str]:
    return [_event(item) for item in fields.objects("events", limit=100)]


def _event(item: Fields) -> str:
    """`entity.action`; an unknown one would be no event at all, so it is refused where protobuf ignores it."""
    entity, act = item.choice("entity", _ENTITIES), item.choice("action", _ACTS)
    if entity is None:
        raise UnknownKind(field=f"{item.path}entity", value=item.values.get("entity"), known=", ".join(Entity).upper())
    possible = [each for each in Act if f"{entity}.{each}" in asked_for(Format.MLFLOW)]
    if act not in possible:
        raise BadAction(
            field=f"{item.path}action",
            entity=entity,
            action=act or item.values.get("action"),
            known=", ".join(possible).upper(),
        )
    return f"{entity}.{act}"


@contextmanager
def _judging(url: str | None) -> Iterator[None]:
    """Say what is wrong with a URL in the words that the tests of clients look for."""
    if url is not None and not url.strip():
        raise BlankUrl
    try:
        yield
    except BadUrl as wrong:
        scheme = _scheme(url or "")
        if scheme not in ("http", "https"):
            raise BadScheme(scheme=scheme) from None
        raise BadWebhookUrl(value=url, because=wrong.context["because"]) from None


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return "https"
