"""Models, versions, tags, aliases, and which version held which stage when."""

from __future__ import annotations

import datetime
from typing import Any, ClassVar, Self

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Left, Lower

from accounts.actor import Actor
from accounts.models import User, Workspace
from accounts.permissions import glob_as_regex
from accounts.roles import Action, Scope
from core.ids import uuid7
from lineage.models import LoggedModel, Manifest, Run
from registry.lifecycle import Stage

STAGES = [(stage.value, stage.value) for stage in Stage]


def hashed(text: str | models.Value) -> models.Func:
    """64 bits of a text (the name of a column, or a value), for indexes of what may be longer than an index entry."""
    return models.Func(text, models.Value(0), function="hashtextextended", output_field=models.BigIntegerField())


START = 200  # characters


def start_of(text: str) -> models.Func:
    """The first START characters, for the same. PostgreSQL guesses by them how many rows there are, as by no hash."""
    return Left(text, START)


class ModelQuerySet(models.QuerySet["Model"]):
    def living(self) -> Self:
        return self.filter(deleted_at__isnull=True)

    def visible_to(self, actor: Actor) -> Self:
        """Those of the actor's workspace that a role of his, and his token, reach."""
        rows = self.living().filter(workspace_id=actor.workspace_id)
        if Scope.READ not in actor.scopes:
            return self.none()
        if not actor.may(Action.READ):
            rows = rows.filter(pk__in=list(actor.model_roles))
        if actor.model_glob:
            rows = rows.filter(name__regex=f"^{glob_as_regex(actor.model_glob)}$")
        return rows


class Model(models.Model):
    """A registered model. A deleted one stays as a row, for its history; its name is free again."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    # The number of the newest version, given out under the row's lock: no gaps, no duplicates.
    last_version = models.IntegerField(default=0)
    # Moves whenever something that resolving answers has changed: stages, aliases, versions.
    generation = models.BigIntegerField(default=1)
    # Moves with every edit, for If-Match.
    revision = models.BigIntegerField(default=1)

    objects: ClassVar[ModelQuerySet] = ModelQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            # Whatever the case: `Iris` and `iris` side by side would be taken for each other.
            models.UniqueConstraint(
                "workspace", Lower("name"), condition=Q(deleted_at__isnull=True), name="model_name_once_in_workspace"
            ),
        ]
        indexes = [
            models.Index(fields=["workspace", "name", "id"], name="model_by_name"),
            models.Index(fields=["workspace", "-updated_at", "-id"], name="model_newest_first"),
            # By three letters and more, for LIKE and ILIKE. On the name itself, of which PostgreSQL knows how often a
            # part occurs: of an expression in such an index it does not.
            GinIndex(fields=["name"], opclasses=["gin_trgm_ops"], name="model_by_part_of_name"),
        ]

    def __str__(self) -> str:
        return self.name


class FormerName(models.Model):
    """A model was called so from one moment to another."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="former_names")
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    name = models.CharField(max_length=255)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["workspace", "name", "-ended_at"], name="model_by_former_name")]

    def __str__(self) -> str:
        return self.name


class ModelTag(models.Model):
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "key"], name="model_tag_once")]
        indexes = [
            models.Index("key", models.F("model"), name="model_by_tag_key"),
            models.Index("key", start_of("value"), "model", name="model_by_tag_value"),
        ]


class VersionStatus(models.TextChoices):
    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class VersionQuerySet(models.QuerySet["Version"]):
    def visible_to(self, actor: Actor) -> Self:
        """Living versions of the models that the actor can see. Those of a deleted model are deleted, too."""
        rows = self.living().filter(workspace_id=actor.workspace_id)
        if Scope.READ not in actor.scopes:
            return self.none()
        if not actor.may(Action.READ):
            rows = rows.filter(model__in=list(actor.model_roles))
        if actor.model_glob:
            rows = rows.filter(model_name__regex=f"^{glob_as_regex(actor.model_glob)}$")
        return rows

    def living(self) -> Self:
        return self.filter(deleted_at__isnull=True)

    def in_stage(self, stage: Stage) -> Self:
        return self.filter(occupancies__ended_at__isnull=True, occupancies__stage=stage)

    def with_stage(self) -> Self:
        """Adds `stage`, the one that each holds now."""
        return self.annotate(
            stage=models.Subquery(
                Occupancy.objects.filter(version=models.OuterRef("pk"), ended_at__isnull=True).values("stage")[:1]
            )
        )

    def with_word(self) -> Self:
        """Adds `valid_until`, until when the word holds that moved each into its stage; None for ever or unasked."""
        own = Occupancy.objects.filter(
            version=models.OuterRef("pk"), ended_at__isnull=True, promotion__version=models.OuterRef("pk")
        )
        return self.annotate(valid_until=models.Subquery(own.values("promotion__valid_until")[:1]))


_NEWEST = (F("updated_at").desc(), F("model_name"), F("number").desc())
_SEARCHED: dict[str, tuple[Any, ...]] = {
    "version_by_change": _NEWEST,
    "version_by_creation": (F("created_at").desc(), F("model_name"), F("number").desc()),
    "version_by_name": (F("model_name"), F("number").desc()),
    "version_by_name_back": (F("model_name"), F("number")),
    "version_by_number": (F("number"), F("model_name")),
    "version_by_number_back": (F("number").desc(), F("model_name")),
    "version_of_name_by_change": (F("model_name"), F("updated_at").desc(), F("number").desc()),
    "version_of_run_by_change": (F("run_ref"), *_NEWEST),
    # A hash, since an index entry holds 2,704 bytes and a source may be longer.
    "version_of_source_by_change": (hashed("source"), *_NEWEST),
}


class Version(models.Model):
    """One version of a model: 1, 2, 3 …, never reused."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="versions")
    number = models.IntegerField()
    # The model's own, here again so that each order of a search is one index. A foreign key over the three keeps them
    # right (migration 0010): whoever renames the model renames its versions.
    workspace = models.ForeignKey(
        Workspace, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    model_name = models.CharField(max_length=255, db_collation="C")
    description = models.TextField(blank=True)
    # Where its registrar said that it lies; what serving loads is the manifest, when there is one.
    source = models.CharField(max_length=1000)
    # Where its bytes lie, when they lie elsewhere and `source` is the name of the version that it is a copy of.
    location = models.CharField(max_length=1000, blank=True)
    manifest = models.ForeignKey(Manifest, null=True, on_delete=models.PROTECT, related_name="+")
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="versions")
    # The run as the registrar named it: it may lie on another server.
    run_ref = models.CharField(max_length=64, blank=True)
    run_link = models.CharField(max_length=1000, blank=True)
    logged_model = models.ForeignKey(LoggedModel, null=True, on_delete=models.SET_NULL, related_name="versions")
    status = models.CharField(max_length=16, choices=VersionStatus.choices, default=VersionStatus.READY)
    status_message = models.TextField(blank=True)
    registrar = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    registrar_token = models.UUIDField(null=True)
    # Who put its files there; for a copy also whoever registered what it is a copy of.
    contributors = models.ManyToManyField(User, related_name="+")
    # SHA-256 of what the registrar sent: how a client's repetition is known.
    request_digest = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    revision = models.BigIntegerField(default=1)
    stage: str  # the one that it holds now, where the query was made `with_stage()`
    valid_until: datetime.datetime | None  # until when the word for that holds, where it was made `with_word()`

    objects: ClassVar[VersionQuerySet] = VersionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["model", "number"], name="version_number_once_in_model"),
            models.CheckConstraint(condition=Q(number__gte=1), name="version_numbers_begin_at_one"),
        ]
        indexes = [
            models.Index(fields=["model", "request_digest", "-created_at"], name="version_by_request"),
            models.Index(fields=["model", "-created_at"], name="version_by_registration"),
            # The orders of a search, and what it is narrowed to most (registry/searching.py).
            *(
                models.Index("workspace", *columns, condition=Q(deleted_at__isnull=True), name=name)
                for name, columns in _SEARCHED.items()
            ),
            # Of all rows: of an index of some, PostgreSQL keeps in mind how texts begin, but does not guess by it.
            models.Index(
                "workspace", OpClass(start_of("source"), name="text_pattern_ops"), name="version_by_start_of_source"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.name} v{self.number}"

    @property
    def lies_at(self) -> str:
        """Where its bytes lie, when they are not here."""
        return self.location or self.source


class VersionTag(models.Model):
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)
    # The version's workspace and `updated_at`, here again so that a search by tag is one index in its default order.
    # Triggers write both (migration 0014).
    workspace = models.ForeignKey(
        Workspace, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False, editable=False
    )
    changed_at = models.DateTimeField(editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "key"], name="version_tag_once")]
        indexes = [
            models.Index("workspace", "key", start_of("value"), F("changed_at").desc(), name="version_of_tag_by_change")
        ]


class Alias(models.Model):
    """A name that points at one version."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=255)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="aliases")
    # The promotion that pointed it there, where a policy protects it.
    promotion = models.ForeignKey("Promotion", null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "name"], name="alias_once_in_model")]

    def __str__(self) -> str:
        return self.name


class Occupancy(models.Model):
    """A version holds a stage from one moment to another; open ones are the present, closed ones history."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="occupancies", db_index=False)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="occupancies")
    number = models.IntegerField()  # the version's, so that the newest in a stage is found by the index alone
    stage = models.CharField(max_length=16, choices=STAGES)
    exclusive = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    # The promotion that moved the version in; none for the stage that it was registered into.
    promotion = models.ForeignKey("Promotion", null=True, on_delete=models.PROTECT, related_name="occupancies")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version"], condition=Q(ended_at__isnull=True), name="version_in_one_stage_at_a_time"
            ),
            models.UniqueConstraint(
                fields=["model", "stage"],
                condition=Q(ended_at__isnull=True, exclusive=True),
                name="one_occupant_of_an_exclusive_stage",
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")), name="occupancy_ends_after_start"
            ),
        ]
        indexes = [
            models.Index(
                fields=["model", "stage", "-number"], condition=Q(ended_at__isnull=True), name="occupancy_now"
            ),
            models.Index(fields=["model", "stage", "-started_at"], name="occupancy_history"),
            # Which models have something in a stage that serves.
            models.Index(
                fields=["stage", "model"],
                condition=Q(ended_at__isnull=True, stage__in=["Staging", "Production"]),
                name="occupancy_serving",
            ),
            # What was in a stage at a moment: alone in it, or the highest of several (registry/past.py).
            models.Index(fields=["model", "stage", "-started_at"], condition=Q(exclusive=True), name="occupancy_alone"),
            models.Index(
                fields=["model", "stage", "-number"], condition=Q(exclusive=False), name="occupancy_among_others"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} in {self.stage}"


class Pointing(models.Model):
    """An alias points at a version from one moment to another; open ones are the present, closed ones history."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="pointings", db_index=False)
    alias = models.CharField(max_length=255)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="pointings")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    promotion = models.ForeignKey("Promotion", null=True, on_delete=models.PROTECT, related_name="pointings")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["model", "alias"], condition=Q(ended_at__isnull=True), name="alias_points_at_one_version"
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")), name="pointing_ends_after_start"
            ),
        ]
        indexes = [models.Index(fields=["model", "alias", "-started_at"], name="pointing_history")]

    def __str__(self) -> str:
        return f"@{self.alias} at {self.version}"
