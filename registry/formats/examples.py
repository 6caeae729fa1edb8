"""What a test call sends: an event that its format knows, of a model that is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from accounts.verbs import Verb
from registry.formats.message import Kind
from registry.formats.table import Format, asked_for, expresses, goes_by
from registry.formats.told import Told
from registry.lifecycle import Stage

_WORDS = "A test call: nothing was registered."
_EXAMPLES: Mapping[Verb, Mapping[str, Any]] = {
    Verb.MODEL_CREATED: {"description": _WORDS, "tags": {}},
    Verb.VERSION_REGISTERED: {"version": 1, "source": "models:/example/1", "description": _WORDS, "tags": {}},
    Verb.VERSION_TAGGED: {"version": 1, "key": "example_key", "value": "example_value"},
    Verb.ALIAS_SET: {"version": 1, "alias": "example_alias", "previous": []},
    Verb.ALIAS_REMOVED: {"alias": "example_alias"},
    Verb.VERSION_TRANSITIONED: {"version": 1, "from_stage": Stage.NONE, "stage": Stage.PRODUCTION, "previous": []},
    Verb.PROMOTION_REQUESTED: {"version": 1, "from_stage": Stage.NONE, "stage": Stage.PRODUCTION},
    Verb.COMMENT_CREATED: {"version": 1, "text": "A test call: nobody said this."},
}


def tested(form: Format, told: Told) -> Told:
    """What the test `told` sends: the event that it names in the words of a wire, if it names one.

    Else the event `webhook.tested` itself, or for the formats that do not know it a version that was registered.
    """
    name = told.data.get("event")
    if name in asked_for(form):
        return _named(form, told, str(name))
    return told if expresses(form, told) else _example(told, Verb.VERSION_REGISTERED)


def _named(form: Format, told: Told, name: str) -> Told:
    """An event that goes by this name; ValueError when there is none here."""
    kind = asked_for(form)[name]
    if kind.verb is None:
        raise ValueError(f"{name} does not happen here")
    tries = (_example(told, kind.verb, **more) for more in _variants(kind))
    return next(example for example in tries if goes_by(form, example, [name]))


def _variants(kind: Kind) -> list[dict[str, Any]]:
    """What tells those apart that are the same verb: the stage, a tag that is gone, what is a prompt for MLflow."""
    if kind.stage:
        return [{"stage": kind.stage}]
    return [{}, {"value": None}, {"tags": {"mlflow.prompt.is_prompt": "true", "mlflow.prompt.text": "A test call."}}]


def _example(told: Told, verb: Verb, **more: Any) -> Told:
    data = {"model": "example", **_EXAMPLES[verb], **more}
    subject = f"example v{data['version']}" if "version" in data else "model example"
    return replace(told, verb=verb, model="example", subject=subject, data=data)
