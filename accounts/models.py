"""Workspaces, users, teams, grants, tokens, the audit chain and remembered answers."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.validators import ASCIIUsernameValidator
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from accounts.roles import Role
from core import text
from core.ids import uuid7


class Workspace(models.Model):
    """The tenant: names of models and experiments are unique inside one."""

    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=255)
    # An identical create from the same token inside ten minutes answers with the version that the first one made.
    folds_repeated_creates = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.slug


class UserKind(models.TextChoices):
    """A person signs in; a service account has tokens only; the system account is Vouch itself."""

    PERSON = "person"
    SERVICE = "service"
    SYSTEM = "system"


class UserQuerySet(models.QuerySet["User"]):
    def named(self, username: str) -> Self:
        """The user of this name whatever the case, by the index that keeps names apart."""
        return self.alias(folded=Lower("username")).filter(folded=text.searchable(username).lower())


class UserManager(BaseUserManager["User"]):
    """Finds users by name whatever the case, and makes the first administrator for `manage.py createsuperuser`."""

    def get_by_natural_key(self, username: str | None) -> User:
        return self.named(username or "").get()

    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def named(self, username: str) -> UserQuerySet:
        return self.get_queryset().named(username)

    def create_superuser(self, username: str, password: str | None = None, **extra: Any) -> User:
        """An administrator of every workspace, for the command line; the web has no way to make one."""
        user = self.model(username=username, is_superuser=True, **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser):
    """A person or a service account."""

    username = models.CharField(
        max_length=150, unique=True, validators=[ASCIIUsernameValidator()], help_text="Letters, digits and @ . + - _"
    )
    kind = models.CharField(max_length=16, choices=UserKind.choices, default=UserKind.PERSON)
    display_name = models.CharField(max_length=255, blank=True)
    email = models.EmailField(blank=True)
    # The person who answers for a service account; shares its exclusions when something is approved.
    responsible = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    is_active = models.BooleanField(default=True)
    is_superuser = models.BooleanField("administrator of every workspace", default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("username"), name="user_name_once_whatever_the_case"),
        ]

    def __str__(self) -> str:
        return self.username

    def get_full_name(self) -> str:
        return self.display_name or self.username

    # What Django's admin asks of a user model; every other place asks `accounts.permissions`.
    @property
    def is_staff(self) -> bool:
        return self.is_superuser

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return self.is_active and self.is_superuser

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active and self.is_superuser


class Team(models.Model):
    """A named group of users inside a workspace; grants to it hold for each member."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="teams")
    name = models.SlugField(max_length=63)
    members = models.ManyToManyField(User, related_name="teams", blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="team_name_once_in_workspace")]

    def __str__(self) -> str:
        return self.name


class Grant(models.Model):
    """A principal holds a role in a workspace, or for one model of it."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="grants")
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE, related_name="grants")
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.CASCADE, related_name="grants")
    role = models.CharField(max_length=16, choices=[(role.value, role.value) for role in Role])
    model = models.ForeignKey("registry.Model", null=True, blank=True, on_delete=models.CASCADE, related_name="grants")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=True, team__isnull=False) | Q(user__isnull=False, team__isnull=True),
                name="grant_to_a_user_or_a_team",
            ),
            models.UniqueConstraint(
                fields=["workspace", "user", "team", "role", "model"], nulls_distinct=False, name="grant_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user or self.team} is {self.role} of {self.model or self.workspace}"


class Token(models.Model):
    """An API token: the public id and the SHA-256 of the whole; the token itself is shown once and kept nowhere."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    public_id = models.CharField(max_length=8, unique=True, editable=False)
    secret_sha256 = models.BinaryField(max_length=32, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    scopes = ArrayField(models.CharField(max_length=16))
    # `*` and `?` as in a shell; empty means every model its owner may reach.
    model_glob = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    known_addresses = ArrayField(models.GenericIPAddressField(), default=list, blank=True)

    class Meta:
        indexes = [models.Index(fields=["user", "-created_at"], name="token_by_owner")]

    def __str__(self) -> str:
        return f"{self.name} (vch-{self.public_id}…)"


class AuditChain(models.Model):
    """The head of one chain of entries: one for each model, and one, without subject, for what belongs to none."""

    subject_id = models.UUIDField(null=True, editable=False)
    last_sequence = models.BigIntegerField(default=0)
    last_hash = models.CharField(max_length=64, default="0" * 64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subject_id"], nulls_distinct=False, name="one_chain_for_each_subject")
        ]

    def __str__(self) -> str:
        return f"model {self.subject_id}" if self.subject_id else "accounts"


class AuditEntry(models.Model):
    """One thing that somebody did. Nothing updates or deletes an entry: a trigger refuses (migration 0003)."""

    # No index of their own for chain and workspace: others begin with them, and every index costs each write.
    chain = models.ForeignKey(AuditChain, on_delete=models.PROTECT, related_name="entries", db_index=False)
    sequence = models.BigIntegerField()
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)
    at = models.DateTimeField()
    workspace = models.ForeignKey(Workspace, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    verb = models.CharField(max_length=64)
    # Who, as it was then: names change and accounts go, an entry stays.
    actor = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", db_column="actor_user_id")
    actor_name = models.CharField(max_length=150)
    token_id = models.UUIDField(null=True)
    address = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    subject = models.CharField(max_length=512)
    data = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chain", "sequence"], name="audit_entry_once_in_its_place"),
            models.CheckConstraint(condition=Q(sequence__gte=1), name="audit_sequence_begins_at_one"),
        ]
        indexes = [
            models.Index(fields=["workspace", "-at", "-id"], name="audit_by_time"),
            models.Index(fields=["workspace", "actor", "-at", "-id"], name="audit_by_actor"),
            models.Index(fields=["workspace", "verb", "-at", "-id"], name="audit_by_verb"),
            models.Index(fields=["workspace", "chain", "sequence"], name="audit_by_chain_in_workspace"),
            models.Index(fields=["workspace", "id"], name="audit_in_order"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.subject}"


class AuditCheckpoint(models.Model):
    """A checkpoint that was written outside the database: so that one which disappears there is missed."""

    number = models.BigIntegerField(primary_key=True)
    digest = models.CharField(max_length=64)
    at = models.DateTimeField()
    public_key = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"checkpoint {self.number}"


class AuditWitness(models.Model):
    """How far the checkpoints follow a chain: the next one names the chains whose head has moved from here.

    In a table of its own, so that making a checkpoint never waits for those who write entries, nor they for it.
    """

    chain = models.OneToOneField(AuditChain, primary_key=True, on_delete=models.CASCADE, related_name="witness")
    sequence = models.BigIntegerField()
    hash = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"{self.chain} to {self.sequence}"


class RememberedAnswer(models.Model):
    """The answer to a request that carried an `Idempotency-Key`, given again to the same request."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "workspace", "key"], name="idempotency_key_once_for_each_user")
        ]

    def __str__(self) -> str:
        return self.key
