"""Experiments, runs and what they logged; data sets; logged models; blobs, folders and manifests."""

from __future__ import annotations

import uuid
from typing import ClassVar, Self

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Left

from accounts.actor import Actor
from accounts.models import User, Workspace
from accounts.roles import Action
from core.ids import uuid7
from lineage.inspection import FORMAT, Contents

HEAD = 100  # characters of a value that its index holds: an entry has room for 2,704 bytes


def _fingerprint() -> models.CharField[str, str]:
    """Of the request that made a row, until its maker showed that he has the answer; see `lineage.services.repeats`."""
    return models.CharField(max_length=64, blank=True, editable=False, default="", db_default="")


class ExperimentQuerySet(models.QuerySet["Experiment"]):
    def visible_to(self, actor: Actor) -> Self:
        """Those of the actor's workspace, for whoever holds a role in all of it."""
        return self.filter(workspace_id=actor.workspace_id) if actor.may(Action.READ) else self.none()


class Experiment(models.Model):
    """A named group of runs. A deleted one keeps its name."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=500)
    # The one that runs go to when nobody says where; every workspace has it.
    is_default = models.BooleanField(default=False)
    artifact_location = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    fingerprint = _fingerprint()

    objects: ClassVar[ExperimentQuerySet] = ExperimentQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="experiment_name_once_in_workspace"),
            models.UniqueConstraint(
                fields=["workspace"], condition=Q(is_default=True), name="one_default_experiment_in_workspace"
            ),
        ]
        indexes = [
            models.Index(fields=["workspace", "-created_at", "id"], name="experiment_newest_first"),
            models.Index(fields=["fingerprint"], condition=~Q(fingerprint=""), name="experiment_just_made"),
            GinIndex(fields=["name"], name="experiment_by_part_of_name", opclasses=["gin_trgm_ops"]),
        ]

    def __str__(self) -> str:
        return self.name


class ExperimentTag(models.Model):
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "key"], name="experiment_tag_once")]


class RunStatus(models.TextChoices):
    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class RunQuerySet(models.QuerySet["Run"]):
    def visible_to(self, actor: Actor) -> Self:
        """Those of the actor's workspace, for whoever holds a role in all of it."""
        if not actor.may(Action.READ):
            return self.none()
        return self.filter(experiment__workspace_id=actor.workspace_id)


class Run(models.Model):
    """One execution of training code. Times are milliseconds since 1970, as its client reported them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="runs")
    name = models.CharField(max_length=250)
    user_name = models.CharField(max_length=250, blank=True)  # what the client called its user, not an account
    status = models.CharField(max_length=16, choices=RunStatus.choices, default=RunStatus.RUNNING)
    started_ms = models.BigIntegerField()
    ended_ms = models.BigIntegerField(null=True)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    fingerprint = _fingerprint()

    objects: ClassVar[RunQuerySet] = RunQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["experiment", "-started_ms", "id"], name="run_newest_first"),
            models.Index(fields=["fingerprint"], condition=~Q(fingerprint=""), name="run_just_made"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_deleted(self) -> bool:
        """Also when its experiment is: that deletes every run at once, however many there are."""
        return bool(self.deleted_at or self.experiment.deleted_at)


class RunTag(models.Model):
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tags", db_index=False)
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="run_tag_once")]
        indexes = [models.Index(F("key"), Left("value", HEAD), name="run_tag_by_value")]


class Param(models.Model):
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="params", db_index=False)
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="param_once")]
        indexes = [models.Index(F("key"), Left("value", HEAD), name="param_by_value")]


class Metric(models.Model):
    """One point of a metric's history; an exact repetition is the same point."""

    pk = models.CompositePrimaryKey("run_id", "key", "timestamp_ms", "step", "value")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metric_history", db_index=False)
    key = models.CharField(max_length=250)
    timestamp_ms = models.BigIntegerField()
    step = models.BigIntegerField()
    value = models.FloatField()


class LatestMetric(models.Model):
    """The last value of a metric: the highest step, then the latest time, then the highest value.

    It repeats its run's experiment and start, which never change: so one index holds the runs of an experiment that
    have the metric, in the order of a search.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metrics", db_index=False)
    key = models.CharField(max_length=250)
    value = models.FloatField()
    timestamp_ms = models.BigIntegerField()
    step = models.BigIntegerField()
    experiment = models.ForeignKey(
        Experiment, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    started_ms = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="latest_metric_once")]
        indexes = [
            models.Index(fields=["experiment", "key", "value", "run"], name="latest_metric_by_value"),
            models.Index(
                fields=["experiment", "key", "-started_ms", "run"], include=["value"], name="latest_metric_newest_first"
            ),
        ]


class Dataset(models.Model):
    """A data set as runs name it; the first description of a (name, digest) stays."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=500)
    digest = models.CharField(max_length=36)
    source_type = models.CharField(max_length=64)
    source = models.TextField()
    schema = models.TextField(blank=True)
    profile = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "name", "digest"], name="dataset_once")]

    def __str__(self) -> str:
        return self.name


class RunInput(models.Model):
    """A run read a data set; `tags` holds its context, e.g. training."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="inputs")
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="used_by")
    tags = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "dataset"], name="run_input_once")]


class LoggedModelStatus(models.TextChoices):
    PENDING = "PENDING"
    READY = "READY"
    FAILED = "FAILED"


class LoggedModelQuerySet(models.QuerySet["LoggedModel"]):
    def visible_to(self, actor: Actor) -> Self:
        """Those of the actor's workspace, for whoever holds a role in all of it."""
        if not actor.may(Action.READ):
            return self.none()
        return self.filter(experiment__workspace_id=actor.workspace_id)


class LoggedModel(models.Model):
    """A model that a run made, before anybody registers it; holds its own folder."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="logged_models")
    name = models.CharField(max_length=500)
    model_type = models.CharField(max_length=500, blank=True)
    status = models.CharField(max_length=16, choices=LoggedModelStatus.choices, default=LoggedModelStatus.PENDING)
    status_message = models.TextField(blank=True)
    source_run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="logged_models")
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[LoggedModelQuerySet] = LoggedModelQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["experiment", "-created_at", "id"], name="logged_model_newest_first"),
        ]

    def __str__(self) -> str:
        return self.name


class LoggedModelTag(models.Model):
    logged_model = models.ForeignKey(LoggedModel, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["logged_model", "key"], name="logged_model_tag_once")]


class LoggedModelParam(models.Model):
    logged_model = models.ForeignKey(LoggedModel, on_delete=models.CASCADE, related_name="params")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["logged_model", "key"], name="logged_model_param_once")]


class LoggedModelMetric(models.Model):
    """The last value of a metric measured of a logged model by a run, on a data set or none."""

    logged_model = models.ForeignKey(LoggedModel, on_delete=models.CASCADE, related_name="metrics")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=250)
    value = models.FloatField()
    timestamp_ms = models.BigIntegerField()
    step = models.BigIntegerField()
    dataset_name = models.CharField(max_length=500, blank=True)
    dataset_digest = models.CharField(max_length=36, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["logged_model", "run", "key", "dataset_name", "dataset_digest"],
                name="logged_model_metric_once",
            )
        ]


class RunModel(models.Model):
    """A run made, or read, a logged model."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="models")
    logged_model = models.ForeignKey(LoggedModel, on_delete=models.CASCADE, related_name="runs")
    is_output = models.BooleanField()
    step = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "logged_model", "is_output"], name="run_model_once")]


class Folder(models.Model):
    """Files that are being collected: of a run, of a logged model, or of a client's own upload before it registers."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    run = models.OneToOneField(Run, null=True, on_delete=models.CASCADE, related_name="folder")
    logged_model = models.OneToOneField(LoggedModel, null=True, on_delete=models.CASCADE, related_name="folder")
    upload_owner = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="+")
    upload_name = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(run__isnull=False, logged_model__isnull=True, upload_owner__isnull=True)
                | Q(run__isnull=True, logged_model__isnull=False, upload_owner__isnull=True)
                | Q(run__isnull=True, logged_model__isnull=True, upload_owner__isnull=False),
                name="folder_of_one_thing",
            ),
            models.UniqueConstraint(fields=["workspace", "upload_owner", "upload_name"], name="upload_name_once"),
        ]


class FolderFile(models.Model):
    """A file in a folder: where it is, what its bytes are, who put it there."""

    folder = models.ForeignKey(Folder, on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=1000, db_collation="C")  # so that "all below" is a range of the index
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()
    uploaded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["folder", "path"], name="folder_file_once")]
        indexes = [models.Index(fields=["sha256"], name="folder_file_by_content")]


class DirectUploadQuerySet(models.QuerySet["DirectUpload"]):
    def to_take_in(self) -> Self:
        """Those that are no files of their folder yet."""
        return self.filter(taken_at__isnull=True)


class DirectUpload(models.Model):
    """A file that a client sends to the store by itself: in parts when the store has a name for them (`parts`), else by
    one PUT. It becomes a file of its folder once its bytes were read."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    folder = models.ForeignKey(Folder, on_delete=models.CASCADE, related_name="direct_uploads")
    path = models.CharField(max_length=1000, db_collation="C")
    key = models.CharField(max_length=64)  # in the store; nobody can guess it
    parts = models.TextField(blank=True)
    uploaded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    begun_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()  # the last of its URLs is dead then
    arrived_at = models.DateTimeField(null=True, blank=True)  # all its bytes lie in the store
    read_until = models.DateTimeField(null=True, blank=True)  # somebody reads them now, and has so long for it
    taken_at = models.DateTimeField(null=True, blank=True)  # it is a file of its folder

    objects: ClassVar[DirectUploadQuerySet] = DirectUploadQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["folder", "path"], name="direct_upload_of_folder"),
            models.Index(fields=["begun_at"], condition=Q(taken_at__isnull=True), name="direct_upload_to_take_in"),
            models.Index(fields=["expires_at"], name="direct_upload_by_expiry"),
        ]


class FolderSeal(models.Model):
    """A version was registered from what lies under `prefix`: nothing there is written any more."""

    folder = models.ForeignKey(Folder, on_delete=models.CASCADE, related_name="seals")
    prefix = models.CharField(max_length=1000, blank=True)
    sealed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["folder", "prefix"], name="folder_seal_once")]


class Manifest(models.Model):
    """An immutable set of files: path, SHA-256 and size of each. `digest` is the SHA-256 of that list."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    digest = models.CharField(max_length=64)
    file_count = models.IntegerField()
    size = models.BigIntegerField()  # bytes, of all files together
    created_at = models.DateTimeField(auto_now_add=True)
    inspected = models.JSONField(null=True, blank=True, editable=False)  # see `contents`
    # When all bytes were last read and compared, and what was wrong: the first bad file and why; empty for nothing.
    verified_at = models.DateTimeField(null=True, blank=True)
    damage = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "digest"], name="manifest_once_in_workspace")]
        indexes = [
            models.Index(fields=["id"], condition=Q(inspected__isnull=True, damage=""), name="manifest_to_inspect"),
            models.Index(F("verified_at").asc(nulls_first=True), F("id"), name="manifest_by_verification"),
            models.Index(fields=["id"], condition=~Q(damage=""), name="manifest_damaged"),
        ]

    def __str__(self) -> str:
        return self.digest

    @property
    def contents(self) -> Contents | None:
        """What lies in its files; None when nobody has looked yet."""
        if self.inspected is None or self.inspected.get("format") != FORMAT:
            return None
        return Contents.from_json(self.inspected)


class ManifestFile(models.Model):
    manifest = models.ForeignKey(Manifest, on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=1000, db_collation="C")  # so that "all below" is a range of the index
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["manifest", "path"], name="manifest_file_once")]
        indexes = [models.Index(fields=["sha256"], name="manifest_file_by_content")]
