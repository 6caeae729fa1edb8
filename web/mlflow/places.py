"""How this door names experiments, runs, logged models, versions, and the folders of their files.

mlflow-artifacts:/<experiment>/<run>/artifacts/…            what a run logged; the experiment may have a place of its
                                                            own instead of its number, `mlflow-artifacts:/team/…`
mlflow-artifacts:/<experiment>/models/m-<id>/artifacts/…    a logged model
mlflow-artifacts:/versions/<id>/…                           a registered version's frozen files, to read only
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Case, F, TextField, Value, When
from django.db.models.functions import Cast, Concat, Replace

from accounts.actor import Actor
from core import text
from core.errors import Invalid, NotFound
from lineage.models import Experiment, LoggedModel, Run
from lineage.queries import LoggedModelNotFound, RunNotFound, find_experiment, find_logged_model, find_run
from lineage.services import experiments
from lineage.services.artifacts import Place

SCHEME = "mlflow-artifacts:"
DEFAULT_EXPERIMENT = "0"  # in every workspace, as stock clients presume
_LOOSE = "loose"  # the upload of each user that takes files outside of all folders, where such are allowed
_HEX = re.compile(r"[0-9a-f]{32}")
_VERSION = re.compile(r"versions/(?P<version>[0-9a-f]{32})(?:/(?P<inner>.+))?")
_ROOT = re.compile(
    r"(?P<root>.+?/(?:(?P<run>[0-9a-f]{32})|models/(?P<logged_model>m-[0-9a-f]{32}))/artifacts)(?:/(?P<inner>.+))?"
)
_TAKEN = re.compile(r"(?:[0-9]+|versions)(?:/|$)")  # where experiments without a place of their own, and versions, lie


class BadExperimentId(Invalid):
    """Invalid experiment ID {value!r}: it must be a whole number, in decimal digits."""

    field = "experiment_id"


class NoSuchPlace(NotFound):
    """There is no artifact location {path!r}: files lie under <experiment>/<run>/artifacts, under
    <experiment>/models/<model>/artifacts, and those of registered versions under versions/<id>."""


@dataclass(frozen=True)
class Frozen:
    """The frozen files of a version."""

    version_id: uuid.UUID


@dataclass(frozen=True)
class Spot:
    """A file or directory: whose it is, and its path in there ("" for all of it)."""

    owner: Place | Frozen
    path: str


def experiment_id(experiment: Experiment) -> str:
    return DEFAULT_EXPERIMENT if experiment.is_default else str(experiment.pk)


def logged_model_id(key: uuid.UUID) -> str:
    return f"m-{key.hex}"


def experiment_root(experiment: Experiment) -> str:
    return experiment.artifact_location or f"{SCHEME}/{experiment_id(experiment)}"


def run_root(run: Run) -> str:
    return f"{experiment_root(run.experiment)}/{run.pk.hex}/artifacts"


def logged_model_root(logged_model: LoggedModel) -> str:
    key = logged_model_id(logged_model.pk)
    return f"{experiment_root(logged_model.experiment)}/models/{key}/artifacts"


def version_root(version_id: uuid.UUID) -> str:
    return f"{SCHEME}/versions/{version_id.hex}"


# How queries write ids and places, for conditions on them.
_TEXT = TextField()
HEX_OF_ID = Replace(Cast("id", _TEXT), Value("-"), Value(""), output_field=_TEXT)
ID_OF_LOGGED_MODEL = Concat(Value("m-"), HEX_OF_ID, output_field=_TEXT)
_EXPERIMENT_ID = Case(
    When(experiment__is_default=True, then=Value(DEFAULT_EXPERIMENT)),
    default=Cast("experiment_id", _TEXT),
    output_field=_TEXT,
)
_ROOT_OF_EXPERIMENT = Case(
    When(experiment__artifact_location="", then=Concat(Value(f"{SCHEME}/"), _EXPERIMENT_ID, output_field=_TEXT)),
    default=F("experiment__artifact_location"),
    output_field=_TEXT,
)
ROOT_OF_RUN = Concat(_ROOT_OF_EXPERIMENT, Value("/"), HEX_OF_ID, Value("/artifacts"), output_field=_TEXT)


def experiment_named(actor: Actor, value: str) -> Experiment:
    """The experiment of this id; BadExperimentId, ExperimentNotFound."""
    number = experiment_number(value)
    return experiments.default(actor) if number == 0 else find_experiment(actor, number)


def experiments_named(actor: Actor, values: Collection[str]) -> list[Experiment]:
    """Those of the experiments of these ids that there are, deleted or not; BadExperimentId."""
    numbers = {experiment_number(value) for value in values}
    others = list(numbers - {0})
    found = Experiment.objects.visible_to(actor).filter(is_default=False, pk__any_of=others) if others else ()
    return [*([experiments.default(actor)] if 0 in numbers else []), *found]


def experiment_number(value: str) -> int:
    """The number that an id writes in digits; BadExperimentId."""
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise BadExperimentId(value=value)
    return int(value)


def logged_model_named(actor: Actor, value: str, *, deleted_too: bool = False) -> LoggedModel:
    """The logged model of this id, `m-` and 32 hex digits; LoggedModelNotFound."""
    return find_logged_model(actor, logged_model_key(value), deleted_too=deleted_too)


def logged_model_key(value: str) -> uuid.UUID:
    prefix, hexes = value[:2], value[2:]
    if prefix != "m-" or not _HEX.fullmatch(hexes):
        raise LoggedModelNotFound(logged_model=value)
    return uuid.UUID(hex=hexes)


def path_in_store(uri: str) -> str | None:
    """The path that an `mlflow-artifacts:` URI of this server names, without slashes around it; None for others."""
    if not uri.startswith(SCHEME):
        return None
    rest = uri.removeprefix(SCHEME)
    if rest.startswith("//"):
        host, _, rest = rest[2:].partition("/")
        if host not in ("", urlsplit(settings.VOUCH_URL).netloc):
            return None
    return rest.strip("/")


def location(given: str) -> str | None:
    """An `mlflow-artifacts:` URI as the place of an experiment's files in our store; None when it cannot be one.

    It can not lie in the folder of a run or a logged model, whose files those of its own runs would become, nor hold
    what clients take for an encoding, a query or a fragment.
    """
    path = path_in_store(given)
    if not path or _TAKEN.match(path) or _ROOT.match(path) or set("%?#") & set(path):
        return None
    return f"{SCHEME}/{text.artifact_path(path)}"


def spot_at(actor: Actor, path: str, *, root: bool = False) -> Spot:
    """Whose file `path` is; BadPath, NoSuchPlace, or the NotFound of whose folder it names.

    With `root`, the root of all, "", is a path like others.
    """
    text.artifact_path(path, empty=root)
    if found := _VERSION.fullmatch(path):
        return Spot(Frozen(uuid.UUID(hex=found["version"])), found["inner"] or "")
    if found := _ROOT.fullmatch(path):
        here, inner = f"{SCHEME}/{found['root']}", found["inner"] or ""
        if key := found["run"]:
            run = find_run(actor, key)
            if run_root(run) != here:
                raise RunNotFound(run=key)
            return Spot(Place(run=run), inner)
        key = found["logged_model"]
        logged_model = logged_model_named(actor, key, deleted_too=True)
        if logged_model_root(logged_model) != here:
            raise LoggedModelNotFound(logged_model=key)
        return Spot(Place(logged_model=logged_model), inner)
    if settings.VOUCH_CONFORMANCE:
        return Spot(Place(upload_name=_LOOSE), path)
    raise NoSuchPlace(path=path)
