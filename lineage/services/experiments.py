"""Experiments: made once by name; every workspace has a default one."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.actor import Actor
from accounts.permissions import require
from accounts.roles import Action
from core import text
from core.errors import Conflict, NotFound
from lineage.models import Experiment, ExperimentTag
from lineage.services import repeats

DEFAULT_NAME = "Default"
NAME_LIMIT = 500
TAG_VALUE_LIMIT = 20_000


class ExperimentExists(Conflict):
    """Experiment(name={name}) already exists, perhaps deleted: choose another name, or restore it."""

    field = "name"


class ExperimentNameTaken(Conflict):
    """An experiment named {name!r} exists already, perhaps deleted: choose another name."""

    field = "new_name"


class ExperimentDeleted(Conflict):
    """The experiment {name!r} must be in the 'active' state: it is deleted. Restore it first, or use another one."""


class NoLivingExperiment(NotFound):
    """No Experiment with id={experiment} exists that is not deleted."""


class NoDeletedExperiment(NotFound):
    """No Experiment with id={experiment} exists that is deleted."""


class NoExperimentOfThatName(NotFound):
    """Could not find experiment with name '{name}'"""


class NoExperimentTag(NotFound):
    """No tag with name: {key} in experiment with id {experiment}"""


def default(actor: Actor) -> Experiment:
    """The workspace's default experiment, made on first use."""
    require(actor, Action.READ)
    ours = {"workspace_id": actor.workspace_id, "is_default": True}
    found = Experiment.objects.filter(**ours).first()
    return found or Experiment.objects.get_or_create(**ours, defaults={"name": DEFAULT_NAME})[0]


def create(actor: Actor, *, name: str, tags: Mapping[str, str], artifact_location: str = "") -> Experiment:
    """A new experiment; raises ExperimentExists, also when the one of that name is deleted."""
    experiment, created = _create(actor, name, tags, artifact_location, "")
    if not created:
        raise ExperimentExists(name=name)
    return experiment


def create_once(
    actor: Actor, *, name: str, tags: Mapping[str, str], artifact_location: str = ""
) -> tuple[Experiment, bool]:
    """`create` for a client that may be repeating itself: the experiment, and whether an earlier request made it."""
    request = repeats.fingerprint(actor, "experiment", name=name, tags=dict(tags), location=artifact_location)
    experiment, created = _create(actor, name, tags, artifact_location, request)
    if not created and not (request and experiment == repeats.earlier(Experiment.objects.all(), request)):
        raise ExperimentExists(name=name)
    return experiment, not created


@transaction.atomic
def _create(
    actor: Actor, name: str, tags: Mapping[str, str], artifact_location: str, fingerprint: str
) -> tuple[Experiment, bool]:
    require(actor, Action.LOG_RUN)
    text.free_text("name", name, limit=NAME_LIMIT, lines=False, empty=False)
    default(actor)  # so that its name is taken before anybody can take it
    location = text.free_text("artifact_location", artifact_location, limit=1000, lines=False)
    experiment, created = Experiment.objects.get_or_create(
        workspace_id=actor.workspace_id,
        name=name,
        defaults={"artifact_location": location, "fingerprint": fingerprint},
    )
    if created:
        _write_tags(experiment, tags)
    return experiment, created


def find_by_name(actor: Actor, name: str) -> Experiment:
    """The experiment of this name, also a deleted one; NoExperimentOfThatName."""
    if name == DEFAULT_NAME:
        default(actor)
    experiment = Experiment.objects.visible_to(actor).filter(name=text.searchable(name)).first()
    if experiment is None:
        raise NoExperimentOfThatName(name=name)
    return experiment


@transaction.atomic
def rename(actor: Actor, experiment: Experiment, name: str) -> None:
    """Give it another name. Raises ExperimentDeleted, ExperimentNameTaken."""
    experiment = _living(actor, experiment)
    text.free_text("new_name", name, limit=NAME_LIMIT, lines=False, empty=False)
    namesakes = Experiment.objects.filter(workspace_id=actor.workspace_id, name=name).exclude(pk=experiment.pk)
    if namesakes.exists():
        raise ExperimentNameTaken(name=name)
    experiment.name = name
    try:
        with transaction.atomic():
            experiment.save(update_fields=["name", "updated_at"])
    except IntegrityError:  # somebody else took it just now
        raise ExperimentNameTaken(name=name) from None


@transaction.atomic
def delete(actor: Actor, experiment: Experiment) -> None:
    """Hide an experiment and all of its runs; its name stays taken. NoLivingExperiment."""
    experiment = _locked(actor, experiment)
    if experiment.deleted_at:
        raise NoLivingExperiment(experiment=experiment.pk)
    experiment.deleted_at = timezone.now()
    experiment.save(update_fields=["deleted_at", "updated_at"])


@transaction.atomic
def restore(actor: Actor, experiment: Experiment) -> None:
    """Bring back an experiment, with the runs that were not deleted on their own. NoDeletedExperiment."""
    experiment = _locked(actor, experiment)
    if not experiment.deleted_at:
        raise NoDeletedExperiment(experiment=experiment.pk)
    experiment.deleted_at = None
    experiment.save(update_fields=["deleted_at", "updated_at"])


@transaction.atomic
def tag(actor: Actor, experiment: Experiment, key: str, value: str) -> None:
    """Set a tag. Raises ExperimentDeleted."""
    _write_tags(_living(actor, experiment), {key: value})


@transaction.atomic
def untag(actor: Actor, experiment: Experiment, key: str) -> None:
    """Take a tag away. Raises ExperimentDeleted, NoExperimentTag."""
    if not _living(actor, experiment).tags.filter(key=text.searchable(key)).delete()[0]:
        raise NoExperimentTag(key=key, experiment=experiment.pk)


def _living(actor: Actor, experiment: Experiment) -> Experiment:
    experiment = _locked(actor, experiment)
    if experiment.deleted_at:
        raise ExperimentDeleted(name=experiment.name)
    return experiment


def _locked(actor: Actor, experiment: Experiment) -> Experiment:
    """The experiment, locked for this transaction, which the actor may change."""
    require(actor, Action.LOG_RUN)
    experiment = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
    repeats.settle(experiment)
    return experiment


def _write_tags(experiment: Experiment, tags: Mapping[str, str]) -> None:
    rows = [
        ExperimentTag(
            experiment=experiment,
            key=text.key("key", key),
            value=text.free_text("value", value, limit=TAG_VALUE_LIMIT),
        )
        for key, value in tags.items()
    ]
    ExperimentTag.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["experiment", "key"], update_fields=["value"]
    )
