"""Where a version comes from and where it went: data sets, run, what was registered, stages, copies."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.db.models import Value
from django.db.models.lookups import Exact

from accounts.actor import Actor
from accounts.roles import Action
from lineage.models import LoggedModel, Run
from lineage.provenance import Provenance, recorded
from registry.lifecycle import Stage
from registry.models import Occupancy, Version
from registry.models.catalog import hashed
from registry.queries import occupancies

SHOWN = 6  # of each kind; a version may have been in a stage, or copied, any number of times
_ENOUGH = 50  # versions of a run
_COPY = re.compile(r"models:/([^/:@]+)/([1-9][0-9]{0,8})")  # the source of a copy


@dataclass(frozen=True)
class Descent:
    """A version's line. Each kind is cut to SHOWN, and `…_more` tells whether there are others.

    `run` is what is known of the run that it names, or that made its logged model; `reads_runs` whether the actor may
    open pages of runs. `original` is the version that it is a copy of, `copied_from` its name when it is one of a
    version that the actor cannot see, or that is gone.
    """

    version: Version
    run: Provenance | None
    experiment_id: int | None
    reads_runs: bool
    logged_model: LoggedModel | None
    original: Version | None
    copied_from: str
    copies: tuple[Version, ...]
    copies_more: bool
    held: tuple[Occupancy, ...]  # the newest first
    held_more: bool

    @property
    def environment(self) -> tuple[str, ...]:
        """The files that say what it runs with."""
        contents = self.version.manifest.contents if self.version.manifest else None
        return contents.environment if contents else ()


def descent(actor: Actor, version: Version) -> Descent:
    """The line of a version that the actor can see, as `find_version` gives it. At most six queries."""
    logged_model = version.logged_model
    run_id = version.run_id or (logged_model.source_run_id if logged_model else None)
    experiment_id = Run.objects.filter(pk=run_id).values_list("experiment_id", flat=True).first() if run_id else None
    copied = _COPY.fullmatch(version.source)
    held = list(occupancies(version).exclude(stage=Stage.NONE).order_by("-started_at")[: SHOWN + 1])
    copies = _copies(actor, version)
    return Descent(
        version=version,
        run=recorded([run_id]).get(run_id) if run_id else None,
        experiment_id=experiment_id,
        reads_runs=actor.may(Action.READ),
        logged_model=logged_model,
        original=_original(actor, version, *copied.groups()) if copied else None,
        copied_from=f"{copied[1]} v{copied[2]}" if copied else "",
        copies=tuple(copies[:SHOWN]),
        copies_more=len(copies) > SHOWN,
        held=tuple(held[:SHOWN]),
        held_more=len(held) > SHOWN,
    )


def versions_of_run(actor: Actor, run: Run) -> list[Version]:
    """The living versions registered from a run, the newest first and at most fifty. One query."""
    rows = Version.objects.visible_to(actor).with_stage().select_related("model").filter(run=run)
    return list(rows.order_by("-created_at", "-id")[:_ENOUGH])


def _original(actor: Actor, version: Version, name: str, number: str) -> Version | None:
    rows = Version.objects.visible_to(actor).select_related("model")
    # A copy names what it was made of, and a name that became free may be another model's since: a younger one's.
    return rows.filter(model__name=name, number=int(number), created_at__lte=version.created_at).first()


def _copies(actor: Actor, version: Version) -> list[Version]:
    source = f"models:/{version.model.name}/{version.number}"
    # By the hash, which an index holds together with the order.
    rows = Version.objects.visible_to(actor).filter(Exact(hashed("source"), hashed(Value(source))), source=source)
    rows = rows.filter(created_at__gte=version.created_at).select_related("model").exclude(pk=version.pk)
    return list(rows.order_by("-updated_at", "model_name", "-number")[: SHOWN + 1])
