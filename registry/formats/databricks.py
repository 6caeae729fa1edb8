"""The webhooks of Databricks' model registry: its bodies and its signature, and ours beside them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

from accounts.verbs import Verb
from registry.formats.message import JSON, Kind, Message, Sending, as_bytes, identity_headers
from registry.formats.told import Told, payload
from registry.formats.words import for_slack
from registry.lifecycle import Stage

_HAVE_A_NAME = (Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED)
_MOVED, _ASKED = "MODEL_VERSION_TRANSITIONED_{}", "TRANSITION_REQUEST_{}CREATED"

# By these clients ask.
NAMES: Mapping[str, Kind] = {
    "REGISTERED_MODEL_CREATED": Kind(Verb.MODEL_CREATED),
    "MODEL_VERSION_CREATED": Kind(Verb.VERSION_REGISTERED),
    "MODEL_VERSION_TAG_SET": Kind(Verb.VERSION_TAGGED),
    "COMMENT_CREATED": Kind(Verb.COMMENT_CREATED),
    _MOVED.format("STAGE"): Kind(Verb.VERSION_TRANSITIONED),
    **{_MOVED.format(f"TO_{stage.upper()}"): Kind(Verb.VERSION_TRANSITIONED, stage) for stage in _HAVE_A_NAME},
    _ASKED.format(""): Kind(Verb.PROMOTION_REQUESTED),
    **{_ASKED.format(f"TO_{stage.upper()}_"): Kind(Verb.PROMOTION_REQUESTED, stage) for stage in _HAVE_A_NAME},
}


def expresses(told: Told) -> bool:
    """A promotion to an alias and the removal of a tag are not known there."""
    if told.verb == Verb.PROMOTION_REQUESTED:
        return "stage" in told.data
    return told.verb in TELLS and (told.verb != Verb.VERSION_TAGGED or told.data.get("value") is not None)


def written(told: Told, sending: Sending) -> Message:
    ours = payload(told)
    del ours["model"], ours["timestamp"]
    body = as_bytes(
        {
            **ours,
            "delivery_id": sending.delivery_id,
            "event": event_name(told, sending),
            "webhook_id": sending.webhook_id,
            "event_timestamp": int(told.at.timestamp() * 1000),
            "model_name": told.model,
            **_EVENTS[told.verb](told),
        }
    )
    headers = {"content-type": JSON, **identity_headers(sending)}
    if secret := sending.newest_secret:  # it knows one signature
        headers["X-Databricks-Signature"] = hmac.digest(secret.encode(), body, hashlib.sha256).hex()
    return Message(headers, body)


def names(told: Told) -> tuple[str, ...]:
    """By which of its names an event goes, the narrowest first."""
    stage = told.data.get("stage")
    fitting = [name for name, kind in NAMES.items() if kind.verb == told.verb and kind.stage in ("", stage)]
    return tuple(sorted(fitting, key=lambda name: not NAMES[name].stage))


def event_name(told: Told, sending: Sending) -> str:
    """What the event is called for a webhook: as it asked for it, or narrowly if it is narrowed to stages."""
    narrowest, *_ = known = names(told)
    if asked := [name for name in known if name in sending.events]:
        return asked[0]
    return narrowest if sending.stages and not sending.events else known[-1]


# --- Its events -------------------------------------------------------------------------------------------------------
# The texts of transitions, tags and comments are those that Databricks documents; for the others it shows none. A text
# is there to be posted to Slack as it is, so what users named is made harmless in it; beside it they have it as it is.


def _model_created(told: Told) -> dict[str, Any]:
    return {"text": f"{for_slack(told.actor)} created registered model '{for_slack(told.model)}'."}


def _version_registered(told: Told) -> dict[str, Any]:
    return {**_version(told), "text": f"{for_slack(told.actor)} created {_named(told)}."}


def _transitioned(told: Told) -> dict[str, Any]:
    stages = _stages(told)
    words = f"transitioned from {for_slack(stages['from_stage'])} to {for_slack(stages['to_stage'])}."
    return {**_version(told), **stages, "text": f"R{_named(told)[1:]} {words}"}


def _requested(told: Told) -> dict[str, Any]:
    stages = _stages(told)
    words = f"requested a transition of {_named(told)} to {for_slack(stages['to_stage'])}."
    return {**_version(told), **stages, "text": f"{for_slack(told.actor)} {words}"}


def _commented(told: Told) -> dict[str, Any]:
    text = f"{for_slack(told.actor)} commented on {_named(told)}."
    return {**_version(told), "comment": told.data.get("text", ""), "text": text}


def _tagged(told: Told) -> dict[str, Any]:
    key, value = told.data.get("key"), told.data.get("value")
    words = f"set version tag(s) '{for_slack(key)}' => '{for_slack(value)}' for {_named(told)}."
    tags = [{"key": key, "value": value}]
    return {**_version(told), "tags": tags, "text": f"{for_slack(told.actor)} {words}"}


def _version(told: Told) -> dict[str, str]:
    return {"version": str(told.data.get("version", ""))}


def _stages(told: Told) -> dict[str, Any]:
    return {"from_stage": told.data.get("from_stage") or Stage.NONE, "to_stage": told.data.get("stage")}


def _named(told: Told) -> str:
    return f"registered model '{for_slack(told.model)}' version {for_slack(told.data.get('version', ''))}"


_EVENTS: Mapping[Verb, Callable[[Told], dict[str, Any]]] = {
    Verb.MODEL_CREATED: _model_created,
    Verb.VERSION_REGISTERED: _version_registered,
    Verb.VERSION_TRANSITIONED: _transitioned,
    Verb.PROMOTION_REQUESTED: _requested,
    Verb.COMMENT_CREATED: _commented,
    Verb.VERSION_TAGGED: _tagged,
}
TELLS = frozenset(_EVENTS)
