"""Experiments: made once by name; every workspace has a default one."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from accounts.actor import Actor
from accounts.permissions import require
from accounts.roles import Action
from core import text
from core.errors import Conflict, NotFound
from lineage.models import Experiment, ExperimentTag

DEFAULT_NAME = "Default"
TAG_VALUE_LIMIT = 20_000


class ExperimentExists(Conflict):
    """An experiment named {name!r} exists already, perhaps deleted: choose another name, or restore it."""

    field = "name"


class ExperimentDeleted(Conflict):
    """The experiment {name!r} is deleted: restore it first, or use another one."""


class NoExperimentOfThatName(NotFound):
    """Could not find experiment with name {name!r}."""


@transaction.atomic
def default(actor: Actor) -> Experiment:
    """The workspace's default experiment, made on first use."""
    require(actor, Action.READ)
    return Experiment.objects.get_or_create(
        workspace_id=actor.workspace_id, is_default=True, defaults={"name": DEFAULT_NAME}
    )[0]


@transaction.atomic
def create(actor: Actor, *, name: str, tags: Mapping[str, str], artifact_location: str = "") -> Experiment:
    """A new experiment; raises ExperimentExists, also when the one of that name is deleted."""
    require(actor, Action.LOG_RUN)
    text.free_text("name", name, limit=500, lines=False, empty=False)
    default(actor)  # so that its name is taken before anybody can take it
    location = text.free_text("artifact_location", artifact_location, limit=1000, lines=False)
    experiment, created = Experiment.objects.get_or_create(
        workspace_id=actor.workspace_id, name=name, defaults={"artifact_location": location}
    )
    if not created:
        raise ExperimentExists(name=name)
    ExperimentTag.objects.bulk_create(
        ExperimentTag(
            experiment=experiment,
            key=text.key("tags.key", key),
            value=text.free_text("tags.value", value, limit=TAG_VALUE_LIMIT),
        )
        for key, value in tags.items()
    )
    return experiment


def find_by_name(actor: Actor, name: str) -> Experiment:
    """The experiment of this name, also a deleted one; NoExperimentOfThatName."""
    if name == DEFAULT_NAME:
        return default(actor)
    experiment = Experiment.objects.visible_to(actor).filter(name=text.searchable(name)).first()
    if experiment is None:
        raise NoExperimentOfThatName(name=name)
    return experiment
