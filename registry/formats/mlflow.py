"""The webhooks of MLflow 3.17: only what MLflow has an event for, and not one header more."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

from accounts.verbs import Verb
from registry.formats.message import JSON, Message, Sending, as_bytes
from registry.formats.told import Told


def expresses(told: Told) -> bool:
    return told.verb in TELLS


def written(told: Told, sending: Sending) -> Message:
    entity, action, data = _EVENTS[told.verb](told)
    body = as_bytes(
        {
            "entity": entity,
            "action": action,
            "timestamp": told.at.astimezone(datetime.UTC).isoformat(),
            "data": {"name": told.model, **data},
            "workspace": told.workspace,
        }
    )
    headers = {
        "Content-Type": JSON,
        "X-MLflow-Delivery-Id": sending.delivery_id,
        "X-MLflow-Timestamp": sending.timestamp,
    }
    # It knows one signature: whoever changes the secret changes it here and there at once.
    if secret := sending.newest_secret:
        signed = f"{sending.delivery_id}.{sending.timestamp}.".encode() + body
        signature = base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256)).decode()
        headers["X-MLflow-Signature"] = f"v1,{signature}"
    return Message(headers, body)


# --- Its events -------------------------------------------------------------------------------------------------------


def _model_created(told: Told) -> tuple[str, str, dict[str, Any]]:
    tags, description = told.data.get("tags") or {}, told.data.get("description") or ""
    return "registered_model", "created", {"tags": tags, "description": description}


def _version_registered(told: Told) -> tuple[str, str, dict[str, Any]]:
    data = {
        "version": _version(told),
        "source": told.data.get("source"),
        "run_id": told.data.get("run") or None,
        "tags": told.data.get("tags") or {},
        "description": told.data.get("description") or None,
    }
    return "model_version", "created", data


def _version_tagged(told: Told) -> tuple[str, str, dict[str, Any]]:
    data = {"version": _version(told), "key": told.data.get("key")}
    value = told.data.get("value")
    if value is None:
        return "model_version_tag", "deleted", data
    return "model_version_tag", "set", {**data, "value": value}


def _alias_set(told: Told) -> tuple[str, str, dict[str, Any]]:
    return "model_version_alias", "created", {"alias": told.data.get("alias"), "version": _version(told)}


def _alias_removed(told: Told) -> tuple[str, str, dict[str, Any]]:
    return "model_version_alias", "deleted", {"alias": told.data.get("alias")}


def _version(told: Told) -> str:
    return str(told.data.get("version", ""))


_EVENTS: Mapping[Verb, Callable[[Told], tuple[str, str, dict[str, Any]]]] = {
    Verb.MODEL_CREATED: _model_created,
    Verb.VERSION_REGISTERED: _version_registered,
    Verb.VERSION_TAGGED: _version_tagged,
    Verb.ALIAS_SET: _alias_set,
    Verb.ALIAS_REMOVED: _alias_removed,
}
TELLS = frozenset(_EVENTS)
