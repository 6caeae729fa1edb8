"""The form of a webhook: what it offers, what was typed into it, and at which field a refusal shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from django.http import QueryDict

from accounts.actor import Actor
from accounts.roles import Action
from accounts.verbs import Verb
from core.errors import Invalid, Refusal
from registry.delivery_log import manageable_models
from registry.errors import ModelNotFound
from registry.formats import Format, tells
from registry.lifecycle import Stage
from registry.models import Webhook
from registry.policy import ALIAS_MARK, Scope

FORMATS = (
    (Format.VOUCH, "Vouch", "for what you write yourself; signed as Standard Webhooks are"),
    (Format.CLOUDEVENTS, "CloudEvents", "for event brokers, such as Knative or Argo Events"),
    (Format.SLACK, "Slack", "a sentence for Slack, Mattermost, Rocket.Chat or Google Chat; not signed"),
    (Format.MLFLOW, "MLflow", "for receivers of MLflow’s webhooks; it has words for few events"),
    (Format.DATABRICKS, "Databricks", "for receivers of Databricks’ model registry; it has words for few events"),
)
_GROUPS = {
    "version": "Versions",
    "promotion": "Promotions",
    "alias": "Aliases",
    "model": "Models",
    "comment": "Comments",
    "check": "Checks",
    "policy": "Policies",
    "token": "Accounts",
    "grant": "Accounts",
    "user": "Accounts",
    "team": "Accounts",
    "workspace": "Accounts",
    "audit": "Accounts",
    "webhook": "Webhooks",
}
_NARROW = (Format.MLFLOW, Format.DATABRICKS)  # the others tell everything


class NothingNamed(Invalid):
    """Nothing is written here: write {what}, or choose all models."""


class NoEvents(Invalid):
    """No event is ticked: tick those that it should hear, or choose every event."""

    field = "verbs"


@dataclass(frozen=True)
class Event:
    """An event that one can tick, and which of the formats that know few events tell it."""

    verb: Verb
    told_by: tuple[Format, ...]


@dataclass(frozen=True)
class Typed:
    """What is in the fields."""

    url: str = ""
    name: str = ""
    description: str = ""
    format: str = Format.VOUCH
    about: str = "all"  # or pattern, or model
    pattern: str = ""
    model: str = ""
    events: str = "all"  # or some
    verbs: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    aliases: str = ""
    owner: str = ""
    revision: str = ""

    @classmethod
    def of(cls, webhook: Webhook) -> Typed:
        """A webhook as it is."""
        return cls(
            url=webhook.url,
            name=webhook.name,
            description=webhook.description,
            format=webhook.format,
            events="some" if webhook.verbs else "all",
            verbs=tuple(webhook.verbs),
            stages=tuple(target for target in webhook.targets if not target.startswith(ALIAS_MARK)),
            aliases=" ".join(target for target in webhook.targets if target.startswith(ALIAS_MARK)),
            owner=webhook.owner.username if webhook.owner else "",
            revision=str(webhook.revision),
        )

    @classmethod
    def posted(cls, sent: QueryDict) -> Typed:
        """What somebody sent."""
        plain = ("url", "name", "description", "about", "pattern", "model", "events", "aliases", "owner", "revision")
        words: dict[str, Any] = {name: sent.get(name, "").strip().replace("\r\n", "\n") for name in plain}
        form = sent.get("format", Format.VOUCH)
        return cls(format=form, verbs=tuple(sent.getlist("verbs")), stages=tuple(sent.getlist("stages")), **words)

    @property
    def scope(self) -> Scope:
        """Which models it is for; NothingNamed."""
        if self.about == "pattern":
            if not self.pattern:
                raise NothingNamed(field="pattern", what="a pattern, such as churn-*")
            return Scope(pattern=self.pattern)
        if self.about == "model":
            if not self.model:
                raise NothingNamed(field="model", what="the name of the model")
            return Scope(model=self.model)
        return Scope()

    @property
    def heard(self) -> list[str]:
        """The events that were chosen, none for every one; NoEvents."""
        if self.events != "some":
            return []
        if not self.verbs:
            raise NoEvents
        return list(self.verbs)

    @property
    def targets(self) -> list[str]:
        """Stages, then aliases, which may be typed with their '@' or without, between spaces or commas."""
        typed = self.aliases.replace(",", " ").split()
        return [*self.stages, *(f"{ALIAS_MARK}{alias.removeprefix(ALIAS_MARK)}" for alias in typed)]

    @property
    def expected(self) -> int | None:
        """The revision that the form was filled from."""
        digits = self.revision if self.revision.isascii() and self.revision.isdecimal() else ""
        return int(digits) if digits and len(digits) < 10 else None


@dataclass(frozen=True)
class Form:
    """The form as it is shown."""

    typed: Typed
    webhook: Webhook | None = None  # that is edited
    refusal: Refusal | None = None
    anywhere: bool = True  # its owner may have it hear of any model, not only of `models`
    models: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> str:
        """The field at fault, as the template calls it; empty when it is none of them."""
        if self.refusal is None:
            return ""
        if isinstance(self.refusal, ModelNotFound):
            return "model"
        return (self.refusal.at_field or "").partition("[")[0].replace("If-Match", "")

    @property
    def formats(self) -> tuple[tuple[Format, str, str], ...]:
        return FORMATS

    @property
    def stages(self) -> list[str]:
        return list(Stage)

    @property
    def groups(self) -> dict[str, list[Event]]:
        """The events to tick: all, or for a webhook that exists those that its format tells."""
        found: dict[str, list[Event]] = {title: [] for title in _GROUPS.values()}
        for event in _events(Format(self.webhook.format) if self.webhook else Format.VOUCH):
            found[_GROUPS[event.verb.partition(".")[0]]].append(event)
        return {title: events for title, events in found.items() if events}


def form_of(actor: Actor, typed: Typed, **more: Any) -> Form:
    """The form for somebody: who manages single models only is offered those. One query for him, else none."""
    if actor.may(Action.EDIT_WEBHOOK):
        return Form(typed, **more)
    return Form(replace(typed, about="model"), anywhere=False, models=manageable_models(actor), **more)


def _events(form: Format) -> Iterator[Event]:
    for verb in Verb:
        if verb != Verb.WEBHOOK_TESTED and verb in tells(form):
            yield Event(verb, tuple(narrow for narrow in _NARROW if verb in tells(narrow)))
