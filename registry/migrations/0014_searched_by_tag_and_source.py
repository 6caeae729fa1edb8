"""Searches by a tag, and by the beginning of a source, read an index: tags know when their version changed last."""

import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Left

FOLLOW = """
CREATE FUNCTION registry_tag_of_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT v.workspace_id, v.updated_at INTO NEW.workspace_id, NEW.changed_at
      FROM registry_version v WHERE v.id = NEW.version_id;
    RETURN NEW;
END $$;
CREATE TRIGGER tag_of_version BEFORE INSERT ON registry_versiontag
    FOR EACH ROW EXECUTE FUNCTION registry_tag_of_version();

CREATE FUNCTION registry_version_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE registry_versiontag SET changed_at = NEW.updated_at WHERE version_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER version_changed AFTER UPDATE OF updated_at ON registry_version
    FOR EACH ROW WHEN (NEW.updated_at <> OLD.updated_at) EXECUTE FUNCTION registry_version_changed();

UPDATE registry_versiontag t SET workspace_id = v.workspace_id, changed_at = v.updated_at
  FROM registry_version v WHERE v.id = t.version_id;
"""
ALONE = """
DROP TRIGGER version_changed ON registry_version;
DROP FUNCTION registry_version_changed();
DROP TRIGGER tag_of_version ON registry_versiontag;
DROP FUNCTION registry_tag_of_version();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_entries_in_order"),
        ("registry", "0013_told_when_it_moves"),
    ]

    operations = [
        migrations.AddField(
            model_name="versiontag",
            name="changed_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="versiontag",
            name="workspace",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.workspace",
            ),
        ),
        migrations.RunSQL(FOLLOW, ALONE),
        migrations.AlterField(
            model_name="versiontag",
            name="changed_at",
            field=models.DateTimeField(editable=False),
        ),
        migrations.AlterField(
            model_name="versiontag",
            name="workspace",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.workspace",
            ),
        ),
        migrations.RemoveIndex(
            model_name="versiontag",
            name="version_by_tag",
        ),
        migrations.RemoveIndex(
            model_name="modeltag",
            name="model_by_tag",
        ),
        migrations.AddIndex(
            model_name="modeltag",
            index=models.Index(models.F("key"), Left("value", 200), models.F("model"), name="model_by_tag_value"),
        ),
        migrations.AddIndex(
            model_name="versiontag",
            index=models.Index(
                models.F("workspace"),
                models.F("key"),
                Left("value", 200),
                models.OrderBy(models.F("changed_at"), descending=True),
                name="version_of_tag_by_change",
            ),
        ),
        migrations.AddIndex(
            model_name="version",
            index=models.Index(
                models.F("workspace"),
                django.contrib.postgres.indexes.OpClass(Left("source", 200), name="text_pattern_ops"),
                name="version_by_start_of_source",
            ),
        ),
    ]
