"""The formats, and what each can tell."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from accounts.verbs import Verb
from registry.formats import cloudevents, databricks, mlflow, slack, vouch
from registry.formats.message import Message, Sending
from registry.formats.told import Told


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


_FORMS: Mapping[Format, _Form] = {
    Format.VOUCH: _Form(vouch.TELLS, vouch.expresses, vouch.written),
    Format.CLOUDEVENTS: _Form(cloudevents.TELLS, cloudevents.expresses, cloudevents.written),
    Format.MLFLOW: _Form(mlflow.TELLS, mlflow.expresses, mlflow.written),
    Format.DATABRICKS: _Form(databricks.TELLS, databricks.expresses, databricks.written),
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


def written(
    form: Format,
    told: Told,
    *,
    delivery_id: str,
    at: datetime.datetime,
    secrets: Sequence[str] = (),
    webhook_id: str = "",
    stages: Sequence[str] = (),
) -> Message:
    """What an attempt of `at` (aware) to deliver the event sends; ValueError for what the format does not express.

    `secrets` are the live ones, newest first: of `whsec_` and base64 for `vouch` and `cloudevents`, which sign with
    each; any text for `mlflow` and `databricks`, which sign with the newest; `slack` signs nothing. `webhook_id` and
    the `stages` that the webhook is narrowed to show in the bodies of `databricks` only.
    """
    if not expresses(form, told):
        raise ValueError(f"{form} has no words for this {told.verb}")
    return _FORMS[form].written(told, Sending(delivery_id, webhook_id, at, secrets, stages))
