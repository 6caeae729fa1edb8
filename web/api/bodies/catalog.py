"""Models, aliases, versions, their files and the stages that they held."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from lineage.inspection import Contents
from lineage.models import FolderFile
from registry.models import (
    Alias,
    Model,
    ModelTag,
    Occupancy,
    Version,
    VersionTag,
)
from registry.models.catalog import VersionStatus
from web.api.bodies.shared import STAGES, url


def _tags(row: Model | Version) -> dict[str, str]:
    tags: Iterable[ModelTag | VersionTag] = row.tags.all()
    return {tag.key: tag.value for tag in sorted(tags, key=lambda tag: tag.key)}


class ModelBody(serializers.Serializer[Model]):
    name = serializers.CharField()
    description = serializers.CharField()
    tags = serializers.SerializerMethodField()
    aliases = serializers.SerializerMethodField()
    last_version = serializers.IntegerField(help_text="The highest number given out; 0 when there is no version yet.")
    generation = serializers.IntegerField(help_text="Moves when one of the model's URIs may point elsewhere.")
    created_by = serializers.CharField(source="created_by.username")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    url = serializers.SerializerMethodField()

    def get_tags(self, row: Model) -> dict[str, str]:
        return _tags(row)

    def get_aliases(self, row: Model) -> dict[str, int]:
        return {alias.name: alias.version.number for alias in row.aliases.all()}

    def get_url(self, row: Model) -> str:
        return url("models", row.name)


class AliasBody(serializers.Serializer[Alias]):
    alias = serializers.CharField(source="name")
    version = serializers.IntegerField(source="version.number")


class ContentsBody(serializers.Serializer[Contents]):
    """What was seen in a version's files, by their names and a few small ones; nothing is loaded."""

    mlmodel = serializers.CharField(help_text="The path of its MLmodel file; empty when there is none.")
    mlmodel_read = serializers.BooleanField(
        help_text="It could be read; if not, its signature, example and flavors are not known."
    )
    signature_inputs = serializers.BooleanField(help_text="The model says what goes in.")
    signature_outputs = serializers.BooleanField(help_text="The model says what comes out.")
    input_example = serializers.CharField(help_text="The path of its input example; empty when there is none.")
    flavors = serializers.ListField(child=serializers.CharField())
    environment = serializers.ListField(child=serializers.CharField(), help_text="Files that pin what it runs with.")
    model_cards = serializers.ListField(child=serializers.CharField())
    headings = serializers.ListField(child=serializers.CharField(), help_text="The headings of its model cards.")
    pickles = serializers.ListField(
        child=serializers.CharField(), help_text="Files that can run code when loaded, the first 50 of them."
    )
    pickle_count = serializers.IntegerField(help_text="How many such files there are.")
    problem = serializers.CharField(help_text="What could not be read, in words; empty when nothing.")


class VersionBody(serializers.Serializer[Version]):
    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField(source="number")
    stage = serializers.ChoiceField(STAGES)
    description = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # a field, not the serializer's own
    manifest = serializers.SerializerMethodField(
        help_text="SHA-256 of the list of its files; null: they lie elsewhere."
    )
    size = serializers.SerializerMethodField(help_text="Bytes of all files together.")
    file_count = serializers.SerializerMethodField()
    contents = serializers.SerializerMethodField(
        help_text="What its files hold; null when they were not looked at yet, or lie elsewhere."
    )
    verified_at = serializers.SerializerMethodField(
        help_text="When its bytes were last compared with their digests; null when never."
    )
    damage = serializers.SerializerMethodField(
        help_text="What was found wrong with its bytes, in words; empty when nothing."
    )
    run_id = serializers.CharField(source="run_ref")
    run_link = serializers.CharField()
    status = serializers.ChoiceField(VersionStatus.values)
    status_message = serializers.CharField()
    valid_until = serializers.DateTimeField(
        allow_null=True, help_text="Until when it is vouched for in its stage; null: no end is set."
    )
    tags = serializers.SerializerMethodField()
    aliases = serializers.SerializerMethodField()
    registered_by = serializers.CharField(source="registrar.username")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    url = serializers.SerializerMethodField()
    checks_url = serializers.SerializerMethodField(help_text="What jobs outside report on it.")
    comments_url = serializers.SerializerMethodField(help_text="What people say about it.")

    def get_manifest(self, row: Version) -> str | None:
        return row.manifest.digest if row.manifest else None

    def get_size(self, row: Version) -> int | None:
        return row.manifest.size if row.manifest else None

    def get_file_count(self, row: Version) -> int | None:
        return row.manifest.file_count if row.manifest else None

    @extend_schema_field(ContentsBody(allow_null=True))
    def get_contents(self, row: Version) -> Any:
        seen = row.manifest.contents if row.manifest else None
        return ContentsBody(seen).data if seen else None

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_verified_at(self, row: Version) -> Any:
        moment = row.manifest.verified_at if row.manifest else None
        return serializers.DateTimeField().to_representation(moment) if moment else None

    def get_damage(self, row: Version) -> str:
        return row.manifest.damage if row.manifest else ""

    def get_tags(self, row: Version) -> dict[str, str]:
        return _tags(row)

    def get_aliases(self, row: Version) -> list[str]:
        return sorted(alias.name for alias in row.aliases.all())

    def get_url(self, row: Version) -> str:
        return url("models", row.model.name, "versions", row.number)

    def get_checks_url(self, row: Version) -> str:
        return url("models", row.model.name, "versions", row.number, "checks")

    def get_comments_url(self, row: Version) -> str:
        return url("models", row.model.name, "versions", row.number, "comments")


class FileBody(serializers.Serializer[FolderFile]):
    path = serializers.CharField()
    sha256 = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")


class Files(serializers.Serializer[Any]):
    files = FileBody(many=True)


class OccupancyBody(serializers.Serializer[Occupancy]):
    stage = serializers.ChoiceField(STAGES)
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True, help_text="null: it holds the stage now.")
    promotion = serializers.UUIDField(source="promotion_id", allow_null=True)
    promoted_by = serializers.SerializerMethodField()
    bypass = serializers.SerializerMethodField()

    def get_promoted_by(self, row: Occupancy) -> str | None:
        by = row.promotion.decided_by if row.promotion else None
        return by.username if by else None

    def get_bypass(self, row: Occupancy) -> bool:
        return bool(row.promotion and row.promotion.bypass)
