"""Registry webhooks, as Databricks has them: those of the format `databricks`, whoever made them."""

from __future__ import annotations

from enum import Enum
from typing import Any

from django.conf import settings

from accounts.actor import Actor
from core.errors import Invalid
from core.paging import page_size, paginate
from registry import queries
from registry.errors import UnknownEvent
from registry.formats import Format, asked_for
from registry.models import Webhook
from registry.models.webhooks import Disabled
from registry.policy import Scope
from registry.services import webhooks
from web.mlflow.encode import millis
from web.mlflow.webhooks import PAGE, PAGE_LIMIT, found, given, tested
from web.mlflow.wire import Fields, MissingField


class NoJobs(Invalid):
    """There are no jobs here that a webhook could run: give an 'http_url_spec' in place of {field}."""

    field = "job_spec"


class AlwaysVerified(Invalid):
    """Certificates are always verified: leave {field} out, and give the receiver one that this service trusts."""

    field = "http_url_spec.enable_ssl_verification"


class UnknownStatus(Invalid):
    """{field} {value!r} is not what a webhook can be: use ACTIVE, DISABLED or TEST_MODE."""

    field = "status"


class Status(Enum):
    ACTIVE = None
    DISABLED = Disabled.BY_HAND
    TEST_MODE = Disabled.TESTING


_STATUS: dict[str | int, Status] = {status.name: status for status in Status}


def create(actor: Actor, fields: Fields) -> dict[str, Any]:
    asked = fields.strings("events")
    if not asked:
        raise MissingField(field="events")
    spec = _spec(fields)
    if spec is None:
        raise MissingField(field="http_url_spec")
    made = webhooks.create(
        actor,
        url=spec.required("url"),
        scope=Scope(model=fields.text("model_name")),
        description=fields.text("description"),
        events=asked,
        format=Format.DATABRICKS,
        secret=spec.text("secret"),
        authorization=spec.text("authorization"),
        disabled=(_status(fields) or Status.ACTIVE).value,
        folds=True,
    )
    return _webhook(actor, str(made.webhook.pk))


def search(actor: Actor, fields: Fields) -> dict[str, Any]:
    """Those that the caller may manage, the newest first, narrowed to those that hear one of the events."""
    asked, model_name = fields.strings("events"), fields.text("model_name")
    rows = queries.webhooks(actor).filter(format=Format.DATABRICKS)
    if model_name:
        rows = rows.filter(model__name=model_name)
    if asked:
        _refuse_unknown(asked)
        # A workspace has a hundred at most, and what those of our own door hear is found by their verbs and targets.
        rows = rows.filter(pk__in=[row.pk for row in rows if not set(asked).isdisjoint(row.heard)])
    page = paginate(
        rows,
        order=["-id"],
        size=page_size(fields.whole("max_results"), default=PAGE, limit=PAGE_LIMIT, field="max_results"),
        token=fields.text("page_token"),
        query=["databricks-webhooks", actor.workspace_id, sorted(asked), model_name],
    )
    return {
        "webhooks": [_encoded(row) for row in page.items],
        **({"next_page_token": page.next_token} if page.next_token else {}),
    }


def update(actor: Actor, fields: Fields) -> dict[str, Any]:
    """What is absent stays, and events that are empty."""
    webhook = found(actor, fields.required("id"), Format.DATABRICKS)
    spec, status = _spec(fields) or Fields({}), _status(fields)
    webhooks.update(
        actor,
        webhook.pk,
        description=given(fields, "description"),
        url=spec.text("url") or None,
        events=fields.strings("events") or None,
        secret=given(spec, "secret"),
        authorization=given(spec, "authorization"),
        active=None if status is None else status is Status.ACTIVE,
        disabled=status.value if status else None,
        secret_is_shown=False,
    )
    return _webhook(actor, str(webhook.pk))


def delete(actor: Actor, fields: Fields) -> dict[str, Any]:
    webhooks.delete(actor, found(actor, fields.required("id"), Format.DATABRICKS).pk)
    return {}


def test(actor: Actor, fields: Fields) -> dict[str, Any]:
    """What the receiver answered; where it could not be reached, 0 and why in place of its words."""
    webhook = found(actor, fields.required("id"), Format.DATABRICKS)
    tried = tested(actor, webhook, fields.text("event"))
    status = tried.status or 0
    return {"status_code": status, "status": status, "body": tried.answer if tried.status else tried.error}


def _webhook(actor: Actor, webhook_id: str) -> dict[str, Any]:
    return {"webhook": _encoded(found(actor, webhook_id, Format.DATABRICKS))}


def _encoded(webhook: Webhook) -> dict[str, Any]:
    """`signed` and what follows are ours. Neither the secret nor the header comes back."""
    status = Status(Disabled(webhook.disabled_because)) if webhook.disabled_because in _OFF else Status.DISABLED
    return {
        "id": str(webhook.pk),
        **({"model_name": webhook.model.name} if webhook.model else {}),
        "events": webhook.heard,
        "description": webhook.description,
        "status": Status.ACTIVE.name if webhook.active else status.name,
        "http_url_spec": {"url": webhook.url, "enable_ssl_verification": True},
        "creation_timestamp": millis(webhook.created_at),
        "last_updated_timestamp": millis(webhook.created_at if webhook.revision == 1 else webhook.updated_at),
        "signed": bool(webhook.secret),
        "authorized": bool(webhook.authorization),
        "page": settings.VOUCH_URL + webhook.page,
    }


_OFF = frozenset(status.value for status in Status)


def _status(fields: Fields) -> Status | None:
    status = fields.choice("status", _STATUS)
    if status is None and fields.values.get("status") is not None:
        raise UnknownStatus(value=fields.values["status"])
    return status


def _spec(fields: Fields) -> Fields | None:
    """Where to; None when it is absent."""
    if fields.values.get("job_spec") is not None:
        raise NoJobs
    if fields.values.get("http_url_spec") is None:
        return None
    spec = fields.inner("http_url_spec")
    verified = "enable_ssl_verification"
    if spec.values.get(verified) is not None and not spec.flag(verified):
        raise AlwaysVerified
    return spec


def _refuse_unknown(names: list[str]) -> None:
    known = asked_for(Format.DATABRICKS)
    for place, name in enumerate(names):
        if name not in known:
            raise UnknownEvent(field=f"events[{place}]", value=name, format=Format.DATABRICKS, known=", ".join(known))
