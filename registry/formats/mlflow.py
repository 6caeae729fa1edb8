"""The webhooks of MLflow 3.17: only what MLflow has an event for, and not one header more."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

from accounts.verbs import Verb
from registry.formats.message import JSON, Kind, Message, Sending, as_bytes
from registry.formats.told import Told

# By these, `entity.action`, clients ask. Prompts are models with a tag, which only the events of their making show;
# budgets there are none.
NAMES: Mapping[str, Kind] = {
    "registered_model.created": Kind(Verb.MODEL_CREATED),
    "model_version.created": Kind(Verb.VERSION_REGISTERED),
    "model_version_tag.set": Kind(Verb.VERSION_TAGGED),
    "model_version_tag.deleted": Kind(Verb.VERSION_TAGGED),
    "model_version_alias.created": Kind(Verb.ALIAS_SET),
    "model_version_alias.deleted": Kind(Verb.ALIAS_REMOVED),
    "prompt.created": Kind(Verb.MODEL_CREATED),
    "prompt_version.created": Kind(Verb.VERSION_REGISTERED),
    "prompt_tag.set": Kind(None),
    "prompt_tag.deleted": Kind(None),
    "prompt_version_tag.set": Kind(None),
    "prompt_version_tag.deleted": Kind(None),
    "prompt_alias.created": Kind(None),
    "prompt_alias.deleted": Kind(None),
    "budget_policy.exceeded": Kind(None),
}
_IS_PROMPT, _PROMPT_TEXT = "mlflow.prompt.is_prompt", "mlflow.prompt.text"
_OF_PROMPTS = frozenset({_IS_PROMPT, _PROMPT_TEXT, "_mlflow_prompt_type"})  # the client's own tags


def expresses(told: Told) -> bool:
    return told.verb in TELLS


def names(told: Told) -> tuple[str, ...]:
    """By which of its names an event goes."""
    entity, action, _ = _EVENTS[told.verb](told)
    return (f"{entity}.{action}",)


def written(told: Told, sending: Sending) -> Message:
    entity, action, data = _EVENTS[told.verb](told)
    body = as_bytes(
        {
            "entity": entity,
            "action": action,
            "timestamp": told.at.astimezone(datetime.UTC).isoformat(),
            "data": {"name": told.model, **data},
            **({"workspace": told.workspace} if told.workspace else {}),
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
    tags, description = _tags(told), told.data.get("description") or ""
    if _is_prompt(tags):
        return "prompt", "created", {"tags": _own(tags), "description": description}
    return "registered_model", "created", {"tags": tags, "description": description}


def _version_registered(told: Told) -> tuple[str, str, dict[str, Any]]:
    tags, description = _tags(told), told.data.get("description") or None
    if _is_prompt(tags):
        template = tags.get(_PROMPT_TEXT)
        data = {"version": _version(told), "template": template, "tags": _own(tags), "description": description}
        return "prompt_version", "created", data
    data = {
        "version": _version(told),
        "source": told.data.get("source"),
        "run_id": told.data.get("run") or None,
        "tags": tags,
        "description": description,
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


def _tags(told: Told) -> dict[str, Any]:
    return told.data.get("tags") or {}


def _is_prompt(tags: Mapping[str, Any]) -> bool:
    return str(tags.get(_IS_PROMPT, "")).lower() == "true"


def _own(tags: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tags.items() if key not in _OF_PROMPTS}


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
