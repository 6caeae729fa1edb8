"""The formats, and what each can tell."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from accounts.verbs import Verb
from registry.formats import cloudevents, databricks, mlflow, slack, vouch
from registry.formats.message import Kind, Message, Sending
from registry.formats.told import Told
from registry.lifecycle import Stage


class Format(StrEnum):
    VOUCH = "vouch"
    CLOUDEVENTS = "cloudevents"
    MLFLOW = "mlflow"
    DATABRICKS = "databricks"
    SLACK = "slack"


@dataclass(frozen=True)
class _Form:
    tells: frozenset[Verb]
    expresses: Callable[[Told], bool]
    written: Callable[[Told, Sending], Message]
    # By what names clients of its wire ask for events, and by which of them an event goes.
    asked: Mapping[str, Kind] = field(default_factory=dict)
    names: Callable[[Told], Sequence[str]] = lambda told: ()


_FORMS: Mapping[Format, _Form] = {
    Format.VOUCH: _Form(vouch.TELLS, vouch.expresses, vouch.written),
    Format.CLOUDEVENTS: _Form(cloudevents.TELLS, cloudevents.expresses, cloudevents.written),
    Format.MLFLOW: _Form(mlflow.TELLS, mlflow.expresses, mlflow.written, mlflow.NAMES, mlflow.names),
    Format.DATABRICKS: _Form(
        databricks.TELLS, databricks.expresses, databricks.written, databricks.NAMES, databricks.names
    ),
    Format.SLACK: _Form(slack.TELLS, slack.expresses, slack.written),
}


def tells(form: Format) -> frozenset[Verb]:
    """The kinds of event that a format has words for."""
    return _FORMS[form].tells


def example_of(form: Format) -> Verb:
    """One event that a format has words for, a move if it has: to name in a message."""
    return max(tells(form), key=lambda verb: (verb == Verb.VERSION_TRANSITIONED, verb))


def expresses(form: Format, told: Told) -> bool:
    """Whether a format has words for this very event."""
    return _FORMS[form].expresses(told)


def asked_for(form: Format) -> Mapping[str, Kind]:
    """What stands behind each name by which clients of a format's wire ask for events; none where it has no wire."""
    return _FORMS[form].asked


def verbs_behind(form: Format, names: Sequence[str]) -> list[Verb]:
    """The kinds of event that such names stand for, each once."""
    verbs = (asked_for(form)[name].verb for name in names)
    return [verb for verb in dict.fromkeys(verbs) if verb]


def names_of(form: Format, verbs: Sequence[str], targets: Sequence[str]) -> list[str]:
    """By what names a client would ask for what a webhook is told by its verbs and targets (none: all)."""
    return [
        name
        for name, kind in asked_for(form).items()
        if kind.verb and (not verbs or kind.verb in verbs) and _narrowed(kind, targets)
    ]


def _narrowed(kind: Kind, targets: Sequence[str]) -> bool:
    if kind.verb not in _TO_A_STAGE:
        return True
    return kind.stage in targets if kind.stage else not targets or Stage.NONE in targets


_TO_A_STAGE = frozenset({Verb.VERSION_TRANSITIONED, Verb.PROMOTION_REQUESTED})


def goes_by(form: Format, told: Told, names: Sequence[str]) -> bool:
    """Whether an event that the format has words for goes by one of these names."""
    return not set(names).isdisjoint(_FORMS[form].names(told))


def written(
    form: Format,
    told: Told,
    *,
    delivery_id: str,
    at: datetime.datetime,
    secrets: Sequence[str] = (),
    webhook_id: str = "",
    stages: Sequence[str] = (),
    events: Sequence[str] = (),
) -> Message:
    """What an attempt of `at` (aware) to deliver the event sends; ValueError for what the format does not express.

    `secrets` are the live ones, newest first: of `whsec_` and base64 for `vouch` and `cloudevents`, which sign with
    each; any text for `mlflow` and `databricks`, which sign with the newest; `slack` signs nothing. `webhook_id`, the
    `stages` that the webhook is narrowed to and the `events` it asked for by name show in the bodies of `databricks`
    only.
    """
    if not expresses(form, told):
        raise ValueError(f"{form} has no words for this {told.verb}")
    return _FORMS[form].written(told, Sending(delivery_id, webhook_id, at, secrets, stages, events))
