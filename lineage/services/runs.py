"""Runs: begun, changed, deleted and restored, and what they log."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence

from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor
from accounts.permissions import require
from accounts.roles import Action
from core import text
from core.errors import Invalid, NotFound
from lineage.errors import RunDeleted
from lineage.models import Experiment, Param, Run, RunStatus, RunTag
from lineage.queries import find_run
from lineage.services import repeats
from lineage.services.experiments import ExperimentDeleted
from lineage.services.metrics import KEY_LIMIT, Point, whole, write_metrics

PARAM_VALUE_LIMIT = 6000
TAG_VALUE_LIMIT = 8000
NAME_TAG = "mlflow.runName"  # the tag in which every client keeps the run's name
_ADJECTIVES = ("amber", "brisk", "calm", "deft", "early", "fair", "glad", "keen", "lucid", "merry", "quick", "sound")
_NOUNS = ("alder", "beacon", "cedar", "delta", "ember", "fjord", "grove", "harbor", "inlet", "larch", "meadow", "reef")


class ParamChanged(Invalid):
    """Changing param values is not allowed. Param with key={key!r} was already logged with value={old!r} for run
    {run}; the new value {new!r} was refused."""

    field = "value"


class ParamTwice(Invalid):
    """Duplicate parameter keys have been submitted: {key!r} is there with {old!r} and with {new!r}. Send one value for
    each parameter."""

    field = "params"


class RunNameConflict(Invalid):
    """The run's name {name!r} and its tag mlflow.runName {tag!r} differ: send one of them, or the same value."""

    field = "run_name"


class NoRunTag(NotFound):
    """No tag with name: {key} in run with id {run}"""


def create_once(
    actor: Actor,
    experiment: Experiment,
    *,
    name: str = "",
    user_name: str = "",
    started_ms: int | None = None,
    tags: Mapping[str, str],
) -> tuple[Run, bool]:
    """`create` for a client that may be repeating itself: the run, and whether an earlier request made it.

    A request that says no start time is never taken for a repetition: nothing in it tells one run from the next.
    """
    request = ""
    if started_ms is not None:
        request = repeats.fingerprint(
            actor,
            "run",
            experiment=experiment.pk,
            name=name,
            user=user_name,
            started=started_ms,
            tags=dict(tags),
            address=actor.address,  # workers on other machines may well begin in the same millisecond
        )
    if earlier := repeats.earlier(Run.objects.select_related("experiment"), request):
        return earlier, True
    made = create(
        actor,
        experiment,
        name=name,
        user_name=user_name,
        started_ms=started_ms,
        tags=tags,
        fingerprint=request,
    )
    return made, False


@transaction.atomic
def create(
    actor: Actor,
    experiment: Experiment,
    *,
    name: str = "",
    user_name: str = "",
    started_ms: int | None = None,
    tags: Mapping[str, str],
    fingerprint: str = "",
) -> Run:
    """Begin a run. Without a name, or a tag that holds one, it gets a random one.

    Raises ExperimentDeleted, RunNameConflict.
    """
    require(actor, Action.LOG_RUN)
    if experiment.deleted_at:
        raise ExperimentDeleted(name=experiment.name)
    tagged = tags.get(NAME_TAG, "")
    if name and tagged and name != tagged:
        raise RunNameConflict(name=name, tag=tagged)
    name = text.free_text("run_name", name or tagged or _random_name(), limit=250, lines=False)
    repeats.settle(experiment)
    run = Run.objects.create(
        experiment=experiment,
        name=name,
        user_name=text.free_text("user_id", user_name, limit=250, lines=False),
        started_ms=whole("start_time", int(time.time() * 1000) if started_ms is None else started_ms),
        created_by_id=actor.user_id,
        fingerprint=fingerprint,
    )
    _write_tags(run, {**tags, NAME_TAG: name})
    return run


@transaction.atomic
def update(
    actor: Actor, run_id: object, *, status: RunStatus | None = None, ended_ms: int | None = None, name: str = ""
) -> Run:
    """Change a run's status, end or name; what is not given stays."""
    run = locked(actor, run_id)
    if status is not None:
        run.status = status
    if ended_ms is not None:
        run.ended_ms = whole("end_time", ended_ms)
    if name:
        run.name = text.free_text("run_name", name, limit=250, lines=False)
        _write_tags(run, {NAME_TAG: name})
    run.save(update_fields=["status", "ended_ms", "name"])
    return run


@transaction.atomic
def delete(actor: Actor, run_id: object) -> None:
    """Hide a run; one that is hidden stays so."""
    run = locked(actor, run_id, deleted_too=True)
    if not run.deleted_at:
        run.deleted_at = timezone.now()
        run.save(update_fields=["deleted_at"])


@transaction.atomic
def restore(actor: Actor, run_id: object) -> None:
    """Bring back a run; one that is there stays so. Raises ExperimentDeleted: its experiment comes back first."""
    run = locked(actor, run_id, deleted_too=True)
    if run.experiment.deleted_at:
        raise ExperimentDeleted(name=run.experiment.name)
    run.deleted_at = None
    run.save(update_fields=["deleted_at"])


@transaction.atomic
def log(
    actor: Actor,
    run_id: object,
    *,
    metrics: Sequence[Point] = (),
    params: Sequence[tuple[str, str]] = (),
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log a batch: all of it or nothing. A parameter may be logged again with the same value only."""
    run = locked(actor, run_id)
    if params:
        _write_params(run, params)
    if tags:
        _write_tags(run, tags)
        if tags.get(NAME_TAG):
            run.name = text.free_text("run_name", tags[NAME_TAG], limit=250, lines=False)
            run.save(update_fields=["name"])
    if metrics:
        write_metrics(actor, run, metrics)


@transaction.atomic
def untag(actor: Actor, run_id: object, key: str) -> None:
    """Take a tag away; NoRunTag. The run keeps its name when the tag that holds it goes."""
    run = locked(actor, run_id)
    if not run.tags.filter(key=text.searchable(key)).delete()[0]:
        raise NoRunTag(key=key, run=run.pk.hex)


def locked(actor: Actor, run_id: object, *, deleted_too: bool = False) -> Run:
    """The run, locked for this transaction, which the actor may log to. Raises RunNotFound, RunDeleted."""
    run = find_run(actor, run_id)
    require(actor, Action.LOG_RUN)
    run = Run.objects.select_for_update(of=("self",), no_key=True).select_related("experiment").get(pk=run.pk)
    if run.is_deleted and not deleted_too:
        raise RunDeleted(run=run.pk.hex)
    repeats.settle(run)
    return run


def _write_params(run: Run, params: Sequence[tuple[str, str]]) -> None:
    wanted: dict[str, str] = {}
    for at, (key, value) in enumerate(params):
        text.key(f"params[{at}].key", key, limit=KEY_LIMIT)
        value = text.cut(f"params[{at}].value", value, limit=PARAM_VALUE_LIMIT)
        if wanted.setdefault(key, value) != value:
            raise ParamTwice(key=key, old=wanted[key], new=value)
    there = dict(run.params.filter(key__in=wanted).values_list("key", "value"))
    for key, old in there.items():
        if old != wanted[key]:
            raise ParamChanged(key=key, old=old, new=wanted[key], run=run.pk.hex)
    Param.objects.bulk_create(Param(run=run, key=key, value=value) for key, value in wanted.items() if key not in there)


def _write_tags(run: Run, tags: Mapping[str, str]) -> None:
    rows = [
        RunTag(
            run=run,
            key=text.key(f"tags[{at}].key", key, limit=KEY_LIMIT),
            value=text.cut(f"tags[{at}].value", value, limit=TAG_VALUE_LIMIT),
        )
        for at, (key, value) in enumerate(tags.items())
    ]
    RunTag.objects.bulk_create(rows, update_conflicts=True, unique_fields=["run", "key"], update_fields=["value"])


def _random_name() -> str:
    return f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{secrets.randbelow(1000)}"
